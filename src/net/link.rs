//! Emulated links: a listener, or what we dial, behind a slow line.
//!
//! Three parts. [`LinkSpec`] says what a link is like (`--link http=rtt:100ms,rate:1.5Mbps`).
//! `bottleneck.rs` is the arithmetic of one way, with the time as an argument. `carriage.rs` is
//! a connection's stream with both ways in it: what is written to it comes out at the other end
//! when the arithmetic says so. A connection without a link has none of this: its stream is the
//! socket itself.
//!
//! Setting up a connection costs one round trip. Where we dial, dialling takes so long. Where we
//! accept, the system has answered the peer before we hear of it, so nothing can delay the peer's
//! `connect`; instead whatever the peer sends counts as sent one RTT later, when its SYN would
//! have been answered, and our conversation begins when the peer's ACK would have come. All that
//! is said arrives at the right time then, and only the peer's `connect` looks free.

mod bottleneck;
mod carriage;
mod lane;
mod spec;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{sync::mpsc, time::Instant};

use super::wire::Plain;
use bottleneck::Bottleneck;
pub(crate) use carriage::Linked;
use carriage::Ways;
pub(crate) use spec::LinkSpec;

/// Buffers of the system on emulated links, in octets. The queue in front of the link is what is
/// to be seen; large buffers behind it would take everything in at once and hide it. What comes in
/// needs more: a segment on loopback has 64 KiB, and a sender whose segments don't fit into the
/// window waits for a fifth of a second (RFC 9293, 3.8.6.2.1).
const SEND_OCTETS: usize = 16 * 1024;
const RECEIVE_OCTETS: usize = 128 * 1024;

/// The outgoing side of the proxy, and of the mail relay, among the names of services.
pub(crate) const PROXY_OUT: &str = "proxy-out";
pub(crate) const RELAY_OUT: &str = "relay-out";

/// A link that connections can be put behind.
pub(crate) struct Link {
    spec: LinkSpec,
    /// Times are counted from here.
    made: Instant,
    /// Up and down, where all connections share them.
    shared: Option<(Way, Way)>,
    /// Numbers the connections: each has draws of its own, and its place in the queue.
    carried: AtomicU64,
}

/// One way, which connections may share.
type Way = Arc<Mutex<Bottleneck>>;

/// Which end of the connection is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Our {
    Server,
    Client,
}

/// Kept for as long as a connection still has something to deliver.
pub(crate) type Keep = Option<mpsc::Sender<()>>;

impl Link {
    pub(crate) fn new(spec: LinkSpec) -> Arc<Link> {
        let shared = spec.shared.then(|| ways(&spec, 0));
        Arc::new(Link { spec, made: Instant::now(), shared, carried: AtomicU64::new(0) })
    }

    pub(crate) fn spec(&self) -> &LinkSpec {
        &self.spec
    }

    /// From the peer's SYN to the ACK that makes the connection stand for a server.
    pub(crate) fn accept_time(&self) -> Duration {
        self.spec.rtt + self.spec.rtt / 2
    }

    /// Puts a connection that was accepted just now behind the link. What the peer sends counts as
    /// sent after its SYN was answered, what we send as sent after the peer's ACK.
    pub(crate) fn accepted(&self, plain: Plain, keep: Keep) -> Plain {
        self.carry(plain, Our::Server, (self.spec.rtt, self.accept_time()), keep)
    }

    /// Puts a connection that stands for us, the client, just now behind the link. Our ACK has
    /// half an RTT to go before the server knows of it.
    pub(crate) fn dialled(&self, plain: Plain) -> Plain {
        self.carry(plain, Our::Client, (self.spec.rtt / 2, Duration::ZERO), None)
    }

    /// `opens`: before that nothing goes in, nor out.
    fn carry(&self, plain: Plain, our: Our, (opens_in, opens_out): (Duration, Duration), keep: Keep) -> Plain {
        if let Plain::Tcp(stream) = &plain {
            shrink_buffers(&SockRef::from(stream));
        }
        let number = self.carried.fetch_add(1, Ordering::Relaxed) + 1;
        let (up, down) = self.shared.clone().unwrap_or_else(|| ways(&self.spec, number));
        let (inward, outward) = if our == Our::Server { (up, down) } else { (down, up) };
        let now = self.made.elapsed();
        let ways = Ways { number, made: self.made, inward, outward, opens: (now + opens_in, now + opens_out) };
        Plain::Linked(Linked::new(plain, ways, keep))
    }
}

/// Both ways of a link, up and down. They draw apart from each other, and from those of other
/// connections.
fn ways(spec: &LinkSpec, number: u64) -> (Way, Way) {
    let seed = spec.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number.wrapping_mul(2));
    let way = |rate, seed| Arc::new(Mutex::new(Bottleneck::new(spec, rate, seed)));
    (way(spec.up, seed), way(spec.down, seed.wrapping_add(1)))
}

/// Makes a listener's connections those of a link from their first packet on: with packets of its
/// size, or the 64 KiB of loopback's would come in bursts.
pub(super) fn prepare_listener(socket: &SockRef<'_>) {
    shrink_buffers(socket);
    // Where it fails times are a little less exact.
    let _small = socket.set_tcp_mss(bottleneck::PACKET_OCTETS as u32);
}

/// Keeps the system from taking in more than a link has carried.
fn shrink_buffers(socket: &SockRef<'_>) {
    // Where it fails more is hidden in the system than need be; times are right nevertheless.
    let _shrunk = socket.set_recv_buffer_size(RECEIVE_OCTETS).and_then(|()| socket.set_send_buffer_size(SEND_OCTETS));
}

/// The links of the house, by the services behind them. Listeners of one service share one.
#[derive(Clone, Default)]
pub(crate) struct Links(Arc<BTreeMap<String, Arc<Link>>>);

impl Links {
    pub(crate) fn new(specs: &BTreeMap<String, LinkSpec>) -> Links {
        Links(Arc::new(specs.iter().map(|(name, spec)| (name.clone(), Link::new(spec.clone()))).collect()))
    }

    pub(crate) fn of(&self, service: &str) -> Option<Arc<Link>> {
        self.0.get(service).cloned()
    }
}

#[cfg(test)]
mod tests;
