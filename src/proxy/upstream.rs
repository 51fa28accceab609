//! Connections to origins: a bounded pool of idle ones, and new ones through the egress gate.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{Proxy, origin::Origin, pages::Failure, policy::is_ourselves};
use crate::net::{
    Conn,
    dial::{DialError, Gate},
};

/// How long a connection is kept for the next request: shorter than most servers keep theirs,
/// so that they seldom close it under our hands.
const IDLE: Duration = Duration::from_secs(15);
/// Idle connections to one origin, and to all of them: each is a file descriptor here and there.
const MAX_IDLE_PER_ORIGIN: usize = 32;
const MAX_IDLE: usize = 512;

/// Idle connections by origin. Those made for clients that may go anywhere are never handed to
/// clients that may not.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    idle: HashMap<(Origin, bool), Vec<Idle>>,
    swept: Option<Instant>,
}

/// A connection and since when nobody has used it.
type Idle = (Conn, Instant);

impl Pool {
    /// The connection to `origin` that was used last and is still good.
    pub(crate) fn take(&self, origin: &Origin, gate: Gate) -> Option<Conn> {
        let mut kept = self.lock();
        let idle = kept.idle.get_mut(&key(origin, gate))?;
        while let Some((mut conn, since)) = idle.pop() {
            if since.elapsed() < IDLE && conn.is_quiet() {
                return Some(conn);
            }
        }
        None
    }

    /// Keeps a connection whose last response is complete.
    pub(crate) fn keep(&self, origin: &Origin, gate: Gate, conn: Conn) {
        let mut kept = self.lock();
        kept.sweep();
        let total: usize = kept.idle.values().map(Vec::len).sum();
        let idle = kept.idle.entry(key(origin, gate)).or_default();
        if total < MAX_IDLE && idle.len() < MAX_IDLE_PER_ORIGIN {
            idle.push((conn, Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Kept {
    /// Drops what has been idle for too long; looks only now and then.
    fn sweep(&mut self) {
        if self.swept.is_some_and(|swept| swept.elapsed() < IDLE) {
            return;
        }
        self.swept = Some(Instant::now());
        self.idle.retain(|_, idle| {
            idle.retain(|(_, since)| since.elapsed() < IDLE);
            !idle.is_empty()
        });
    }
}

fn key(origin: &Origin, gate: Gate) -> (Origin, bool) {
    (origin.clone(), gate == Gate::Open)
}

impl Proxy {
    /// A new connection to `origin` for this client. The name's resolution and all its addresses
    /// together have three times the time of one attempt.
    pub(super) async fn reach(&self, client: &Conn, origin: &Origin, gate: Gate) -> Result<Conn, Failure> {
        let reached = timeout(self.dialer.connect_time * 3, self.dial(client, origin, gate)).await;
        reached.unwrap_or(Err(Failure::Connect(DialError::TimedOut)))
    }

    async fn dial(&self, client: &Conn, origin: &Origin, gate: Gate) -> Result<Conn, Failure> {
        let resolved = self.dialer.resolver.resolve(&origin.host, origin.port).await;
        let mut addresses = resolved.map_err(|error| Failure::Connect(DialError::Unknown(error)))?;
        let all = addresses.len();
        addresses.retain(|to| !is_ourselves(*to, client.local()));
        if addresses.is_empty() && all > 0 {
            return Err(Failure::Ourselves);
        }
        let connected = self.dialer.connect_any(addresses, gate, "proxy-upstream", Some(client.id())).await;
        connected.map_err(Failure::Connect)
    }
}
