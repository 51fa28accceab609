//! Connections to origins: a bounded pool of idle ones, and new ones through the egress gate.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    Proxy,
    gateway::Gateway,
    origin::{Origin, Scheme},
    pages::Failure,
    policy::is_ourselves,
    way::Way,
};
use crate::net::{
    Conn,
    dial::{DialError, Gate},
};

/// How long a connection is kept for the next request: shorter than most servers keep theirs,
/// so that they seldom close it under our hands.
const IDLE: Duration = Duration::from_secs(15);
/// Idle connections to one origin, and to all of them: each is a file descriptor here and there.
/// With too few a busy origin is dialled again and again.
const MAX_IDLE_PER_ORIGIN: usize = 128;
const MAX_IDLE: usize = 512;

/// Requests that wait for a connection to one origin; one more gets 503.
const MAX_WAITING: usize = 1024;
/// Origins whose connections are counted; beyond that the idle ones are forgotten.
const MAX_DOORS: usize = 1024;

/// Idle connections by origin. Those made for clients that may go anywhere are never handed to
/// clients that may not.
pub(crate) struct Pool {
    kept: Mutex<Kept>,
    doors: Mutex<HashMap<Origin, Arc<Door>>>,
    /// Connections at a time to one origin.
    per_origin: usize,
    /// How long a request waits for one.
    patience: Duration,
}

/// Lets so many connections through to one origin: a stampede must not knock it over.
struct Door {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Kept {
    idle: HashMap<(Origin, bool), Vec<Idle>>,
    swept: Option<Instant>,
}

/// A connection and since when nobody has used it.
type Idle = (Conn, Instant);

impl Pool {
    pub(crate) fn new(per_origin: usize, patience: Duration) -> Pool {
        let per_origin = per_origin.clamp(1, Semaphore::MAX_PERMITS);
        Pool { kept: Mutex::default(), doors: Mutex::default(), per_origin, patience }
    }

    /// Waits for the right to one connection to `origin`, which the connection is to hold.
    pub(crate) async fn admit(&self, origin: &Origin) -> Result<OwnedSemaphorePermit, Failure> {
        let door = self.door(origin);
        if let Ok(permit) = door.free.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _place = Place::take(&door).ok_or(Failure::Crowded)?;
        let admitted = timeout(self.patience, door.free.clone().acquire_owned()).await;
        admitted.ok().and_then(Result::ok).ok_or(Failure::Crowded)
    }

    fn door(&self, origin: &Origin) -> Arc<Door> {
        let mut doors = self.doors.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(door) = doors.get(origin) {
            return door.clone();
        }
        if doors.len() >= MAX_DOORS {
            // Whoever holds or awaits a permit holds the semaphore or the door.
            doors.retain(|_, door| Arc::strong_count(door) > 1 || Arc::strong_count(&door.free) > 1);
        }
        let door = Arc::new(Door { free: Arc::new(Semaphore::new(self.per_origin)), waiting: AtomicUsize::new(0) });
        doors.insert(origin.clone(), door.clone());
        door
    }

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
    pub(crate) fn keep(&self, origin: &Origin, gate: Gate, mut conn: Conn) {
        // Idle ones are bounded by themselves.
        drop(conn.release());
        let mut kept = self.lock();
        kept.sweep();
        let total: usize = kept.idle.values().map(Vec::len).sum();
        let idle = kept.idle.entry(key(origin, gate)).or_default();
        if total < MAX_IDLE && idle.len() < MAX_IDLE_PER_ORIGIN {
            idle.push((conn, Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A place in the queue at a door; given back when dropped.
struct Place<'a>(&'a Door);

impl Place<'_> {
    fn take(door: &Door) -> Option<Place<'_>> {
        let place = Place(door);
        (door.waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
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
    /// A new connection on the way to `origin`. The name's resolution and all its addresses
    /// together have three times the time of one attempt.
    pub(super) async fn reach(&self, origin: &Origin, way: &Way) -> Result<Conn, Failure> {
        let reached = timeout(self.dialer.connect_time * 3, self.dial(origin, way)).await;
        reached.unwrap_or(Err(Failure::Connect(DialError::TimedOut)))
    }

    async fn dial(&self, origin: &Origin, way: &Way) -> Result<Conn, Failure> {
        // The settings name the parent, so the gate is open for it.
        let gate = if way.parent.is_some() { Gate::Open } else { way.gate };
        let next = way.next(origin);
        let addresses = self.addresses(next, way).await?;
        if next.scheme == Scheme::Ftp {
            let (ours, theirs) = self.dialer.pipe();
            let (dialer, clock, origin) = (self.dialer.clone(), self.clock.clone(), origin.clone());
            tokio::spawn(Gateway { dialer, clock, origin, addresses, gate, asker: way.asker }.run(theirs));
            return Ok(ours);
        }
        let connected = self.dialer.connect_any(addresses, gate, "proxy-upstream", Some(way.asker)).await;
        connected.map_err(Failure::Connect)
    }

    /// The addresses of a host, but for the proxy's own.
    async fn addresses(&self, origin: &Origin, way: &Way) -> Result<Vec<SocketAddr>, Failure> {
        let resolved = self.dialer.resolver.resolve(&origin.host, origin.port).await;
        let all = resolved.map_err(|error| Failure::Connect(DialError::Unknown(error)))?;
        let others: Vec<_> = all.iter().copied().filter(|to| !is_ourselves(*to, way.own)).collect();
        match others.is_empty() && !all.is_empty() {
            true => Err(Failure::Ourselves),
            false => Ok(others),
        }
    }
}
