//! Stored responses of the caching proxy, by key; several variants may share one.
//!
//! What a variant is only the proxy knows: this store holds, weighs, lists and forgets them. The
//! one in memory evicts by a scan-resistant policy, so that a crawler does not empty it.

pub(crate) mod body;
pub(crate) mod growing;
pub(crate) mod room;

use std::sync::{Arc, Mutex};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

/// Something that takes room in a cache.
pub(crate) trait Weigh: Send + Sync + 'static {
    /// Its size in octets, overhead included.
    fn octets(&self) -> u64;
}

/// The variants under one key, the one stored last first. Cheap to clone.
pub(crate) type Variants<V> = Arc<[Arc<V>]>;

/// Makes the new variants of a key out of the old ones.
pub(crate) type Change<'a, V> = dyn FnMut(&[Arc<V>]) -> Vec<Arc<V>> + 'a;

/// A cache of stored responses.
pub(crate) trait ResponseCache<V>: Send + Sync {
    /// What is stored under `key`; empty where nothing is.
    fn variants(&self, key: &str) -> Variants<V>;

    /// Replaces what is stored under `key` by what `change` makes of it. Changes to a key come
    /// one after the other, so that none is lost.
    fn change(&self, key: &str, change: &mut Change<'_, V>);

    /// Forgets all variants of `key`; tells whether there were any.
    fn remove(&self, key: &str) -> bool;

    /// Everything stored, for people to look at.
    fn list(&self) -> Vec<Listed>;
}

/// A row of [`ResponseCache::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub key: String,
    pub variants: usize,
    pub octets: u64,
}

/// The cache in memory.
pub(crate) struct MemoryCache<V: Weigh> {
    stored: Cache<String, Variants<V>, Weights>,
    changing: Mutex<()>,
}

/// Keys expected per octet of the budget: a small web page each.
const OCTETS_PER_KEY: u64 = 16 * 1024;

#[derive(Clone)]
struct Weights;

impl<V: Weigh> Weighter<String, Variants<V>> for Weights {
    fn weight(&self, key: &String, variants: &Variants<V>) -> u64 {
        key.len() as u64 + sum(variants)
    }
}

fn sum<V: Weigh>(variants: &[Arc<V>]) -> u64 {
    variants.iter().map(|variant| variant.octets()).sum()
}

impl<V: Weigh> MemoryCache<V> {
    /// A cache that holds about `budget` octets, single values up to `largest`.
    ///
    /// # Panics
    /// Never: the one thing that the options could lack is given.
    pub(crate) fn new(budget: u64, largest: u64) -> MemoryCache<V> {
        let keys = usize::try_from(budget / OCTETS_PER_KEY).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        // Each shard has its part of the budget, and a value must fit into one.
        let shards = usize::try_from(budget / largest.saturating_mul(2).max(1)).unwrap_or(usize::MAX).clamp(1, 64);
        let shards = (shards + 1).next_power_of_two() / 2;
        let options = OptionsBuilder::new().estimated_items_capacity(keys).weight_capacity(budget).shards(shards).build();
        let options = options.expect("both capacities are given");
        let stored = Cache::with_options(options, Weights, DefaultHashBuilder::default(), DefaultLifecycle::default());
        MemoryCache { stored, changing: Mutex::default() }
    }
}

impl<V: Weigh> ResponseCache<V> for MemoryCache<V> {
    fn variants(&self, key: &str) -> Variants<V> {
        self.stored.get(key).unwrap_or_else(|| Arc::from([]))
    }

    fn change(&self, key: &str, change: &mut Change<'_, V>) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let variants = change(&self.stored.peek(key).unwrap_or_else(|| Arc::from([])));
        match variants.is_empty() {
            true => drop(self.stored.remove(key)),
            false => self.stored.insert(key.to_owned(), variants.into()),
        }
    }

    fn remove(&self, key: &str) -> bool {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.stored.remove(key).is_some()
    }

    fn list(&self) -> Vec<Listed> {
        let row = |(key, variants): (String, Variants<V>)| Listed { key, variants: variants.len(), octets: sum(&variants) };
        let mut rows: Vec<_> = self.stored.iter().map(row).collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Body(&'static str, u64);

    impl Weigh for Body {
        fn octets(&self) -> u64 {
            self.1
        }
    }

    fn push(cache: &MemoryCache<Body>, key: &str, name: &'static str, octets: u64) {
        cache.change(key, &mut |known| {
            let mut variants = vec![Arc::new(Body(name, octets))];
            variants.extend(known.iter().cloned());
            variants
        });
    }

    #[test]
    fn variants_gather_under_their_key_and_go_with_it() {
        let cache = MemoryCache::new(1 << 20, 1 << 10);
        push(&cache, "GET a", "first", 10);
        push(&cache, "GET a", "second", 20);
        let names: Vec<_> = cache.variants("GET a").iter().map(|body| body.0).collect();
        assert_eq!(names, ["second", "first"]);
        assert_eq!(cache.list(), [Listed { key: "GET a".into(), variants: 2, octets: 30 }]);
        assert!(cache.remove("GET a") && !cache.remove("GET a"));
        assert!(cache.variants("GET a").is_empty());
    }

    #[test]
    fn the_budget_holds_however_much_comes() {
        let cache = MemoryCache::new(100_000, 5_100);
        for number in 0..1_000 {
            push(&cache, &format!("GET {number}"), "page", 5_000);
        }
        let held: u64 = cache.list().iter().map(|row| row.octets).sum();
        assert!(held <= 100_000, "{held}");
        assert!(held >= 50_000, "the budget is used: {held}");
    }

    #[test]
    fn the_largest_value_fits_whatever_the_machine() {
        for budget in [256_000_000, 1 << 40] {
            let cache = MemoryCache::new(budget, 16_000_000);
            push(&cache, "GET a", "film", 16_000_000);
            assert_eq!(cache.variants("GET a").len(), 1, "{budget}");
        }
    }
}
