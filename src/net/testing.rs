//! Connections and servers for unit tests, in memory.

use std::{net::SocketAddr, sync::Arc};

use tokio::io::DuplexStream;

use super::{
    conn::Conn,
    drive::Service,
    limits::{Limits, Permits},
    listener::{self, Door},
    network::Network,
    stop::{Stop, Stopper, stop},
    tap::Tap,
    wire::{Plain, Wire},
};
use crate::transcript::record::Recorder;

/// A connection without listener or network: our end, the peer's end, and the stopper that must outlive them.
pub(crate) fn pair() -> (Conn, DuplexStream, Stopper) {
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    let (stopper, stop) = stop();
    let at = "127.0.0.1:1".parse().expect("it is an address");
    let conn = Conn::new(Wire::Plain(Plain::Memory(ours)), (1, at, at), Arc::new(Limits::default()), stop, Tap::default());
    (conn, theirs, stopper)
}

/// Serves `service` in the clear on an address of its own in `network`, and tells where.
pub(crate) fn serve(network: &Network, service: Arc<dyn Service>, limits: Limits, stop: Stop) -> SocketAddr {
    let listener = network.listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a network in memory has a port left");
    let at = listener.local_addr().expect("it listens");
    let (permits, limits) = (Permits::new(&limits), Arc::new(limits));
    let door = Door {
        name: "under test",
        service,
        tls: None,
        implicit: false,
        permits,
        limits,
        recorder: Recorder::new(),
        link: None,
        faults: None,
    };
    tokio::spawn(listener::serve(listener, Arc::new(door), stop));
    at
}
