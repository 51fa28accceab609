//! When an unsafe method last changed what an address stands for. A response that was asked for
//! before that may be the old one: it is not stored any more, and who comes later does not share
//! its fetch (RFC 9111, 4.4).

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

/// So many addresses are remembered: changes count for as long as a fetch takes.
const MAX_ADDRESSES: usize = 4096;

/// The addresses that were changed lately.
pub(crate) struct Forgotten {
    last: AtomicU64,
    changes: Cache<String, u64>,
}

/// A moment in the order of changes: after so many of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Default for Forgotten {
    fn default() -> Forgotten {
        Forgotten { last: AtomicU64::new(0), changes: Cache::new(MAX_ADDRESSES) }
    }
}

impl Forgotten {
    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        Moment(self.last.load(Ordering::SeqCst))
    }

    /// Notes a change.
    pub(crate) fn note(&self, key: &str) {
        let change = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        self.changes.insert(key.to_owned(), change);
    }

    /// Whether an address was changed after this moment.
    pub(crate) fn is_after(&self, key: &str, asked: Moment) -> bool {
        self.moment() > asked && self.changes.get(key).is_some_and(|change| change > asked.0)
    }

    /// A name for what an address stands for since its last change.
    pub(crate) fn epoch(&self, key: &str) -> Option<u64> {
        (self.moment() > Moment(0)).then(|| self.changes.get(key)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_comes_after_what_was_asked_before_it() {
        let forgotten = Forgotten::default();
        let before = forgotten.moment();
        assert!(forgotten.epoch("a").is_none());
        forgotten.note("a");
        assert!(forgotten.is_after("a", before) && !forgotten.is_after("b", before));
        assert!(!forgotten.is_after("a", forgotten.moment()));
        let first = forgotten.epoch("a");
        forgotten.note("a");
        assert!(first < forgotten.epoch("a"));
    }
}
