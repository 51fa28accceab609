//! `[http]` in `portico.toml`.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::rules::Rules;
use crate::{
    http::{Fault, coding::Coding, compressible},
    units::{Size, Span},
};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The largest request body that is taken.
    pub max_body: Size,
    /// The largest request head; one past it gets 431.
    pub max_head: Size,
    /// The largest form with files; one past it gets 413.
    pub max_form: Size,
    /// For whom the lab is.
    pub lab: OpenTo,
    /// For whom the mailboxes in the browser are. Elsewhere than on this machine they are for https.
    pub mailbox: OpenTo,
    /// Answer TRACE, without the secrets of the request.
    pub trace: bool,
    /// The content codings that are offered, the one that we like best first.
    pub codings: Vec<Coding>,
    /// Compress files on the fly; files that were compressed beforehand are used either way.
    pub compress: bool,
    /// Media types that compression is worth for.
    pub compress_types: Vec<String>,
    /// Smaller files go out as they are: they would fit into one packet anyway.
    pub compress_from: Size,
    /// Larger files go out as they are: compressing one would take too long.
    pub compress_up_to: Size,
    /// What all results that are kept may take.
    pub compress_memory: Size,
    /// Media types by extension.
    pub types: BTreeMap<String, String>,
    /// Cache-Control by pattern; the first one that fits counts.
    pub cache: Vec<CacheSettings>,
    /// What has moved; the first one that fits counts.
    pub redirect: Vec<RedirectSettings>,
    /// Folders of the tree by host name.
    pub sites: BTreeMap<String, SiteSettings>,
    /// 421 for names of hosts that are none of ours.
    pub strict_hosts: bool,
    /// Send plain requests to https.
    pub redirect_to_https: bool,
    /// For how long browsers are told to use https only; 0s: they are not.
    pub hsts: Span,
    /// Pages of the tree by status, in place of our own.
    pub error_pages: BTreeMap<String, String>,
    /// Whether folders without an index page are listed.
    pub listings: bool,
    /// A file in the Combined Log Format, from the data folder; empty: none.
    pub access_log: String,
    /// Where our https listens, known when it does.
    #[serde(skip)]
    pub https_port: Option<u16>,
}

/// One of `[[http.cache]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct CacheSettings {
    #[serde(rename = "match")]
    pub pattern: String,
    pub cache_control: String,
}

/// One of `[[http.redirect]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RedirectSettings {
    pub from: String,
    pub to: String,
    #[serde(default = "moved_permanently")]
    pub status: u16,
}

fn moved_permanently() -> u16 {
    301
}

/// One of `[http.sites]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SiteSettings {
    pub root: String,
}

/// Whom something is open to. The lab, the form and the tracker show back what they get, wait and drip
/// for whoever asks, and mailboxes ask for passwords: strangers need none of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OpenTo {
    Nobody,
    /// Clients on this machine.
    Loopback,
    Everybody,
}

impl OpenTo {
    /// 403 or 404 for those whom it is not for.
    pub(super) fn admits(self, peer: IpAddr, local: &'static str, closed: &'static str) -> Result<(), Fault> {
        match self {
            OpenTo::Everybody => Ok(()),
            OpenTo::Loopback if peer.to_canonical().is_loopback() => Ok(()),
            OpenTo::Loopback => Err(Fault::new(403, local, "RFC 9110, 15.5.4")),
            OpenTo::Nobody => Err(Fault::new(404, closed, "RFC 9110, 15.5.5")),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_body: Size(4_000_000_000),
            max_head: Size(32 * 1024),
            max_form: Size(100_000_000),
            lab: OpenTo::Loopback,
            mailbox: OpenTo::Loopback,
            trace: false,
            codings: Coding::ALL.to_vec(),
            compress: true,
            compress_types: compressible::TYPES.iter().map(|text| (*text).to_owned()).collect(),
            compress_from: Size(compressible::WORTHWHILE_OCTETS),
            compress_up_to: Size(8 * 1024 * 1024),
            compress_memory: Size(64 * 1024 * 1024),
            types: BTreeMap::new(),
            cache: Vec::new(),
            redirect: Vec::new(),
            sites: BTreeMap::new(),
            strict_hosts: false,
            redirect_to_https: false,
            hsts: Span::secs(0),
            error_pages: BTreeMap::new(),
            listings: true,
            access_log: String::new(),
            https_port: None,
        }
    }
}

impl Settings {
    /// Checks what each value means by itself.
    ///
    /// # Errors
    /// What is wrong, and how it is meant to be.
    pub(crate) fn check(&self) -> Result<(), String> {
        Rules::new(self, &[]).map(drop)
    }
}
