//! What came of uploads that broke off, kept for their accounts to go on from.
//!
//! An upload under a new name is written from its first octet into
//! `.portico-partials/<account>/`, under a digest of its folder and its name. So whatever ends it, a
//! lost client or a killed server, leaves what came where it can be found again; only when it is
//! whole it moves under its name. Nobody but the account sees it, and it never shows in the tree.
//!
//! It is worth something only as long as nothing else comes to stand under the name: the octets
//! would be the beginning of another file when that one has gone. So every change of the tree has
//! what was kept of its name forgotten ([`index`] knows without looking that there is nothing, which
//! is the rule), and the partials in a folder go with it, wherever it is moved.
//!
//! A name that ends in `.<boot>` has not been synced: it is worth something while the machine
//! runs that wrote it, and nothing after a power cut. What was synced when it broke off has no such
//! end and survives both.

mod index;
mod names;

use std::{
    ffi::{OsStr, OsString},
    fs::Metadata,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

pub(super) use index::Turn;
use index::{Index, Key};
use names::{digest_of, digest_of_folder, growing_name, is_of_another_boot, key_of};

use super::{
    StoreError,
    commit::{Change, Committer, Disk, RealDisk, RealFolder, Spot, Taken, Temporary},
};

/// The folder that they are all in, at the root of the tree.
const FOLDER: &str = ".portico-partials";
/// How long one is kept after the last octet came.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(86_400);
/// How many are kept for one account: as many as a client that sends many at once loses with its line.
pub(crate) const KEPT_FILES: usize = 64;
/// How many octets are kept for one account, all together.
pub(crate) const KEPT_OCTETS: u64 = 64 << 30;
/// How often all accounts' are looked through for old ones.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// All accounts' partials.
pub(super) struct Partials {
    root: RealFolder,
    index: Mutex<Index>,
    swept: Mutex<Option<SystemTime>>,
}

/// A partial that is being written. Dropping it removes it.
pub(super) struct Growing {
    pub temporary: Temporary<RealDisk>,
    folder: RealFolder,
    /// How many octets of it had come before.
    pub resumed_at: u64,
    /// Given back last.
    pub turn: Turn,
}

/// Whose partial was forgotten, and how many octets it had.
pub(super) type Forgotten = (String, u64);

/// One that was kept.
pub(super) struct Kept {
    spot: Spot<RealDisk>,
    pub metadata: Metadata,
}

impl Partials {
    pub(super) fn open(root: RealFolder) -> io::Result<Arc<Partials>> {
        let index = Mutex::new(Index::load(&root)?);
        Ok(Arc::new(Partials { root, index, swept: Mutex::default() }))
    }

    /// Begins to write what is to stand at a spot: from nothing, which does away with what was
    /// kept, or from the first `from` octets of that.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where another session of the account writes it;
    /// [`StoreError::Denied`] where fewer octets were kept.
    pub(super) fn begin(self: &Arc<Partials>, account: &str, at: &Spot<RealDisk>, from: From, mode: u32) -> Result<Growing, StoreError> {
        let folder = self.root.folder_made(FOLDER)?.folder_made(account)?;
        let digest = digest_of(at)?;
        let spot = Spot::new(&folder, growing_name(&digest));
        let key = Key { digest: digest.clone(), account: account.into() };
        let mut turn = Turn::take(self, &folder, key).ok_or(StoreError::Busy)?;
        let kept = self.kept(&folder, &digest, SystemTime::now())?;
        let octets = match (from, &kept) {
            (From::Nothing, _) | (From::Octet(0), _) => 0,
            (From::End, kept) => kept.as_ref().map_or(0, |kept| kept.metadata.len()),
            (From::Octet(octets), Some(kept)) if octets <= kept.metadata.len() => octets,
            (From::Octet(_), _) => return Err(StoreError::Denied),
        };
        let temporary = match kept {
            Some(kept) if octets > 0 => {
                if kept.spot.name != spot.name {
                    RealDisk.rename(&kept.spot, &spot, Taken::Replace)?;
                }
                let mut temporary = Temporary::begun_before(&RealDisk, spot.clone(), octets)?;
                temporary.cut(octets, SystemTime::now())?;
                temporary
            }
            _ => {
                remove_any(&spot)?;
                Temporary::named(&RealDisk, spot.clone(), mode)?
            }
        };
        // What was synced earlier is out of date from here on.
        remove_any(&Spot::new(&folder, digest))?;
        turn.leaves = false;
        Ok(Growing { temporary, folder, resumed_at: octets, turn })
    }

    /// What was kept for an account of what is to stand at a spot.
    pub(super) fn find(&self, account: &str, at: &Spot<RealDisk>) -> Result<Option<Kept>, StoreError> {
        let folder = match self.folder(account.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            folder => folder?,
        };
        Ok(self.kept(&folder, &digest_of(at)?, SystemTime::now())?)
    }

    /// Something has come to stand at a spot, or goes from there: what was kept for that name is of
    /// no use any more, whoever it was kept for. What is growing there stays with its writer.
    pub(super) fn forget(&self, at: &Spot<RealDisk>, but: Option<&Turn>) -> io::Result<Vec<Forgotten>> {
        if self.index().is_empty() {
            return Ok(Vec::new());
        }
        self.forget_all(&digest_of(at)?, but.map(|turn| &turn.key))
    }

    /// The same for all that was to stand in a folder.
    pub(super) fn forget_below(&self, folder: &RealFolder) -> io::Result<Vec<Forgotten>> {
        self.forget_all(&digest_of_folder(folder)?, None)
    }

    fn forget_all(&self, digits: &str, but: Option<&Key>) -> io::Result<Vec<Forgotten>> {
        let (mut index, mut forgotten) = (self.index(), Vec::new());
        for key in index.beginning_with(digits) {
            let folder = self.folder(&key.account)?;
            if but == Some(&key) {
                continue;
            }
            if index.is_growing(&key) {
                index.overtake(&key, &folder);
                continue;
            }
            let octets = self.kept(&folder, &key.digest, SystemTime::now())?.map_or(0, |kept| kept.metadata.len());
            for name in [growing_name(&key.digest), key.digest.clone()] {
                remove_any(&Spot::new(&folder, name))?;
            }
            RealDisk.sync_folder(&folder)?;
            index.remove(&key);
            forgotten.push((key.account.to_string_lossy().into_owned(), octets));
        }
        Ok(forgotten)
    }

    fn kept(&self, folder: &RealFolder, digest: &str, now: SystemTime) -> io::Result<Option<Kept>> {
        for name in [growing_name(digest), digest.to_owned()] {
            let spot = Spot::new(folder, name);
            match folder.read(&spot.name).and_then(|file| file.metadata()) {
                Ok(metadata) if !is_old(&metadata, now) => return Ok(Some(Kept { spot, metadata })),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn folder(&self, account: &OsStr) -> io::Result<RealFolder> {
        self.root.folder(FOLDER)?.folder(account)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what has come, durably, and drops the oldest where there are too many by now. Answers
    /// how many octets are kept of it.
    pub(super) fn keep(&self, growing: Growing, commits: &Committer<RealDisk>) -> Result<u64, StoreError> {
        let Growing { temporary, folder, mut turn, .. } = growing;
        let octets = temporary.octets();
        if octets == 0 || turn.is_overtaken() {
            drop(temporary);
            return Ok(0);
        }
        let to = Spot::new(&folder, turn.key.digest.clone());
        commits.commit(vec![Change::Place { temporary, to, taken: Taken::Replace }])?;
        turn.leaves = true;
        let account = turn.key.account.clone();
        drop(turn);
        self.thin_out(account.as_os_str(), &folder, SystemTime::now())?;
        Ok(octets)
    }

    /// How many octets an account has kept.
    pub(super) fn octets(&self, account: &str) -> u64 {
        let Ok(folder) = self.folder(account.as_ref()) else { return 0 };
        let listed = self.listed(&folder).unwrap_or_default().into_iter();
        let kept = listed.filter(|(name, _)| !key_of(account.as_ref(), name).is_some_and(|key| self.index().is_growing(&key)));
        kept.map(|(_, metadata)| metadata.len()).sum()
    }

    /// Removes what is too old or of another life of the machine, and then the oldest of what is
    /// too much.
    fn thin_out(&self, account: &OsStr, folder: &RealFolder, now: SystemTime) -> io::Result<()> {
        let mut all = self.listed(folder)?;
        all.sort_by_key(|(_, metadata)| std::cmp::Reverse(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
        let (mut files, mut octets) = (0, 0_u64);
        for (name, metadata) in all {
            let key = key_of(account, &name);
            let mut index = self.index();
            if key.as_ref().is_some_and(|key| index.is_growing(key)) {
                continue;
            }
            files += 1;
            octets = octets.saturating_add(metadata.len());
            if files > KEPT_FILES || octets > KEPT_OCTETS || is_old(&metadata, now) || is_of_another_boot(&name) {
                remove_any(&Spot::new(folder, name))?;
                if let Some(key) = key.filter(|key| !is_there(folder, &key.digest)) {
                    index.remove(&key);
                }
            }
        }
        Ok(())
    }

    fn listed(&self, folder: &RealFolder) -> io::Result<Vec<(OsString, Metadata)>> {
        let names = folder.names()?.into_iter();
        Ok(names.filter_map(|name| folder.read(&name).and_then(|file| file.metadata()).ok().map(|metadata| (name, metadata))).collect())
    }

    /// Thins out every account's, if that was not done for a while.
    pub(super) fn sweep(&self) -> io::Result<()> {
        let now = SystemTime::now();
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if swept.is_some_and(|last| now.duration_since(last).unwrap_or_default() < SWEEP_EVERY) {
                return Ok(());
            }
            *swept = Some(now);
        }
        let all = match self.root.folder(FOLDER) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            all => all?,
        };
        for account in all.names()? {
            if let Ok(folder) = all.folder(&account) {
                self.thin_out(&account, &folder, now)?;
            }
        }
        Ok(())
    }
}

/// Where an upload under a new name begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Nothing,
    Octet(u64),
    End,
}

impl Kept {
    pub(super) fn open(&self) -> io::Result<std::fs::File> {
        self.spot.folder.read(&self.spot.name)
    }
}

fn remove_any(spot: &Spot<RealDisk>) -> io::Result<()> {
    match RealDisk.remove(spot) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_old(metadata: &Metadata, now: SystemTime) -> bool {
    metadata.modified().is_ok_and(|last| now.duration_since(last).is_ok_and(|age| age > KEPT_FOR))
}

fn is_there(folder: &RealFolder, digest: &str) -> bool {
    [growing_name(digest), digest.to_owned()].iter().any(|name| folder.read(&name.into()).is_ok())
}
