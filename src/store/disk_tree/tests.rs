//! The tree on a real disk: its sandbox, its kept files, partials and additions in place.

use super::*;
use crate::store::{commit::sweep, tree::Content};
use std::os::unix::fs::{PermissionsExt, symlink};

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
    let file = tree.open(&path(name)).unwrap();
    let text = String::from_utf8(file.read().unwrap().to_vec()).unwrap();
    (text, matches!(file.content, Content::Memory(_)))
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

/// While a folder turns into a link out of the tree and back, nothing outside is read, made, added
/// to, renamed or removed.
#[test]
fn swapping_a_folder_for_a_link_leads_nobody_out() {
    use crate::store::tree::Author;
    use std::sync::atomic::{AtomicBool, Ordering};
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("file"), "secret").unwrap();
    let (folder, tree) = tree();
    let (inside, link, spare) = (folder.path().join("sub"), folder.path().join("link"), folder.path().join("spare"));
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("file"), "inside").unwrap();
    symlink(outside.path(), &link).unwrap();
    let account = Account { name: "bob".into(), home: path("/sub"), write: vec![path("/sub")], www_quota: Some(1 << 20), adds_only: false };
    let bob = Author { account: Arc::new(account), resumes: true };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                for (from, to) in [(&inside, &spare), (&link, &inside), (&inside, &link), (&spare, &inside)] {
                    std::fs::rename(from, to).unwrap();
                }
            }
        });
        for round in 0..3000 {
            let name = path("/sub/file");
            if let Ok(file) = tree.open(&name) {
                assert!(!file.read().unwrap().starts_with(b"secret"), "round {round}");
            }
            for how in [Receive::Append, Receive::Replace, Receive::ResumeAt(3)] {
                if let Ok(mut upload) = tree.receive_for(&path(&format!("/sub/new{}", round % 7)), how, Some(&bob)) {
                    let _written = upload.write(b"written");
                    if round % 2 == 0 {
                        let _placed = upload.commit();
                    } else {
                        let _kept = upload.break_off();
                    }
                }
            }
            let _made = tree.make_folder(&path("/sub/made"));
            let _renamed = tree.rename(&path("/sub/made"), &path("/sub/moved"));
            let _removed = tree.remove_folder(&path("/sub/moved"));
            let _removed = tree.remove_file(&path(&format!("/sub/new{}", (round + 3) % 7)));
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let left: Vec<_> = std::fs::read_dir(outside.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["file"]);
    assert_eq!(std::fs::read(outside.path().join("file")).unwrap(), b"secret");
}

#[test]
fn what_could_not_be_synced_is_not_kept() {
    use crate::store::tree::Author;
    let (_folder, tree) = tree();
    let account = Account { name: "bob".into(), home: path("/"), write: vec![path("/")], www_quota: None, adds_only: false };
    let bob = Author { account: Arc::new(account), resumes: true };
    for fails in [false, true] {
        let mut upload = tree.begin_upload(&path("/file"), Receive::Append, Some(&bob)).unwrap();
        upload.write(b"x").unwrap();
        let synced = if fails { Err(std::io::Error::other("the disk is broken")) } else { Ok(()) };
        assert_eq!(upload.synced(synced).is_err(), fails);
        assert_eq!(Box::new(upload).break_off().unwrap(), u64::from(!fails));
        assert_eq!(tree.partial("bob", &path("/file")).is_err(), fails, "not even what was kept before");
    }
}

#[test]
fn partials_are_bounded_and_of_this_life_of_the_machine() {
    use crate::store::tree::Author;
    let (folder, tree) = tree();
    let account = Account { name: "bob".into(), home: path("/"), write: vec![path("/")], www_quota: None, adds_only: false };
    let bob = Author { account: Arc::new(account), resumes: true };
    let lose = |name: &str| {
        let mut upload = tree.receive_for(&path(name), Receive::Replace, Some(&bob)).unwrap();
        upload.write(b"x").unwrap();
        upload.break_off().unwrap()
    };
    let kept = folder.path().join(".portico-partials/bob");
    for number in 0..70 {
        assert_eq!(lose(&format!("/file{number}")), 1);
    }
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), crate::store::partials::KEPT_FILES);
    assert!(tree.partial("bob", &path("/file69")).is_ok(), "the last ones stay");
    assert!(matches!(tree.partial("bob", &path("/file0")), Err(StoreError::NotFound)));
    std::fs::write(kept.join(format!("{}.{}", "0".repeat(64), "0".repeat(16))), "of another life").unwrap();
    let old = std::fs::read_dir(&kept).unwrap().flatten().next().unwrap().path();
    let day_ago = SystemTime::now() - crate::store::partials::KEPT_FOR - Duration::from_secs(1);
    std::fs::File::options().write(true).open(&old).unwrap().set_modified(day_ago).unwrap();
    lose("/another");
    assert!(!old.exists());
    assert!(!kept.join(format!("{}.{}", "0".repeat(64), "0".repeat(16))).exists());
}
