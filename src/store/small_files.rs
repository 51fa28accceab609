//! Small files of the tree, kept in memory so that serving one again costs a single `statx`.
//!
//! Nothing stale ever comes out: what is kept counts only while the name still leads to a file with
//! the same inode, size and times (mtime and ctime, in nanoseconds). The kernel stamps files by a
//! clock that ticks, so a file that was changed within the last tick might change once more under
//! the same stamp; it is not kept.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};

use super::{
    VirtualPath,
    tree::{Content, FileFacts, OpenFile},
};

/// The largest file that is kept, in octets: larger ones go out by `sendfile`, which copies less.
const FILE_OCTETS: u64 = 32 * 1024;
/// What all of them may take, in octets.
const TOTAL_OCTETS: u64 = 32 * 1024 * 1024;
/// Files expected, for the table's size.
const FILES: usize = 4096;
/// Longer than any tick of a kernel's clock: 10 ms where it ticks 100 times a second.
const TICK: Duration = Duration::from_millis(100);

/// Files by path.
pub(super) struct SmallFiles(Cache<VirtualPath, Kept, Octets>);

#[derive(Clone)]
struct Kept {
    facts: FileFacts,
    octets: Bytes,
}

#[derive(Clone)]
struct Octets;

impl Weighter<VirtualPath, Kept> for Octets {
    fn weight(&self, path: &VirtualPath, kept: &Kept) -> u64 {
        (path.as_str().len() + kept.octets.len() + size_of::<Kept>()) as u64
    }
}

impl SmallFiles {
    pub(super) fn new() -> SmallFiles {
        SmallFiles(Cache::with_weighter(FILES, TOTAL_OCTETS, Octets))
    }

    /// What is kept of `path`, if `now`, which is asked only then, says that it is still the same.
    pub(super) fn find(&self, path: &VirtualPath, now: impl FnOnce() -> Option<FileFacts>) -> Option<OpenFile> {
        let Kept { facts, octets } = self.0.get(path)?;
        if now().is_some_and(|now| now == facts) {
            return Some(OpenFile { facts, content: Content::Memory(octets) });
        }
        self.0.remove(path);
        None
    }

    /// Keeps a file that was just opened, if it is small and has stood for a moment.
    ///
    /// The facts are from before the reading: a change meanwhile shows as other facts next time.
    pub(super) fn keep(&self, path: &VirtualPath, facts: &FileFacts, file: &File) {
        let is_settled = |stamp: SystemTime| SystemTime::now().duration_since(stamp).is_ok_and(|age| age > TICK);
        if facts.octets > FILE_OCTETS || !is_settled(facts.changed) || !is_settled(facts.modified) {
            return;
        }
        let mut octets = vec![0; usize::try_from(facts.octets).unwrap_or(0)];
        if file.read_exact_at(&mut octets, 0).is_ok() {
            self.0.insert(path.clone(), Kept { facts: facts.clone(), octets: octets.into() });
        }
    }
}
