//! Uploads that break off, go on, add to files, and meet their account's quota.

use std::sync::Arc;

use super::tree::{content, every_tree, names, path};
use crate::store::{
    Account, StoreError, VirtualPath,
    disk_tree::DiskTree,
    tree::{Author, Receive, Tree, Upload},
};

fn author(name: &str, www_quota: Option<u64>) -> Author {
    let account =
        Account { name: name.into(), home: VirtualPath::root(), write: vec![path("/own"), path("/own/sub")], www_quota, adds_only: false };
    Author { account: Arc::new(account), resumes: true }
}

fn begin(tree: &dyn Tree, at: &str, how: Receive, author: &Author) -> Result<Box<dyn Upload>, StoreError> {
    tree.receive_for(&path(at), how, Some(author))
}

fn broken_off(tree: &dyn Tree, at: &str, how: Receive, author: &Author, text: &str) -> u64 {
    let mut upload = begin(tree, at, how, author).unwrap();
    upload.write(text.as_bytes()).unwrap();
    upload.break_off().unwrap()
}

fn kept(tree: &dyn Tree, author: &Author, at: &str) -> Option<String> {
    let partial = tree.partial(&author.account.name, &path(at)).ok()?;
    let text = String::from_utf8(partial.read().unwrap().to_vec()).unwrap();
    assert_eq!(partial.facts.octets, text.len() as u64);
    Some(text)
}

#[test]
fn the_partial_of_a_new_name_is_kept_for_its_account_and_gone_on_from() {
    every_tree(|tree| {
        let (bob, alice) = (author("bob", None), author("alice", None));
        assert_eq!(broken_off(tree, "/file", Receive::Replace, &bob, "first "), 6);
        assert_eq!(kept(tree, &bob, "/file").as_deref(), Some("first "));
        assert_eq!(kept(tree, &alice, "/file"), None, "nobody else sees it");
        assert!(names(tree, "/").is_empty(), "it is not listed");
        assert!(matches!(tree.facts(&path("/file")), Err(StoreError::NotFound)));
        assert!(matches!(begin(tree, "/file", Receive::ResumeAt(7), &bob), Err(StoreError::Denied)), "past its end");
        assert!(matches!(begin(tree, "/file", Receive::ResumeAt(1), &alice), Err(StoreError::Denied)));
        assert_eq!(broken_off(tree, "/file", Receive::ResumeAt(6), &bob, "second "), 13);
        assert_eq!(broken_off(tree, "/file", Receive::Append, &bob, "third"), 18);
        let mut upload = begin(tree, "/file", Receive::ResumeAt(13), &bob).unwrap();
        upload.write(b"last").unwrap();
        assert!(matches!(begin(tree, "/file", Receive::Append, &bob), Err(StoreError::Busy)), "one writer at a time");
        upload.commit().unwrap();
        assert_eq!(content(tree, "/file").unwrap(), "first second last");
        assert_eq!(kept(tree, &bob, "/file"), None);
        assert_eq!(names(tree, "/"), ["file"]);
    });
}

#[test]
fn a_partial_is_replaced_by_a_new_upload_and_left_by_one_that_keeps_nothing() {
    every_tree(|tree| {
        let bob = author("bob", None);
        broken_off(tree, "/file", Receive::Replace, &bob, "a long first try");
        assert_eq!(broken_off(tree, "/file", Receive::Replace, &bob, "second"), 6);
        assert_eq!(kept(tree, &bob, "/file").as_deref(), Some("second"));
        let keeps_nothing = Author { resumes: false, ..bob.clone() };
        assert_eq!(broken_off(tree, "/file", Receive::Replace, &keeps_nothing, "third"), 0);
        assert_eq!(kept(tree, &bob, "/file").as_deref(), Some("second"));
        assert_eq!(broken_off(tree, "/file", Receive::Replace, &bob, ""), 0);
        assert_eq!(kept(tree, &bob, "/file"), None, "nothing has come");
        drop(begin(tree, "/file", Receive::Replace, &bob).unwrap());
        begin(tree, "/file", Receive::Replace, &bob).unwrap().commit().unwrap();
        assert_eq!(broken_off(tree, "/file", Receive::Replace, &bob, "over a file"), 0, "the file stays, and that is all");
        assert_eq!(content(tree, "/file").unwrap(), "");
        assert!(matches!(tree.partial("bob", &path("/missing/file")), Err(StoreError::NotFound)));
    });
}

/// Its octets would be the beginning of what never had them.
#[test]
fn a_partial_is_forgotten_when_something_else_comes_to_stand_under_its_name() {
    every_tree(|tree| {
        let (bob, alice) = (author("bob", None), author("alice", None));
        let put = |at: &str| tree.receive(&path(at), Receive::Replace).and_then(Upload::commit).map(drop);
        let comes: [&dyn Fn() -> Result<(), StoreError>; 4] = [
            &|| put("/file"),
            &|| begin(tree, "/file", Receive::Replace, &alice)?.commit().map(drop),
            &|| put("/other").and_then(|()| tree.rename(&path("/other"), &path("/file"))),
            &|| put("/file").and_then(|()| tree.rename(&path("/file"), &path("/else"))).and_then(|()| put("/file")),
        ];
        for come in comes {
            broken_off(tree, "/file", Receive::Replace, &bob, "old");
            broken_off(tree, "/file", Receive::Replace, &alice, "hers");
            broken_off(tree, "/beside", Receive::Replace, &bob, "stays");
            let mut growing = begin(tree, "/file", Receive::Append, &author("carol", None)).unwrap();
            growing.write(b"carol's").unwrap();
            come().unwrap();
            assert_eq!(growing.break_off().unwrap(), 0, "nothing is kept of what was overtaken");
            tree.remove_file(&path("/file")).unwrap();
            for whose in [&bob, &alice, &author("carol", None)] {
                assert_eq!(kept(tree, whose, "/file"), None);
            }
            assert!(matches!(begin(tree, "/file", Receive::ResumeAt(1), &bob), Err(StoreError::Denied)));
            assert_eq!(broken_off(tree, "/file", Receive::Append, &bob, "new"), 3);
            assert_eq!(kept(tree, &bob, "/file").as_deref(), Some("new"));
            assert_eq!(kept(tree, &bob, "/beside").as_deref(), Some("stays"));
            begin(tree, "/file", Receive::Replace, &bob).unwrap().commit().unwrap();
            tree.remove_file(&path("/file")).unwrap();
        }
    });
}

#[test]
fn an_upload_that_was_overtaken_comes_to_its_end_all_the_same() {
    every_tree(|tree| {
        let bob = author("bob", None);
        broken_off(tree, "/file", Receive::Replace, &bob, "the last ");
        let mut upload = begin(tree, "/file", Receive::ResumeAt(9), &bob).unwrap();
        upload.write(b"writer ").unwrap();
        for _ in 0..2 {
            tree.receive(&path("/file"), Receive::Replace).unwrap().commit().unwrap();
        }
        upload.write(b"wins").unwrap();
        upload.commit().unwrap();
        assert_eq!(content(tree, "/file").unwrap(), "the last writer wins");
        tree.remove_file(&path("/file")).unwrap();
        assert_eq!(kept(tree, &bob, "/file"), None);
    });
}

#[test]
fn partials_go_with_their_folder() {
    every_tree(|tree| {
        let bob = author("bob", Some(100));
        tree.make_folder(&path("/own")).unwrap();
        tree.make_folder(&path("/own/a")).unwrap();
        broken_off(tree, "/own/a/file", Receive::Replace, &bob, "in a");
        tree.rename(&path("/own/a"), &path("/own/b")).unwrap();
        assert_eq!(kept(tree, &bob, "/own/b/file").as_deref(), Some("in a"));
        tree.make_folder(&path("/own/a")).unwrap();
        assert_eq!(kept(tree, &bob, "/own/a/file"), None, "this is another folder");
        broken_off(tree, "/own/a/file", Receive::Replace, &bob, "in another");
        tree.rename(&path("/own/b"), &path("/own/a")).unwrap();
        assert_eq!(kept(tree, &bob, "/own/a/file").as_deref(), Some("in a"), "the one that was there has gone");
        assert_eq!(tree.available(&path("/"), &bob.account).unwrap(), 96);
        tree.remove_folder(&path("/own/a")).unwrap();
        tree.make_folder(&path("/own/a")).unwrap();
        assert_eq!(kept(tree, &bob, "/own/a/file"), None);
        assert_eq!(tree.available(&path("/"), &bob.account).unwrap(), 100);
        broken_off(tree, "/own/name", Receive::Replace, &bob, "of a file");
        tree.make_folder(&path("/own/name")).unwrap();
        tree.remove_folder(&path("/own/name")).unwrap();
        assert_eq!(kept(tree, &bob, "/own/name"), None, "a folder is something else too");
    });
}

/// An upload of a killed process that had been overtaken, and one that had not.
#[test]
fn partials_are_forgotten_also_across_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let bob = author("bob", None);
    let tree = DiskTree::open(folder.path()).unwrap();
    broken_off(&tree, "/synced", Receive::Replace, &bob, "was synced");
    for name in ["/growing", "/overtaken"] {
        let mut upload = begin(&tree, name, Receive::Replace, &bob).unwrap();
        upload.write(b"half").unwrap();
        std::mem::forget(upload);
    }
    tree.receive(&path("/overtaken"), Receive::Replace).unwrap().commit().unwrap();
    let tree = DiskTree::open(folder.path()).unwrap();
    assert_eq!(kept(&tree, &bob, "/synced").as_deref(), Some("was synced"));
    assert_eq!(kept(&tree, &bob, "/growing").as_deref(), Some("half"));
    assert_eq!(kept(&tree, &bob, "/overtaken"), None);
    for name in ["/synced", "/growing", "/overtaken"] {
        tree.receive(&path(name), Receive::Replace).unwrap().commit().unwrap();
        tree.remove_file(&path(name)).unwrap();
        assert_eq!(kept(&tree, &bob, name), None, "{name}");
    }
    broken_off(&tree, "/new", Receive::Replace, &bob, "x");
    assert_eq!(std::fs::read_dir(folder.path().join(".portico-partials/bob")).unwrap().count(), 1, "nothing lies about");
}

#[test]
fn a_file_that_is_added_to_is_seen_as_it_was_until_the_end() {
    every_tree(|tree| {
        let bob = author("bob", None);
        let mut first = tree.receive(&path("/file"), Receive::Replace).unwrap();
        first.write(b"old").unwrap();
        first.commit().unwrap();
        for how in [Receive::Append, Receive::ResumeAt(3)] {
            let before = tree.facts(&path("/file")).unwrap();
            let mut upload = begin(tree, "/file", how, &bob).unwrap();
            upload.write(b" and ").unwrap();
            assert_eq!((tree.facts(&path("/file")).unwrap(), content(tree, "/file").unwrap().as_str()), (before.clone(), "old"));
            assert_eq!(tree.list(&VirtualPath::root()).unwrap()[0].facts, before);
            assert!(matches!(begin(tree, "/file", Receive::Append, &bob), Err(StoreError::Busy)));
            assert!(matches!(tree.receive(&path("/file"), Receive::Replace), Err(StoreError::Busy)));
            assert!(matches!(tree.remove_file(&path("/file")), Err(StoreError::Busy)));
            assert!(matches!(tree.rename(&path("/file"), &path("/moved")), Err(StoreError::Busy)));
            assert_eq!(upload.break_off().unwrap(), 0);
            let after = tree.facts(&path("/file")).unwrap();
            assert_eq!((after.octets, after.modified), (3, before.modified), "cut back");
        }
        let mut upload = begin(tree, "/file", Receive::Append, &bob).unwrap();
        upload.write(b" and").unwrap();
        upload.write(b" new").unwrap();
        assert_eq!(upload.commit().unwrap().0.octets, 11);
        assert_eq!(content(tree, "/file").unwrap(), "old and new");
        begin(tree, "/file", Receive::Append, &bob).unwrap().commit().unwrap();
        tree.rename(&path("/file"), &path("/moved")).unwrap();
    });
}

#[test]
fn a_quota_is_the_limit_of_what_lies_below_an_accounts_folders() {
    every_tree(|tree| {
        let bob = author("bob", Some(100));
        tree.make_folder(&path("/own")).unwrap();
        tree.make_folder(&path("/own/sub")).unwrap();
        let put = |at: &str, how: Receive, octets: usize| {
            let mut upload = begin(tree, at, how, &bob)?;
            for _ in 0..octets {
                upload.write(b"x")?;
            }
            upload.commit().map(drop)
        };
        let room = || tree.available(&path("/"), &bob.account).unwrap();
        put("/own/a", Receive::Replace, 40).unwrap();
        put("/own/sub/b", Receive::Replace, 60).unwrap();
        assert_eq!(room(), 0);
        assert!(matches!(put("/own/c", Receive::Replace, 1), Err(StoreError::OverQuota)));
        assert!(matches!(put("/own/a", Receive::Append, 1), Err(StoreError::OverQuota)));
        assert_eq!(tree.facts(&path("/own/a")).unwrap().octets, 40);
        put("/own/a", Receive::Replace, 40).expect("what it replaces makes room");
        put("/own/a", Receive::Replace, 30).unwrap();
        assert_eq!(room(), 10);
        put("/own/a", Receive::Append, 5).unwrap();
        put("/own/sub/b", Receive::ResumeAt(50), 5).unwrap();
        assert_eq!(room(), 10);
        assert_eq!(broken_off(tree, "/own/new", Receive::Replace, &bob, "sixsix"), 6);
        assert_eq!(room(), 4, "what is kept counts");
        let mut over = begin(tree, "/own/new", Receive::Append, &bob).unwrap();
        over.write(b"four").unwrap();
        assert!(matches!(over.write(b"x"), Err(StoreError::OverQuota)));
        assert_eq!(over.break_off().unwrap(), 6, "no more than before");
        put("/own/new", Receive::Append, 4).unwrap();
        assert_eq!(room(), 0);
        tree.rename(&path("/own/new"), &path("/elsewhere")).unwrap();
        assert_eq!(room(), 10);
        tree.remove_file(&path("/own/a")).unwrap();
        assert_eq!(room(), 45);
        tree.rename(&path("/own/sub"), &path("/sub")).unwrap();
        assert_eq!(room(), 100);
    });
}

/// What `kill -9` leaves, and the next start makes of it.
#[test]
fn what_a_killed_process_leaves_is_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let bob = author("bob", None);
    std::fs::write(folder.path().join("standing"), "as it was").unwrap();
    let tree = DiskTree::open(folder.path()).unwrap();
    let mut growing = begin(&tree, "/new", Receive::Replace, &bob).unwrap();
    growing.write(b"half of ").unwrap();
    let mut adding = begin(&tree, "/standing", Receive::Append, &bob).unwrap();
    adding.write(b" and more").unwrap();
    std::fs::rename(folder.path().join("standing"), folder.path().join("renamed")).unwrap();
    // Nothing of them is ever dropped.
    std::mem::forget((growing, adding));
    assert_eq!(std::fs::read(folder.path().join("renamed")).unwrap(), b"as it was and more");
    let tree = DiskTree::open(folder.path()).unwrap();
    assert_eq!(content(&tree, "/renamed").unwrap(), "as it was");
    assert_eq!(std::fs::read(folder.path().join("renamed")).unwrap(), b"as it was");
    assert_eq!(kept(&tree, &bob, "/new").as_deref(), Some("half of "));
    let mut upload = begin(&tree, "/new", Receive::ResumeAt(8), &bob).unwrap();
    upload.write(b"it").unwrap();
    upload.commit().unwrap();
    assert_eq!(content(&tree, "/new").unwrap(), "half of it");
    begin(&tree, "/renamed", Receive::Append, &bob).unwrap().commit().unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join(".portico-undo")).unwrap().count(), 0);
}

#[test]
fn beyond_four_gibibytes() {
    const FAR: u64 = 5 << 30;
    let folder = tempfile::tempdir().unwrap();
    let (tree, bob) = (DiskTree::open(folder.path()).unwrap(), author("bob", None));
    std::fs::File::create(folder.path().join("sparse")).unwrap().set_len(FAR).unwrap();
    for (how, text) in [(Receive::ResumeAt(FAR), "end"), (Receive::Append, "END")] {
        let mut upload = begin(&tree, "/sparse", how, &bob).unwrap();
        upload.write(text.as_bytes()).unwrap();
        upload.commit().unwrap();
    }
    assert!(matches!(begin(&tree, "/sparse", Receive::ResumeAt(FAR + 7), &bob), Err(StoreError::Denied)));
    let file = std::fs::File::open(folder.path().join("sparse")).unwrap();
    let mut end = [0; 8];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut end, FAR - 2).unwrap();
    assert_eq!((file.metadata().unwrap().len(), &end), (FAR + 6, b"\0\0endEND"));
    let blocks = std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap());
    assert!(blocks < 1000, "it was added to in place: {blocks} blocks");
}

#[test]
fn what_can_not_be_added_to_in_place_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let (tree, bob) = (DiskTree::open(folder.path()).unwrap(), author("bob", None));
    std::fs::write(folder.path().join("file"), "old").unwrap();
    std::fs::hard_link(folder.path().join("file"), folder.path().join("backup")).unwrap();
    std::os::unix::fs::symlink("backup", folder.path().join("link")).unwrap();
    for name in ["/file", "/link"] {
        let mut upload = begin(&tree, name, Receive::Append, &bob).unwrap();
        upload.write(b"+").unwrap();
        upload.commit().unwrap();
        assert_eq!(content(&tree, name).unwrap(), "old+");
    }
    assert_eq!(std::fs::read(folder.path().join("backup")).unwrap(), b"old", "another name of it is another matter");
}
