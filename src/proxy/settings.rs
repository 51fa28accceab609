//! `[proxy]` in `portico.toml`.

use serde::{Deserialize, Serialize};

use crate::units::{Ports, Size, Span};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Ports that CONNECT may reach, also ranges (`"8000-8999"`); our own https is one of them
    /// wherever it listens. An empty list switches CONNECT off.
    pub connect_ports: Vec<Ports>,
    /// Stored responses held in memory.
    pub cache_memory: Size,
    /// Stored responses held on disk.
    pub cache_disk: Size,
    /// The largest response that is stored.
    pub max_object: Size,
    /// The largest response that is held in memory; larger ones are on disk only.
    pub max_memory_object: Size,
    /// Response fields that are read before Cache-Control, the first that is there and readable
    /// counts (RFC 9213): `["CDN-Cache-Control"]`.
    pub targeted: Vec<String>,
    /// Whether responses are compressed on the way to clients that take that: worth its while where
    /// the network between is slow.
    pub compress: bool,
    /// How stale what is stored may be when it stands in for an origin that can't be reached.
    pub stale_if_unreachable: Span,
    /// Whether clients off loopback may reach loopback and private addresses.
    pub allow_private: bool,
    /// Whether clients off loopback may use the proxy without logging in.
    pub allow_open: bool,
    /// Networks (`192.0.2.0/24`) whose clients may use the proxy, beside this machine's own.
    pub allow_clients: Vec<String>,
    /// Whether clients must log in with the name and password of an account.
    pub require_login: bool,
    /// Hosts that clients off loopback may reach although their addresses are private.
    pub private_hosts: Vec<String>,
    /// Hosts to which no request is passed on.
    pub never_forward: Vec<String>,
    /// Hosts of whose responses none is stored.
    pub no_cache: Vec<String>,
    /// Another proxy (`"proxy.example.org:3128"`) that all requests are passed on to.
    pub parent: String,
    /// The name and password that the parent wants; empty where it wants none.
    pub parent_user: String,
    pub parent_password: String,
    /// Hosts that are reached without the parent.
    pub direct: Vec<String>,
    /// Connections at a time to one origin; further requests wait.
    pub connections_per_origin: usize,
    /// One attempt to connect to an origin.
    pub connect_timeout: Span,
    /// From a request's end to the first octet of its response.
    pub first_byte_timeout: Span,
    /// Where our own https listens, known when it does.
    #[serde(skip)]
    pub https_ports: Vec<u16>,
}

impl Settings {
    /// Whether CONNECT may reach this port.
    pub(crate) fn allows_connect(&self, port: u16) -> bool {
        let is_on = !self.connect_ports.is_empty();
        self.connect_ports.iter().any(|ports| ports.0.contains(&port)) || is_on && self.https_ports.contains(&port)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            connect_ports: [443, 8443].map(Ports::from).into(),
            cache_memory: Size(256_000_000),
            cache_disk: Size(1_000_000_000),
            max_object: Size(100_000_000),
            max_memory_object: Size(1_000_000),
            targeted: Vec::new(),
            compress: false,
            stale_if_unreachable: Span::secs(24 * 60 * 60),
            allow_private: false,
            allow_open: false,
            allow_clients: Vec::new(),
            require_login: false,
            private_hosts: Vec::new(),
            never_forward: Vec::new(),
            no_cache: Vec::new(),
            parent: String::new(),
            parent_user: String::new(),
            parent_password: String::new(),
            direct: Vec::new(),
            connections_per_origin: 512,
            connect_timeout: Span::secs(10),
            first_byte_timeout: Span::secs(60),
            https_ports: Vec::new(),
        }
    }
}
