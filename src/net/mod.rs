//! The network as every conversation sees it: connections, deadlines, TLS, limits, shutdown.
//!
//! Nothing in here knows a protocol, and nothing knows the storage. Start with [`drive`] (the life
//! of one connection from accept to close), then [`conn`] (what a conversation reads and writes).

mod alarm;
pub(crate) mod block;
pub(crate) mod conn;
pub(crate) mod dial;
pub(crate) mod dns;
pub(crate) mod drive;
pub(crate) mod duplex;
pub(crate) mod ended;
pub(crate) mod escape;
pub(crate) mod fault;
pub(crate) mod limits;
mod line;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod network;
mod pause;
mod progress;
mod race;
mod receive;
pub(crate) mod resolve;
mod send;
mod spare;
pub(crate) mod splice;
pub(crate) mod stop;
pub(crate) mod suffer;
pub(crate) mod tap;
pub(crate) mod telnet;
mod tickets;
pub(crate) mod tls;
pub(crate) mod tunnel;
pub(crate) mod wire;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

pub(crate) use conn::{Conn, Received};
pub(crate) use drive::{Entry, Exit, Farewell, Protocol};
pub(crate) use ended::{Ended, Phase};
pub(crate) use line::{Line, LineEnding};
pub(crate) use receive::Parse;
