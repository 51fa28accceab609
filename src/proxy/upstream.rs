//! Connections to origins: a bounded pool of idle ones, and new ones through the egress gate.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::Instant;

use super::origin::Origin;
use crate::net::{
    Conn,
    dial::{DialError, Dialer, Gate},
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
pub(crate) struct Pool {
    idle: Mutex<HashMap<(Origin, bool), Vec<Idle>>>,
}

/// A connection and since when nobody has used it.
type Idle = (Conn, Instant);

impl Pool {
    /// The connection to `origin` that was used last and is still good.
    pub(crate) fn take(&self, origin: &Origin, gate: Gate) -> Option<Conn> {
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let kept = idle.get_mut(&key(origin, gate))?;
        let mut good = None;
        while let Some((mut conn, since)) = kept.pop() {
            if since.elapsed() < IDLE && conn.is_quiet() {
                good = Some(conn);
                break;
            }
        }
        if kept.is_empty() {
            idle.remove(&key(origin, gate));
        }
        good
    }

    /// Keeps a connection whose last response is complete.
    pub(crate) fn keep(&self, origin: &Origin, gate: Gate, conn: Conn) {
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if idle.values().map(Vec::len).sum::<usize>() >= MAX_IDLE {
            idle.retain(|_, kept| {
                kept.retain(|(_, since)| since.elapsed() < IDLE);
                !kept.is_empty()
            });
        }
        let total: usize = idle.values().map(Vec::len).sum();
        let kept = idle.entry(key(origin, gate)).or_default();
        if total < MAX_IDLE && kept.len() < MAX_IDLE_PER_ORIGIN {
            kept.push((conn, Instant::now()));
        }
    }
}

fn key(origin: &Origin, gate: Gate) -> (Origin, bool) {
    (origin.clone(), gate == Gate::Open)
}

/// A new connection to `origin` for the client connection `parent`.
pub(crate) async fn connect(dialer: &Dialer, origin: &Origin, gate: Gate, parent: u64) -> Result<Conn, DialError> {
    dialer.connect((&origin.host, origin.port), gate, "proxy-upstream", Some(parent)).await
}
