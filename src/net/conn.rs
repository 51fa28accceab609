//! One connection, as a conversation sees it: lines, heads and bytes in, replies and bytes out.
//!
//! * [`Conn::command`] and [`Conn::head`] are the idle points: only there do the idle time and
//!   shutdown end a conversation.
//! * [`Conn::say`] buffers and never waits. Whatever waits next flushes first, so commands that
//!   came in one packet are answered in one write, and no reply is forgotten.
//! * Reading and flushing are cancel-safe: a `select!` may drop either at any point.
//!
//! The other parts of this type are in `receive.rs`, with reading and parsing, and in `send.rs`,
//! with sending and closing. Beneath it lies a [`Wire`].

use std::{net::SocketAddr, ops::Range, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    alarm::Alarm,
    ended::{Ended, Phase},
    fault::Moment,
    limits::Limits,
    line::{Line, LineEnding},
    progress::Progress,
    receive::{Filled, Patience},
    spare,
    stop::Stop,
    suffer::{Point, Suffered, Suffering},
    tap::Tap,
    telnet,
    tls::TlsFacts,
    wire::Wire,
};
use crate::units::Span;

/// Replies to pipelined commands are joined up to this many octets before they are written.
const JOIN_OCTETS: usize = 64 * 1024;
/// Commands that lie in the buffer already are taken so many at a time; then everybody else has a
/// turn. A thousand clients that send a thousand requests at once must not keep the next one out.
const TURN: u8 = 32;
/// How much of an overlong line is skipped, in octets, before the peer is hung up on.
const SKIP_OCTETS: usize = 256 * 1024;

/// Which part of a line the transcript must not show: a password, a token.
pub(crate) type Mask = fn(&[u8]) -> Option<Range<usize>>;

/// A connection between a peer and one conversation.
pub(crate) struct Conn {
    pub(super) wire: Wire,
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
    /// TLS may hold bytes that were written but not flushed.
    pub(super) unflushed: bool,
    /// Octets written to the wire since the beginning.
    pub(super) written: u64,
    pub(super) id: u64,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) limits: Arc<Limits>,
    pub(super) stop: Stop,
    pub(super) tap: Tap,
    pub(super) alarm: Alarm,
    pub(super) progress: Progress,
    pub(super) arrivals: u64,
    /// Commands since others had their turn.
    turn: u8,
    /// See [`Conn::take_urgent_inline`].
    pub(super) urgent_inline: bool,
    /// See [`Conn::take_any_end`].
    pub(super) takes_any_end: bool,
    /// See [`Conn::hold`].
    held: Option<OwnedSemaphorePermit>,
    /// See [`Conn::expect_no_more`].
    pub(super) is_peer_done: bool,
    /// The faults that the lab's owner may set.
    pub(super) faults: Option<Arc<Point>>,
    pub(super) suffering: Option<Box<Suffering>>,
}

/// What arrived where a line or a head was awaited.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Whole(T),
    /// It was longer than the limit. A line has been skipped; a head has not.
    TooLong,
}

impl<T> Received<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Received<U> {
        match self {
            Received::Whole(whole) => Received::Whole(change(whole)),
            Received::TooLong => Received::TooLong,
        }
    }
}

impl Conn {
    pub(super) fn new(wire: Wire, (id, local, peer): (u64, SocketAddr, SocketAddr), limits: Arc<Limits>, stop: Stop, tap: Tap) -> Conn {
        Conn {
            wire,
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            written: 0,
            id,
            local,
            peer,
            tls: None,
            limits,
            stop,
            tap,
            alarm: Alarm::default(),
            progress: Progress::default(),
            arrivals: 0,
            turn: 0,
            urgent_inline: false,
            takes_any_end: false,
            held: None,
            is_peer_done: false,
            faults: None,
            suffering: None,
        }
    }

    /// A number for this connection, unique within the process; in logs and transcripts.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What TLS agreed on; `None` on a plain connection.
    pub(crate) fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_deref()
    }

    /// What both ends of a TLS 1.3 connection know it by, and nobody else (RFC 9266).
    pub(crate) fn exporter(&self) -> Option<Vec<u8>> {
        self.wire.exporter()
    }

    /// Takes a permit along that is given back when the connection ends.
    pub(crate) fn hold(&mut self, permit: Option<OwnedSemaphorePermit>) {
        self.held = permit;
    }

    /// The permit that it held, if any.
    pub(crate) fn release(&mut self) -> Option<OwnedSemaphorePermit> {
        self.held.take()
    }

    pub(crate) fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// The peer itself wants this connection's idle time to be so long.
    pub(crate) fn set_idle(&mut self, idle: Span) {
        self.limits = Arc::new(Limits { idle, ..Limits::clone(&self.limits) });
    }

    /// The shutdown signal, for waits that are not on this connection.
    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    pub(crate) fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Takes urgent data in line with the rest: FTP clients send a part of ABOR as urgent
    /// (RFC 959, 4.1.3), which would be missing from the command otherwise.
    pub(crate) fn take_urgent_inline(&mut self) {
        if let Some(tcp) = self.wire.as_tcp() {
            // Where this fails an ABOR may lose an octet, no more.
            self.urgent_inline = socket2::SockRef::from(tcp).set_out_of_band_inline(true).is_ok();
        }
    }

    /// Takes the end of a TLS connection for one that was meant, with a close_notify or without.
    pub(crate) fn take_any_end(&mut self) {
        self.takes_any_end = true;
    }

    /// Waits for the next command line of at most `limit` octets (line end included). An idle
    /// point. Telnet control sequences are removed.
    pub(crate) async fn command(&mut self, limit: usize, mask: Mask) -> Result<Received<Line>, Ended> {
        loop {
            let received = self.line(limit, mask, Patience::Idle).await?;
            if let (true, Received::Whole(line)) = (self.may_fail(), &received)
                && Box::pin(self.suffer(Moment::Command(&line.text))).await? == Suffered::Answered
            {
                continue;
            }
            return Ok(received);
        }
    }

    /// Waits for a further line of the same command, such as a SASL response. Not an idle point.
    pub(crate) async fn more(&mut self, limit: usize, mask: Mask) -> Result<Received<Line>, Ended> {
        self.line(limit, mask, Patience::Within).await
    }

    /// Waits without a time limit for a command line while a transfer runs on another connection.
    pub(crate) async fn command_meanwhile(&mut self, limit: usize, mask: Mask) -> Result<Received<Line>, Ended> {
        self.line(limit, mask, Patience::Unbounded).await
    }

    async fn line(&mut self, limit: usize, mask: Mask, patience: Patience) -> Result<Received<Line>, Ended> {
        let find = |input: &[u8], from: usize| memchr::memchr(b'\n', &input[from..]).map(|at| from + at + 1);
        let bytes = match self.until(limit, find, patience).await? {
            Received::Whole(end) => self.take(end),
            Received::TooLong => {
                let octets = self.skip_line(limit).await?;
                self.tap.received_long_line(octets);
                return Ok(Received::TooLong);
            }
        };
        let (text, ending) = match bytes.strip_suffix(b"\r\n") {
            Some(text) => (text, LineEnding::CrLf),
            None => (&bytes[..bytes.len() - 1], LineEnding::Lf),
        };
        let mut text = text.to_vec();
        telnet::strip(&mut text);
        self.tap.received(&text, mask(&text));
        Ok(Received::Whole(Line { text, ending }))
    }

    /// Waits for a head of at most `limit` octets. An idle point.
    ///
    /// `find(input, from)` tells where the head ends; the octets before `from` were shown to it
    /// before. The head is not noted in the transcript, since only the protocol can tell what is
    /// secret in it: see [`super::tap::Tap::received`].
    pub(crate) async fn head(&mut self, limit: usize, find: impl Fn(&[u8], usize) -> Option<usize>) -> Result<Received<Bytes>, Ended> {
        let found = self.head_at_hand(limit, find).await?;
        Ok(found.map(|end| self.take(end)))
    }

    /// Like [`Conn::head`], but only tells how long the head is and leaves it in
    /// [`Conn::buffered`]: for those who look before they [`Conn::take`] or [`Conn::skip`].
    pub(crate) async fn head_at_hand(
        &mut self,
        limit: usize,
        find: impl Fn(&[u8], usize) -> Option<usize>,
    ) -> Result<Received<usize>, Ended> {
        let found = self.until(limit, find, Patience::Idle).await?;
        if self.may_fail() {
            let end = memchr::memchr(b'\r', &self.input).unwrap_or(self.input.len());
            let line = self.input[..end].to_vec();
            Box::pin(self.suffer(Moment::Command(&line))).await?;
        }
        Ok(found)
    }

    /// Like [`Conn::head`], but not an idle point: for a response that was asked for. The peer
    /// has the `stall` time to begin it.
    pub(crate) async fn answer(&mut self, limit: usize, find: impl Fn(&[u8], usize) -> Option<usize>) -> Result<Received<Bytes>, Ended> {
        let found = self.until(limit, find, Patience::Within).await?;
        Ok(found.map(|end| self.take(end)))
    }

    /// Takes the first octets of what is [`Conn::buffered`].
    pub(crate) fn take(&mut self, octets: usize) -> Bytes {
        self.input.split_to(octets).freeze()
    }

    /// Drops the first octets of what is [`Conn::buffered`].
    pub(crate) fn skip(&mut self, octets: usize) {
        self.input.advance(octets);
    }

    /// Counts the times that something was received: two heads with the same number had both come
    /// before the first of them was looked at.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Waits until `find` finds an end within the first `limit` octets, and tells where.
    async fn until(
        &mut self,
        limit: usize,
        find: impl Fn(&[u8], usize) -> Option<usize>,
        patience: Patience,
    ) -> Result<Received<usize>, Ended> {
        self.progress = Progress::default();
        let mut scanned = 0;
        let mut complete_by = None;
        loop {
            if let Some(end) = find(&self.input, scanned) {
                if self.output.len() > JOIN_OCTETS {
                    self.flush().await?;
                }
                self.take_turns().await;
                return Ok(if end <= limit { Received::Whole(end) } else { Received::TooLong });
            }
            scanned = self.input.len();
            if scanned >= limit {
                return Ok(Received::TooLong);
            }
            self.flush().await?;
            if scanned == 0 {
                self.await_input(patience).await?;
            } else {
                let due = *complete_by.get_or_insert_with(|| Instant::now() + self.limits.line.0);
                match self.fill(4096, due, Patience::Within).await? {
                    Filled::Octets(_) => {}
                    Filled::End => return Err(Ended::Truncated),
                    Filled::TooLate => return Err(Ended::Slow(Phase::Line)),
                }
            }
        }
    }

    async fn take_turns(&mut self) {
        self.turn = (self.turn + 1) % TURN;
        if self.turn == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the first octets after a pause, holding no buffer meanwhile.
    async fn await_input(&mut self, patience: Patience) -> Result<(), Ended> {
        spare::give(&mut self.output);
        let wait = match patience {
            Patience::Idle => self.limits.idle.0,
            Patience::Within => self.limits.stall.0,
            Patience::Unbounded => std::time::Duration::from_secs(86_400 * 365),
        };
        match self.fill(4096, Instant::now() + wait, patience).await {
            Ok(Filled::Octets(_)) => Ok(()),
            // A reset between two commands is how many clients hang up.
            Ok(Filled::End) | Err(Ended::Truncated) => Err(Ended::Closed),
            Ok(Filled::TooLate) if patience == Patience::Idle => Err(Ended::Idle),
            Ok(Filled::TooLate) => Err(Ended::Slow(Phase::Line)),
            Err(ended) => Err(ended),
        }
    }

    /// Drops an overlong line and tells how long it was, without its end.
    async fn skip_line(&mut self, limit: usize) -> Result<usize, Ended> {
        let mut skipped = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let line = self.input.split_to(end + 1);
                return Ok(skipped + line.trim_ascii_end().len());
            }
            skipped += self.input.len();
            self.input.clear();
            if skipped > SKIP_OCTETS.max(limit) {
                return Err(Ended::Abuse("a line without end"));
            }
            self.progressing_fill().await?;
        }
    }

    /// What has been received and not been taken yet.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.input
    }
}
