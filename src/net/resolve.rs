//! Names to addresses: the lab's own `[hosts]` table first, then the system's resolver.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
};

/// Resolves host names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver {
    hosts: BTreeMap<String, IpAddr>,
    /// Only the table, `localhost` and address literals: for the network in memory.
    closed: bool,
}

impl Resolver {
    /// `hosts` maps names (any case) to addresses, as `[hosts]` in the settings does.
    pub(crate) fn new(hosts: &BTreeMap<String, IpAddr>) -> Resolver {
        let hosts = hosts.iter().map(|(name, ip)| (name.to_ascii_lowercase(), *ip)).collect();
        Resolver { hosts, closed: false }
    }

    /// Never asks the system.
    pub(crate) fn closed(mut self) -> Resolver {
        self.closed = true;
        self
    }

    /// Whether a name means something on this machine only: one of the table, or `localhost`.
    pub(crate) fn is_local_name(&self, host: &str) -> bool {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.contains_key(&name) || name == "localhost" || name.ends_with(".localhost")
    }

    /// Whether the settings say where a name is.
    pub(crate) fn is_in_table(&self, host: &str) -> bool {
        self.hosts.contains_key(&host.trim_end_matches('.').to_ascii_lowercase())
    }

    /// The addresses of `host`, which may be a literal in brackets or without.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        if let Ok(ip) = literal.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        if let Some(ip) = self.hosts.get(&name) {
            return Ok(vec![SocketAddr::new(*ip, port)]);
        }
        if name == "localhost" || name.ends_with(".localhost") {
            // RFC 6761, 6.3: these never leave the machine.
            return Ok(vec![SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))]);
        }
        if self.closed {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no such host: {name}")));
        }
        Ok(tokio::net::lookup_host((name.as_str(), port)).await?.collect())
    }
}
