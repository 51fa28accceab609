//! The tree in memory as the model of the one on disk: whatever is done to both, they answer alike
//! and look alike. And what the doubles do when they are told to be full.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{
    clock::Clock,
    store::{
        StoreError, VirtualPath,
        disk_tree::DiskTree,
        mail::MailStore,
        memory::{MemoryMail, MemoryTree},
        tree::{FileKind, Receive, Tree},
    },
};

#[derive(Clone, Debug)]
enum Deed {
    Put(VirtualPath, Receive, Vec<u8>),
    GiveUp(VirtualPath),
    RemoveFile(VirtualPath),
    MakeFolder(VirtualPath),
    RemoveFolder(VirtualPath),
    Rename(VirtualPath, VirtualPath),
    List(VirtualPath),
    Open(VirtualPath),
}

fn paths() -> impl Strategy<Value = VirtualPath> {
    "(/[ab]){0,3}".prop_map(|text| VirtualPath::parse(&text).unwrap())
}

fn ways() -> impl Strategy<Value = Receive> {
    prop_oneof![Just(Receive::Replace), Just(Receive::Create), Just(Receive::Append), (0u64..6).prop_map(Receive::ResumeAt)]
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (paths(), ways(), proptest::collection::vec(any::<u8>(), 0..5)).prop_map(|(path, how, content)| Deed::Put(path, how, content)),
        1 => paths().prop_map(Deed::GiveUp),
        1 => paths().prop_map(Deed::RemoveFile),
        3 => paths().prop_map(Deed::MakeFolder),
        1 => paths().prop_map(Deed::RemoveFolder),
        2 => (paths(), paths()).prop_map(|(from, to)| Deed::Rename(from, to)),
        1 => paths().prop_map(Deed::List),
        1 => paths().prop_map(Deed::Open),
    ]
}

/// Does it and tells how it went, in words that can be compared.
fn answer(tree: &dyn Tree, deed: &Deed) -> String {
    let outcome = match deed {
        Deed::Put(path, how, content) => tree.receive(path, *how).and_then(|mut upload| {
            upload.write(content)?;
            upload.commit().map(|(facts, placed)| format!("{placed:?} {}", facts.octets))
        }),
        Deed::GiveUp(path) => tree.receive(path, Receive::Append).and_then(|mut upload| upload.write(b"x")).map(|()| String::new()),
        Deed::RemoveFile(path) => tree.remove_file(path).map(|()| String::new()),
        Deed::MakeFolder(path) => tree.make_folder(path).map(|()| String::new()),
        Deed::RemoveFolder(path) => tree.remove_folder(path).map(|()| String::new()),
        Deed::Rename(from, to) => tree.rename(from, to).map(|()| String::new()),
        Deed::List(path) => tree.list(path).map(|entries| entries.into_iter().map(|entry| entry.name + " ").collect()),
        Deed::Open(path) => tree.open(path).map(|file| file.facts.octets.to_string()),
    };
    match outcome {
        Ok(told) => told,
        Err(error) => error.to_string(),
    }
}

/// Every path with its content; folders have none.
fn look(tree: &dyn Tree) -> BTreeMap<VirtualPath, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![VirtualPath::root()];
    while let Some(folder) = waiting.pop() {
        for entry in tree.list(&folder).unwrap() {
            let path = folder.join(&entry.name).unwrap();
            let content = match entry.facts.kind {
                FileKind::Folder => {
                    waiting.push(path.clone());
                    None
                }
                FileKind::File => Some(tree.open(&path).unwrap().read().unwrap().to_vec()),
            };
            found.insert(path, content);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn both_trees_answer_alike_and_look_alike(deeds in proptest::collection::vec(deeds(), 1..25)) {
        let folder = tempfile::tempdir().unwrap();
        let (disk, memory) = (DiskTree::open(folder.path()).unwrap(), MemoryTree::new(Clock::system()));
        for deed in &deeds {
            prop_assert_eq!(answer(&disk, deed), answer(&memory, deed), "{:?}", deed);
        }
        prop_assert_eq!(look(&disk), look(&memory));
    }
}

#[test]
fn the_doubles_can_be_full() {
    let tree = MemoryTree::new(Clock::system()).with("/sub/file", "12345");
    tree.limit(8);
    let path = VirtualPath::parse("/sub/file").unwrap();
    let mut upload = tree.receive(&path, Receive::Replace).unwrap();
    upload.write(b"123").unwrap();
    assert!(matches!(upload.write(b"4"), Err(StoreError::Full)));
    assert_eq!(tree.facts(&path).unwrap().octets, 5);

    let mail = MemoryMail::new();
    mail.fill(true);
    assert!(matches!(mail.spool(), Err(StoreError::Full)));
    mail.fill(false);
    assert!(mail.spool().is_ok());
}
