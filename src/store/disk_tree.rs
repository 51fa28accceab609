//! The file tree on disk, sandboxed by the kernel.
//!
//! Paths are resolved by `cap-std`, on Linux with `openat2` and RESOLVE_BENEATH: no `..`, symbolic
//! link or race leads out of the tree, whatever the names say. Everything that changes the tree
//! opens the parent folder so, and then goes by one name below that open folder through the
//! commit routine.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
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
use rustix::fs::OFlags;

use super::{
    StoreError, VirtualPath,
    commit::{Change, Committer, Disk, Identity, RealDisk, RealFolder, Spot, Taken, Temporary, sweep},
    disk_walk::DiskWalk,
    open_files::OpenFiles,
    places::{Held, Places},
    tree::{Condition, FileFacts, FileKind, OpenFile, Placed, Receive, Tree, TreeEntry, Upload, Walk},
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

/// What every change goes through.
struct Writing {
    commits: Committer<RealDisk>,
    /// By folder and name, so that two paths to one folder are one.
    places: Places<(Identity, OsString)>,
}

impl DiskTree {
    /// Opens the tree, and has the temporaries that a dead process left in it swept away meanwhile.
    pub(crate) fn open(path: &Path) -> Result<DiskTree, StoreError> {
        let tree = DiskTree::open_unswept(path)?;
        let root = RealFolder::open(path)?;
        // Beside the start, not before it: a large tree takes a while to walk, and temporaries
        // are neither listed nor served.
        thread::spawn(move || {
            if let Err(error) = sweep(&root) {
                tracing::warn!("stale temporary files could not be swept: {error}");
            }
        });
        Ok(tree)
    }

    fn open_unswept(path: &Path) -> Result<DiskTree, StoreError> {
        let root = Dir::open_ambient_dir(path, ambient_authority())?;
        let commits = Committer::new(RealDisk, RealFolder::open(path)?);
        let writing = Arc::new(Writing { commits, places: Places::default() });
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
        let facts = facts(&file.metadata()?)?;
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

    /// What a new content would replace: nothing, or a regular file.
    fn place(&self, path: &VirtualPath, how: Receive) -> Result<Option<FileFacts>, StoreError> {
        match self.facts(path) {
            Ok(_) if how == Receive::Create => Err(StoreError::Exists),
            Ok(facts) if facts.kind == FileKind::Folder => Err(StoreError::IsFolder),
            Ok(facts) => Ok(Some(facts)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Copies what a resumed upload keeps; on file systems that can, no octet is moved.
    fn keep_old(&self, path: &VirtualPath, how: Receive, upload: &mut Temporary<RealDisk>) -> Result<(), StoreError> {
        let (old, octets) = match (self.open_file(path), how) {
            (Ok((facts, old)), Receive::ResumeAt(at)) if at <= facts.octets => (old, at),
            (Ok((_, old)), Receive::Append) => (old, u64::MAX),
            (Err(StoreError::NotFound), Receive::Append | Receive::ResumeAt(0)) => return Ok(()),
            (Err(error), _) if !matches!(error, StoreError::NotFound) => return Err(error),
            _ => return Err(StoreError::Denied),
        };
        let copied = upload.fill_from(&mut old.take(octets))?;
        if octets != u64::MAX && copied != octets { Err(StoreError::Denied) } else { Ok(()) }
    }

    /// Makes a removal if the condition holds, with nobody else changing what stands there.
    fn remove(&self, change: Change<RealDisk>, condition: &Condition<'_>) -> Result<(), StoreError> {
        let (Change::Remove(spot) | Change::RemoveFolder(spot)) = &change else { return Ok(()) };
        let _alone = self.writing.hold([spot]);
        condition()?;
        let missing = self.writing.commits.commit(vec![change])?;
        if missing.is_empty() { Ok(()) } else { Err(StoreError::NotFound) }
    }

    /// The facts of whatever the name leads to, in one call and outside the sandbox: only good for
    /// telling that it is the very file that was opened inside the sandbox before.
    fn glance(&self, path: &VirtualPath) -> Option<FileFacts> {
        let stat = rustix::fs::statat(&self.root, path.relative(), rustix::fs::AtFlags::empty()).ok()?;
        let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
        is_file.then(|| FileFacts {
            kind: FileKind::File,
            octets: stat.st_size.unsigned_abs(),
            modified: instant(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            changed: instant(stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
            inode: stat.st_ino,
            mode: stat.st_mode & 0o777,
        })
    }
}

/// What the name leads to, below the root.
pub(super) fn facts_below(root: &Dir, path: &VirtualPath) -> Result<FileFacts, StoreError> {
    // One component that is no link can't lead anywhere else: one statx instead of three calls.
    let metadata = match root.symlink_metadata(path.relative()) {
        Ok(metadata) if metadata.is_symlink() => root.metadata(path.relative())?,
        result => result?,
    };
    facts(&metadata)
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
        facts_below(&self.root, path)
    }

    fn is_still(&self, path: &VirtualPath, facts: &FileFacts) -> bool {
        self.glance(path).is_some_and(|now| now == *facts)
    }

    fn list(&self, path: &VirtualPath) -> Result<Vec<TreeEntry>, StoreError> {
        let mut entries = self.walk(path)?.next(usize::MAX)?;
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn walk(&self, path: &VirtualPath) -> Result<Box<dyn Walk>, StoreError> {
        Ok(Box::new(DiskWalk::open(&self.root, path, self.folder(path)?.file())?))
    }

    fn available(&self, path: &VirtualPath) -> Result<u64, StoreError> {
        self.facts(path)?;
        let file_system = rustix::fs::fstatvfs(&self.root).map_err(io::Error::from)?;
        Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
    }

    fn open(&self, path: &VirtualPath) -> Result<OpenFile, StoreError> {
        if let Some(kept) = self.known.find(path, || self.glance(path)) {
            return Ok(kept);
        }
        let (facts, file) = self.open_file(path)?;
        let content = self.known.keep(path, &facts, file);
        Ok(OpenFile { facts, content })
    }

    fn receive(&self, path: &VirtualPath, how: Receive) -> Result<Box<dyn Upload>, StoreError> {
        let old = self.place(path, how)?;
        let to = self.spot(path)?;
        let mut temporary = Temporary::beside(&RealDisk, &to.folder, FILE_MODE)?;
        if let Some(old) = old {
            temporary.file().set_permissions(std::fs::Permissions::from_mode(old.mode))?;
        }
        if matches!(how, Receive::Append | Receive::ResumeAt(_)) {
            self.keep_old(path, how, &mut temporary)?;
        }
        Ok(Box::new(DiskUpload { temporary, to, how, writing: self.writing.clone() }))
    }

    fn remove_file(&self, path: &VirtualPath) -> Result<(), StoreError> {
        match self.facts(path)?.kind {
            FileKind::Folder => Err(StoreError::IsFolder),
            FileKind::File => self.remove(Change::Remove(self.spot(path)?), &|| Ok(())),
        }
    }

    fn remove_if(&self, path: &VirtualPath, condition: &Condition<'_>) -> Result<(), StoreError> {
        let spot = self.spot(path)?;
        match self.facts(path)?.kind {
            FileKind::Folder => self.remove(Change::RemoveFolder(spot), condition),
            FileKind::File => self.remove(Change::Remove(spot), condition),
        }
    }

    fn make_folder(&self, path: &VirtualPath) -> Result<(), StoreError> {
        if path.is_root() {
            return Err(StoreError::Exists);
        }
        self.writing.commits.commit(vec![Change::MakeFolder(self.spot(path)?, FOLDER_MODE)])?;
        Ok(())
    }

    fn remove_folder(&self, path: &VirtualPath) -> Result<(), StoreError> {
        self.remove(Change::RemoveFolder(self.spot(path)?), &|| Ok(()))
    }

    fn rename(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), StoreError> {
        if from != to && to.is_within(from) {
            return Err(StoreError::Denied);
        }
        self.facts(from)?;
        let (from, to) = (self.spot(from)?, self.spot(to)?);
        let _alone = self.writing.hold([&from, &to]);
        self.writing.commits.commit(vec![Change::Move { from, to }])?;
        Ok(())
    }

    fn set_modified(&self, path: &VirtualPath, modified: SystemTime) -> Result<(), StoreError> {
        let spot = self.spot(path)?;
        let _alone = self.writing.hold([&spot]);
        let file = self.open_any(path, OFlags::empty())?;
        facts(&file.metadata()?)?;
        let file = file.into_std();
        file.set_modified(modified)?;
        Ok(file.sync_all()?)
    }

    fn set_mode(&self, path: &VirtualPath, mode: u32) -> Result<(), StoreError> {
        let spot = self.spot(path)?;
        let _alone = self.writing.hold([&spot]);
        let file = self.open_any(path, OFlags::empty())?;
        facts(&file.metadata()?)?;
        let file = file.into_std();
        file.set_permissions(std::fs::Permissions::from_mode(mode & 0o777))?;
        Ok(file.sync_all()?)
    }
}

impl Writing {
    /// Waits until nobody else changes what stands at these names.
    fn hold<const N: usize>(&self, spots: [&Spot<RealDisk>; N]) -> Held<'_, (Identity, OsString)> {
        self.places.hold(spots.map(|spot| (RealDisk.identity(&spot.folder), spot.name.clone())))
    }
}

struct DiskUpload {
    temporary: Temporary<RealDisk>,
    to: Spot<RealDisk>,
    how: Receive,
    writing: Arc<Writing>,
}

impl Upload for DiskUpload {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        Ok(self.temporary.write_all(octets)?)
    }

    fn commit_if(self: Box<Self>, condition: &Condition<'_>) -> Result<(FileFacts, Placed), StoreError> {
        let DiskUpload { temporary, to, how, writing } = *self;
        let file: File = temporary.file().try_clone()?;
        let _alone = writing.hold([&to]);
        condition()?;
        let stood = rustix::fs::statat(to.folder.file(), to.name.as_os_str(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        let placed = if stood.is_ok() { Placed::Replaced } else { Placed::Created };
        let taken = if how == Receive::Create { Taken::Refuse } else { Taken::Replace };
        writing.commits.commit(vec![Change::Place { temporary, to: to.clone(), taken }])?;
        let facts = facts(&cap_std::fs::File::from_std(file).metadata()?)?;
        Ok((facts, placed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tree::Content;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, DiskTree) {
        let folder = tempfile::tempdir().unwrap();
        let tree = DiskTree::open_unswept(folder.path()).unwrap();
        (folder, tree)
    }

    fn path(text: &str) -> VirtualPath {
        VirtualPath::parse(text).unwrap()
    }

    fn names(tree: &DiskTree) -> Vec<String> {
        tree.list(&VirtualPath::root()).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn links_lead_nowhere_but_inside() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let (folder, tree) = tree();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("sub/file"), "inside").unwrap();
        symlink("sub/file", folder.path().join("good")).unwrap();
        symlink(outside.path().join("secret"), folder.path().join("absolute")).unwrap();
        symlink("../../../../../../../../etc/passwd", folder.path().join("up")).unwrap();
        symlink(outside.path(), folder.path().join("sub/out")).unwrap();
        symlink("/proc/self/root/etc", folder.path().join("magic")).unwrap();
        symlink("loop", folder.path().join("loop")).unwrap();
        assert_eq!(tree.facts(&path("/good")).unwrap().octets, 6);
        for bad in ["/absolute", "/up", "/sub/out", "/sub/out/secret", "/magic", "/magic/passwd", "/loop"] {
            assert!(matches!(tree.facts(&path(bad)), Err(StoreError::Denied)), "{bad}: {:?}", tree.facts(&path(bad)));
            assert!(matches!(tree.open(&path(bad)), Err(StoreError::Denied)), "{bad}");
        }
        assert!(matches!(tree.receive(&path("/sub/out/new"), Receive::Replace), Err(StoreError::Denied)));
        assert!(matches!(tree.rename(&path("/sub/file"), &path("/sub/out/file")), Err(StoreError::Denied)));
        assert!(tree.make_folder(&path("/sub/out/folder")).is_err());
        assert!(tree.remove_file(&path("/sub/out/secret")).is_err());
        assert_eq!(names(&tree), ["good", "sub"]);
        assert!(outside.path().join("secret").exists());
    }

    #[test]
    fn special_files_and_foreign_names_are_left_alone() {
        use std::os::unix::ffi::OsStrExt;
        let (folder, tree) = tree();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
        std::fs::write(folder.path().join(".portico-0-1"), "x").unwrap();
        assert!(names(&tree).is_empty());
        for name in ["/fifo", "/socket"] {
            assert!(matches!(tree.open(&path(name)), Err(StoreError::Denied)), "{name}");
            assert!(matches!(tree.facts(&path(name)), Err(StoreError::Denied)), "{name}");
            assert!(matches!(tree.receive(&path(name), Receive::Replace), Err(StoreError::Denied)), "{name}");
        }
    }

    #[test]
    fn a_fifo_is_not_even_opened() {
        use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
        let (folder, tree) = tree();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let watch = init(CreateFlags::NONBLOCK).unwrap();
        add_watch(&watch, &fifo, WatchFlags::OPEN).unwrap();
        let opened = || Reader::new(&watch, &mut [std::mem::MaybeUninit::uninit(); 512]).next().is_ok();
        assert!(matches!(tree.open(&path("/fifo")), Err(StoreError::Denied)));
        assert!(tree.list(&path("/")).unwrap().is_empty());
        assert!(!opened(), "a writer that waits for its reader was let go");
        std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        assert!(opened(), "the watch works");
    }

    #[test]
    fn stale_temporaries_are_swept_without_following_links() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join(".portico-dead-1"), "x").unwrap();
        let (folder, tree) = tree();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        symlink(outside.path(), folder.path().join("a/link")).unwrap();
        for stale in [".portico-dead-1", "a/b/.portico-dead-2"] {
            std::fs::write(folder.path().join(stale), "x").unwrap();
        }
        let live = tree.receive(&path("/a/live"), Receive::Replace).unwrap();
        sweep(&RealFolder::open(folder.path()).unwrap()).unwrap();
        assert!(!folder.path().join(".portico-dead-1").exists());
        assert!(!folder.path().join("a/b/.portico-dead-2").exists());
        assert!(outside.path().join(".portico-dead-1").exists());
        live.commit().unwrap();
        assert!(folder.path().join("a/live").exists(), "what this process writes is not stale");
    }

    fn read(tree: &DiskTree, name: &str) -> (String, bool) {
        let content = tree.open(&path(name)).unwrap().content;
        let text = String::from_utf8(content.read().unwrap().to_vec()).unwrap();
        (text, matches!(content, Content::Memory(_)))
    }

    #[test]
    fn a_small_file_is_kept_once_it_has_settled_and_never_served_stale() {
        let (folder, tree) = tree();
        let file = folder.path().join("file");
        std::fs::write(&file, "one").unwrap();
        assert_eq!(read(&tree, "/file"), ("one".into(), false), "it is too young to be kept");
        assert_eq!(read(&tree, "/file"), ("one".into(), false));
        settle(&tree, "/file");
        assert_eq!(read(&tree, "/file"), ("one".into(), true));
        std::fs::write(&file, "two").unwrap();
        assert_eq!(read(&tree, "/file"), ("two".into(), false), "same size, changed in place");
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(tree.open(&path("/file")), Err(StoreError::NotFound)));
        std::fs::create_dir(&file).unwrap();
        assert!(matches!(tree.open(&path("/file")), Err(StoreError::IsFolder)));
    }

    fn settle(tree: &DiskTree, name: &str) {
        while tree.facts(&path(name)).unwrap().changed.elapsed().is_ok_and(|age| age <= Duration::from_millis(110)) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_middling_file_is_kept_open_and_never_served_stale() {
        let (folder, tree) = tree();
        let file = folder.path().join("file");
        std::fs::write(&file, "1".repeat(50_000)).unwrap();
        settle(&tree, "/file");
        let opened = || match tree.open(&path("/file")).unwrap().content {
            Content::Disk(file) => file,
            Content::Memory(_) => panic!("it is too large for the memory"),
        };
        assert!(Arc::ptr_eq(&opened(), &opened()));
        let facts = tree.open(&path("/file")).unwrap().facts;
        assert!(tree.is_still(&path("/file"), &facts));
        std::fs::write(folder.path().join("new"), "2".repeat(50_000)).unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();
        assert!(!tree.is_still(&path("/file"), &facts));
        assert_eq!(read(&tree, "/file").0, "2".repeat(50_000));
    }

    #[test]
    fn a_kept_file_can_be_appended_to() {
        let (folder, tree) = tree();
        std::fs::write(folder.path().join("file"), "old").unwrap();
        settle(&tree, "/file");
        assert_eq!(read(&tree, "/file"), ("old".into(), true));
        let mut upload = tree.receive(&path("/file"), Receive::Append).unwrap();
        upload.write(b" and new").unwrap();
        upload.commit().unwrap();
        assert_eq!(read(&tree, "/file").0, "old and new");
    }

    #[test]
    fn permissions_of_a_replaced_file_stay() {
        let (folder, tree) = tree();
        std::fs::write(folder.path().join("file"), "old").unwrap();
        std::fs::set_permissions(folder.path().join("file"), PermissionsExt::from_mode(0o640)).unwrap();
        tree.receive(&path("/file"), Receive::Replace).unwrap().commit().unwrap();
        assert_eq!(tree.facts(&path("/file")).unwrap().mode, 0o640);
    }
}
