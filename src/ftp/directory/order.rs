//! The order of a listing, as the options `-t`, `-S` and `-r` of `ls` ask for it.

use crate::store::{
    StoreError,
    tree::{TreeEntry, Walk},
};

/// A directory with more entries comes as it is: it would have to be held in memory for an order.
const MAX_SORTED: usize = 20_000;

/// What decides which entry comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Key {
    #[default]
    Name,
    /// The latest first.
    Modified,
    /// The largest first.
    Octets,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    pub key: Key,
    pub reversed: bool,
}

impl Order {
    /// The same entries in this order. A directory comes sorted by name already.
    pub(super) fn apply(self, mut walk: Box<dyn Walk>) -> Result<Box<dyn Walk>, StoreError> {
        if self == Order::default() {
            return Ok(walk);
        }
        let mut entries = walk.next(MAX_SORTED + 1)?;
        if entries.len() > MAX_SORTED {
            return Ok(Box::new(Resumed { first: entries.into_iter(), rest: walk }));
        }
        match self.key {
            Key::Name => {}
            Key::Modified => entries.sort_by_key(|entry| std::cmp::Reverse(entry.facts.modified)),
            Key::Octets => entries.sort_by_key(|entry| std::cmp::Reverse(entry.facts.octets)),
        }
        if self.reversed {
            entries.reverse();
        }
        Ok(Box::new(entries.into_iter()))
    }
}

/// A walk of which some entries have been taken already.
struct Resumed {
    first: std::vec::IntoIter<TreeEntry>,
    rest: Box<dyn Walk>,
}

impl Walk for Resumed {
    fn next(&mut self, most: usize) -> Result<Vec<TreeEntry>, StoreError> {
        let entries = Walk::next(&mut self.first, most)?;
        if entries.is_empty() { self.rest.next(most) } else { Ok(entries) }
    }
}
