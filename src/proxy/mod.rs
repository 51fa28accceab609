//! The caching forward proxy (RFC 9110, 7.6; RFC 9111; RFC 9211).
//!
//! One request passes through these files: [`conversation`] reads it and decides what kind it is.
//! [`fetch`] looks up ([`lookup`]): what will do is sent by [`serving`] (and if stale, validated by
//! [`background`]); else it joins a fetch in flight ([`flights`]) or starts one, through
//! [`upstream`] (which connection) and [`exchange`] (what goes up and comes down on it). [`relay`]
//! passes the response on and into the store, [`keeping`] knows what goes in and what is thrown
//! out, [`parts`] completes what is stored in part, [`reply`] says heads and pages. What may be
//! stored and used again is decided in [`rules`], [`freshness`] and [`control`], what heads look
//! like on the other side in [`forward`]: all pure. An `ftp://` origin is [`gateway`].

pub(crate) mod background;
pub(crate) mod compress;
pub(crate) mod control;
pub(crate) mod conversation;
pub(crate) mod counters;
pub(crate) mod entry;
pub(crate) mod exchange;
pub(crate) mod explain;
pub(crate) mod extent;
pub(crate) mod fetch;
pub(crate) mod flights;
pub(crate) mod forgotten;
pub(crate) mod forward;
pub(crate) mod freshness;
pub(crate) mod gateway;
pub(crate) mod keeping;
pub(crate) mod login;
pub(crate) mod lookup;
pub(crate) mod origin;
pub(crate) mod outlet;
pub(crate) mod pages;
pub(crate) mod parts;
pub(crate) mod patterns;
pub(crate) mod policy;
pub(crate) mod record;
pub(crate) mod relay;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod rules;
pub(crate) mod serving;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod tunnel;
pub(crate) mod upstream;
pub(crate) mod way;

#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Arc, Weak},
};

use tokio::sync::Semaphore;

use crate::{
    clock::Clock,
    net::dial::Dialer,
    store::{
        Accounts,
        cache::{self, Budgets, Restore},
    },
};

/// Stored responses.
pub(crate) type Store = cache::Cache<entry::Stored>;

/// The cache as a whole: what is stored, and what that has saved.
pub(crate) struct Cache {
    pub store: Store,
    pub counters: counters::Counters,
    pub forgotten: forgotten::Forgotten,
}

/// Opens the cache in its folder; without one it is in memory only. What goes wrong with the folder
/// is told in the log, and the cache does without it.
pub(crate) fn open_cache(settings: &settings::Settings, folder: Option<&Path>) -> Arc<Cache> {
    let budgets = Budgets {
        memory: settings.cache_memory.0,
        disk: settings.cache_disk.0,
        object: settings.max_object.0,
        memory_object: settings.max_memory_object.0,
    };
    let targeted = settings.targeted.clone();
    let restore: Restore<entry::Stored> = Box::new(move |text, body| Some(entry::Stored::restore(record::read(text)?, body, &targeted)));
    let store = match folder {
        Some(folder) => Store::open(budgets, folder, restore),
        None => Store::in_memory(budgets, restore),
    };
    Arc::new(Cache { store, counters: counters::Counters::default(), forgotten: forgotten::Forgotten::default() })
}

/// What the proxy is made of.
pub(crate) struct Deps {
    pub settings: settings::Settings,
    pub cache: Arc<Cache>,
    pub accounts: Arc<Accounts>,
    /// Whether passwords are taken from clients off loopback too.
    pub plain_passwords: bool,
    pub clock: Clock,
    pub dialer: Dialer,
    /// Our name in Via; two proxies in one chain need two names, or each takes the other for a
    /// loop.
    pub pseudonym: String,
    /// The longest request head, in octets.
    pub head_octets: usize,
}

/// The proxy.
pub(crate) struct Proxy {
    pub(in crate::proxy) settings: settings::Settings,
    pub(in crate::proxy) policy: policy::Policy,
    pub(in crate::proxy) accounts: Arc<Accounts>,
    pub(in crate::proxy) plain_passwords: bool,
    pub(in crate::proxy) clock: Clock,
    pub(in crate::proxy) dialer: Dialer,
    pub(in crate::proxy) pseudonym: String,
    pub(in crate::proxy) head_octets: usize,
    pub(in crate::proxy) cache: Arc<Cache>,
    pub(in crate::proxy) flights: flights::Flights,
    /// Places for fetches in the background.
    pub(in crate::proxy) background: Arc<Semaphore>,
    /// Where compression is switched on.
    pub(in crate::proxy) compressor: Option<compress::Compressor>,
    this: Weak<Proxy>,
    pub(in crate::proxy) pool: upstream::Pool,
}

impl Proxy {
    pub(crate) fn new(deps: Deps) -> Arc<Proxy> {
        let Deps { settings, cache, accounts, plain_passwords, clock, mut dialer, pseudonym, head_octets } = deps;
        let compressor = settings.compress.then(compress::Compressor::default);
        let pool = upstream::Pool::new(settings.connections_per_origin, settings.first_byte_timeout.0);
        let policy = policy::Policy::new(&settings).expect("start-up has checked the settings");
        dialer.connect_time = settings.connect_timeout.0;
        Arc::new_cyclic(|this| Proxy {
            settings,
            policy,
            accounts,
            plain_passwords,
            clock,
            dialer,
            pseudonym,
            head_octets,
            cache,
            flights: flights::Flights::default(),
            background: Arc::new(Semaphore::new(background::MAX_BACKGROUND)),
            compressor,
            this: this.clone(),
            pool,
        })
    }
}
