//! Stored responses of the caching proxy, by key; several variants may share one.
//!
//! What is asked for often is in memory, all is on disk, each within a budget of octets; both
//! evict by a scan-resistant policy, so that a crawler does not empty them. What a variant is only
//! the proxy knows: it hands over a record of each, and gets it back after a restart.
//!
//! * `mod.rs`, this file: both together. A key is asked for with [`Cache::variants`], which never
//!   blocks, and if that can't tell, with [`Cache::load`], which may.
//! * [`growing`]: a body on its way, which many read while one writes it.
//! * `disk.rs`, `index.rs`, `object.rs`: the folder, what is known of it, the format of a file.
//! * `writer.rs`: the thread that writes; requests never wait for it.
//!
//! Without a folder everything stays in memory: for tests, and where the folder can't be used.

pub(crate) mod body;
mod disk;
mod filed;
pub(crate) mod growing;
mod index;
mod memory;
pub(crate) mod object;
pub(crate) mod room;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use body::Body;
use disk::{Disk, Loaded, hash};
use filed::Spooler;
use growing::Growing;
use index::{ENTRY_OCTETS, Index};
use memory::{Memory, Row};
use object::Head;
use room::Room;
use writer::{Clerk, Order};

/// A variant: what the proxy makes of a response.
pub(crate) trait Variant: Send + Sync + 'static {
    /// What it takes in memory, overhead included, in octets.
    fn octets(&self) -> u64;

    fn body(&self) -> &Body;

    /// All that is needed to have it back, beside its body.
    fn record(&self) -> Vec<u8>;
}

/// Makes a variant out of its record and body again; `None` where it can't be read.
pub(crate) type Restore<V> = Box<dyn Fn(&[u8], Body) -> Option<V> + Send + Sync>;

/// The variants under one key, the one stored last first. Cheap to clone.
pub(crate) type Variants<V> = Arc<[Arc<V>]>;

/// Makes the new variants of a key out of the old ones.
pub(crate) type Change<'a, V> = dyn FnMut(&[Arc<V>]) -> Vec<Arc<V>> + 'a;

/// How much a cache may hold, in octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    pub memory: u64,
    pub disk: u64,
    /// The longest body that is stored.
    pub object: u64,
    /// The longest body that is held in memory; longer ones are on disk only.
    pub memory_object: u64,
}

/// A row of [`Cache::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub key: String,
    pub variants: usize,
    pub octets: u64,
}

/// What a cache holds altogether.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Keys in memory and on disk; most are in both.
    pub memory_keys: usize,
    pub memory_octets: u64,
    pub disk_keys: usize,
    pub disk_octets: u64,
}

/// A cache of stored responses.
pub(crate) struct Cache<V: Variant> {
    memory: Memory<V>,
    disk: Option<OnDisk>,
    restore: Restore<V>,
    budgets: Budgets,
    /// What bodies on their way may take in memory.
    room: Room,
    /// Changes to a key come one after the other, so that none is lost.
    changing: Vec<Mutex<()>>,
}

struct OnDisk {
    disk: Arc<Disk>,
    clerk: Clerk,
}

/// Locks for changes: each stands for the keys of its share.
const STRIPES: usize = 64;
/// The longest heads of requests and responses, which come on top of a body's length.
const HEADS_OCTETS: u64 = 256 * 1024;

impl<V: Variant> Cache<V> {
    /// A cache that holds everything in memory.
    pub(crate) fn in_memory(budgets: Budgets, restore: Restore<V>) -> Cache<V> {
        let budgets = Budgets { disk: 0, memory_object: budgets.object, ..budgets };
        Cache::new(budgets, budgets.memory, None, restore)
    }

    /// A cache with a folder. Where that can't be used the cache does without, and says so.
    pub(crate) fn open(budgets: Budgets, folder: &Path, restore: Restore<V>) -> Cache<V> {
        if budgets.disk == 0 {
            return Cache::in_memory(budgets, restore);
        }
        // The index is part of what the settings allow: no more than a quarter of it.
        let max_keys = (budgets.disk / 4096).min(budgets.memory / 4 / ENTRY_OCTETS).max(16);
        let index = Index::new(budgets.disk, max_keys);
        let opened = Disk::open(folder, index, budgets.memory_object).map(Arc::new);
        match opened.and_then(|disk| Ok(OnDisk { clerk: Clerk::start(disk.clone())?, disk })) {
            Ok(disk) => Cache::new(budgets, budgets.memory.saturating_sub(max_keys * ENTRY_OCTETS), Some(disk), restore),
            Err(error) => {
                tracing::warn!("cannot use {}: {error}; the cache is in memory only", folder.display());
                Cache::in_memory(budgets, restore)
            }
        }
    }

    fn new(budgets: Budgets, memory: u64, disk: Option<OnDisk>, restore: Restore<V>) -> Cache<V> {
        Cache {
            memory: Memory::new(memory, budgets.memory_object.saturating_add(HEADS_OCTETS)),
            disk,
            restore,
            budgets,
            room: Room::new(usize::try_from(budgets.memory / 8).unwrap_or(usize::MAX)),
            changing: (0..STRIPES).map(|_| Mutex::default()).collect(),
        }
    }

    /// What is stored under `key`, if that can be told without looking at the disk; else ask
    /// [`Cache::load`].
    pub(crate) fn variants(&self, key: &str) -> Option<Variants<V>> {
        if let Some(row) = self.memory.row(key) {
            return Some(row.variants);
        }
        match &self.disk {
            Some(disk) if disk.disk.knows(hash(key)) != Some(false) => None,
            _ => Some(Arc::from([])),
        }
    }

    /// What is stored under `key`; from the disk where need be. May block.
    pub(crate) fn load(&self, key: &str) -> Variants<V> {
        let _one_at_a_time = self.lock(hash(key));
        self.row(key).variants
    }

    /// Replaces what is stored under `key` by what `change` makes of it. May block where
    /// [`Cache::variants`] can't tell.
    pub(crate) fn change(&self, key: &str, change: &mut Change<'_, V>) {
        let hash = hash(key);
        let _one_at_a_time = self.lock(hash);
        let old = self.row(key);
        let variants = change(&old.variants);
        let ids = match &self.disk {
            Some(disk) => disk.change(key, hash, &old, &variants),
            None => vec![None; variants.len()],
        };
        self.memory.put(key, Row { variants: variants.into(), ids: ids.into() });
    }

    /// Forgets all variants of `key`; tells whether there were any.
    pub(crate) fn remove(&self, key: &str) -> bool {
        let hash = hash(key);
        let _one_at_a_time = self.lock(hash);
        self.memory.remove(key) | self.disk.as_ref().is_some_and(|disk| disk.disk.forget(hash))
    }

    /// Begins to take in a body for `key`, of this length if it is known, with a record so long.
    pub(crate) fn begin(&self, key: &str, length: Option<u64>, record_octets: usize) -> growing::Writer {
        let spooler =
            self.disk.as_ref().map(|disk| Spooler { folder: disk.disk.folder.clone(), head_octets: Head::room(key, record_octets) });
        Growing::begin(length, growing::Bounds { whole: self.budgets.object, memory: self.budgets.memory_object }, &self.room, spooler)
    }

    /// What is stored under the keys that `wants` says, for people to look at. May block for long.
    pub(crate) fn list(&self, wants: &dyn Fn(&str) -> bool) -> Vec<Listed> {
        let mut rows = std::collections::BTreeMap::new();
        if let Some(disk) = &self.disk {
            disk.disk.keys(|key, octets| {
                if wants(&key) {
                    let row: &mut (usize, u64) = rows.entry(key).or_default();
                    *row = (row.0 + 1, row.1 + octets);
                }
            });
        }
        for (key, row) in self.memory.rows().into_iter().filter(|(key, _)| wants(key)) {
            let octets = row.variants.iter().map(|variant| variant.octets()).sum();
            rows.entry(key).or_insert((row.variants.len(), octets));
        }
        rows.into_iter().map(|(key, (variants, octets))| Listed { key, variants, octets }).collect()
    }

    /// What is in memory, as far as `limit` rows, in the order of the keys.
    pub(crate) fn list_memory(&self, limit: usize) -> Vec<Listed> {
        let row = |(key, row): (String, Row<V>)| Listed {
            key,
            variants: row.variants.len(),
            octets: row.variants.iter().map(|variant| variant.octets()).sum(),
        };
        let mut rows: Vec<_> = self.memory.rows().into_iter().take(limit).map(row).collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows
    }

    /// Looks through the whole folder now. May block for long.
    pub(crate) fn scan(&self) {
        if let Some(disk) = &self.disk {
            disk.disk.scan_all();
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let (memory_keys, memory_octets) = self.memory.totals();
        let index = self.disk.as_ref().map(|disk| disk.disk.index());
        Totals {
            memory_keys,
            memory_octets,
            disk_keys: index.as_ref().map_or(0, |index| index.keys()),
            disk_octets: index.as_ref().map_or(0, |index| index.octets()),
        }
    }

    fn lock(&self, hash: u64) -> MutexGuard<'_, ()> {
        let stripe = self.changing.get(hash as usize % STRIPES).expect("the remainder is smaller");
        stripe.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The row of a key, from memory or else from the disk. Call it under the key's lock.
    fn row(&self, key: &str) -> Row<V> {
        if let Some(row) = self.memory.row(key) {
            return row;
        }
        let Some(disk) = self.disk.as_ref().filter(|disk| disk.disk.knows(hash(key)) != Some(false)) else { return Row::default() };
        let restored = disk.disk.read(key).into_iter().filter_map(|Loaded { id, head, body }| {
            let variant = (self.restore)(&head.record, body);
            if variant.is_none() {
                disk.disk.forget_one(hash(key), id);
            }
            Some((Arc::new(variant?), Some(id)))
        });
        let (variants, ids): (Vec<_>, Vec<_>) = restored.unzip();
        let row = Row { variants: variants.into(), ids: ids.into() };
        self.memory.put(key, row.clone());
        row
    }
}

impl OnDisk {
    /// Has the disk hold `new` in place of `old`, and answers the numbers of the objects.
    fn change<V: Variant>(&self, key: &str, hash: u64, old: &Row<V>, new: &[Arc<V>]) -> Vec<Option<u64>> {
        self.disk.scan(hash);
        let ids: Vec<_> = new.iter().map(|variant| old.id_of(variant).or_else(|| self.store(key, hash, &**variant))).collect();
        for gone in old.ids.iter().flatten().filter(|id| !ids.contains(&Some(**id))) {
            self.disk.forget_one(hash, *gone);
        }
        ids
    }

    /// Has a variant written that is not on disk yet, or only with another head.
    fn store(&self, key: &str, hash: u64, variant: &impl Variant) -> Option<u64> {
        let head = |body_octets, body_crc32| Head { key: key.to_owned(), record: variant.record(), body_octets, body_crc32 };
        match variant.body() {
            Body::Whole(body) => {
                let head = head(body.len() as u64, crc32fast::hash(body)).print(None)?;
                let octets = (head.len() + body.len()) as u64;
                if !self.clerk.has_room(octets) {
                    return None;
                }
                let id = self.admit(hash, octets);
                self.clerk.order(Order::Write { hash, id, head, body: body.clone() });
                Some(id)
            }
            Body::File(filed) => {
                let head = head(filed.octets, filed.crc32).print(Some(filed.offset))?;
                if let Some(id) = filed.id() {
                    self.clerk.order(Order::RewriteHead { hash, id, head });
                    return Some(id);
                }
                let id = self.admit(hash, filed.offset + filed.octets);
                self.clerk.order(Order::Adopt { hash, id, head, filed: filed.clone() });
                Some(id)
            }
            Body::Growing(_) => None,
        }
    }

    fn admit(&self, hash: u64, octets: u64) -> u64 {
        let (id, evicted) = self.disk.admit(hash, octets);
        if !evicted.is_empty() {
            self.clerk.order(Order::Unlink(evicted));
        }
        id
    }
}
