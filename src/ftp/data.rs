//! Data connections: awaited (PASV, EPSV) or made (PORT, EPRT), always with the control
//! connection's peer, one for each transfer.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use tokio::time::timeout;

use super::tickets::Tickets;
use crate::net::{
    Conn,
    dial::{DialError, Dialer, Gate},
    network::{Listener, Network},
    tap::Tap,
    tls::{TlsFacts, TlsServer},
    wire::Plain,
};

/// How long a passive data connection is awaited.
const AWAIT: Duration = Duration::from_secs(30);
/// Ports that are tried before a range counts as used up.
const MAX_TRIES: usize = 1024;

/// Strangers that are turned away from a passive port at one look, while nobody waits.
const MAX_STRANGERS: usize = 64;

/// How the next data connection comes about.
#[derive(Default)]
pub(super) enum DataPort {
    /// The client has said nothing yet.
    #[default]
    Unset,
    /// The client connects to us.
    Passive { listener: Listener, arrived: Option<(Plain, SocketAddr)> },
    /// We connect to the client.
    Active(SocketAddr),
}

/// What a data connection takes from its control connection.
#[derive(Clone)]
pub(super) struct Parent {
    pub id: u64,
    pub local: SocketAddr,
    pub peer: IpAddr,
    /// Data goes through TLS (PROT P), as the server whichever side connects (RFC 4217, 7).
    pub tls: Option<TlsServer>,
    /// The TLS session must be a resumed one, the control connection's own: proof that the same
    /// client is at the other end, which an address behind NAT is not.
    pub require_tls_reuse: bool,
    pub tickets: Tickets,
    /// TLS may end without a word on uploads.
    pub lenient_tls_close: bool,
    /// Data goes through the coder of MODE Z.
    pub deflate_level: Option<u32>,
    pub dialer: Dialer,
    /// Where the control connection is noted.
    pub tap: Tap,
}

impl Parent {
    /// Notes in both transcripts what a data connection has carried.
    pub(super) fn note(&self, data: &Conn, direction: &str, octets: u64, elapsed: Duration) {
        let extent = Carried { direction, octets, elapsed, tls: data.tls() };
        data.tap().carried(&extent);
        self.tap.carried(format_args!("{extent} ({})", data.id()));
    }
}

/// What a data connection has carried, for the transcript.
struct Carried<'a> {
    direction: &'a str,
    octets: u64,
    elapsed: Duration,
    tls: Option<&'a TlsFacts>,
}

impl fmt::Display for Carried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.elapsed.as_secs_f64();
        write!(f, "{} {} octets in {secs:.3} s", self.direction, self.octets)?;
        if secs > 0.0 {
            write!(f, ", {:.1} kB/s", self.octets as f64 / secs / 1000.0)?;
        }
        match self.tls {
            None => write!(f, ", in the clear"),
            Some(tls) => write!(f, ", {} {}{}", tls.version, tls.cipher, if tls.resumes.is_some() { ", resumed" } else { "" }),
        }
    }
}

/// Which way a data connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

impl DataPort {
    /// Listens on the address that the client reached us at. Ports are taken from a random place
    /// of the range on, so that nobody can guess where the next one will be (RFC 2577, 8).
    pub(super) fn listen(network: &Network, ip: IpAddr, ports: &RangeInclusive<u16>) -> io::Result<(DataPort, u16)> {
        let count = usize::from(ports.end() - ports.start()) + 1;
        let first = usize::from(rand::random::<u16>()) % count;
        let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
        for port in ports.clone().skip(first).chain(ports.clone()).take(count.min(MAX_TRIES)) {
            match network.listen(SocketAddr::new(ip, port)) {
                Ok(listener) => {
                    let port = listener.local_addr()?.port();
                    return Ok((DataPort::Passive { listener, arrived: None }, port));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    pub(super) fn is_set(&self) -> bool {
        !matches!(self, DataPort::Unset)
    }

    /// Whether the data connection stands already.
    pub(super) fn is_standing(&mut self, peer: IpAddr) -> bool {
        let DataPort::Passive { listener, arrived } = self else { return false };
        for _ in 0..MAX_STRANGERS {
            if arrived.is_some() {
                break;
            }
            let Ok(Some(one)) = listener.accept_now() else { break };
            *arrived = Some(one).filter(|(_, from)| is_expected(*from, peer));
        }
        arrived.is_some()
    }

    /// The data connection, with its TLS handshake done where there is one. `None` where it
    /// doesn't come about in time.
    pub(super) async fn open(self, parent: &Parent, way: Way) -> Option<Conn> {
        if parent.dialer.refuses_data(parent.id) {
            return None;
        }
        let conn = match self {
            DataPort::Unset => return None,
            DataPort::Active(to) => connect(to, parent).await.ok()?,
            DataPort::Passive { mut listener, arrived } => {
                let local = listener.local_addr().ok()?;
                let (plain, peer) = match arrived {
                    Some(arrived) => arrived,
                    None => timeout(AWAIT, accept_from(&mut listener, parent.peer)).await.ok()?.ok()?,
                };
                parent.dialer.adopt(plain, (peer, local), "ftp-data", parent.id)
            }
        };
        let Some(tls) = &parent.tls else { return Some(conn) };
        let tickets = parent.tickets.to_send(way, parent.require_tls_reuse);
        let mut conn = conn.upgrade_under(tls, (parent.id, tickets)).await.ok()?;
        if parent.lenient_tls_close {
            conn.take_any_end();
        }
        let resumes = conn.tls().and_then(|facts| facts.resumes);
        parent.tickets.note(resumes.map(|session| session.ticket), tickets);
        if parent.require_tls_reuse && resumes.is_none_or(|session| session.of != parent.id) {
            tracing::info!(peer = %parent.peer, "ftp: a data connection did not resume the session of its control connection");
            return None;
        }
        Some(conn)
    }
}

/// Accepts the first connection from `peer`; others, who would steal or plant a file by guessing
/// the port (RFC 2577, 7), are hung up on.
async fn accept_from(listener: &mut Listener, peer: IpAddr) -> io::Result<(Plain, SocketAddr)> {
    loop {
        let (plain, from) = listener.accept().await?;
        if is_expected(from, peer) {
            return Ok((plain, from));
        }
    }
}

fn is_expected(from: SocketAddr, peer: IpAddr) -> bool {
    let is_peer = from.ip().to_canonical() == peer.to_canonical();
    if !is_peer {
        tracing::debug!(%from, expected = %peer, "ftp: a stranger came to a passive port");
    }
    is_peer
}

/// Connects from the port below the control port (RFC 959, 8), or from any where that is taken or
/// not ours to have.
async fn connect(to: SocketAddr, parent: &Parent) -> Result<Conn, DialError> {
    let from = |port| Some(SocketAddr::new(parent.local.ip(), port));
    let dial = |from| parent.dialer.connect_to(to, from, Gate::Peer(parent.peer), "ftp-data", Some(parent.id));
    match dial(from(parent.local.port().saturating_sub(1))).await {
        Err(DialError::Failed(error)) if error.kind() != io::ErrorKind::ConnectionRefused => dial(from(0)).await,
        done => done,
    }
}
