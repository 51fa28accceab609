//! What came of uploads that broke off, kept for their accounts to go on from.
//!
//! An upload under a new name is written from its first octet into
//! `.portico-partials/<account>/`, under the digest of its path. So whatever ends it, a lost
//! client or a killed server, leaves what came where it can be found again; only when it is whole
//! it moves under its name. Nobody but the account sees it, and it never shows in the tree.
//!
//! A name that ends in `.<boot>` has not been synced: it is worth something while the machine
//! runs that wrote it, and nothing after a power cut. What was synced when it broke off has no such
//! end and survives both.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::Metadata,
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use super::{
    StoreError, VirtualPath,
    commit::{Change, Committer, Disk, Identity, RealDisk, RealFolder, Spot, Taken, Temporary},
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
/// Octets of the digest in a name, in hexadecimal.
const DIGEST_DIGITS: usize = 32;

/// All accounts' partials.
pub(super) struct Partials {
    root: RealFolder,
    /// Those that are being written now, by folder and name.
    growing: Mutex<BTreeSet<(Identity, OsString)>>,
    swept: Mutex<Option<SystemTime>>,
}

/// A partial that is being written. Dropping it removes it.
pub(super) struct Growing {
    pub temporary: Temporary<RealDisk>,
    folder: RealFolder,
    digest: String,
    /// How many octets of it had come before.
    pub resumed_at: u64,
    /// Given back last.
    pub _turn: Turn,
}

/// The right to write one partial.
pub(super) struct Turn {
    partials: Arc<Partials>,
    key: (Identity, OsString),
}

/// One that was kept.
pub(super) struct Kept {
    spot: Spot<RealDisk>,
    pub metadata: Metadata,
}

impl Partials {
    pub(super) fn new(root: RealFolder) -> Arc<Partials> {
        Arc::new(Partials { root, growing: Mutex::default(), swept: Mutex::default() })
    }

    /// Begins to write what is to stand at `path`: from nothing, which does away with what was
    /// kept, or from the first `from` octets of that.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where another session of the account writes it;
    /// [`StoreError::Denied`] where fewer octets were kept.
    pub(super) fn begin(self: &Arc<Partials>, account: &str, path: &VirtualPath, from: From, mode: u32) -> Result<Growing, StoreError> {
        let folder = self.root.folder_made(FOLDER)?.folder_made(account)?;
        let digest = digest_of(path);
        let spot = Spot::new(&folder, growing_name(&digest));
        let turn = self.take_turn((RealDisk.identity(&folder), digest.clone().into()))?;
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
        remove_any(&Spot::new(&folder, digest.clone()))?;
        Ok(Growing { temporary, folder, digest, resumed_at: octets, _turn: turn })
    }

    /// What was kept for an account of what is to stand at `path`.
    pub(super) fn find(&self, account: &str, path: &VirtualPath) -> Result<Option<Kept>, StoreError> {
        let folder = match self.folder(account) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            folder => folder?,
        };
        Ok(self.kept(&folder, &digest_of(path), SystemTime::now())?)
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

    fn folder(&self, account: &str) -> io::Result<RealFolder> {
        self.root.folder(FOLDER)?.folder(account)
    }

    fn take_turn(self: &Arc<Partials>, key: (Identity, OsString)) -> Result<Turn, StoreError> {
        match self.lock().insert(key.clone()) {
            true => Ok(Turn { partials: self.clone(), key }),
            false => Err(StoreError::Busy),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Identity, OsString)>> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what has come, durably, and drops the oldest where there are too many by now. Answers
    /// how many octets are kept of it.
    pub(super) fn keep(&self, growing: Growing, commits: &Committer<RealDisk>) -> Result<u64, StoreError> {
        let Growing { temporary, folder, digest, _turn: turn, .. } = growing;
        let octets = temporary.octets();
        if octets == 0 {
            return Ok(0);
        }
        commits.commit(vec![Change::Place { temporary, to: Spot::new(&folder, digest), taken: Taken::Replace }])?;
        drop(turn);
        self.thin_out(&folder, SystemTime::now())?;
        Ok(octets)
    }

    /// How many octets an account has kept.
    pub(super) fn octets(&self, account: &str) -> u64 {
        let Ok(folder) = self.folder(account) else { return 0 };
        let kept = self.listed(&folder).unwrap_or_default().into_iter().filter(|(name, _)| !self.is_growing(&folder, name));
        kept.map(|(_, metadata)| metadata.len()).sum()
    }

    /// Removes what is too old or of another life of the machine, and then the oldest of what is
    /// too much.
    fn thin_out(&self, folder: &RealFolder, now: SystemTime) -> io::Result<()> {
        let mut all = self.listed(folder)?;
        all.sort_by_key(|(_, metadata)| std::cmp::Reverse(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
        let (mut files, mut octets) = (0, 0_u64);
        for (name, metadata) in all {
            if self.is_growing(folder, &name) {
                continue;
            }
            files += 1;
            octets = octets.saturating_add(metadata.len());
            if files > KEPT_FILES || octets > KEPT_OCTETS || is_old(&metadata, now) || is_of_another_boot(&name) {
                RealDisk.remove(&Spot::new(folder, name))?;
            }
        }
        Ok(())
    }

    fn listed(&self, folder: &RealFolder) -> io::Result<Vec<(OsString, Metadata)>> {
        let names = folder.names()?.into_iter();
        Ok(names.filter_map(|name| folder.read(&name).and_then(|file| file.metadata()).ok().map(|metadata| (name, metadata))).collect())
    }

    fn is_growing(&self, folder: &RealFolder, name: &OsStr) -> bool {
        let digest = name.to_str().and_then(|name| name.get(..DIGEST_DIGITS)).unwrap_or_default();
        self.lock().contains(&(RealDisk.identity(folder), digest.into()))
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
                self.thin_out(&folder, now)?;
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

impl Drop for Turn {
    fn drop(&mut self) {
        self.partials.lock().remove(&self.key);
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

fn is_of_another_boot(name: &OsStr) -> bool {
    name.to_str().and_then(|name| name.split_once('.')).is_some_and(|(_, boot)| boot != boot_tag())
}

fn growing_name(digest: &str) -> String {
    format!("{digest}.{}", boot_tag())
}

/// Paths may be longer than names; and two accounts may call their files alike.
fn digest_of(path: &VirtualPath) -> String {
    let digest = Sha256::digest(path.as_str());
    digest.iter().take(DIGEST_DIGITS / 2).map(|octet| format!("{octet:02x}")).collect()
}

/// Tells this life of the machine from the last. Where the system doesn't say, every start counts
/// as one.
fn boot_tag() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(|| {
        let said = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = said.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        if digits.len() == 16 { digits } else { format!("{:016x}", rand::random::<u64>()) }
    })
}
