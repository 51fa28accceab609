//! What an administrator may ask of the proxy's cache.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    http::{Method, Target},
    proxy::{
        Cache,
        entry::Stored,
        origin::Origin,
        patterns,
        request::{PUBLIC, public_slot, uri_of},
    },
};

/// An order to the cache. Patterns are addresses in which `*` stands for anything.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    /// What is stored, at most `limit` rows.
    List { pattern: String, limit: usize },
    /// The responses stored for one address.
    Show { address: String },
    /// Forget; answers the addresses.
    Purge { pattern: String },
    /// What the cache holds and what it has saved.
    Stats,
    /// Forget everything and count from zero.
    Reset,
}

/// What is stored for an address.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Row {
    pub address: String,
    /// Stored for clients that may reach public addresses only.
    pub is_public: bool,
    pub variants: usize,
    pub octets: u64,
}

/// A stored response.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Shown {
    pub status: u16,
    /// Of the body, as far as it is stored.
    pub octets: u64,
    pub is_whole: bool,
    pub age_secs: u64,
    /// For how long it stays fresh; negative: stale.
    pub ttl_secs: i64,
    /// What its lifetime follows from.
    pub rule: String,
    /// Request fields that it was selected by.
    pub selected_by: Vec<(String, Option<String>)>,
    pub fields: Vec<(String, String)>,
}

/// What the cache holds and what it has saved.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Stats {
    pub memory_addresses: usize,
    pub memory_octets: u64,
    pub disk_addresses: usize,
    pub disk_octets: u64,
    #[serde(flatten)]
    pub figures: crate::proxy::counters::Figures,
}

/// Carries out an order.
pub(crate) fn perform(order: Order, cache: &Cache, now: SystemTime) -> Result<Value, String> {
    let answer = match order {
        Order::List { pattern, limit } => {
            let mut rows = list(cache, &pattern);
            rows.truncate(limit);
            serde_json::to_value(rows)
        }
        Order::Show { address } => {
            let key = key_of(&address);
            let found: Vec<_> = [key.clone(), public_slot(&key)].iter().flat_map(|key| cache.store.load(key).to_vec()).collect();
            if found.is_empty() {
                return Err(format!("nothing is stored for {key}; `portico cache list` shows what there is"));
            }
            serde_json::to_value(found.iter().map(|stored| shown(stored, now)).collect::<Vec<_>>())
        }
        Order::Purge { pattern } => serde_json::to_value(purge(cache, &pattern)),
        Order::Stats => {
            cache.store.scan();
            let (totals, figures) = (cache.store.totals(), cache.counters.figures());
            serde_json::to_value(Stats {
                memory_addresses: totals.memory_keys,
                memory_octets: totals.memory_octets,
                disk_addresses: totals.disk_keys,
                disk_octets: totals.disk_octets,
                figures,
            })
        }
        Order::Reset => {
            let purged = purge(cache, "*").len();
            cache.counters.reset();
            serde_json::to_value(purged)
        }
    };
    answer.map_err(|error| error.to_string())
}

fn list(cache: &Cache, pattern: &str) -> Vec<Row> {
    let rows = cache.store.list(&|key| fits(pattern, key));
    let row = |row: crate::store::cache::Listed| Row {
        address: row.key.trim_start_matches(PUBLIC).to_owned(),
        is_public: row.key.starts_with(PUBLIC),
        variants: row.variants,
        octets: row.octets,
    };
    rows.into_iter().map(row).collect()
}

/// Forgets what fits and answers the addresses.
fn purge(cache: &Cache, pattern: &str) -> Vec<String> {
    let keys = match pattern.contains('*') {
        true => cache.store.list(&|key| fits(pattern, key)).into_iter().map(|row| row.key).collect(),
        false => vec![key_of(pattern), public_slot(&key_of(pattern))],
    };
    let forget = |key: &String| {
        cache.forgotten.note(uri_of(key));
        cache.store.remove(key)
    };
    keys.into_iter().filter(forget).map(|key| key.trim_start_matches(PUBLIC).to_owned()).collect()
}

fn fits(pattern: &str, key: &str) -> bool {
    patterns::fits(pattern.as_bytes(), key.trim_start_matches(PUBLIC).as_bytes())
}

/// The key of an address as a person writes it: `HTTP://Example.org` is `http://example.org/`.
fn key_of(address: &str) -> String {
    let target = Target::parse(&Method::Get, address).ok();
    let key = target.and_then(|target| Some(Origin::of(&target).ok()?.key(&target.origin_form())));
    key.unwrap_or_else(|| address.to_owned())
}

fn shown(stored: &Stored, now: SystemTime) -> Shown {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    Shown {
        status: stored.head.status,
        octets: stored.body.octets().unwrap_or(0),
        is_whole: stored.extent.is_whole(),
        age_secs: stored.age(now),
        ttl_secs: stored.ttl(now),
        rule: stored.lifetime.rule.name().to_owned(),
        selected_by: stored.selection.iter().map(|(name, value)| (name.clone(), value.as_deref().map(text))).collect(),
        fields: stored.head.fields.iter().map(|(name, value)| (text(name), text(value))).collect(),
    }
}
