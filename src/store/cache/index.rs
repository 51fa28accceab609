//! What is on disk, by the hash of its key, within a budget: the part of the disk cache that is
//! held in memory.
//!
//! The policy of eviction is that of the cache in memory, scan-resistant and near to "least
//! recently used". What is evicted is only named here; whoever asked removes the files.

use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, unsync::Cache};

/// What the index takes in memory for one object, in octets, all in all: measured, rounded up.
pub(super) const ENTRY_OCTETS: u64 = 160;
/// Files take room in blocks of this size.
const BLOCK_OCTETS: u64 = 4096;

/// A file with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileRef {
    /// The second half of its name, never used twice: a name never means another content.
    pub id: u64,
    /// What it takes on disk.
    pub octets: u64,
    pub state: FileState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    /// It is about to be written.
    Pending,
    /// It was here when we started; nobody has looked at it yet.
    Found,
    /// Written by this process, or read and found whole.
    Sound,
}

impl FileRef {
    pub(super) fn new(id: u64, octets: u64, state: FileState) -> FileRef {
        FileRef { id, octets: octets.next_multiple_of(BLOCK_OCTETS), state }
    }
}

type Files = Vec<FileRef>;
/// Files that are to be removed, by the hash of their keys.
pub(super) type Evicted = Vec<(u64, FileRef)>;

/// The files under each hash.
pub(super) struct Index {
    files: Cache<u64, Files, Weights, DefaultHashBuilder, Evicting>,
}

struct Weights {
    /// The least that an entry counts, so that the number of entries is bounded too.
    least: u64,
}

impl Weighter<u64, Files> for Weights {
    fn weight(&self, _: &u64, files: &Files) -> u64 {
        files.iter().map(|file| file.octets).sum::<u64>().max(self.least)
    }
}

struct Evicting;

impl Lifecycle<u64, Files> for Evicting {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, hash: u64, files: Files) {
        evicted.extend(files.into_iter().map(|file| (hash, file)));
    }
}

impl Index {
    /// An index of at most `budget` octets on disk and `max_entries` keys.
    ///
    /// # Panics
    /// Never: the one thing that the options could lack is given.
    pub(super) fn new(budget: u64, max_entries: u64) -> Index {
        let least = (budget / max_entries.max(1)).max(1);
        let expected = usize::try_from(max_entries).unwrap_or(usize::MAX).min(4096);
        let options = OptionsBuilder::new().estimated_items_capacity(expected).weight_capacity(budget).ghost_allocation(0.1).build();
        let options = options.expect("both capacities are given");
        Index { files: Cache::with_options(options, Weights { least }, DefaultHashBuilder::default(), Evicting) }
    }

    /// The files under a hash, which thereby count as used.
    pub(super) fn files(&self, hash: u64) -> Files {
        self.files.get(&hash).cloned().unwrap_or_default()
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.files.contains_key(&hash)
    }

    /// Takes a file up and answers what must go for it; that may be itself, if it is too large.
    pub(super) fn insert(&mut self, hash: u64, file: FileRef) -> Evicted {
        let mut files = self.files.peek(&hash).cloned().unwrap_or_default();
        match files.iter_mut().find(|known| known.id == file.id) {
            Some(known) => *known = file,
            None => files.push(file),
        }
        let mut evicted = Evicted::new();
        self.files.insert_with_lifecycle(hash, files, &mut evicted);
        // The files that the new list took over from the old one stay.
        evicted.retain(|(hash, file)| !self.has(*hash, file.id));
        evicted
    }

    /// Forgets one file; tells whether it was there.
    pub(super) fn remove(&mut self, hash: u64, id: u64) -> bool {
        let Some(mut files) = self.files.peek(&hash).cloned() else { return false };
        let before = files.len();
        files.retain(|file| file.id != id);
        let is_removed = files.len() < before;
        match files.is_empty() {
            true => drop(self.files.remove(&hash)),
            // It weighs less than before, so nothing is evicted.
            false => self.files.insert(hash, files),
        }
        is_removed
    }

    /// Forgets all files under a hash.
    pub(super) fn remove_all(&mut self, hash: u64) -> Files {
        self.files.remove(&hash).map(|(_, files)| files).unwrap_or_default()
    }

    pub(super) fn has(&self, hash: u64, id: u64) -> bool {
        self.files.peek(&hash).is_some_and(|files| files.iter().any(|file| file.id == id))
    }

    pub(super) fn set_state(&mut self, hash: u64, id: u64, state: FileState) {
        let Some(mut files) = self.files.peek_mut(&hash) else { return };
        files.iter_mut().filter(|file| file.id == id).for_each(|file| file.state = state);
    }

    /// All files, in no order.
    pub(super) fn all(&self) -> Vec<(u64, FileRef)> {
        self.files.iter().flat_map(|(hash, files)| files.iter().map(|file| (*hash, *file))).collect()
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.files.len()
    }

    /// What all of it takes on disk. Looks at each entry: for people who ask.
    pub(super) fn octets(&self) -> u64 {
        self.files.iter().flat_map(|(_, files)| files).map(|file| file.octets).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: u64, octets: u64) -> FileRef {
        FileRef::new(id, octets, FileState::Sound)
    }

    #[test]
    fn the_budget_holds_and_what_goes_is_named() {
        let mut index = Index::new(100 * 4096, 1000);
        let mut evicted = Vec::new();
        for id in 0..500 {
            evicted.extend(index.insert(id, file(id, 100)));
        }
        assert!(index.octets() <= 100 * 4096 && index.keys() > 50, "{} of {}", index.octets(), index.keys());
        assert_eq!(evicted.len() + index.keys(), 500);
        assert!(evicted.iter().all(|(hash, file)| !index.has(*hash, file.id)));
        assert_eq!(index.insert(1000, file(1, 1 << 30)), [(1000, file(1, 1 << 30))], "too large altogether");
    }

    #[test]
    fn the_number_of_entries_is_bounded_too() {
        let mut index = Index::new(1 << 40, 100);
        (0..1000).for_each(|id| drop(index.insert(id, file(id, 1))));
        assert!(index.keys() <= 100, "{}", index.keys());
        assert_eq!(index.octets(), index.keys() as u64 * 4096, "what they take, not what they count");
    }

    #[test]
    fn files_under_one_hash_come_and_go() {
        let mut index = Index::new(1 << 30, 100);
        assert!(index.insert(7, file(1, 5000)).is_empty() && index.insert(7, file(2, 1)).is_empty());
        index.set_state(7, 2, FileState::Pending);
        assert_eq!(index.files(7), [file(1, 8192), FileRef::new(2, 1, FileState::Pending)]);
        assert!(index.remove(7, 1) && !index.remove(7, 1) && index.contains(7));
        assert_eq!(index.remove_all(7).len(), 1);
        assert!(!index.contains(7));
    }
}
