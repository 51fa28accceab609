//! One account's Maildir: messages go in by `tmp/` and `new/`, and other programs may read, move,
//! flag and remove them at any time.
//!
//! Opening a maildrop reads the two folders and nothing else: sizes and ids come from the names
//! ([`super::maildir_name`]). Only files of other programs that don't tell their size are read
//! through, once.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    sync::Arc,
    time::SystemTime,
};

use quick_cache::sync::Cache;
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::{
    StoreError,
    commit::{Change, Committer, Disk, RealDisk, RealFolder, Spot, Taken, Temporary},
    lines::{ToDisk, WireReader, wire_octets},
    mail::{Maildrop, MessageFacts},
    maildir_name::{MaildirName, fresh_base, with_sizes},
};

/// Mail is for its owner only.
pub(crate) const FILE_MODE: u32 = 0o600;
pub(crate) const FOLDER_MODE: u32 = 0o700;

/// The session that holds this file's lock has the maildrop. Its lock goes with the process.
const LOCK_NAME: &str = "portico.lock";

/// Octets of a message that are converted and written at a time.
const CHUNK_OCTETS: usize = 64 << 10;

/// The three folders of a Maildir.
pub(crate) struct Folders<D: Disk> {
    pub tmp: D::Folder,
    pub new: D::Folder,
    pub cur: D::Folder,
}

/// Writes a message for delivery; it is in the maildrop once the change is committed.
pub(crate) fn deliver<D: Disk>(
    disk: &D,
    folders: &Folders<D>,
    prefix: &[u8],
    message: &mut dyn Read,
    now: SystemTime,
) -> io::Result<Change<D>> {
    let mut temporary = Temporary::beside(disk, &folders.tmp, FILE_MODE)?;
    let (mut lines, mut converted) = (ToDisk::default(), Vec::new());
    lines.convert(prefix, &mut converted);
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        message.take(CHUNK_OCTETS as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            break;
        }
        lines.convert(&chunk, &mut converted);
        if converted.len() >= CHUNK_OCTETS {
            temporary.write_all(&converted)?;
            converted.clear();
        }
    }
    let (disk_octets, wire_octets) = lines.finish(&mut converted);
    temporary.write_all(&converted)?;
    let name = with_sizes(&fresh_base(now), disk_octets, wire_octets);
    Ok(Change::Place { temporary, to: Spot::new(&folders.new, name), taken: Taken::Refuse })
}

/// Sizes of files whose names don't tell them. Files in a Maildir never change, so these stay true.
pub(crate) struct Sizes {
    known: Cache<(u64, u64), u64>,
    hashers: (RandomState, RandomState),
}

impl Sizes {
    /// Remembers so many sizes.
    const KEPT: usize = 100_000;

    pub(crate) fn new() -> Sizes {
        Sizes { known: Cache::new(Sizes::KEPT), hashers: (RandomState::new(), RandomState::new()) }
    }

    fn of(&self, account: &str, name: &MaildirName<'_>, open: impl FnOnce() -> io::Result<File>) -> io::Result<u64> {
        if let Some(octets) = name.wire_octets {
            return Ok(octets);
        }
        let key = (self.hashers.0.hash_one((account, name.identity)), self.hashers.1.hash_one((account, name.identity)));
        if let Some(octets) = self.known.get(&key) {
            return Ok(octets);
        }
        let octets = wire_octets(open()?, u64::MAX)?;
        self.known.insert(key, octets);
        Ok(octets)
    }
}

/// A maildrop on disk, locked for one session.
pub(crate) struct DiskMaildrop {
    folders: Folders<RealDisk>,
    commits: Arc<Committer<RealDisk>>,
    messages: Vec<MessageFacts>,
    /// Where each message was seen last; other programs move them from `new` to `cur`.
    places: RefCell<Vec<Place>>,
    /// Held while it is open.
    _lock: File,
}

#[derive(Clone, Debug)]
struct Place {
    is_new: bool,
    name: OsString,
}

/// A message as it was found, on its way into the sorted list.
struct Found {
    arrived_secs: u64,
    place: Place,
}

impl DiskMaildrop {
    /// Locks and lists the maildrop in the open folder `home`.
    pub(crate) fn open(
        account: &str,
        home: &RealFolder,
        folders: Folders<RealDisk>,
        commits: Arc<Committer<RealDisk>>,
        sizes: &Sizes,
    ) -> Result<DiskMaildrop, StoreError> {
        let lock = lock(home)?;
        let mut found = scan(&folders)?;
        found.sort_unstable_by(|a, b| (a.arrived_secs, &a.place.name).cmp(&(b.arrived_secs, &b.place.name)));
        let mut drop = DiskMaildrop {
            folders,
            commits,
            messages: Vec::with_capacity(found.len()),
            places: RefCell::new(Vec::with_capacity(found.len())),
            _lock: lock,
        };
        for Found { place, .. } in found {
            let Some(name) = MaildirName::parse(&place.name) else { continue };
            let Ok(octets) = sizes.of(account, &name, || drop.folder(&place).read(&place.name)) else {
                // Gone since, or nothing that can be read: as if it had never been listed.
                continue;
            };
            drop.messages.push(MessageFacts { uid: name.uid(), octets });
            drop.places.get_mut().push(place);
        }
        drop.tell_doubles_apart();
        Ok(drop)
    }

    /// Two files may differ in what follows the base name only; the later one gets another uid.
    fn tell_doubles_apart(&mut self) {
        let mut seen = HashSet::with_capacity(self.messages.len());
        let mut doubles = Vec::new();
        for (index, facts) in self.messages.iter().enumerate() {
            if !seen.insert(facts.uid.as_str()) {
                doubles.push(index);
            }
        }
        for index in doubles {
            let uid = self.place(index).and_then(|place| Some(MaildirName::parse(&place.name)?.uid_of_double()));
            if let (Some(facts), Some(uid)) = (self.messages.get_mut(index), uid) {
                facts.uid = uid;
            }
        }
    }

    fn folder(&self, place: &Place) -> &RealFolder {
        if place.is_new { &self.folders.new } else { &self.folders.cur }
    }

    /// Looks up where the messages are now. Those that are gone keep their last place.
    fn refresh(&self) -> io::Result<()> {
        let now: HashMap<Vec<u8>, Place> = scan(&self.folders)?
            .into_iter()
            .filter_map(|found| Some((MaildirName::parse(&found.place.name)?.identity.to_vec(), found.place)))
            .collect();
        for place in self.places.borrow_mut().iter_mut() {
            let moved = MaildirName::parse(&place.name).and_then(|name| now.get(name.identity));
            if let Some(moved) = moved {
                *place = moved.clone();
            }
        }
        Ok(())
    }

    fn place(&self, index: usize) -> Option<Place> {
        self.places.borrow().get(index).cloned()
    }
}

/// The lock file is never removed: two sessions might then lock two different files.
fn lock(home: &RealFolder) -> Result<File, StoreError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(home.file(), LOCK_NAME, flags, Mode::from_raw_mode(FILE_MODE)).map_err(io::Error::from)?);
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Busy),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

/// Everything in `new` and `cur`. A message that is seen in both while another program moves it
/// counts once.
fn scan(folders: &Folders<RealDisk>) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    // `new` first: what moves to `cur` meanwhile is seen twice, not missed.
    let new = folders.new.names()?;
    let cur = folders.cur.names()?;
    let seen: HashSet<&[u8]> = match new.is_empty() {
        true => HashSet::new(),
        false => cur.iter().filter_map(|name| Some(MaildirName::parse(name)?.identity)).collect(),
    };
    let new: Vec<OsString> =
        new.into_iter().filter(|name| MaildirName::parse(name).is_some_and(|name| !seen.contains(name.identity))).collect();
    for (is_new, names) in [(true, new), (false, cur)] {
        found.extend(names.into_iter().filter_map(|name| {
            let arrived_secs = MaildirName::parse(&name)?.arrived_secs.unwrap_or(u64::MAX);
            Some(Found { arrived_secs, place: Place { is_new, name } })
        }));
    }
    Ok(found)
}

impl Maildrop for DiskMaildrop {
    fn messages(&self) -> &[MessageFacts] {
        &self.messages
    }

    fn read(&self, index: usize) -> Result<Box<dyn Read + Send>, StoreError> {
        let place = self.place(index).ok_or(StoreError::NotFound)?;
        let file = match self.folder(&place).read(&place.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.refresh()?;
                let place = self.place(index).ok_or(StoreError::NotFound)?;
                self.folder(&place).read(&place.name)?
            }
            result => result?,
        };
        let octets = self.messages.get(index).map_or(0, |facts| facts.octets);
        Ok(Box::new(WireReader::new(file, octets)))
    }

    fn remove(&mut self, indexes: &[usize]) -> Result<(), StoreError> {
        let mut left = indexes.to_vec();
        // Other programs can move a message, but hardly between every look and removal.
        for _ in 0..4 {
            let places: Vec<Place> = left.iter().filter_map(|&index| self.place(index)).collect();
            let changes = places.iter().map(|place| Change::Remove(Spot::new(self.folder(place), &place.name))).collect();
            let missing = self.commits.commit(changes)?;
            if missing.is_empty() {
                return Ok(());
            }
            self.refresh()?;
            left = missing.into_iter().filter_map(|at| left.get(at).copied()).collect();
        }
        Ok(())
    }
}
