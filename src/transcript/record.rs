//! Records conversations as they happen.

use std::{net::SocketAddr, time::Duration};

use tokio::sync::broadcast;

/// Events that may wait for a slow listener before the oldest are dropped.
const BACKLOG: usize = 4096;

/// Who says a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// Something that happened on a connection.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Opened {
        service: String,
        client: SocketAddr,
        server: SocketAddr,
        parent: Option<u64>,
    },
    /// A line without its end, secrets already masked.
    Line {
        side: Side,
        line: Vec<u8>,
    },
    /// Octets of a body or file.
    Bytes {
        side: Side,
        octets: usize,
    },
    /// Anything else worth a `--` line.
    Happened(String),
    Closed(String),
}

/// An event with its connection and the time since that connection began.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub conn: u64,
    pub at: Duration,
    pub event: Event,
}

/// The bounded broadcast that every tap feeds: a slow listener misses events and never slows a
/// conversation down. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recorder(broadcast::Sender<Noted>);

impl Recorder {
    pub(crate) fn new() -> Recorder {
        Recorder(broadcast::channel(BACKLOG).0)
    }

    /// Whether anybody listens; if not, connections carry no tap.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Noted> {
        self.0.subscribe()
    }

    /// Notes the first event of a connection.
    pub(crate) fn note(&self, conn: u64, event: Event) {
        self.note_at(conn, Duration::ZERO, event);
    }

    pub(crate) fn note_at(&self, conn: u64, at: Duration, event: Event) {
        // Nobody listening is no failure.
        let _listeners = self.0.send(Noted { conn, at, event });
    }
}
