//! The network as every conversation sees it: connections, deadlines, TLS, limits, shutdown.
//!
//! Nothing in here knows a protocol, and nothing knows the storage. Start with [`drive`] (the life
//! of one connection from accept to close), then [`conn`] (what a conversation reads and writes).

pub(crate) mod block;
pub(crate) mod conn;
pub(crate) mod dial;
pub(crate) mod drive;
pub(crate) mod duplex;
pub(crate) mod ended;
pub(crate) mod escape;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod network;
mod race;
