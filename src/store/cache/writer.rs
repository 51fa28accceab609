//! The thread that writes to the cache's folder: requests leave their orders and go on.
//!
//! Orders are carried out in their order. There is a bound on what waits: where the disk can't
//! follow, objects stay in memory only. A disk that is full or broken is told in the log, and
//! left alone for a while; the cache goes on without it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{disk::Disk, filed::Filed, index::Evicted};

/// The most that waits to be written, in octets.
const QUEUE_OCTETS: u64 = 32 * 1024 * 1024;
/// For so long nothing is written after an error.
const PAUSE: Duration = Duration::from_secs(5);

/// Something to be done in the folder, for the object with a hash and a number.
pub(super) enum Order {
    Write {
        hash: u64,
        id: u64,
        head: Vec<u8>,
        body: Bytes,
    },
    Adopt {
        hash: u64,
        id: u64,
        head: Vec<u8>,
        filed: Arc<Filed>,
    },
    RewriteHead {
        hash: u64,
        id: u64,
        head: Vec<u8>,
    },
    Unlink(Evicted),
    /// Answers when all before it is done.
    #[cfg(test)]
    Settle(Sender<()>),
}

impl Order {
    fn octets(&self) -> u64 {
        match self {
            Order::Write { head, body, .. } => (head.len() + body.len()) as u64,
            _ => 0,
        }
    }
}

/// Takes orders. When this goes, what was ordered is done first.
pub(super) struct Clerk {
    orders: Option<Sender<Order>>,
    queued: Arc<AtomicU64>,
    disk: Arc<Disk>,
    threads: Vec<JoinHandle<()>>,
}

impl Clerk {
    /// Starts the thread, and the one that looks through what is there.
    pub(super) fn start(disk: Arc<Disk>) -> io::Result<Clerk> {
        let (orders, received) = mpsc::channel();
        let queued = Arc::new(AtomicU64::new(0));
        let writer = Worker { disk: disk.clone(), queued: queued.clone(), paused_until: None };
        let scanned = disk.clone();
        let threads = vec![
            std::thread::Builder::new().name("cache-writer".into()).spawn(move || writer.run(&received))?,
            std::thread::Builder::new().name("cache-scan".into()).spawn(move || scanned.scan_all())?,
        ];
        Ok(Clerk { orders: Some(orders), queued, disk, threads })
    }

    /// Whether another object of this size may wait.
    pub(super) fn has_room(&self, octets: u64) -> bool {
        self.queued.load(Ordering::Relaxed).saturating_add(octets) <= QUEUE_OCTETS
    }

    pub(super) fn order(&self, order: Order) {
        self.queued.fetch_add(order.octets(), Ordering::Relaxed);
        if let Some(orders) = &self.orders {
            // The thread ends only after us.
            let _taken = orders.send(order);
        }
    }

    /// Waits until all orders are carried out.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        let (done, settled) = mpsc::channel();
        self.order(Order::Settle(done));
        let _settled = settled.recv();
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.disk.close();
        self.orders = None;
        for thread in self.threads.drain(..) {
            // A panic there was told by the panic itself.
            let _ended = thread.join();
        }
    }
}

struct Worker {
    disk: Arc<Disk>,
    queued: Arc<AtomicU64>,
    paused_until: Option<Instant>,
}

impl Worker {
    fn run(mut self, orders: &Receiver<Order>) {
        for order in orders {
            let octets = order.octets();
            self.perform(order);
            self.queued.fetch_sub(octets, Ordering::Relaxed);
        }
    }

    fn perform(&mut self, order: Order) {
        let is_paused = self.paused_until.is_some_and(|until| Instant::now() < until);
        let (hash, id, done) = match order {
            Order::Unlink(files) => return self.disk.unlink(files),
            #[cfg(test)]
            Order::Settle(done) => return done.send(()).unwrap_or_default(),
            Order::RewriteHead { hash, id, head } => (hash, id, self.disk.rewrite_head(hash, id, &head)),
            Order::Write { hash, id, .. } | Order::Adopt { hash, id, .. } if is_paused => return self.disk.forget_one(hash, id),
            Order::Write { hash, id, head, body } => (hash, id, self.disk.write(hash, id, &head, &body)),
            Order::Adopt { hash, id, head, filed } => (hash, id, self.disk.adopt(hash, id, &head, &filed)),
        };
        if let Err(error) = done {
            self.disk.forget_one(hash, id);
            // An object that was thrown out before its head was written anew is no trouble.
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("cannot write to the cache in {}: {error}; going on without", self.disk.folder.display());
                self.paused_until = Some(Instant::now() + PAUSE);
            }
        }
    }
}
