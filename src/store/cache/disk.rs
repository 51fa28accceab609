//! The folder with the stored responses: `ab/abcdef0123456789-0123456789abcdef`, one plain file each
//! (`object.rs`), under the hash of its key and a number of its own.
//!
//! Nothing is synced: what a crash leaves half written is noticed when it is read, and dropped.
//! Which files there are is known from the names alone. At start they are looked through in the
//! background, one of 256 folders after the other, and a folder that is asked for at once: so
//! start-up does not wait, and what is there is found.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use sha2::{Digest, Sha256};

use super::{
    body::Body,
    filed::{Filed, Place, remove, temporary},
    index::{Evicted, FileRef, FileState, Index},
    object::{Head, MAX_HEAD_OCTETS},
};
use crate::store::path::RESERVED_PREFIX;

const FOLDERS: usize = 256;
/// How much of a file is read to see its head, in octets.
const FIRST_READ_OCTETS: u64 = 16 * 1024;

/// The folder and the index of what is in it.
pub(super) struct Disk {
    pub folder: Arc<Path>,
    index: Mutex<Index>,
    scanned: Vec<OnceLock<()>>,
    /// Bodies up to this length are read into memory.
    memory_object: u64,
    is_closing: AtomicBool,
    last_id: AtomicU64,
}

/// An object that was read.
pub(super) struct Loaded {
    pub id: u64,
    pub head: Head,
    pub body: Body,
}

/// Under what a key is filed.
pub(super) fn hash(key: &str) -> u64 {
    let digest = Sha256::digest(key.as_bytes());
    digest.iter().take(8).fold(0, |sum, octet| sum << 8 | u64::from(*octet))
}

impl Disk {
    /// Opens the folder, which is made if it is not there, and sweeps what was being written when
    /// the last process ended. Whoever calls this holds the lock of the data folder.
    pub(super) fn open(folder: &Path, index: Index, memory_object: u64) -> io::Result<Disk> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(RESERVED_PREFIX) {
                remove(&entry.path());
            }
        }
        let probe = temporary(folder);
        File::create(&probe)?;
        fs::remove_file(&probe)?;
        let scanned = (0..FOLDERS).map(|_| OnceLock::new()).collect();
        Ok(Disk {
            folder: folder.into(),
            index: Mutex::new(index),
            scanned,
            memory_object,
            is_closing: AtomicBool::new(false),
            last_id: AtomicU64::new(0),
        })
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn folder_of(&self, hash: u64) -> PathBuf {
        self.folder.join(format!("{:02x}", hash >> 56))
    }

    pub(super) fn path(&self, hash: u64, id: u64) -> PathBuf {
        self.folder_of(hash).join(format!("{hash:016x}-{id:016x}"))
    }

    /// Whether there is anything under a hash; `None` where nobody has looked yet.
    pub(super) fn knows(&self, hash: u64) -> Option<bool> {
        self.scanned.get((hash >> 56) as usize)?.get()?;
        Some(self.index().contains(hash))
    }

    /// Looks through all folders that nobody has looked through.
    pub(super) fn scan_all(&self) {
        for folder in 0..FOLDERS as u64 {
            if self.is_closing.load(Ordering::Relaxed) {
                return;
            }
            self.scan(folder << 56);
        }
    }

    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Makes the folder of a hash known. May block.
    pub(super) fn scan(&self, hash: u64) {
        let Some(scanned) = self.scanned.get((hash >> 56) as usize) else { return };
        scanned.get_or_init(|| {
            // A folder that is not there has nothing in it.
            let Ok(entries) = fs::read_dir(self.folder_of(hash)) else { return };
            for entry in entries.flatten() {
                let found = parse_name(&entry.file_name().to_string_lossy()).filter(|(named, _)| named >> 56 == hash >> 56);
                match (found, entry.metadata()) {
                    (Some((hash, id)), Ok(facts)) if facts.is_file() => {
                        let evicted = self.index().insert(hash, FileRef::new(id, facts.len(), FileState::Found));
                        self.unlink(evicted);
                    }
                    _ => tracing::debug!("not an object: {}", entry.path().display()),
                }
            }
        });
    }

    /// Reads what is stored under a key. Damaged objects are removed. May block.
    pub(super) fn read(&self, key: &str) -> Vec<Loaded> {
        let hash = hash(key);
        self.scan(hash);
        let files = self.index().files(hash);
        let mut loaded = Vec::new();
        for file in files {
            match self.read_object(hash, file) {
                Ok(Some(object)) if object.head.key == key => loaded.push(object),
                // The same hash by chance, or by somebody's work: not ours to remove.
                Ok(Some(_)) => {}
                Ok(None) => self.drop_damaged(hash, file, "it is damaged"),
                Err(error) if error.kind() == io::ErrorKind::NotFound && file.state == FileState::Pending => {}
                Err(error) => self.drop_damaged(hash, file, &error.to_string()),
            }
        }
        // Of two that stand for the same the later one counts.
        loaded.sort_by_key(|object| std::cmp::Reverse(object.id));
        loaded
    }

    /// Reads one object; `None` where it is damaged.
    fn read_object(&self, hash: u64, file: FileRef) -> io::Result<Option<Loaded>> {
        let path = self.path(hash, file.id);
        let opened = File::open(&path)?;
        let facts = opened.metadata()?;
        let Some((head_octets, head)) = read_head(&opened, facts.len())? else { return Ok(None) };
        if facts.len() != head_octets + head.body_octets {
            return Ok(None);
        }
        let filed = Filed::stored(path, file.id, (head_octets, head.body_octets), head.body_crc32);
        let body = match head.body_octets <= self.memory_object {
            true => filed.read().ok().map(Body::Whole),
            // Once found whole, a long one is not read through again.
            false if file.state == FileState::Sound || is_sound(&opened, &filed)? => Some(Body::File(Arc::new(filed))),
            false => None,
        };
        if body.is_some() && file.state == FileState::Found {
            self.index().set_state(hash, file.id, FileState::Sound);
        }
        Ok(body.map(|body| Loaded { id: file.id, head, body }))
    }

    fn drop_damaged(&self, hash: u64, file: FileRef, why: &str) {
        tracing::warn!("dropped {} from the cache: {why}", self.path(hash, file.id).display());
        self.index().remove(hash, file.id);
        remove(&self.path(hash, file.id));
    }

    /// Takes up an object that is about to be written; answers its number and what must go for it.
    pub(super) fn admit(&self, hash: u64, octets: u64) -> (u64, Evicted) {
        let id = self.next_id();
        let evicted = self.index().insert(hash, FileRef::new(id, octets, FileState::Pending));
        (id, evicted)
    }

    /// A number that no object had before, larger than all: the time in nanoseconds, which is good
    /// enough for an order and never shown as a time.
    fn next_id(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let next = |last: u64| now.max(last.saturating_add(1));
        self.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last))).map_or(now, next)
    }

    /// Forgets all that is stored under a hash; tells whether there was anything.
    pub(super) fn forget(&self, hash: u64) -> bool {
        self.scan(hash);
        let files = self.index().remove_all(hash);
        let is_any = !files.is_empty();
        self.unlink(files.into_iter().map(|file| (hash, file)).collect());
        is_any
    }

    /// Forgets one object.
    pub(super) fn forget_one(&self, hash: u64, id: u64) {
        self.index().remove(hash, id);
        remove(&self.path(hash, id));
    }

    pub(super) fn unlink(&self, files: Evicted) {
        files.into_iter().for_each(|(hash, file)| remove(&self.path(hash, file.id)));
    }

    /// The keys and sizes of all objects. Opens every file: for people who ask, not for requests.
    pub(super) fn keys(&self, mut each: impl FnMut(String, u64)) {
        self.scan_all();
        let files = self.index().all();
        for (hash, file) in files {
            let head = File::open(self.path(hash, file.id)).and_then(|opened| read_head(&opened, opened.metadata()?.len()));
            if let Ok(Some((_, head))) = head {
                each(head.key, file.octets);
            }
        }
    }

    /// Writes a new object. It gets its name only if it is still wanted.
    pub(super) fn write(&self, hash: u64, id: u64, head: &[u8], body: &[u8]) -> io::Result<()> {
        let path = temporary(&self.folder);
        let written = fs::write(&path, [head, body].concat()).and_then(|()| self.name(hash, id, &path));
        if !matches!(written, Ok(true)) {
            remove(&path);
        }
        written.map(drop)
    }

    /// Makes a body that lies under a temporary name an object.
    pub(super) fn adopt(&self, hash: u64, id: u64, head: &[u8], filed: &Filed) -> io::Result<()> {
        let mut place = filed.place();
        let Place::Temporary(path, file) = &*place else { return Ok(()) };
        file.write_all_at(head, 0)?;
        if self.name(hash, id, path)? {
            *place = Place::Stored(self.path(hash, id), id);
        }
        Ok(())
    }

    /// Writes the head of an object anew, after it was validated. Should we be killed in the middle,
    /// its checksum is wrong, and the object is dropped.
    pub(super) fn rewrite_head(&self, hash: u64, id: u64, head: &[u8]) -> io::Result<()> {
        File::options().write(true).open(self.path(hash, id))?.write_all_at(head, 0)
    }

    /// Gives a file its name, unless it was thrown out while it was written (`false`).
    fn name(&self, hash: u64, id: u64, path: &Path) -> io::Result<bool> {
        let to = self.path(hash, id);
        loop {
            let mut index = self.index();
            if !index.has(hash, id) {
                return Ok(false);
            }
            match fs::rename(path, &to) {
                Ok(()) => {
                    index.set_state(hash, id, FileState::Sound);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.folder_of(hash).exists() => {
                    drop(index);
                    DirBuilder::new().recursive(true).mode(0o700).create(self.folder_of(hash))?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The head of an object and its length.
fn read_head(file: &File, octets: u64) -> io::Result<Option<(u64, Head)>> {
    let mut start = vec![0; usize::try_from(octets.min(FIRST_READ_OCTETS)).map_err(io::Error::other)?];
    file.read_exact_at(&mut start, 0)?;
    let Some(length) = Head::octets_of(&start).filter(|length| *length <= MAX_HEAD_OCTETS && *length as u64 <= octets) else {
        return Ok(None);
    };
    start.resize(length, 0);
    file.read_exact_at(&mut start, 0)?;
    Ok(Head::parse(&start).map(|head| (length as u64, head)))
}

/// Reads a long body through and compares its checksum.
fn is_sound(file: &File, filed: &Filed) -> io::Result<bool> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; 256 * 1024];
    let (mut at, end) = (filed.offset, filed.offset + filed.octets);
    while at < end {
        let take = piece.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let piece = piece.get_mut(..take).unwrap_or_default();
        file.read_exact_at(piece, at)?;
        hasher.update(piece);
        at += take as u64;
    }
    Ok(hasher.finalize() == filed.crc32)
}

/// Hash and number out of the name of an object.
fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (hash, id) = name.split_once('-').filter(|(hash, id)| hash.len() == 16 && id.len() == 16)?;
    Some((u64::from_str_radix(hash, 16).ok()?, u64::from_str_radix(id, 16).ok()?))
}
