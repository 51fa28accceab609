//! Everything a stranger can make grow or hold: how many connections, how long each phase may take.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::units::Span;

/// `[limits]` and `[limits.<service>]` in `portico.toml`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Connections at a time, per service; one more gets the protocol's busy reply.
    pub connections: usize,
    /// Connections at a time from one address, per service; loopback is exempt.
    pub connections_per_address: usize,
    /// Between two commands. The RFCs ask for at least 5 minutes (SMTP, RFC 5321, 4.5.3.2.7) and
    /// 10 minutes (POP3, RFC 1939, 3).
    pub idle: Span,
    /// From the first octet of a line or head to its end, however it drips.
    pub line: Span,
    /// A body or file that is on its way must move at least `stall_octets` within this time.
    pub stall: Span,
    /// See `stall`.
    pub stall_octets: u64,
    /// A TLS handshake, start to end.
    pub handshake: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 20_000,
            connections_per_address: 200,
            idle: Span::secs(600),
            line: Span::secs(30),
            stall: Span::secs(60),
            stall_octets: 1,
            handshake: Span::secs(10),
        }
    }
}

/// Connections by address.
type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Counts the connections of one service.
pub(crate) struct Permits {
    limits: Limits,
    total: Arc<Semaphore>,
    by_address: Counts,
}

/// The right to one connection; given back when dropped.
pub(crate) struct Permit {
    _total: OwnedSemaphorePermit,
    counted: Option<(IpAddr, Counts)>,
}

impl Permits {
    pub(crate) fn new(limits: &Limits) -> Permits {
        let total = limits.connections.min(Semaphore::MAX_PERMITS);
        Permits { limits: limits.clone(), total: Arc::new(Semaphore::new(total)), by_address: Arc::default() }
    }

    /// A permit for a connection from `peer`, or `None` where a limit is reached.
    pub(crate) fn admit(&self, peer: IpAddr) -> Option<Permit> {
        let total = self.total.clone().try_acquire_owned().ok()?;
        let peer = peer.to_canonical();
        if peer.is_loopback() {
            return Some(Permit { _total: total, counted: None });
        }
        let mut table = self.by_address.lock().expect("no code panics while it counts");
        let count = table.entry(peer).or_insert(0);
        if *count >= self.limits.connections_per_address {
            return None;
        }
        *count += 1;
        Some(Permit { _total: total, counted: Some((peer, self.by_address.clone())) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some((peer, table)) = &self.counted else { return };
        let mut table = table.lock().expect("no code panics while it counts");
        if let Some(count) = table.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                table.remove(peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_per_address_spares_loopback_and_gives_back() {
        let permits = Permits::new(&Limits { connections: 4, connections_per_address: 1, ..Limits::default() });
        let stranger: IpAddr = "192.0.2.1".parse().unwrap();
        let first = permits.admit(stranger).unwrap();
        assert!(permits.admit(stranger).is_none(), "one past the limit");
        let _a = permits.admit("127.0.0.1".parse().unwrap()).unwrap();
        let _b = permits.admit("::ffff:127.0.0.1".parse().unwrap()).unwrap();
        drop(first);
        let _again = permits.admit(stranger).unwrap();
        let _last = permits.admit("::1".parse().unwrap()).unwrap();
        assert!(permits.admit("::1".parse().unwrap()).is_none(), "the total holds for everybody");
    }
}
