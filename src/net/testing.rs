//! A connection for unit tests, without listener or network.

use std::sync::Arc;

use tokio::io::DuplexStream;

use super::{
    conn::Conn,
    limits::Limits,
    stop::{Stopper, stop},
    tap::Tap,
    wire::{Plain, Wire},
};

/// Our end, the peer's end, and the stopper that must outlive them.
pub(crate) fn pair() -> (Conn, DuplexStream, Stopper) {
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    let (stopper, stop) = stop();
    let at = "127.0.0.1:1".parse().expect("it is an address");
    let conn = Conn::new(Wire::Plain(Plain::Memory(ours)), (1, at, at), Arc::new(Limits::default()), stop, Tap::default());
    (conn, theirs, stopper)
}
