//! The rows of the cache that are in memory.

use std::sync::Arc;

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::{Variant, Variants};

/// Keys expected per octet of the budget: a small web page each.
const OCTETS_PER_KEY: u64 = 16 * 1024;
/// What a row takes beside its key and variants, in octets.
const ROW_OCTETS: u64 = 256;

/// All variants of one key, and which objects on disk they are.
pub(super) struct Row<V> {
    pub variants: Variants<V>,
    pub ids: Arc<[Option<u64>]>,
}

impl<V> Row<V> {
    /// The object on disk that this variant is.
    pub(super) fn id_of(&self, variant: &Arc<V>) -> Option<u64> {
        let at = self.variants.iter().position(|known| Arc::ptr_eq(known, variant))?;
        self.ids.get(at).copied().flatten()
    }
}

impl<V> Default for Row<V> {
    fn default() -> Self {
        Row { variants: Arc::from([]), ids: Arc::from([]) }
    }
}

impl<V> Clone for Row<V> {
    fn clone(&self) -> Self {
        Row { variants: self.variants.clone(), ids: self.ids.clone() }
    }
}

/// Rows by key, within a budget.
pub(super) struct Memory<V: Variant>(Cache<String, Row<V>, Weights>);

#[derive(Clone)]
struct Weights;

impl<V: Variant> Weighter<String, Row<V>> for Weights {
    fn weight(&self, key: &String, row: &Row<V>) -> u64 {
        key.len() as u64 + ROW_OCTETS + row.variants.iter().map(|variant| variant.octets()).sum::<u64>()
    }
}

impl<V: Variant> Memory<V> {
    /// Rows of about `budget` octets, single variants up to `largest`.
    ///
    /// # Panics
    /// Never: the one thing that the options could lack is given.
    pub(super) fn new(budget: u64, largest: u64) -> Memory<V> {
        let keys = usize::try_from(budget / OCTETS_PER_KEY).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        // Each shard has its part of the budget, and a variant must fit into one.
        let shards = usize::try_from(budget / largest.saturating_mul(2).max(1)).unwrap_or(usize::MAX).clamp(1, 64);
        let shards = (shards + 1).next_power_of_two() / 2;
        let options = OptionsBuilder::new().estimated_items_capacity(keys).weight_capacity(budget).shards(shards).build();
        let options = options.expect("both capacities are given");
        Memory(Cache::with_options(options, Weights, DefaultHashBuilder::default(), DefaultLifecycle::default()))
    }

    pub(super) fn row(&self, key: &str) -> Option<Row<V>> {
        self.0.get(key)
    }

    /// Puts a row in the place of the one that there is; an empty one is none.
    pub(super) fn put(&self, key: &str, row: Row<V>) {
        match row.variants.is_empty() {
            true => drop(self.0.remove(key)),
            false => self.0.insert(key.to_owned(), row),
        }
    }

    pub(super) fn remove(&self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    pub(super) fn rows(&self) -> Vec<(String, Row<V>)> {
        self.0.iter().collect()
    }

    /// Keys and octets.
    pub(super) fn totals(&self) -> (usize, u64) {
        (self.0.len(), self.0.weight())
    }
}
