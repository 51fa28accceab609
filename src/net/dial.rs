//! Outgoing connections, behind THE egress gate.
//!
//! Relay, proxy and active FTP all connect through here. The gate decides on the *resolved*
//! address at connect time, so that neither odd notations (`0x7f.1`, `::ffff:127.0.0.1`) nor a
//! name that changes its address between check and use (DNS rebinding) get past it.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    conn::Conn,
    fault::{Act, Faults},
    limits::Limits,
    link::Link,
    listener::next_id,
    network::Network,
    race,
    resolve::Resolver,
    stop::Stop,
    tap::Tap,
    wire::{Plain, Wire},
};
use crate::transcript::record::{Recorder, Side};

/// What a pipe holds in each direction, in octets.
const PIPE_OCTETS: usize = 64 * 1024;

/// Makes outgoing connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub network: Network,
    pub resolver: Resolver,
    pub limits: Arc<Limits>,
    pub stop: Stop,
    pub recorder: Recorder,
    /// One attempt to connect, to one address.
    pub connect_time: Duration,
    /// What it dials lies behind this link.
    pub link: Option<Arc<Link>>,
    /// What data connections are to suffer.
    pub faults: Arc<Faults>,
}

/// Which addresses a caller may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Any address: the settings name it, or the client sits on this machine itself.
    Open,
    /// Public addresses only: no loopback, link-local (cloud metadata), private or multicast ones.
    Public,
    /// This peer and no port below 1024: active FTP, against bounce attacks (RFC 2577, 3).
    Peer(IpAddr),
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The name has no address.
    Unknown(io::Error),
    /// The gate is shut for this address.
    Forbidden(SocketAddr),
    /// Nothing answered in time.
    TimedOut,
    /// Refused, unreachable, reset.
    Failed(io::Error),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Unknown(error) => write!(f, "name not resolved: {error}"),
            DialError::Forbidden(at) => write!(f, "connections to {} are not allowed", at.ip()),
            DialError::TimedOut => write!(f, "no answer in time"),
            DialError::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl Dialer {
    /// The same, behind a link.
    pub(crate) fn behind(&self, link: Option<Arc<Link>>) -> Dialer {
        Dialer { link, ..self.clone() }
    }

    /// The same, for connections that are to keep within these limits.
    pub(crate) fn within(&self, limits: &Arc<Limits>) -> Dialer {
        Dialer { limits: limits.clone(), ..self.clone() }
    }

    /// Connects to `host` (a name or an address). `service` and `parent` name the connection in
    /// transcripts.
    pub(crate) async fn connect(
        &self,
        (host, port): (&str, u16),
        gate: Gate,
        service: &str,
        parent: Option<u64>,
    ) -> Result<Conn, DialError> {
        let addresses = self.resolver.resolve(host, port).await.map_err(DialError::Unknown)?;
        self.connect_any(addresses, gate, service, parent).await
    }

    /// Connects to whichever of these addresses, all of the same server, answers first. The very
    /// addresses that the gate has seen are dialled.
    pub(crate) async fn connect_any(
        &self,
        addresses: Vec<SocketAddr>,
        gate: Gate,
        service: &str,
        parent: Option<u64>,
    ) -> Result<Conn, DialError> {
        let (open, shut): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|to| gate.allows(*to));
        if let (true, Some(to)) = (open.is_empty(), shut.first()) {
            return Err(DialError::Forbidden(*to));
        }
        let (to, plain, local) = race::connect(&self.network, open, self.connect_time).await?;
        Ok(self.conn(self.set_up(plain).await, (local, to), service, parent))
    }

    /// Connects to one address; from `from` where it is given.
    pub(crate) async fn connect_to(
        &self,
        to: SocketAddr,
        from: Option<SocketAddr>,
        gate: Gate,
        service: &str,
        parent: Option<u64>,
    ) -> Result<Conn, DialError> {
        if !gate.allows(to) {
            return Err(DialError::Forbidden(to));
        }
        let dialled = timeout(self.connect_time, self.network.dial(to, from)).await;
        let (plain, local) = dialled.map_err(|_| DialError::TimedOut)?.map_err(DialError::Failed)?;
        Ok(self.conn(self.set_up(plain).await, (local, to), service, parent))
    }

    /// On an emulated link setting up a connection takes a round trip.
    async fn set_up(&self, plain: Plain) -> Plain {
        let Some(link) = &self.link else { return plain };
        tokio::time::sleep(link.spec().rtt).await;
        link.dialled(plain)
    }

    /// Whether a fault is set that the next data connection of control connection `parent` does not
    /// come about.
    pub(crate) fn refuses_data(&self, parent: u64) -> bool {
        match self.faults.ordered_data(parent) {
            Some(Act::RefuseData) => true,
            Some(other) => {
                self.faults.order_data(parent, other);
                false
            }
            None => false,
        }
    }

    /// A fault may be set for a data connection.
    fn spoilt(&self, mut conn: Conn, parent: Option<u64>) -> Conn {
        if let Some(Act::Cut(size)) = parent.and_then(|parent| self.faults.ordered_data(parent)) {
            conn.cut_after(size.0);
        }
        conn
    }

    fn conn(&self, plain: Plain, (local, to): (SocketAddr, SocketAddr), service: &str, parent: Option<u64>) -> Conn {
        let id = next_id();
        let tap = Tap::open(&self.recorder, service, (id, parent), Side::Server, (local, to));
        let conn = Conn::new(Wire::Plain(plain), (id, local, to), self.limits.clone(), self.stop.clone(), tap);
        self.spoilt(conn, parent)
    }

    /// A connection inside the process, both of its ends. No transcript shows it.
    pub(crate) fn pipe(&self) -> (Conn, Conn) {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let (one, other) = tokio::io::duplex(PIPE_OCTETS);
        let end = |stream| {
            let wire = Wire::Plain(Plain::Memory(stream));
            Conn::new(wire, (next_id(), nowhere, nowhere), self.limits.clone(), self.stop.clone(), Tap::default())
        };
        (end(one), end(other))
    }

    /// A connection that a listener of ours accepted outside the registry (passive FTP).
    pub(crate) fn adopt(&self, plain: Plain, (peer, local): (SocketAddr, SocketAddr), service: &str, parent: u64) -> Conn {
        let id = next_id();
        let plain = match &self.link {
            Some(link) => link.accepted(plain, None),
            None => plain,
        };
        let tap = Tap::open(&self.recorder, service, (id, Some(parent)), Side::Client, (peer, local));
        let conn = Conn::new(Wire::Plain(plain), (id, local, peer), self.limits.clone(), self.stop.clone(), tap);
        self.spoilt(conn, Some(parent))
    }
}

impl Gate {
    /// Whether a connection to `to` may be made.
    pub(crate) fn allows(self, to: SocketAddr) -> bool {
        let ip = to.ip().to_canonical();
        match self {
            Gate::Open => true,
            Gate::Public => is_public(ip),
            Gate::Peer(peer) => ip == peer.to_canonical() && to.port() >= 1024,
        }
    }
}

/// Whether an address is globally reachable (RFC 6890 and the registries that it began), and
/// nobody's back door: where an address only wraps another one, that one decides.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    /// Answers with a virtual machine's secrets at a cloud provider, though it looks public.
    const PLATFORM: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let benchmark = a == 198 && b & 0xfe == 18;
    let protocol = a == 192 && b == 0 && c == 0;
    let relay = a == 192 && b == 88 && c == 99; // 6to4, RFC 7526
    let special = shared || benchmark || protocol || relay || a == 0 || a >= 224 || ip == PLATFORM;
    !(special || ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let wrapped = |high: u16, low: u16| is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => wrapped(high, low), // NAT64, RFC 6052
        [0x2001, b, ..] if b < 0x200 => false,                       // Teredo and others, RFC 2928
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,      // documentation
        [0x2002, high, low, ..] => wrapped(high, low),               // 6to4, RFC 3056
        [a, _, _, _, 0 | 0x200, 0x5efe, high, low] => a & 0xe000 == 0x2000 && wrapped(high, low), // ISATAP, RFC 5214
        [a, ..] => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_addresses_are_public_in_every_notation() {
        for (address, public) in [
            ("93.184.216.34", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("2606:2800:220:1::1", true),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::5db8:d822", true),
            ("64:ff9b:1::5db8:d822", false),
            ("2002:7f00:1::", false),
            ("2002:5db8:d822::1", true),
            ("2001:0:5db8:d822::1", false),
            ("2001:db8::1", false),
            ("2001:4860:4860::8888", true),
            ("3fff::1", false),
            ("2606:2800::5efe:7f00:1", false),
            ("::7f00:1", false),
            ("::ffff:10.0.0.1", false),
            ("fec0::1", false),
            ("224.0.0.1", false),
            ("192.88.99.1", false),
            ("168.63.129.16", false),
            ("fd00:ec2::254", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:80".parse().unwrap();
        assert!(!Gate::Public.allows(mapped));
    }

    #[test]
    fn active_data_connections_reach_the_peer_and_high_ports_only() {
        let gate = Gate::Peer("192.0.2.7".parse().unwrap());
        assert!(gate.allows("192.0.2.7:1024".parse().unwrap()));
        assert!(gate.allows("[::ffff:192.0.2.7]:2000".parse().unwrap()));
        assert!(!gate.allows("192.0.2.7:1023".parse().unwrap()));
        assert!(!gate.allows("192.0.2.8:2000".parse().unwrap()));
    }
}
