//! The real disk: each step relative to an open folder, so that no path is looked up twice and
//! nobody can swap a folder on the way.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Seek, SeekFrom},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::{Disk, Identity, Spot, Taken};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RealDisk;

/// An open folder; clones share the descriptor.
#[derive(Clone, Debug)]
pub(crate) struct RealFolder(Arc<OpenFolder>);

#[derive(Debug)]
struct OpenFolder {
    file: File,
    identity: Identity,
}

impl RealFolder {
    /// Opens a folder of the data folder's own layout, trusted as the administrator made it.
    pub(crate) fn open(path: &Path) -> io::Result<RealFolder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        RealFolder::from_file(File::from(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Takes an open file that is a folder.
    pub(crate) fn from_file(file: File) -> io::Result<RealFolder> {
        let metadata = file.metadata()?;
        let identity = Identity { device: metadata.dev(), inode: metadata.ino() };
        Ok(RealFolder(Arc::new(OpenFolder { file, identity })))
    }

    /// Opens the folder `name` below this one, which must not be a symbolic link.
    pub(crate) fn folder(&self, name: impl AsRef<OsStr>) -> io::Result<RealFolder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        RealFolder::from_file(File::from(rustix::fs::openat(self.file(), name.as_ref(), flags, Mode::empty())?))
    }

    /// Opens the folder `name` below this one, making it where it is missing.
    pub(crate) fn folder_made(&self, name: &str) -> io::Result<RealFolder> {
        match RealDisk.make_folder(&Spot::new(self, name), 0o700) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            made => {
                if made.is_ok() {
                    self.file().sync_all()?;
                }
                self.folder(name)
            }
        }
    }

    /// Opens a regular file for reading; a link, FIFO, socket or device is refused without
    /// waiting on it.
    pub(crate) fn read(&self, name: &OsString) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(self.file(), name.as_os_str(), flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    /// The names in the folder, `.` and `..` left out. Never anything but names: one `getdents`
    /// for many of them, no `stat`.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        use std::os::unix::ffi::OsStrExt;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.file())? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Whether the files made in it inherit something from it: its group, or who may read them.
    pub(crate) fn is_inherited_from(&self) -> bool {
        #[cfg(target_os = "linux")]
        if rustix::fs::fgetxattr(self.file(), "system.posix_acl_default", &mut [0_u8; 0]).is_ok() {
            return true;
        }
        self.file().metadata().map_or(true, |metadata| metadata.mode() & 0o2000 != 0)
    }

    /// Whether it was removed since it was opened.
    pub(crate) fn is_gone(&self) -> bool {
        self.file().metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Whether anybody else has this handle, too.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Tells the file system that the folders in it have nothing to do with one another, so that
    /// they need not lie together. Not every one wants to know.
    pub(crate) fn scatter_folders(&self) {
        #[cfg(target_os = "linux")]
        if let Ok(flags) = rustix::fs::ioctl_getflags(self.file())
            && !flags.contains(rustix::fs::IFlags::TOPDIR)
        {
            let _unsupported = rustix::fs::ioctl_setflags(self.file(), flags | rustix::fs::IFlags::TOPDIR);
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.0.file
    }
}

/// One step where the file system knows how (RENAME_NOREPLACE), else a hard link, which refuses a
/// name that is taken too.
fn rename_to_free_name(from: &Spot<RealDisk>, to: &Spot<RealDisk>) -> rustix::io::Result<()> {
    let (old, new) = (from.name.as_os_str(), to.name.as_os_str());
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    match rustix::fs::renameat_with(from.folder.file(), old, to.folder.file(), new, rustix::fs::RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
        result => return result,
    }
    rustix::fs::linkat(from.folder.file(), old, to.folder.file(), new, AtFlags::empty())?;
    rustix::fs::unlinkat(from.folder.file(), old, AtFlags::empty())
}

impl Disk for RealDisk {
    type Folder = RealFolder;
    type File = File;

    fn create(&self, folder: &RealFolder, name: &OsString, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file: OwnedFd = rustix::fs::openat(folder.file(), name.as_os_str(), flags, Mode::from_raw_mode(mode as _))?;
        Ok(File::from(file))
    }

    fn open(&self, spot: &Spot<Self>, octets: u64) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(spot.folder.file(), spot.name.as_os_str(), flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        file.seek(SeekFrom::Start(octets))?;
        Ok(file)
    }

    fn cut(&self, file: &File, octets: u64, modified: SystemTime) -> io::Result<()> {
        if file.metadata()?.len() > octets {
            file.set_len(octets)?;
        }
        file.set_modified(modified)
    }

    fn link(&self, from: &Spot<Self>, to: &Spot<Self>) -> io::Result<()> {
        let (old, new) = (from.name.as_os_str(), to.name.as_os_str());
        Ok(rustix::fs::linkat(from.folder.file(), old, to.folder.file(), new, AtFlags::empty())?)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn sync_file_system(&self, folder: &RealFolder) -> io::Result<()> {
        Ok(rustix::fs::syncfs(folder.file())?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_file_system(&self, _: &RealFolder) -> io::Result<()> {
        // Asked for on Linux only: elsewhere nothing waits until it is done and reports errors.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_folder(&self, folder: &RealFolder) -> io::Result<()> {
        folder.file().sync_all()
    }

    fn rename(&self, from: &Spot<Self>, to: &Spot<Self>, taken: Taken) -> io::Result<()> {
        let (old, new) = (from.name.as_os_str(), to.name.as_os_str());
        match taken {
            Taken::Replace => rustix::fs::renameat(from.folder.file(), old, to.folder.file(), new)?,
            Taken::Refuse => rename_to_free_name(from, to)?,
        }
        Ok(())
    }

    fn remove(&self, spot: &Spot<Self>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(spot.folder.file(), spot.name.as_os_str(), AtFlags::empty())?)
    }

    fn make_folder(&self, spot: &Spot<Self>, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(spot.folder.file(), spot.name.as_os_str(), Mode::from_raw_mode(mode as _))?)
    }

    fn remove_folder(&self, spot: &Spot<Self>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(spot.folder.file(), spot.name.as_os_str(), AtFlags::REMOVEDIR)?)
    }

    fn identity(&self, folder: &RealFolder) -> Identity {
        folder.0.identity
    }
}
