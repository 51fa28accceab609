//! The settings: reads `portico.toml`, `--set` and `PORTICO_*`, and checks them.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{ftp, net::limits::Limits, pop3, proxy, services::Row, smtp, store::accounts::AccountSettings, web};

/// `portico.toml`; every key has a default.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Addresses to listen on.
    pub host: Vec<IpAddr>,
    /// Added to every well-known port.
    pub port_offset: u16,
    /// The domains whose mail is ours; the first one is the name that the servers greet with.
    pub domains: Vec<String>,
    /// Whether the sample accounts alice and bob exist.
    pub sample_accounts: bool,
    /// Start off loopback even though an account has a sample password.
    pub allow_sample_passwords: bool,
    /// Take passwords over plain connections off loopback.
    pub allow_plain_passwords: bool,
    /// The user to become after binding, when started as root.
    pub user: String,
    pub accounts: BTreeMap<String, AccountSettings>,
    pub http: web::settings::Settings,
    pub proxy: proxy::settings::Settings,
    pub smtp: smtp::settings::Settings,
    pub pop3: pop3::settings::Settings,
    pub ftp: ftp::settings::Settings,
    /// Names for the lab, used by proxy and relay.
    pub hosts: BTreeMap<String, IpAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            host: vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])],
            port_offset: 8000,
            domains: vec!["portico.test".into(), "localhost".into()],
            sample_accounts: true,
            allow_sample_passwords: false,
            allow_plain_passwords: false,
            user: String::new(),
            accounts: BTreeMap::new(),
            http: Default::default(),
            proxy: Default::default(),
            smtp: Default::default(),
            pop3: Default::default(),
            ftp: Default::default(),
            hosts: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// The limits of one service: its own defaults, then `[limits]`, then `[limits.<service>]`.
    pub(crate) fn limits_of(&self, row: &Row) -> Limits {
        (row.limits)()
    }
}
