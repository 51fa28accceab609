//! Where a connection's transcript is tapped.
//!
//! A connection that nobody records carries an empty tap, which costs a test of one word per line.

use std::{
    fmt::Display,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::time::Instant;

use crate::transcript::{
    record::{Event, LOGIN, Recorder, Recording, Side},
    script::Heading,
};

/// A line of text is kept in memory up to this length, in octets; a longer one is only counted.
const PARTIAL_OCTETS: usize = 64 * 1024;

/// Notes what is said on one connection, if anybody wants to know.
#[derive(Clone, Default)]
pub(crate) struct Tap(Option<Arc<Tapped>>);

struct Tapped {
    recording: Recording,
    started: Instant,
    /// Who is at the other end: the client of our servers, the server of our clients.
    peer: Side,
    /// The beginning of a line of text whose end has not come yet.
    partial: Mutex<Vec<u8>>,
    has_end: AtomicBool,
}

impl Tap {
    /// A tap on connection `conn` of `service`, which `parent` (another connection) belongs to,
    /// if any.
    pub(crate) fn open(
        recorder: &Recorder,
        service: &str,
        (conn, parent): (u64, Option<u64>),
        peer_side: Side,
        (client, server): (SocketAddr, SocketAddr),
    ) -> Tap {
        if !recorder.is_wanted() {
            return Tap::default();
        }
        let heading = Heading { service: service.to_owned(), client, server, id: conn, parent };
        let recording = Recording::begin(recorder, heading);
        Tap(recording.map(|recording| {
            Arc::new(Tapped {
                recording,
                started: Instant::now(),
                peer: peer_side,
                partial: Mutex::default(),
                has_end: AtomicBool::new(false),
            })
        }))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// A line from the peer, without its end. `secret` is shown as asterisks.
    pub(crate) fn received(&self, line: &[u8], secret: Option<Range<usize>>) {
        let Some(tapped) = &self.0 else { return };
        let line = match secret {
            Some(span) if span.end <= line.len() && span.start <= span.end => [&line[..span.start], b"****", &line[span.end..]].concat(),
            _ => line.to_vec(),
        };
        tapped.note(Event::Line { side: tapped.peer, line });
    }

    /// Lines to the peer, with their ends. What follows the last CR LF is a body that went out with
    /// its head; it is only counted.
    pub(crate) fn sent(&self, lines: &[u8]) {
        let Some(tapped) = &self.0 else { return };
        let mut rest = lines;
        while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
            tapped.note(Event::Line { side: tapped.peer.other(), line: rest[..end].to_vec() });
            rest = &rest[end + 2..];
        }
        if !rest.is_empty() {
            tapped.note(Event::Bytes { side: tapped.peer.other(), octets: rest.len() });
        }
    }

    /// A line from the peer that was too long to be kept.
    pub(crate) fn received_long_line(&self, octets: usize) {
        let Some(tapped) = &self.0 else { return };
        tapped.note(Event::LongLine { side: tapped.peer, octets });
    }

    /// Text from the peer that is not read line by line, such as a message; it may begin and end
    /// within a line.
    pub(crate) fn received_text(&self, octets: &[u8]) {
        let Some(tapped) = &self.0 else { return };
        let mut partial = tapped.partial();
        partial.extend_from_slice(octets);
        while let Some(end) = memchr::memmem::find(&partial, b"\r\n") {
            let line = partial[..end].to_vec();
            partial.drain(..end + 2);
            tapped.recording.note(tapped.started.elapsed(), Event::Line { side: tapped.peer, line });
        }
        if partial.len() > PARTIAL_OCTETS {
            let event = Event::Bytes { side: tapped.peer, octets: partial.len() };
            partial.clear();
            tapped.recording.note(tapped.started.elapsed(), event);
        }
    }

    /// Octets of a body or a file from the peer.
    pub(crate) fn received_bytes(&self, octets: usize) {
        let Some(tapped) = &self.0 else { return };
        tapped.note(Event::Bytes { side: tapped.peer, octets });
    }

    /// Octets of a body or a file to the peer.
    pub(crate) fn sent_bytes(&self, octets: usize) {
        let Some(tapped) = &self.0 else { return };
        tapped.note(Event::Bytes { side: tapped.peer.other(), octets });
    }

    /// A TLS handshake, and what it agreed on.
    pub(crate) fn secured(&self, facts: impl Display) {
        let Some(tapped) = &self.0 else { return };
        tapped.note(Event::Secured(facts.to_string()));
    }

    /// What a data connection has carried: on its own tap, and on its control connection's.
    pub(crate) fn carried(&self, extent: impl Display) {
        let Some(tapped) = &self.0 else { return };
        tapped.note(Event::Carried(extent.to_string()));
    }

    /// Something that happened beside the lines: an upload's target, a cache decision.
    pub(crate) fn event(&self, text: impl Display) {
        let Some(tapped) = &self.0 else { return };
        tapped.note(Event::Happened(text.to_string()));
    }

    /// An account has logged in.
    pub(crate) fn login(&self, account: &str) {
        self.event(format_args!("{LOGIN}{account}"));
    }

    /// The end and its reason.
    pub(crate) fn closed(&self, why: impl Display) {
        let Some(tapped) = &self.0 else { return };
        tapped.has_end.store(true, Ordering::Relaxed);
        tapped.note(Event::Closed(why.to_string()));
    }
}

impl Tapped {
    fn partial(&self) -> MutexGuard<'_, Vec<u8>> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: Event) {
        let partial = std::mem::take(&mut *self.partial());
        if !partial.is_empty() {
            self.recording.note(self.started.elapsed(), Event::Bytes { side: self.peer, octets: partial.len() });
        }
        self.recording.note(self.started.elapsed(), event);
    }
}

impl Drop for Tapped {
    /// Whoever watches must learn of every end, also of connections that are just dropped.
    fn drop(&mut self) {
        if !*self.has_end.get_mut() {
            self.note(Event::Closed("over".into()));
        }
    }
}
