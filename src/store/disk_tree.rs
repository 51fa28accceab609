//! The file tree on disk, sandboxed by the kernel.
//!
//! Paths are resolved by `cap-std`, on Linux with `openat2` and RESOLVE_BENEATH: no `..`, symbolic
//! link or race leads out of the tree, whatever the names say. Everything that changes the tree
//! opens the parent folder so, and then goes by one name below that open folder through the
//! commit routine. How files are received is in [`upload`].

pub(super) mod extending;
#[cfg(test)]
mod tests;
mod upload;
mod writing;

use std::{
    fs::File,
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt},
};
use extending::Extending;
use rustix::fs::OFlags;
use writing::Writing;

use super::{
    Account, StoreError, VirtualPath,
    commit::{Change, RealDisk, RealFolder, Spot, sweep},
    disk_walk::DiskWalk,
    open_files::OpenFiles,
    tree::{Access, Author, Condition, Content, FileFacts, FileKind, OpenFile, Receive, Tree, TreeEntry, Upload, Walk},
};

/// Permissions of what is new, less the process's mask.
const FILE_MODE: u32 = 0o666;
const FOLDER_MODE: u32 = 0o777;

/// The tree below one folder.
pub(crate) struct DiskTree {
    root: Dir,
    writing: Arc<Writing>,
    known: OpenFiles,
}

impl DiskTree {
    /// Opens the tree as nobody has left it: what a dead process was adding to files is cut off,
    /// and its temporaries are swept away meanwhile.
    pub(crate) fn open(path: &Path) -> Result<DiskTree, StoreError> {
        let tree = DiskTree::open_unswept(path)?;
        let root = RealFolder::open(path)?;
        // Beside the start, not before it: a large tree takes a while to walk, and temporaries
        // are neither listed nor served.
        let partials = tree.writing.partials.clone();
        thread::spawn(move || {
            if let Err(error) = sweep(&root).and_then(|()| partials.sweep()) {
                tracing::warn!("stale temporary files could not be swept: {error}");
            }
        });
        Ok(tree)
    }

    fn open_unswept(path: &Path) -> Result<DiskTree, StoreError> {
        let root = Dir::open_ambient_dir(path, ambient_authority())?;
        let writing = Arc::new(Writing::open(RealFolder::open(path)?)?);
        Ok(DiskTree { root, writing, known: OpenFiles::new() })
    }

    /// Opens what stands at `path`, never waiting on a FIFO or a device.
    fn open_any(&self, path: &VirtualPath, flags: OFlags) -> Result<cap_std::fs::File, StoreError> {
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(self.root.open_with(path.relative(), OpenOptions::new().read(true).custom_flags(flags.bits() as i32))?)
    }

    /// Opens a regular file. Looked at first: opening a FIFO would let a writer go that waits for
    /// its reader, and opening a device may do anything. What is put in its place meanwhile is
    /// caught below.
    fn open_file(&self, path: &VirtualPath) -> Result<(FileFacts, File), StoreError> {
        self.facts(path)?;
        let file = self.open_any(path, OFlags::empty())?;
        let facts = self.writing.extending.facts(|| Ok(file.metadata()?))?;
        if facts.kind == FileKind::Folder { Err(StoreError::IsFolder) } else { Ok((facts, file.into_std())) }
    }

    fn folder(&self, path: &VirtualPath) -> Result<RealFolder, StoreError> {
        Ok(RealFolder::from_file(self.open_any(path, OFlags::DIRECTORY)?.into_std())?)
    }

    /// The open parent folder and the name below it; the root has neither. A link of that name is
    /// replaced, moved or removed itself, never followed: it must not lend an account's rights to
    /// where it leads.
    fn spot(&self, path: &VirtualPath) -> Result<Spot<RealDisk>, StoreError> {
        if path.is_root() {
            return Err(StoreError::Denied);
        }
        Ok(Spot::new(&self.folder(&path.parent())?, path.name()))
    }

    /// Makes a removal if the condition holds, with nobody else changing what stands there.
    fn remove(&self, path: &VirtualPath, kind: FileKind, condition: &Condition<'_>) -> Result<(), StoreError> {
        let spot = self.spot(path)?;
        let _alone = self.writing.hold([&spot])?;
        condition()?;
        let octets = self.facts(path).map_or(0, |facts| facts.octets);
        let (change, folder) = match kind {
            FileKind::File => (Change::Remove(spot.clone()), None),
            FileKind::Folder => (Change::RemoveFolder(spot.clone()), Some(self.folder(path)?)),
        };
        self.writing.forget_partials(&spot, None)?;
        let missing = self.writing.commits.commit(vec![change])?;
        folder.map_or(Ok(()), |folder| self.writing.forget_partials_below(&folder))?;
        self.writing.usage.changed(path, octets, 0);
        if missing.is_empty() { Ok(()) } else { Err(StoreError::NotFound) }
    }

    /// The facts of whatever the name leads to, in one call and outside the sandbox: only good for
    /// telling that it is the very file that was opened inside the sandbox before.
    fn glance(&self, path: &VirtualPath) -> Option<FileFacts> {
        let looked = self.writing.extending.seen(|| {
            let stat = rustix::fs::statat(&self.root, path.relative(), rustix::fs::AtFlags::empty()).map_err(io::Error::from)?;
            if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
                return Err(StoreError::Denied);
            }
            let facts = FileFacts {
                kind: FileKind::File,
                octets: stat.st_size.unsigned_abs(),
                modified: instant(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
                changed: instant(stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
                inode: stat.st_ino,
                mode: stat.st_mode & 0o777,
            };
            Ok(((stat.st_dev, stat.st_ino), facts))
        });
        looked.ok()
    }
}

/// What the name leads to, below the root.
pub(super) fn facts_below(root: &Dir, extending: &Extending, path: &VirtualPath) -> Result<FileFacts, StoreError> {
    // One component that is no link can't lead anywhere else: one statx instead of three calls.
    extending.facts(|| match root.symlink_metadata(path.relative()) {
        Ok(metadata) if metadata.is_symlink() => Ok(root.metadata(path.relative())?),
        result => Ok(result?),
    })
}

/// FIFOs, sockets and devices are nobody's business here.
pub(super) fn facts(metadata: &Metadata) -> Result<FileFacts, StoreError> {
    let kind = match metadata.file_type() {
        it if it.is_file() => FileKind::File,
        it if it.is_dir() => FileKind::Folder,
        _ => return Err(StoreError::Denied),
    };
    Ok(FileFacts {
        kind,
        octets: if kind == FileKind::File { metadata.len() } else { 0 },
        modified: instant(metadata.mtime(), metadata.mtime_nsec()),
        changed: instant(metadata.ctime(), metadata.ctime_nsec()),
        inode: metadata.ino(),
        mode: metadata.mode() & 0o777,
    })
}

/// A time as stat(2) gives it; before 1970 the seconds are negative and the rest is not.
fn instant(secs: i64, nanos: i64) -> SystemTime {
    let nanos = Duration::from_nanos(nanos.unsigned_abs());
    let whole = Duration::from_secs(secs.unsigned_abs());
    let base = if secs < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    base.and_then(|base| base.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}

impl Tree for DiskTree {
    fn facts(&self, path: &VirtualPath) -> Result<FileFacts, StoreError> {
        facts_below(&self.root, &self.writing.extending, path)
    }

    fn is_still(&self, path: &VirtualPath, facts: &FileFacts) -> bool {
        self.glance(path).is_some_and(|now| now == *facts)
    }

    /// Follows links like [`DiskTree::glance`], and tells nothing of what they lead to but this.
    fn may(&self, path: &VirtualPath, facts: &FileFacts, access: Access) -> bool {
        let (bits, wanted) = match access {
            Access::Read => (0o444, rustix::fs::Access::READ_OK),
            Access::Write => (0o222, rustix::fs::Access::WRITE_OK),
            Access::Enter => (0o111, rustix::fs::Access::EXEC_OK),
        };
        // What everybody may, we may.
        facts.mode & bits == bits || rustix::fs::accessat(&self.root, path.relative(), wanted, rustix::fs::AtFlags::EACCESS).is_ok()
    }

    fn list(&self, path: &VirtualPath) -> Result<Vec<TreeEntry>, StoreError> {
        let mut entries = self.walk(path)?.next(usize::MAX)?;
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn walk(&self, path: &VirtualPath) -> Result<Box<dyn Walk>, StoreError> {
        Ok(Box::new(DiskWalk::open(&self.root, &self.writing.extending, path, self.folder(path)?.file())?))
    }

    fn available(&self, path: &VirtualPath, account: &Account) -> Result<u64, StoreError> {
        self.facts(path)?;
        let file_system = rustix::fs::fstatvfs(&self.root).map_err(io::Error::from)?;
        let free = file_system.f_bavail.saturating_mul(file_system.f_frsize);
        let quota = self.writing.usage.reservation(account, 0);
        let left = quota.map_or(u64::MAX, |quota| quota.room(&|folders| self.writing.count(&account.name, folders)));
        Ok(free.min(left))
    }

    fn open(&self, path: &VirtualPath) -> Result<OpenFile, StoreError> {
        if let Some(kept) = self.known.find(path, || self.glance(path)) {
            return Ok(kept);
        }
        let (facts, file) = self.open_file(path)?;
        let content = self.known.keep(path, &facts, file);
        Ok(OpenFile { facts, content })
    }

    fn receive_for(&self, path: &VirtualPath, how: Receive, author: Option<&Author>) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(self.begin_upload(path, how, author)?))
    }

    fn partial(&self, account: &str, path: &VirtualPath) -> Result<OpenFile, StoreError> {
        let kept = self.writing.partials.find(account, &self.spot(path)?)?.ok_or(StoreError::NotFound)?;
        let file = kept.open()?;
        let facts = facts(&Metadata::from_file(&file)?)?;
        Ok(OpenFile { facts, content: Content::Disk(Arc::new(file)) })
    }

    fn remove_file(&self, path: &VirtualPath) -> Result<(), StoreError> {
        match self.facts(path)?.kind {
            FileKind::Folder => Err(StoreError::IsFolder),
            FileKind::File => self.remove(path, FileKind::File, &|| Ok(())),
        }
    }

    fn remove_if(&self, path: &VirtualPath, condition: &Condition<'_>) -> Result<(), StoreError> {
        self.spot(path)?;
        self.remove(path, self.facts(path)?.kind, condition)
    }

    fn make_folder(&self, path: &VirtualPath) -> Result<(), StoreError> {
        if path.is_root() {
            return Err(StoreError::Exists);
        }
        let spot = self.spot(path)?;
        self.writing.forget_partials(&spot, None)?;
        self.writing.commits.commit(vec![Change::MakeFolder(spot, FOLDER_MODE)])?;
        Ok(())
    }

    fn remove_folder(&self, path: &VirtualPath) -> Result<(), StoreError> {
        self.remove(path, FileKind::Folder, &|| Ok(()))
    }

    fn rename(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), StoreError> {
        if from != to && to.is_within(from) {
            return Err(StoreError::Denied);
        }
        let moved = self.facts(from)?;
        let (old, new) = (self.spot(from)?, self.spot(to)?);
        let _alone = self.writing.hold([&old, &new])?;
        let (replaced, folder) = (self.facts(to).map_or(0, |facts| facts.octets), self.folder(to).ok());
        self.writing.forget_partials(&old, None)?;
        self.writing.forget_partials(&new, None)?;
        self.writing.commits.commit(vec![Change::Move { from: old, to: new }])?;
        if from != to {
            folder.map_or(Ok(()), |folder| self.writing.forget_partials_below(&folder))?;
            self.writing.usage.changed(to, replaced, 0);
            self.writing.usage.moved(from, to, (moved.kind == FileKind::File).then_some(moved.octets));
        }
        Ok(())
    }

    fn set_modified(&self, path: &VirtualPath, modified: SystemTime) -> Result<(), StoreError> {
        let spot = self.spot(path)?;
        let _alone = self.writing.hold([&spot])?;
        let file = self.open_any(path, OFlags::empty())?;
        facts(&file.metadata()?)?;
        let file = file.into_std();
        file.set_modified(modified)?;
        Ok(file.sync_all()?)
    }

    fn set_mode(&self, path: &VirtualPath, mode: u32) -> Result<(), StoreError> {
        let spot = self.spot(path)?;
        let _alone = self.writing.hold([&spot])?;
        let file = self.open_any(path, OFlags::empty())?;
        facts(&file.metadata()?)?;
        let file = file.into_std();
        file.set_permissions(PermissionsExt::from_mode(mode & 0o777))?;
        Ok(file.sync_all()?)
    }
}
