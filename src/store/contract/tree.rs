use std::time::{Duration, UNIX_EPOCH};

use crate::{
    clock::Clock,
    store::{
        StoreError, VirtualPath,
        disk_tree::DiskTree,
        memory::MemoryTree,
        tree::{FileKind, Placed, Receive, Tree},
    },
};

/// Runs `check` against a new tree of every kind.
pub(super) fn every_tree(check: impl Fn(&dyn Tree)) {
    check(&MemoryTree::new(Clock::system()));
    let folder = tempfile::tempdir().unwrap();
    check(&DiskTree::open(folder.path()).unwrap());
}

pub(super) fn path(text: &str) -> VirtualPath {
    VirtualPath::parse(text).unwrap()
}

fn put(tree: &dyn Tree, at: &str, how: Receive, content: &[u8]) -> Result<Placed, StoreError> {
    let mut upload = tree.receive(&path(at), how)?;
    for piece in content.chunks(3) {
        upload.write(piece)?;
    }
    let (facts, placed) = upload.commit()?;
    let now = tree.facts(&path(at))?;
    assert_eq!((facts.octets, facts.kind, facts.inode), (now.octets, now.kind, now.inode));
    Ok(placed)
}

pub(super) fn content(tree: &dyn Tree, at: &str) -> Result<String, StoreError> {
    let file = tree.open(&path(at))?;
    let text = file.read()?;
    assert_eq!(file.facts.octets, text.len() as u64);
    Ok(String::from_utf8(text.to_vec()).unwrap())
}

pub(super) fn names(tree: &dyn Tree, at: &str) -> Vec<String> {
    tree.list(&path(at)).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_file_is_put_read_replaced_and_removed() {
    every_tree(|tree| {
        assert_eq!(put(tree, "/file", Receive::Replace, b"first").unwrap(), Placed::Created);
        let before = tree.facts(&path("/file")).unwrap();
        assert_eq!((before.kind, before.octets), (FileKind::File, 5));
        assert_eq!(put(tree, "/file", Receive::Replace, b"second content").unwrap(), Placed::Replaced);
        let after = tree.facts(&path("/file")).unwrap();
        assert_ne!(before.inode, after.inode, "a reader of the old one keeps it");
        assert!(after.modified >= before.modified);
        assert_eq!(content(tree, "/file").unwrap(), "second content");
        tree.remove_file(&path("/file")).unwrap();
        assert!(matches!(tree.facts(&path("/file")), Err(StoreError::NotFound)));
        assert!(matches!(tree.remove_file(&path("/file")), Err(StoreError::NotFound)));
        assert!(names(tree, "/").is_empty());
    });
}

#[test]
fn nothing_shows_before_commit_and_an_abort_leaves_the_old_content() {
    every_tree(|tree| {
        put(tree, "/file", Receive::Replace, b"old").unwrap();
        for how in [Receive::Replace, Receive::Append, Receive::ResumeAt(2)] {
            let mut upload = tree.receive(&path("/file"), how).unwrap();
            upload.write(b"new").unwrap();
            assert_eq!(content(tree, "/file").unwrap(), "old");
            assert_eq!(names(tree, "/"), ["file"], "temporaries are not listed");
            drop(upload);
            assert_eq!(content(tree, "/file").unwrap(), "old");
        }
        let mut upload = tree.receive(&path("/other"), Receive::Create).unwrap();
        upload.write(b"new").unwrap();
        assert!(matches!(tree.facts(&path("/other")), Err(StoreError::NotFound)));
    });
}

#[test]
fn append_and_resume_continue_what_is_there() {
    every_tree(|tree| {
        assert_eq!(put(tree, "/file", Receive::Append, b"one").unwrap(), Placed::Created);
        assert_eq!(put(tree, "/file", Receive::Append, b"two").unwrap(), Placed::Replaced);
        assert_eq!(content(tree, "/file").unwrap(), "onetwo");
        put(tree, "/file", Receive::ResumeAt(4), b"hree").unwrap();
        assert_eq!(content(tree, "/file").unwrap(), "onethree");
        put(tree, "/file", Receive::ResumeAt(8), b"!").unwrap();
        assert_eq!(content(tree, "/file").unwrap(), "onethree!");
        assert!(matches!(put(tree, "/file", Receive::ResumeAt(99), b"x"), Err(StoreError::Denied)));
        assert!(matches!(put(tree, "/new", Receive::ResumeAt(1), b"x"), Err(StoreError::Denied)));
        put(tree, "/new", Receive::ResumeAt(0), b"x").unwrap();
        assert_eq!(content(tree, "/file").unwrap(), "onethree!");
    });
}

#[test]
fn create_refuses_a_name_that_is_taken_even_meanwhile() {
    every_tree(|tree| {
        let mut slow = tree.receive(&path("/file"), Receive::Create).unwrap();
        slow.write(b"slow").unwrap();
        assert_eq!(put(tree, "/file", Receive::Create, b"fast").unwrap(), Placed::Created);
        assert!(matches!(slow.commit(), Err(StoreError::Exists)));
        assert!(matches!(put(tree, "/file", Receive::Create, b"late"), Err(StoreError::Exists)));
        assert_eq!(content(tree, "/file").unwrap(), "fast");
        tree.make_folder(&path("/folder")).unwrap();
        assert!(matches!(put(tree, "/folder", Receive::Create, b"x"), Err(StoreError::Exists)));
    });
}

#[test]
fn folders_and_files_are_not_taken_for_one_another() {
    every_tree(|tree| {
        tree.make_folder(&path("/folder")).unwrap();
        put(tree, "/folder/file", Receive::Replace, b"x").unwrap();
        assert!(matches!(tree.open(&path("/folder")), Err(StoreError::IsFolder)));
        assert!(matches!(tree.open(&path("/")), Err(StoreError::IsFolder)));
        assert!(matches!(put(tree, "/folder", Receive::Replace, b"x"), Err(StoreError::IsFolder)));
        assert!(matches!(put(tree, "/", Receive::Replace, b"x"), Err(StoreError::IsFolder)));
        assert!(matches!(put(tree, "/folder/file/below", Receive::Replace, b"x"), Err(StoreError::NotFolder)));
        assert!(matches!(put(tree, "/missing/file", Receive::Replace, b"x"), Err(StoreError::NotFound)));
        assert!(matches!(tree.facts(&path("/folder/file/below")), Err(StoreError::NotFolder)));
        assert!(matches!(tree.list(&path("/folder/file")), Err(StoreError::NotFolder)));
        assert!(matches!(tree.list(&path("/missing")), Err(StoreError::NotFound)));
        assert!(matches!(tree.remove_file(&path("/folder")), Err(StoreError::IsFolder)));
        assert!(matches!(tree.remove_folder(&path("/folder/file")), Err(StoreError::NotFolder)));
        assert!(matches!(tree.remove_folder(&path("/folder")), Err(StoreError::NotEmpty)));
        assert!(matches!(tree.make_folder(&path("/folder")), Err(StoreError::Exists)));
        assert!(matches!(tree.make_folder(&path("/")), Err(StoreError::Exists)));
        assert!(matches!(tree.make_folder(&path("/a/b")), Err(StoreError::NotFound)));
        tree.remove_file(&path("/folder/file")).unwrap();
        tree.remove_folder(&path("/folder")).unwrap();
        assert!(matches!(tree.remove_folder(&path("/folder")), Err(StoreError::NotFound)));
        assert!(matches!(tree.remove_folder(&path("/")), Err(StoreError::Denied)));
    });
}

#[test]
fn listings_are_sorted_and_true() {
    every_tree(|tree| {
        tree.make_folder(&path("/sub")).unwrap();
        for name in ["/b", "/a", "/B", "/sub/deep", "/é", "/.hidden"] {
            put(tree, name, Receive::Replace, name.as_bytes()).unwrap();
        }
        assert_eq!(names(tree, "/"), [".hidden", "B", "a", "b", "sub", "é"]);
        assert_eq!(names(tree, "/sub"), ["deep"]);
        for entry in tree.list(&path("/")).unwrap() {
            assert_eq!(entry.facts, tree.facts(&path(&entry.name)).unwrap());
        }
        assert_eq!(tree.facts(&path("/")).unwrap().kind, FileKind::Folder);
        assert_eq!(tree.facts(&path("/sub")).unwrap().octets, 0);
    });
}

#[test]
fn renaming_moves_files_and_whole_folders() {
    every_tree(|tree| {
        tree.make_folder(&path("/a")).unwrap();
        tree.make_folder(&path("/a/b")).unwrap();
        put(tree, "/a/b/file", Receive::Replace, b"deep").unwrap();
        put(tree, "/top", Receive::Replace, b"top").unwrap();
        tree.rename(&path("/a"), &path("/c")).unwrap();
        assert_eq!(content(tree, "/c/b/file").unwrap(), "deep");
        assert!(matches!(tree.facts(&path("/a")), Err(StoreError::NotFound)));
        tree.rename(&path("/top"), &path("/c/b/file")).unwrap();
        assert_eq!(content(tree, "/c/b/file").unwrap(), "top");
        tree.rename(&path("/c"), &path("/c")).unwrap();
        assert!(matches!(tree.rename(&path("/missing"), &path("/x")), Err(StoreError::NotFound)));
        assert!(matches!(tree.rename(&path("/c"), &path("/missing/x")), Err(StoreError::NotFound)));
        assert!(matches!(tree.rename(&path("/c"), &path("/c/b/inside")), Err(StoreError::Denied)));
        assert!(matches!(tree.rename(&path("/"), &path("/x")), Err(StoreError::Denied)));
        assert!(matches!(tree.rename(&path("/c/b"), &path("/c/b/file")), Err(StoreError::Denied)));
        put(tree, "/plain", Receive::Replace, b"x").unwrap();
        assert!(matches!(tree.rename(&path("/c"), &path("/plain")), Err(StoreError::NotFolder)));
        tree.make_folder(&path("/empty")).unwrap();
        assert!(matches!(tree.rename(&path("/plain"), &path("/empty")), Err(StoreError::IsFolder)));
        assert!(matches!(tree.rename(&path("/empty"), &path("/c")), Err(StoreError::NotEmpty)));
    });
}

#[test]
fn a_change_with_a_condition_is_made_only_if_it_holds() {
    every_tree(|tree| {
        put(tree, "/file", Receive::Replace, b"old").unwrap();
        let mut upload = tree.receive(&path("/file"), Receive::Replace).unwrap();
        upload.write(b"new").unwrap();
        assert!(matches!(upload.commit_if(&|| Err(StoreError::Changed)), Err(StoreError::Changed)));
        assert!(matches!(tree.remove_if(&path("/file"), &|| Err(StoreError::Changed)), Err(StoreError::Changed)));
        assert_eq!((content(tree, "/file").unwrap().as_str(), names(tree, "/")), ("old", vec!["file".to_owned()]));
        tree.make_folder(&path("/folder")).unwrap();
        tree.remove_if(&path("/folder"), &|| Ok(())).unwrap();
        tree.remove_if(&path("/file"), &|| tree.facts(&path("/file")).map(drop)).unwrap();
        assert!(names(tree, "/").is_empty());
        assert!(matches!(tree.remove_if(&path("/file"), &|| Ok(())), Err(StoreError::NotFound)));
        assert!(matches!(tree.remove_if(&path("/"), &|| Ok(())), Err(StoreError::Denied)));
    });
}

#[test]
fn no_update_is_lost_where_writers_name_what_they_replace() {
    every_tree(|tree| {
        put(tree, "/count", Receive::Replace, b"0").unwrap();
        let add_one = || {
            let seen = content(tree, "/count").unwrap();
            let mut upload = tree.receive(&path("/count"), Receive::Replace).unwrap();
            upload.write((seen.parse::<u32>().unwrap() + 1).to_string().as_bytes()).unwrap();
            let is_same = || if content(tree, "/count")? == seen { Ok(()) } else { Err(StoreError::Changed) };
            upload.commit_if(&is_same).is_ok()
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| while !add_one() {}));
            }
        });
        assert_eq!(content(tree, "/count").unwrap(), "40");
    });
}

#[test]
fn whoever_has_no_condition_waits_too() {
    every_tree(|tree| {
        put(tree, "/file", Receive::Replace, b"old").unwrap();
        let mut upload = tree.receive(&path("/file"), Receive::Replace).unwrap();
        upload.write(b"conditional").unwrap();
        std::thread::scope(|scope| {
            let look = || {
                scope.spawn(|| put(tree, "/file", Receive::Replace, b"by another protocol").unwrap());
                // Time enough for whoever does not wait.
                for _ in 0..2000 {
                    std::thread::yield_now();
                    assert_eq!(content(tree, "/file")?, "old");
                }
                Ok(())
            };
            upload.commit_if(&look).unwrap();
        });
        assert_eq!(content(tree, "/file").unwrap(), "by another protocol");
    });
}

#[test]
fn the_time_of_change_can_be_set() {
    every_tree(|tree| {
        put(tree, "/file", Receive::Replace, b"x").unwrap();
        let then = UNIX_EPOCH + Duration::from_secs(784_111_777);
        tree.set_modified(&path("/file"), then).unwrap();
        assert_eq!(tree.facts(&path("/file")).unwrap().modified, then);
        assert!(matches!(tree.set_modified(&path("/missing"), then), Err(StoreError::NotFound)));
    });
}
