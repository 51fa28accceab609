//! Bodies in files: of stored objects, and of those that are still being written.
//!
//! A body on its way lies in a file under a temporary name, behind room for its head. When it is
//! complete the head is filled in and the file gets its name (`disk.rs`). Whoever reads it holds
//! it open, and does not notice when it is thrown out meanwhile.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;

use crate::store::path::RESERVED_PREFIX;

/// A body in a file.
pub(crate) struct Filed {
    /// Where in the file the body begins: behind the head.
    pub(super) offset: u64,
    pub(super) octets: u64,
    pub(super) crc32: u32,
    place: Mutex<Place>,
}

/// Where the file is.
#[derive(Clone)]
pub(super) enum Place {
    /// Under a temporary name; it goes with us unless it is stored before.
    Temporary(PathBuf, Arc<File>),
    /// Stored under this name, as the object with this number.
    Stored(PathBuf, u64),
}

impl Filed {
    pub(super) fn stored(path: PathBuf, id: u64, (offset, octets): (u64, u64), crc32: u32) -> Filed {
        Filed { offset, octets, crc32, place: Mutex::new(Place::Stored(path, id)) }
    }

    /// Its length.
    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    /// The file and where the body begins in it.
    ///
    /// # Errors
    /// Where it has been thrown out, or is not as long as it was.
    pub(crate) fn open(&self) -> io::Result<(Arc<File>, u64)> {
        let file = match &*self.place() {
            Place::Temporary(_, file) => file.clone(),
            Place::Stored(path, _) => Arc::new(File::open(path)?),
        };
        match file.metadata()?.len() == self.offset + self.octets {
            true => Ok((file, self.offset)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads all of it. May block.
    ///
    /// # Errors
    /// As [`Filed::open`], and where the octets are not those that were written.
    pub(crate) fn read(&self) -> io::Result<Bytes> {
        let (file, offset) = self.open()?;
        let mut octets = vec![0; usize::try_from(self.octets).map_err(io::Error::other)?];
        file.read_exact_at(&mut octets, offset)?;
        match crc32fast::hash(&octets) == self.crc32 {
            true => Ok(octets.into()),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    pub(super) fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The number of the object, if it is stored.
    pub(super) fn id(&self) -> Option<u64> {
        match &*self.place() {
            Place::Stored(_, id) => Some(*id),
            Place::Temporary(..) => None,
        }
    }
}

impl Drop for Filed {
    fn drop(&mut self) {
        if let Place::Temporary(path, _) = &*self.place() {
            remove(path);
        }
    }
}

impl fmt::Debug for Filed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filed({} octets)", self.octets)
    }
}

/// Where bodies on their way are written.
#[derive(Clone)]
pub(crate) struct Spooler {
    pub(super) folder: Arc<Path>,
    /// What is left free for the head.
    pub(super) head_octets: u64,
}

/// A body being written.
pub(super) struct Spool {
    path: PathBuf,
    pub file: Arc<File>,
    offset: u64,
    octets: u64,
    crc32: crc32fast::Hasher,
    is_sealed: bool,
}

impl Spooler {
    /// Begins a file. May block.
    pub(super) fn begin(&self) -> io::Result<Spool> {
        let path = temporary(&self.folder);
        let file = Arc::new(File::options().read(true).write(true).create_new(true).open(&path)?);
        Ok(Spool { path, file, offset: self.head_octets, octets: 0, crc32: crc32fast::Hasher::new(), is_sealed: false })
    }
}

impl Spool {
    /// Where the body's octet `at` stands in the file.
    pub(super) fn position(&self, at: u64) -> u64 {
        self.offset + at
    }

    /// Appends. May block.
    pub(super) fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all_at(octets, self.offset + self.octets)?;
        self.octets += octets.len() as u64;
        self.crc32.update(octets);
        Ok(())
    }

    /// The body is complete.
    pub(super) fn seal(&mut self) -> Filed {
        self.is_sealed = true;
        Filed {
            offset: self.offset,
            octets: self.octets,
            crc32: self.crc32.clone().finalize(),
            place: Mutex::new(Place::Temporary(self.path.clone(), self.file.clone())),
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.is_sealed {
            remove(&self.path);
        }
    }
}

/// A name that nobody else has, of those that are swept at start.
pub(super) fn temporary(folder: &Path) -> PathBuf {
    folder.join(format!("{RESERVED_PREFIX}{:016x}", rand::random::<u64>()))
}

/// Removes a file that is of no use any more; what is left behind is swept at the next start.
pub(super) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::warn!("cannot remove {}: {error}", path.display()),
        _ => {}
    }
}
