//! Compressed files: made once, on the threads for work that blocks, and kept in memory.
//!
//! A result is found by path, coding and the entity tag of the plain file, so a file that changes
//! is compressed anew and what was kept of it falls out in time. Many requests for one file that
//! is not there yet wait for one and the same compression; not more than there are processors run
//! at a time.

use std::{io, os::unix::fs::FileExt};

use bytes::Bytes;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::Cache, sync::DefaultLifecycle};
use tokio::sync::Semaphore;

use crate::{
    http::coding::{Coding, Effort},
    store::{
        VirtualPath, blocking,
        tree::{Content, OpenFile},
    },
};

/// Results expected, for the table's size.
const RESULTS: usize = 1024;

pub(super) struct Compressed {
    kept: Cache<Key, Bytes, Octets>,
    turns: Semaphore,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub path: VirtualPath,
    /// The entity tag of the plain file.
    pub tag: String,
    pub coding: Coding,
}

#[derive(Clone)]
struct Octets;

impl Weighter<Key, Bytes> for Octets {
    fn weight(&self, key: &Key, result: &Bytes) -> u64 {
        (key.path.as_str().len() + key.tag.len() + result.len() + size_of::<Key>() + size_of::<Bytes>()) as u64
    }
}

impl Compressed {
    /// Keeps results of `octets` octets in all.
    pub(super) fn new(octets: u64) -> Compressed {
        // In one piece: divided into shards, a large result would fit into none.
        let options = OptionsBuilder::new().estimated_items_capacity(RESULTS).weight_capacity(octets).shards(1).build();
        let options = options.expect("both capacities are given");
        let kept = Cache::with_options(options, Octets, DefaultHashBuilder::default(), DefaultLifecycle::default());
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Compressed { kept, turns: Semaphore::new(processors) }
    }

    /// The file in this coding.
    ///
    /// # Errors
    /// Where the file can't be read, or has changed since it was opened.
    pub(super) async fn of(&self, key: &Key, file: &OpenFile) -> io::Result<Bytes> {
        self.kept.get_or_insert_async(key, self.make(key.coding, Effort::Kept, file)).await
    }

    /// The same, once and not kept.
    ///
    /// # Errors
    /// As for [`Compressed::of`].
    pub(super) async fn make(&self, coding: Coding, effort: Effort, file: &OpenFile) -> io::Result<Bytes> {
        let content = file.content.clone();
        let octets = usize::try_from(file.facts.octets).map_err(io::Error::other)?;
        let modified = file.facts.modified;
        let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
        blocking(move || {
            let plain = match content {
                Content::Memory(octets) => octets,
                Content::Disk(file) => {
                    let mut plain = vec![0; octets];
                    file.read_exact_at(&mut plain, 0)?;
                    if file.metadata()?.modified()? != modified {
                        return Err(io::Error::other("the file changed while it was compressed"));
                    }
                    plain.into()
                }
            };
            Ok(coding.encode(&plain, effort)?.into())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        store::{memory::MemoryTree, tree::Tree},
    };

    fn key(path: &VirtualPath, tag: &str) -> Key {
        Key { path: path.clone(), tag: tag.to_owned(), coding: Coding::Gzip }
    }

    #[tokio::test]
    async fn results_are_kept_within_their_bound() {
        let path = VirtualPath::parse("/a").unwrap();
        let tree = MemoryTree::new(Clock::system()).with("/a", vec![b'a'; 100_000]);
        let file = tree.open(&path).unwrap();
        let compressed = Compressed::new(4000);
        for number in 0..100 {
            let result = compressed.of(&key(&path, &number.to_string()), &file).await.unwrap();
            assert!(result.len() < 1000);
        }
        assert!(compressed.kept.weight() <= 4000 && compressed.kept.len() > 5, "{} {}", compressed.kept.weight(), compressed.kept.len());
    }

    #[tokio::test]
    async fn many_at_once_share_one_compression() {
        let path = VirtualPath::parse("/a").unwrap();
        let tree = MemoryTree::new(Clock::system()).with("/a", vec![b'a'; 100_000]);
        let file = tree.open(&path).unwrap();
        let compressed = Compressed::new(1_000_000);
        let wanted = key(&path, "t");
        let (one, other) = tokio::join!(compressed.of(&wanted, &file), compressed.of(&wanted, &file));
        assert_eq!(one.unwrap().as_ptr(), other.unwrap().as_ptr(), "the very same octets");
    }
}
