//! Files of the tree that were opened before: small ones in memory, middling ones as open files,
//! so that serving one again costs a single `statx` and no open.
//!
//! Nothing stale ever comes out: what is kept counts only while the name still leads to a file with
//! the same inode, size and times (mtime and ctime, in nanoseconds). The kernel stamps files by a
//! clock that ticks, so a file that was changed within the last tick might change once more under
//! the same stamp; it is not kept.

use std::{fs::File, sync::Arc, time::SystemTime};

use quick_cache::{Weighter, sync::Cache};

use super::{
    VirtualPath,
    tree::{Content, FileFacts, OpenFile},
};

/// The largest file that is kept in memory, in octets: larger ones go out by `sendfile`, which
/// copies less.
const MEMORY_OCTETS: u64 = 32 * 1024;
/// What all of them may take, in octets.
const TOTAL_OCTETS: u64 = 32 * 1024 * 1024;
/// Small files expected, for the table's size.
const FILES: usize = 4096;
/// The largest file that is kept open, in octets: beyond it an open costs nothing beside the
/// sending, and a removed file would hold its space on the disk for too long.
const OPEN_OCTETS: u64 = 1024 * 1024;
/// How many are kept open: each takes a descriptor.
const OPEN_FILES: usize = 64;

/// Files by path.
pub(super) struct OpenFiles {
    small: Cache<VirtualPath, Kept, Octets>,
    open: Cache<VirtualPath, Kept>,
}

#[derive(Clone)]
struct Kept {
    facts: FileFacts,
    content: Content,
}

#[derive(Clone)]
struct Octets;

impl Weighter<VirtualPath, Kept> for Octets {
    fn weight(&self, path: &VirtualPath, kept: &Kept) -> u64 {
        path.as_str().len() as u64 + kept.facts.octets + size_of::<Kept>() as u64
    }
}

impl OpenFiles {
    pub(super) fn new() -> OpenFiles {
        OpenFiles { small: Cache::with_weighter(FILES, TOTAL_OCTETS, Octets), open: Cache::new(OPEN_FILES) }
    }

    /// What is kept of `path`, if `now`, which is asked only then, says that it is still the same.
    pub(super) fn find(&self, path: &VirtualPath, now: impl FnOnce() -> Option<FileFacts>) -> Option<OpenFile> {
        let Kept { facts, content } = self.small.get(path).or_else(|| self.open.get(path))?;
        if now().is_some_and(|now| now == facts) {
            return Some(OpenFile { facts, content });
        }
        self.small.remove(path);
        self.open.remove(path);
        None
    }

    /// Keeps a file that was just opened, if it is not too large and has stood for a moment.
    /// Answers where its octets are best read from now on.
    ///
    /// The facts are from before the reading: a change meanwhile shows as other facts next time.
    pub(super) fn keep(&self, path: &VirtualPath, facts: &FileFacts, file: File) -> Content {
        let disk = Content::Disk(Arc::new(file));
        if facts.octets > OPEN_OCTETS || !facts.have_settled(SystemTime::now()) {
            return disk;
        }
        let kept = |content: &Content| Kept { facts: facts.clone(), content: content.clone() };
        if facts.octets > MEMORY_OCTETS {
            self.open.insert(path.clone(), kept(&disk));
            return disk;
        }
        let file = OpenFile { facts: facts.clone(), content: disk.clone() };
        match file.read() {
            Ok(octets) => {
                let content = Content::Memory(octets);
                self.small.insert(path.clone(), kept(&content));
                content
            }
            Err(_) => disk,
        }
    }
}
