//! Files that may stand beside another one: its variants in other languages and codings.
//!
//! Most pages have none, and every browser asks for four languages and three codings. What was
//! looked for in vain is remembered for as long as the folder stays as it is: a name can't appear
//! in a folder without the folder's times telling. So a page without variants costs one look at
//! its folder in place of seven failed attempts to open something.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::SystemTime,
};

use quick_cache::sync::Cache;

use crate::store::{
    StoreError, VirtualPath,
    tree::{FileFacts, OpenFile, Tree},
};

/// How many names are remembered. An entry takes about 250 octets.
const NAMES: usize = 8192;

/// Names that were not there, with the state of their folder at that moment.
pub(super) struct Absent(Cache<VirtualPath, FileFacts>);

impl Default for Absent {
    fn default() -> Absent {
        Absent(Cache::new(NAMES))
    }
}

/// The folder of one file, while one request looks around in it.
pub(super) struct Beside<'a> {
    tree: &'a dyn Tree,
    absent: &'a Absent,
    folder: VirtualPath,
    now: SystemTime,
    /// Looked at when first needed.
    facts: OnceLock<Option<FileFacts>>,
    /// Something was there, or could not be looked at.
    is_populated: AtomicBool,
}

/// What a request found out about the files beside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It asked for none.
    Nothing,
    /// There are none, as long as the folder stays so.
    Absence(VirtualPath, FileFacts),
    /// There are some.
    Others,
}

impl Absent {
    pub(super) fn beside<'a>(&'a self, tree: &'a dyn Tree, path: &VirtualPath, now: SystemTime) -> Beside<'a> {
        Beside { tree, absent: self, folder: path.parent(), now, facts: OnceLock::new(), is_populated: AtomicBool::new(false) }
    }
}

impl Beside<'_> {
    /// Opens a file of the same folder; `None` where there is none.
    pub(super) fn open(&self, path: &VirtualPath) -> Option<OpenFile> {
        // Before the attempt: what appears in between changes the folder once more.
        let folder = self.facts.get_or_init(|| self.tree.facts(&self.folder).ok()).as_ref();
        if folder.is_some() && self.absent.0.get(path).as_ref() == folder {
            return None;
        }
        match self.tree.open(path) {
            Ok(file) => {
                self.is_populated.store(true, Relaxed);
                Some(file)
            }
            Err(StoreError::NotFound) => {
                if let Some(folder) = folder.filter(|folder| folder.have_settled(self.now)) {
                    self.absent.0.insert(path.clone(), folder.clone());
                }
                None
            }
            Err(_) => {
                self.is_populated.store(true, Relaxed);
                None
            }
        }
    }

    /// What has been found out so far.
    pub(super) fn seen(&self) -> Seen {
        match self.facts.get() {
            None => Seen::Nothing,
            Some(Some(facts)) if !self.is_populated.load(Relaxed) => Seen::Absence(self.folder.clone(), facts.clone()),
            Some(_) => Seen::Others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        store::{
            memory::MemoryTree,
            tree::{Receive, TICK},
        },
    };

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_never_stale() {
        let clock = Clock::textbook();
        let tree = MemoryTree::new(clock.clone()).with("/a/page.html", "x");
        let path = VirtualPath::parse("/a/page.html.br").unwrap();
        let absent = Absent::default();
        let seen = || {
            let beside = absent.beside(&tree, &path, clock.now());
            assert_eq!(beside.seen(), Seen::Nothing);
            beside.open(&path);
            beside.seen()
        };
        let folder = tree.facts(&path.parent()).unwrap();
        assert_eq!(seen(), Seen::Absence(path.parent(), folder));
        let look = || absent.beside(&tree, &path, clock.now()).open(&path).is_some();
        assert!(!look());
        assert!(absent.0.is_empty(), "the folder is too young");
        tokio::time::advance(TICK).await;
        assert!(!look());
        assert_eq!(absent.0.len(), 1);
        tree.receive(&path, Receive::Replace).unwrap().commit().unwrap();
        assert!(look(), "the folder tells");
        assert_eq!(seen(), Seen::Others);
        tokio::time::advance(TICK).await;
        assert!(look());
        tree.remove_file(&path).unwrap();
        assert!(!look());
    }
}
