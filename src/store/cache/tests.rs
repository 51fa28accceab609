//! One suite for both kinds of cache, and what only a disk can do wrong.

use std::fs;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// A variant that is its own record.
#[derive(Debug, PartialEq)]
struct Note(String, Vec<u8>);

struct Stored {
    name: String,
    body: Body,
}

impl Variant for Stored {
    fn octets(&self) -> u64 {
        self.body.memory_octets() + self.name.len() as u64
    }

    fn body(&self) -> &Body {
        &self.body
    }

    fn record(&self) -> Vec<u8> {
        self.name.clone().into_bytes()
    }
}

fn restore() -> Restore<Stored> {
    Box::new(|record, body| Some(Stored { name: String::from_utf8(record.to_vec()).ok()?, body }))
}

fn budgets() -> Budgets {
    Budgets { memory: 8 << 20, disk: 16 << 20, object: 4 << 20, memory_object: 64 << 10 }
}

/// Runs a test against each kind of cache.
fn with_each(test: impl Fn(&Cache<Stored>)) {
    test(&Cache::in_memory(budgets(), restore()));
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(budgets(), folder.path(), restore());
    assert!(cache.disk.is_some());
    test(&cache);
}

fn push(cache: &Cache<Stored>, key: &str, name: &str, body: Vec<u8>) {
    let new = Arc::new(Stored { name: name.to_owned(), body: Body::Whole(body.into()) });
    cache.change(key, &mut |known| std::iter::once(new.clone()).chain(known.iter().cloned()).collect());
}

fn settle(cache: &Cache<Stored>) {
    if let Some(disk) = &cache.disk {
        disk.clerk.settle();
    }
}

/// Names and bodies under a key.
fn found(cache: &Cache<Stored>, key: &str) -> Vec<Note> {
    let read = |variant: &Arc<Stored>| Note(variant.name.clone(), variant.body.read(u64::MAX).unwrap().to_vec());
    cache.load(key).iter().map(read).collect()
}

fn note(name: &str, body: &[u8]) -> Note {
    Note(name.to_owned(), body.to_vec())
}

/// Stores a long body as the proxy does, through a file.
async fn push_long(cache: &Cache<Stored>, key: &str, name: &str, body: &[u8]) {
    let mut writer = cache.begin(key, Some(body.len() as u64), name.len());
    let _reader = writer.growing().join(0);
    for piece in body.chunks(10_000) {
        writer.push(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let new = Arc::new(Stored { name: name.to_owned(), body: writer.body().await.unwrap() });
    cache.change(key, &mut |_| vec![new.clone()]);
    writer.finish();
}

#[test]
fn a_budget_smaller_than_the_index_is_no_huge_one() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(Budgets { memory: 1000, ..budgets() }, folder.path(), restore());
    for number in 0..10 {
        push(&cache, &number.to_string(), "a", vec![b'x'; 10_000]);
    }
    settle(&cache);
    assert!(cache.totals().memory_octets <= 1000);
    assert_eq!(found(&cache, "0"), [note("a", &[b'x'; 10_000])], "the disk has it");
}

#[test]
fn variants_gather_under_their_key_and_go_with_it() {
    with_each(|cache| {
        assert!(cache.load("a").is_empty() && !cache.remove("a"));
        push(cache, "a", "first", vec![1; 10]);
        push(cache, "a", "second", vec![2; 20]);
        push(cache, "b", "other", vec![3; 30]);
        assert_eq!(found(cache, "a"), [note("second", &[2; 20]), note("first", &[1; 10])]);
        settle(cache);
        let keys: Vec<_> = cache.list(&|key| key == "a").into_iter().map(|row| (row.key, row.variants)).collect();
        assert_eq!(keys, [("a".to_owned(), 2)]);
        cache.change("a", &mut |known| vec![known[1].clone()]);
        assert_eq!(found(cache, "a"), [note("first", &[1; 10])]);
        assert!(cache.remove("a") && !cache.remove("a") && cache.load("a").is_empty());
        assert_eq!(found(cache, "b").len(), 1);
    });
}

#[test]
fn the_budgets_hold_however_much_comes() {
    with_each(|cache| {
        for number in 0..3_000 {
            push(cache, &format!("key {number}"), "page", vec![7; 9_000]);
        }
        settle(cache);
        let totals = cache.totals();
        assert!(totals.memory_octets <= 8 << 20 && totals.memory_octets > 2 << 20, "{totals:?}");
        if let Some(disk) = &cache.disk {
            let on_disk = space(&disk.disk.folder);
            assert!(totals.disk_octets <= 16 << 20 && totals.disk_octets > 8 << 20, "{totals:?}");
            assert_eq!(on_disk, totals.disk_octets);
        }
    });
}

/// What all files below a folder take, in blocks.
fn space(folder: &Path) -> u64 {
    files(folder).iter().map(|file| fs::metadata(file).unwrap().len().next_multiple_of(4096)).sum()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[tokio::test]
async fn what_is_stored_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let long: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let cache = Cache::open(budgets(), folder.path(), restore());
    push(&cache, "a", "first", vec![1; 10]);
    push(&cache, "a", "second", vec![2; 20]);
    push_long(&cache, "long", "film", &long).await;
    // Validated: the same body under a new head.
    cache.change("long", &mut |known| vec![Arc::new(Stored { name: "film, again".into(), body: known[0].body.clone() })]);
    drop(cache);
    let cache = Cache::open(budgets(), folder.path(), restore());
    assert_eq!(found(&cache, "a"), [note("second", &[2; 20]), note("first", &[1; 10])]);
    assert!(found(&cache, "long") == [note("film, again", &long)]);
    assert!(matches!(&cache.load("long")[0].body, Body::File(_)), "it stays on disk");
    assert!(cache.remove("long") && cache.remove("a"));
    settle(&cache);
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn who_reads_a_body_keeps_it_when_it_is_thrown_out() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(budgets(), folder.path(), restore());
    push_long(&cache, "long", "film", &[5; 200_000]).await;
    settle(&cache);
    let Body::File(filed) = cache.load("long")[0].body.clone() else { panic!("it is long") };
    let (file, offset) = filed.open().unwrap();
    assert!(cache.remove("long"));
    assert!(filed.open().is_err(), "for others it is gone");
    assert_eq!(file.metadata().unwrap().len(), offset + 200_000);
}

#[test]
fn a_disk_that_fails_is_done_without() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(budgets(), folder.path(), restore());
    // A file where folders must be made: every write fails, for root too.
    (0..256).for_each(|number| fs::write(folder.path().join(format!("{number:02x}")), "in the way").unwrap());
    push(&cache, "a", "first", vec![1; 10]);
    settle(&cache);
    assert_eq!(found(&cache, "a"), [note("first", &[1; 10])], "from memory");
    assert_eq!(cache.totals().disk_keys, 0);
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    assert!(Cache::open(budgets(), &in_the_way, restore()).disk.is_none());
}

/// What may happen to a cache.
#[derive(Clone, Debug)]
enum Deed {
    Push(u8, u32),
    Remove(u8),
    Restart,
    /// The file with this number (of those that there are) is cut, or has an octet changed.
    Cut(usize, usize),
    Damage(usize, usize),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => (0u8..6, 0u32..100_000).prop_map(|(key, octets)| Deed::Push(key, octets)),
        1 => (0u8..6).prop_map(Deed::Remove),
        2 => Just(Deed::Restart),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, at)| Deed::Cut(file, at)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, at)| Deed::Damage(file, at)),
    ];
    proptest::collection::vec(deed, 1..24)
}

/// The body that was stored by the deed with this number.
fn content(number: usize, octets: u32) -> Vec<u8> {
    (0..octets).map(|at| (at as usize * 7 + number) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens to its files, a cache answers what was stored last, or nothing; and
    /// nothing where nothing was.
    #[test]
    fn what_is_found_is_right(deeds in deeds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Some(Cache::open(budgets(), folder.path(), restore()));
        let mut stored = std::collections::BTreeMap::new();
        for (number, deed) in deeds.into_iter().enumerate() {
            let open = cache.as_ref().unwrap();
            settle(open);
            let files = files(folder.path());
            match deed {
                Deed::Push(key, octets) => {
                    let body = content(number, octets);
                    runtime.block_on(push_long(open, &key.to_string(), &number.to_string(), &body));
                    stored.insert(key, note(&number.to_string(), &body));
                }
                Deed::Remove(key) => prop_assert!(!open.remove(&key.to_string()) || stored.remove(&key).is_some()),
                Deed::Restart => {
                    drop(cache.take());
                    cache = Some(Cache::open(budgets(), folder.path(), restore()));
                }
                Deed::Cut(file, at) if !files.is_empty() => {
                    let octets = fs::read(&files[file % files.len()]).unwrap();
                    drop(cache.take());
                    fs::write(&files[file % files.len()], &octets[..at % octets.len()]).unwrap();
                    cache = Some(Cache::open(budgets(), folder.path(), restore()));
                }
                Deed::Damage(file, at) if !files.is_empty() => {
                    let mut octets = fs::read(&files[file % files.len()]).unwrap();
                    drop(cache.take());
                    let at = at % octets.len();
                    octets[at] ^= 0x20;
                    fs::write(&files[file % files.len()], &octets).unwrap();
                    cache = Some(Cache::open(budgets(), folder.path(), restore()));
                }
                _ => {}
            }
            for key in 0..6 {
                let found = found(cache.as_ref().unwrap(), &key.to_string());
                prop_assert!(found.is_empty() || Some(&found[0]) == stored.get(&key), "{key}");
            }
        }
    }
}
