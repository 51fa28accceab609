//! THE way a file becomes durable: Maildir, queue, and the shared tree all go through here.
//!
//! A new content is written under a temporary name; then the file is synced, renamed to its place,
//! and the folder synced. A crash at any point leaves the old content or the new one, whole, under
//! the final name, and at worst a temporary that the next start sweeps away. Removals and new
//! folders are durable once their folder is synced. Only then is the change acknowledged.
//!
//! What is added to a file in place is taken back after a crash, unless it was acknowledged: see
//! [`extend`].
//!
//! Many at once share the waiting ([`group`]). The steps are written against [`Disk`], so that
//! tests can run them on a double that forgets what was not synced, cut at every step.

mod disk;
mod extend;
mod group;
mod past_cache;
#[cfg(test)]
mod powercut;
mod record;
mod sweep;
#[cfg(test)]
mod tests;

use std::{ffi::OsString, io, time::SystemTime};

pub(crate) use disk::{RealDisk, RealFolder};
pub(crate) use extend::{Extension, Standing, recover};
pub(crate) use group::Committer;
#[cfg(test)]
pub(crate) use powercut::PowerCutDisk;
pub(crate) use record::Record;
pub(crate) use sweep::sweep;

use super::path::RESERVED_PREFIX;

/// The steps that commits are made of; each is one system call.
pub(crate) trait Disk: Clone + Send + Sync + 'static {
    /// An open folder. Names are always single components below one, never paths.
    type Folder: Clone + Send + Sync + 'static;
    type File: io::Write + Send + 'static;

    /// Creates a file; never opens or follows one that is there.
    fn create(&self, folder: &Self::Folder, name: &OsString, mode: u32) -> io::Result<Self::File>;
    /// Opens a file for adding to it from `octets` on; never follows a link.
    fn open(&self, spot: &Spot<Self>, octets: u64) -> io::Result<Self::File>;
    /// Cuts a file off where it is longer, and sets back when it was changed.
    fn cut(&self, file: &Self::File, octets: u64, modified: SystemTime) -> io::Result<()>;
    /// Gives a file a second name; one that is taken is refused.
    fn link(&self, from: &Spot<Self>, to: &Spot<Self>) -> io::Result<()>;
    fn sync_file(&self, file: &Self::File) -> io::Result<()>;
    /// Syncs everything on the file system that holds the folder.
    fn sync_file_system(&self, folder: &Self::Folder) -> io::Result<()>;
    fn sync_folder(&self, folder: &Self::Folder) -> io::Result<()>;
    fn rename(&self, from: &Spot<Self>, to: &Spot<Self>, taken: Taken) -> io::Result<()>;
    fn remove(&self, spot: &Spot<Self>) -> io::Result<()>;
    fn make_folder(&self, spot: &Spot<Self>, mode: u32) -> io::Result<()>;
    fn remove_folder(&self, spot: &Spot<Self>) -> io::Result<()>;
    fn identity(&self, folder: &Self::Folder) -> Identity;
}

/// Which folder it is, however it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub device: u64,
    pub inode: u64,
}

/// A name in a folder.
pub(crate) struct Spot<D: Disk> {
    pub folder: D::Folder,
    pub name: OsString,
}

impl<D: Disk> Spot<D> {
    pub(crate) fn new(folder: &D::Folder, name: impl Into<OsString>) -> Spot<D> {
        Spot { folder: folder.clone(), name: name.into() }
    }
}

impl<D: Disk> Clone for Spot<D> {
    fn clone(&self) -> Self {
        Spot { folder: self.folder.clone(), name: self.name.clone() }
    }
}

/// What to do where the final name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Replace,
    Refuse,
}

/// One thing to make durable.
pub(crate) enum Change<D: Disk> {
    /// Brings a temporary to its final name.
    Place {
        temporary: Temporary<D>,
        to: Spot<D>,
        taken: Taken,
    },
    /// Renames what is there already, replacing what stands at the new name.
    Move {
        from: Spot<D>,
        to: Spot<D>,
    },
    /// Gives a file a second name, which must be free.
    Link {
        from: Spot<D>,
        to: Spot<D>,
    },
    /// Removes a file. That it is gone already is reported, not an error.
    Remove(Spot<D>),
    MakeFolder(Spot<D>, u32),
    RemoveFolder(Spot<D>),
}

/// A file that is being written and has no final name yet. Dropping it removes it.
pub(crate) struct Temporary<D: Disk> {
    disk: D,
    spot: Spot<D>,
    file: D::File,
    octets: u64,
    is_synced: bool,
    is_placed: bool,
}

impl<D: Disk> Temporary<D> {
    /// A new file with a reserved name, on the file system where its place will be.
    pub(crate) fn beside(disk: &D, folder: &D::Folder, mode: u32) -> io::Result<Temporary<D>> {
        loop {
            match Temporary::named(disk, Spot::new(folder, temporary_name()), mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result,
            }
        }
    }

    /// A new file with a name of the caller's choice.
    pub(crate) fn named(disk: &D, spot: Spot<D>, mode: u32) -> io::Result<Temporary<D>> {
        let file = disk.create(&spot.folder, &spot.name, mode)?;
        Ok(Temporary { disk: disk.clone(), spot, file, octets: 0, is_synced: false, is_placed: false })
    }

    /// A file that was begun before and has so many octets already.
    pub(crate) fn begun_before(disk: &D, spot: Spot<D>, octets: u64) -> io::Result<Temporary<D>> {
        let file = disk.open(&spot, octets)?;
        Ok(Temporary { disk: disk.clone(), spot, file, octets, is_synced: false, is_placed: false })
    }

    pub(crate) fn file(&self) -> &D::File {
        &self.file
    }

    /// How many octets it has.
    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    /// Somebody has renamed it in its folder.
    pub(crate) fn follow_rename(&mut self, name: impl Into<OsString>) {
        self.spot.name = name.into();
    }

    /// Takes back what was written beyond so many octets; nothing more is to be written.
    pub(crate) fn cut(&mut self, octets: u64, now: SystemTime) -> io::Result<()> {
        self.octets = self.octets.min(octets);
        self.disk.cut(&self.file, octets, now)
    }

    /// Copies all of `source`, without moving octets where the file system can share them.
    pub(crate) fn fill_from(&mut self, source: &mut (impl io::Read + ?Sized)) -> io::Result<u64> {
        self.is_synced = false;
        let count = io::copy(source, &mut self.file)?;
        self.octets += count;
        Ok(count)
    }
}

impl Temporary<RealDisk> {
    /// Takes the name away: the file goes with its last handle.
    pub(crate) fn into_nameless(self) -> io::Result<std::fs::File> {
        self.file.try_clone()
    }
}

impl<D: Disk> io::Write for Temporary<D> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.is_synced = false;
        let count = self.file.write(octets)?;
        self.octets += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<D: Disk> Drop for Temporary<D> {
    fn drop(&mut self) {
        if !self.is_placed {
            // If this fails, the next start sweeps it away.
            let _ = self.disk.remove(&self.spot);
        }
    }
}

/// Unguessable, so that nobody who may write in the folder can stand in the way.
fn temporary_name() -> OsString {
    format!("{RESERVED_PREFIX}{}-{:016x}", process_tag(), rand::random::<u64>()).into()
}

/// Tells the temporaries of this process from those that a dead one left behind.
pub(crate) fn process_tag() -> &'static str {
    static TAG: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TAG.get_or_init(|| format!("{:08x}", rand::random::<u32>()))
}
