//! The corpus, replayed on stable: every file, and for a moment mutations of it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{BODIES, CONVERSATIONS};

/// How long mutations are tried, over all targets; `PORTICO_FUZZ_SECS` has it longer, and
/// `PORTICO_FUZZ_TARGETS` names those that are wanted.
const MUTATING_SECS: u64 = 1;
/// The sequence of mutations is always the same; only how far it is followed hangs on the machine.
const SEED: u64 = 0x706f_7274_6963_6f21;
/// What the corpus of one target may come to, in octets: it is checked in.
const CORPUS_OCTETS: usize = 32 * 1024;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let stem = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
    entries.map(stem).collect()
}

/// The corpus of a target, in the order of its names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| (path.strip_prefix(folder.parent().unwrap()).unwrap().display().to_string(), fs::read(path).unwrap())).collect()
}

fn all_targets() -> BTreeSet<String> {
    BODIES.iter().map(|(name, _)| *name).chain(CONVERSATIONS.iter().copied()).map(str::to_owned).collect()
}

#[test]
fn every_target_has_a_file_a_row_and_a_corpus() {
    let targets = all_targets();
    assert_eq!(names_in(&folder("fuzz_targets")), targets, "fuzz/fuzz_targets");
    assert_eq!(names_in(&folder("corpus")), targets, "fuzz/corpus");
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    let rows = manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).map(str::to_owned);
    assert_eq!(rows.skip(1).collect::<BTreeSet<_>>(), targets, "fuzz/Cargo.toml");
    for target in targets {
        let octets: usize = corpus(&target).iter().map(|(_, content)| content.len()).sum();
        assert!((1..=CORPUS_OCTETS).contains(&octets), "{target}: {octets} octets");
    }
}

/// Which input it was, where a body panics.
fn outcome(name: &str, input: &[u8], body: impl FnOnce(&[u8])) -> Result<(), String> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(input)));
    outcome.map_err(|_| format!("{name}: \"{}\"", input.escape_ascii()))
}

fn converse(target: &str, input: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        match target {
            "ftp_conversation" => super::ftp_conversation(input).await,
            "pop3_conversation" => super::pop3_conversation(input).await,
            "proxy_conversation" => super::proxy_conversation(input).await,
            "relay_conversation" => super::relay_conversation(input).await,
            "smtp_chunks" => super::smtp_chunks(input).await,
            "smtp_conversation" => super::smtp_conversation(input).await,
            "web_conversation" => super::web_conversation(input).await,
            other => panic!("{other} is no conversation"),
        }
    });
}

#[test]
fn the_corpus_holds() {
    let mut broken = Vec::new();
    for (target, body) in BODIES {
        broken.extend(corpus(target).iter().filter_map(|(name, content)| outcome(name, content, body).err()));
    }
    for target in CONVERSATIONS {
        let body = |input: &[u8]| converse(target, input);
        broken.extend(corpus(target).iter().filter_map(|(name, content)| outcome(name, content, body).err()));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

type BoxedBody = Box<dyn Fn(&[u8])>;

#[test]
fn mutations_of_the_corpus_hold() {
    let mut chance = Chance(SEED);
    // Conversations are slow: they take part where they are named.
    let named = std::env::var("PORTICO_FUZZ_TARGETS").unwrap_or_default();
    let is_named = |target: &str| named.split(',').any(|name| name == target);
    let plain = BODIES
        .iter()
        .filter(|(target, _)| named.is_empty() || is_named(target))
        .map(|(target, body)| (corpus(target), Box::new(body) as BoxedBody));
    let talks = CONVERSATIONS
        .iter()
        .filter(|target| is_named(target))
        .map(|target| (corpus(target), Box::new(|input: &[u8]| converse(target, input)) as BoxedBody));
    let corpora: Vec<_> = plain.chain(talks).collect();
    assert!(!corpora.is_empty(), "PORTICO_FUZZ_TARGETS names no target");
    let secs = std::env::var("PORTICO_FUZZ_SECS").ok().and_then(|secs| secs.parse().ok()).unwrap_or(MUTATING_SECS);
    let until = Instant::now() + Duration::from_secs(secs);
    while Instant::now() < until {
        for (files, body) in &corpora {
            let (name, content) = &files[chance.below(files.len())];
            let (_, other) = &files[chance.below(files.len())];
            let mutated = mutate(content, other, &mut chance);
            if let Err(broken) = outcome(&format!("a mutation of {name}"), &mutated, body) {
                panic!("{broken}");
            }
        }
    }
}

/// A number of changes to one input, some with pieces of another.
fn mutate(content: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    const TELLING: &[&[u8]] =
        &[b"\r\n", b"\n", b"\r", b"\0", b" ", b",", b"\"", b"..", b"%2e", b"/", b":", b";", b"=", b"\xff", b"-1", b"99999999999999999999"];
    let mut input = content.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(input.len() + 1);
        let end = at + chance.below(input.len() - at + 1);
        match chance.below(5) {
            0 => drop(input.splice(at..at, TELLING[chance.below(TELLING.len())].iter().copied())),
            1 => drop(input.drain(at..end)),
            2 => input.insert(at, u8::try_from(chance.below(256)).unwrap()),
            3 => input.extend_from_slice(&content[at.min(content.len())..]),
            _ => drop(input.splice(at..end, other[chance.below(other.len() + 1)..].iter().copied())),
        }
    }
    input
}

/// xorshift64*: chance that is the same every time.
struct Chance(u64);

impl Chance {
    /// Below `most`; 0 where that is 0.
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap() % most.max(1)
    }
}
