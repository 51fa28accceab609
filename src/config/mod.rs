//! The settings: what `portico.toml`, `PORTICO_*`, `--set` and the flags say, in rising order of
//! weight.
//!
//! Each protocol owns its own part; here they come together. [`read`] reads and merges, [`keys`]
//! knows every key and what it is for, [`check`] finds what can't work or isn't safe, [`mod@print`]
//! shows the result, and [`certs`] makes or reads the certificates.

pub(crate) mod certs;
pub(crate) mod check;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod print;
pub(crate) mod read;

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    ftp,
    net::{fault::FaultSpec, limits::Limits, link::LinkSpec},
    pop3, proxy,
    services::Row,
    smtp,
    store::accounts::AccountSettings,
    web,
};
use limits::LimitSettings;

/// `portico.toml`; every key has a default.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    /// Addresses to listen on.
    pub host: Vec<IpAddr>,
    /// Added to every well-known port.
    pub port_offset: u16,
    /// The domains whose mail is ours; the first one is the name that the servers greet with.
    #[serde(deserialize_with = "a_labels")]
    pub domains: Vec<String>,
    /// Whether the sample accounts alice and bob exist.
    pub sample_accounts: bool,
    /// Start off loopback even though an account has a sample password.
    pub allow_sample_passwords: bool,
    /// Take passwords over plain connections off loopback.
    pub allow_plain_passwords: bool,
    /// Whether every conversation is recorded below `var/transcripts`.
    pub transcripts: bool,
    /// The user to become after binding, when started as root.
    pub user: String,
    pub accounts: BTreeMap<String, AccountSettings>,
    pub limits: LimitSettings,
    pub http: web::settings::Settings,
    pub proxy: proxy::settings::Settings,
    pub smtp: smtp::settings::Settings,
    pub pop3: pop3::settings::Settings,
    pub ftp: ftp::settings::Settings,
    /// Names for the lab, used by proxy and relay.
    pub hosts: BTreeMap<String, IpAddr>,
    /// Services, and what proxy and relay dial, behind emulated links.
    pub links: BTreeMap<String, LinkSpec>,
    /// What is to go wrong, to see what clients make of it.
    pub faults: Vec<FaultSpec>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            host: default_hosts(),
            port_offset: 8000,
            domains: vec!["portico.test".into(), "localhost".into()],
            sample_accounts: true,
            allow_sample_passwords: false,
            allow_plain_passwords: false,
            transcripts: false,
            user: String::new(),
            accounts: BTreeMap::new(),
            limits: LimitSettings::default(),
            http: Default::default(),
            proxy: Default::default(),
            smtp: Default::default(),
            pop3: Default::default(),
            ftp: Default::default(),
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            faults: Vec::new(),
        }
    }
}

/// Domains may be written in letters beyond ASCII; certificates, greetings and the DNS have them as
/// A-labels (RFC 5890, 2.3.2.1).
fn a_labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let ascii = |domain: String| match domain.is_ascii() {
        true => domain,
        // What can't be turned is left for the check, which names it.
        false => idna::domain_to_ascii_strict(&domain).unwrap_or(domain),
    };
    Ok(Vec::deserialize(deserializer)?.into_iter().map(ascii).collect())
}

/// Both loopback addresses; a family that the machine lacks is skipped.
pub(crate) fn default_hosts() -> Vec<IpAddr> {
    vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]
}

impl Settings {
    /// The limits of one service: its own defaults, then `[limits]`, then `[limits.<service>]`.
    pub(crate) fn limits_of(&self, row: &Row) -> Limits {
        let mut limits = (row.limits)();
        self.limits.all.apply(&mut limits);
        if let Some(own) = self.limits.services.get(row.name) {
            own.apply(&mut limits);
        }
        limits
    }
}
