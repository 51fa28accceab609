//! Questions that only the DNS can answer: which hosts take a domain's mail, and their addresses.
//!
//! What is not there for certain is kept apart from what could not be asked: one sends mail back,
//! the other lets it wait.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, Record, RecordType},
};

/// One query to one server may take so long, and is made so often.
const QUERY_TIME: Duration = Duration::from_secs(5);
const QUERIES: usize = 3;

/// An MX record (RFC 1035, 3.3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mx {
    /// The lower the better.
    pub preference: u16,
    /// Without its last dot; empty for the root, which says that the domain takes no mail.
    pub host: String,
    /// Where a table of the settings says so; else the port of the protocol.
    pub port: Option<u16>,
}

/// Why there is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// There is no such name (NXDOMAIN).
    NoName,
    /// The name is there and has no record of this kind.
    NoRecord,
    /// Nobody could be asked, or those asked could not tell (SERVFAIL).
    Unknown(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::NoName => f.write_str("there is no such name"),
            NoAnswer::NoRecord => f.write_str("there is no such record"),
            NoAnswer::Unknown(why) => f.write_str(why),
        }
    }
}

/// An answer on its way.
pub(crate) type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, NoAnswer>> + Send + 'a>>;

/// Who can be asked; the DNS, or a table in tests.
pub(crate) trait Names: Send + Sync {
    /// The MX records of `domain`, in whatever order; at least one.
    fn mx<'a>(&'a self, domain: &'a str) -> Asked<'a, Vec<Mx>>;
    /// The addresses of `host`, of both families; at least one.
    fn addresses<'a>(&'a self, host: &'a str) -> Asked<'a, Vec<IpAddr>>;
}

/// The DNS.
pub(crate) struct Dns(TokioResolver);

impl Dns {
    /// Asks `server`, or without one those that the system's settings name.
    ///
    /// # Errors
    /// A sentence: the system names no server.
    pub(crate) fn new(server: Option<SocketAddr>) -> Result<Dns, String> {
        let mut builder = match server {
            None => TokioResolver::builder_tokio().map_err(|error| format!("the system's DNS settings can't be read: {error}"))?,
            Some(server) => {
                let servers = vec![NameServerConfig::new(server.ip(), true, connections(server.port()))];
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        (options.timeout, options.attempts) = (QUERY_TIME, QUERIES);
        if server.is_some() {
            options.use_hosts_file = ResolveHosts::Never;
        }
        builder.build().map(Dns).map_err(|error| format!("no DNS: {error}"))
    }

    async fn ask<T>(&self, name: &str, kind: RecordType, take: impl Fn(&Record) -> Option<T>) -> Result<Vec<T>, NoAnswer> {
        // With its last dot it is whole, and no search list is put behind it.
        let name = format!("{}.", name.trim_end_matches('.'));
        let lookup = self.0.lookup(name.as_str(), kind).await.map_err(|error| no_answer(&error))?;
        let found: Vec<T> = lookup.answers().iter().filter_map(take).collect();
        if found.is_empty() { Err(NoAnswer::NoRecord) } else { Ok(found) }
    }
}

fn connections(port: u16) -> Vec<ConnectionConfig> {
    let mut both = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    both.iter_mut().for_each(|connection| connection.port = port);
    both
}

fn no_answer(error: &NetError) -> NoAnswer {
    match error {
        _ if error.is_nx_domain() => NoAnswer::NoName,
        NetError::Dns(DnsError::NoRecordsFound(_)) => NoAnswer::NoRecord,
        error => NoAnswer::Unknown(format!("the DNS does not answer: {error}")),
    }
}

impl Names for Dns {
    fn mx<'a>(&'a self, domain: &'a str) -> Asked<'a, Vec<Mx>> {
        let take = |record: &Record| match &record.data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, host: plain(&mx.exchange.to_string()), port: None }),
            _ => None,
        };
        Box::pin(async move { self.ask(domain, RecordType::MX, take).await })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Asked<'a, Vec<IpAddr>> {
        let take = |record: &Record| match &record.data {
            RData::A(ip) => Some(IpAddr::V4(ip.0)),
            RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
            _ => None,
        };
        Box::pin(async move {
            match tokio::join!(self.ask(host, RecordType::AAAA, take), self.ask(host, RecordType::A, take)) {
                (Ok(v6), Ok(v4)) => Ok([v6, v4].concat()),
                (Ok(some), Err(_)) | (Err(_), Ok(some)) => Ok(some),
                // What could not be asked may be there.
                (Err(why @ NoAnswer::Unknown(_)), _) | (_, Err(why)) => Err(why),
            }
        })
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
