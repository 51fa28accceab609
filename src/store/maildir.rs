//! One account's Maildir: messages go in by `tmp/` and `new/`, and other programs may read, move,
//! flag and remove them at any time.
//!
//! How its messages are found, without reading them, is in [`super::maildir_listing`].

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    sync::Arc,
    time::SystemTime,
};

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::{
    StoreError,
    commit::{Change, Committer, Disk, RealDisk, RealFolder, Spot, Taken, Temporary},
    lines::{ToDisk, WireReader},
    mail::{Flag, Maildrop, MessageFacts},
    maildir_listing::{Listing, Listings, Place, scan},
    maildir_name::{self, MaildirName, fresh_base, with_sizes},
};

/// Mail is for its owner only.
pub(crate) const FILE_MODE: u32 = 0o600;
pub(crate) const FOLDER_MODE: u32 = 0o700;

/// The session that holds this file's lock has the maildrop. Its lock goes with the process.
const LOCK_NAME: &str = "portico.lock";

/// Octets of a message that are converted and written at a time.
const CHUNK_OCTETS: usize = 64 << 10;
const PAGE_OCTETS: usize = 4 << 10;

/// The three folders of a Maildir.
pub(crate) struct Folders<D: Disk> {
    pub tmp: D::Folder,
    pub new: D::Folder,
    pub cur: D::Folder,
}

impl<D: Disk> Folders<D> {
    /// The folder in which a message lies.
    pub(crate) fn of(&self, place: &Place) -> &D::Folder {
        if place.is_new { &self.new } else { &self.cur }
    }
}

/// Where messages come into a Maildir: written in the one folder, placed in the other.
pub(crate) struct Entrance<D: Disk> {
    pub tmp: D::Folder,
    pub new: D::Folder,
}

/// Writes a message for delivery; it is in the maildrop once the change is committed.
pub(crate) fn deliver<D: Disk>(
    disk: &D,
    entrance: &Entrance<D>,
    prefix: &[u8],
    message: &mut dyn Read,
    now: SystemTime,
) -> io::Result<Change<D>> {
    let mut draft = Draft::begin(disk, entrance, prefix)?;
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        message.take(CHUNK_OCTETS as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return draft.finish(now);
        }
        draft.write(&chunk)?;
    }
}

/// A message on its way into a maildrop. Dropping it removes it.
pub(crate) struct Draft<D: Disk> {
    temporary: Temporary<D>,
    new: D::Folder,
    lines: ToDisk,
    /// What was not written yet.
    converted: Vec<u8>,
    /// The fields in front, as they are on disk.
    prefix_octets: u64,
}

impl<D: Disk> Draft<D> {
    /// `prefix` are whole lines to put in front.
    pub(crate) fn begin(disk: &D, entrance: &Entrance<D>, prefix: &[u8]) -> io::Result<Draft<D>> {
        let temporary = Temporary::beside(disk, &entrance.tmp, FILE_MODE)?;
        let (mut lines, mut converted) = (ToDisk::default(), Vec::new());
        lines.convert(prefix, &mut converted);
        Ok(Draft { temporary, new: entrance.new.clone(), lines, prefix_octets: converted.len() as u64, converted })
    }

    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.lines.convert(octets, &mut self.converted);
        if self.converted.len() >= CHUNK_OCTETS {
            // Whole pages of the file: what ends within one is copied twice.
            let whole = self.converted.len() & !(PAGE_OCTETS - 1);
            self.temporary.write_all(self.converted.get(..whole).unwrap_or_default())?;
            self.converted.drain(..whole);
        }
        Ok(())
    }

    pub(crate) fn finish(mut self, now: SystemTime) -> io::Result<Change<D>> {
        let (disk_octets, wire_octets) = self.lines.finish(&mut self.converted);
        self.temporary.write_all(&self.converted)?;
        let name = with_sizes(&fresh_base(now), disk_octets, wire_octets);
        Ok(Change::Place { temporary: self.temporary, to: Spot::new(&self.new, name), taken: Taken::Refuse })
    }
}

impl Draft<RealDisk> {
    /// Reads the message without its prefix, as it is on disk, from the start.
    pub(crate) fn reader(&self) -> io::Result<impl Read + Send + '_> {
        let written = self.temporary.octets();
        let file = FromFile { file: self.temporary.file(), at: self.prefix_octets.min(written), end: written };
        let rest = self.converted.get(self.prefix_octets.saturating_sub(written) as usize..).unwrap_or_default();
        Ok(file.chain(rest).chain(self.lines.held()))
    }
}

/// A part of a file, whose own position stays where it is.
struct FromFile<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for FromFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let octets = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let count = self.file.read_at(buffer.get_mut(..octets).unwrap_or_default(), self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// A maildrop on disk, locked for one session.
pub(crate) struct DiskMaildrop {
    folders: Folders<RealDisk>,
    commits: Arc<Committer<RealDisk>>,
    listing: Arc<Listing>,
    /// Where each message was seen last, once it turned out that other programs have moved some.
    moved: RefCell<Option<Vec<Place>>>,
    /// Held while it is open, where a session has it.
    _lock: Option<File>,
}

impl DiskMaildrop {
    /// Lists the maildrop of an account in its open folder.
    pub(crate) fn open(
        (account, home): (&str, &RealFolder),
        folders: Folders<RealDisk>,
        commits: Arc<Committer<RealDisk>>,
        listings: &Listings,
        lock: Option<File>,
    ) -> Result<DiskMaildrop, StoreError> {
        let listing = listings.of((account, home), &folders, &commits, SystemTime::now())?;
        Ok(DiskMaildrop { folders, commits, listing, moved: RefCell::new(None), _lock: lock })
    }

    /// Looks up where the messages are now. Those that are gone keep their last place.
    fn refresh(&self) -> io::Result<()> {
        let now: HashMap<Vec<u8>, Place> = scan(&self.folders)?
            .into_iter()
            .filter_map(|place| Some((MaildirName::parse(&place.name)?.identity.to_vec(), place)))
            .collect();
        let find = |place: &Place| now.get(MaildirName::parse(&place.name)?.identity).cloned();
        let mut moved = self.moved.borrow_mut();
        let places = moved.get_or_insert_with(|| self.listing.places.clone());
        for place in places {
            *place = find(place).unwrap_or_else(|| place.clone());
        }
        Ok(())
    }

    fn place(&self, index: usize) -> Option<Place> {
        self.moved.borrow().as_ref().unwrap_or(&self.listing.places).get(index).cloned()
    }
}

/// Locks a maildrop for a session. The lock file is never removed: two sessions might then lock two
/// different files.
pub(crate) fn lock(home: &RealFolder) -> Result<File, StoreError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(home.file(), LOCK_NAME, flags, Mode::from_raw_mode(FILE_MODE)).map_err(io::Error::from)?);
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Busy),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

impl Maildrop for DiskMaildrop {
    fn messages(&self) -> &[MessageFacts] {
        &self.listing.messages
    }

    fn read(&self, index: usize) -> Result<Box<dyn Read + Send>, StoreError> {
        let place = self.place(index).ok_or(StoreError::NotFound)?;
        let file = match self.folders.of(&place).read(&place.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.refresh()?;
                let place = self.place(index).ok_or(StoreError::NotFound)?;
                self.folders.of(&place).read(&place.name)?
            }
            result => result?,
        };
        let octets = self.listing.messages.get(index).map_or(0, |facts| facts.octets);
        Ok(Box::new(WireReader::new(file, octets)))
    }

    fn flags(&self, index: usize) -> Vec<Flag> {
        self.place(index).map(|place| maildir_name::flags(place.is_new, &place.name)).unwrap_or_default()
    }

    fn remove(&mut self, indexes: &[usize]) -> Result<(), StoreError> {
        let mut left = indexes.to_vec();
        // Other programs can move a message, but hardly between every look and removal.
        for _ in 0..4 {
            let places: Vec<Place> = left.iter().filter_map(|&index| self.place(index)).collect();
            let changes = places.iter().map(|place| Change::Remove(Spot::new(self.folders.of(place), &place.name))).collect();
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
