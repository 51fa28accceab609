//! One connection of a script: a reader and a writer that hide nothing.

use std::{collections::VecDeque, future::poll_fn, io, pin::Pin, task::Poll, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout_at},
};

use super::body::Framing;
use crate::{net::wire::Wire, transcript::record::Side};

/// The longest line that is read, in octets.
const LINE_OCTETS: usize = 1 << 20;
/// The most that is read ahead while the script says something long, in octets.
pub(super) const AHEAD_OCTETS: usize = 64 << 20;

/// How long a closing TLS connection still listens.
const TICKET_TIME: Duration = Duration::from_millis(50);

/// The other side of a connection that the script opened or accepted.
pub(super) struct Peer {
    /// Who we are on this connection.
    pub ours: Side,
    /// Gone once we closed it.
    pub wire: Option<Wire>,
    pub input: BytesMut,
    end: Option<End>,
    /// The body that the last head announced and that nothing has read yet.
    pub body: Option<Framing>,
    /// Methods of the requests that were sent and not answered yet, as far as they matter.
    pub requests: VecDeque<Method>,
    /// The last thing on this connection was an expectation: more from the peer is too much.
    pub is_settled: bool,
}

/// The methods whose responses are framed in their own way (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
}

/// How the peer's stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    /// TLS ended without its close_notify: somebody may have cut the end off (RFC 8446, 6.1).
    Truncated,
    Reset,
    Broken(String),
}

/// Why there is nothing to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    TimedOut,
    Ended(End),
    /// More than any script can want.
    TooMuch,
}

/// A line and how it ended.
pub(super) struct PeerLine {
    pub text: Vec<u8>,
    pub has_cr: bool,
}

impl Peer {
    pub(super) fn new(ours: Side, wire: Wire) -> Peer {
        Peer { ours, wire: Some(wire), input: BytesMut::new(), end: None, body: None, requests: VecDeque::new(), is_settled: false }
    }

    /// Reads once.
    pub(super) async fn fill(&mut self, until: Instant) -> Result<(), Silence> {
        if let Some(end) = &self.end {
            return Err(Silence::Ended(end.clone()));
        }
        let Some(wire) = &mut self.wire else { return Err(Silence::Ended(End::Closed)) };
        let end = match timeout_at(until, wire.read_buf(&mut self.input)).await {
            Err(_) => return Err(Silence::TimedOut),
            Ok(Ok(0)) => End::Closed,
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => end_of(&error),
        };
        self.end = Some(end.clone());
        Err(Silence::Ended(end))
    }

    /// The next line; it stays in the buffer if it isn't whole.
    pub(super) async fn line(&mut self, until: Instant) -> Result<PeerLine, Silence> {
        let length = self.find_line(until).await?;
        let line = self.input.split_to(length);
        let text = &line[..length - 1];
        let (text, has_cr) = text.strip_suffix(b"\r").map_or((text, false), |text| (text, true));
        Ok(PeerLine { text: text.to_vec(), has_cr })
    }

    /// The next line without its end, which stays to be read.
    pub(super) async fn peek_line(&mut self, until: Instant) -> Result<Vec<u8>, Silence> {
        let length = self.find_line(until).await?;
        Ok(self.input[..length].trim_ascii_end().to_vec())
    }

    async fn find_line(&mut self, until: Instant) -> Result<usize, Silence> {
        let mut scanned = 0;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.input[scanned..]) {
                return Ok(scanned + at + 1);
            }
            scanned = self.input.len();
            if scanned > LINE_OCTETS {
                return Err(Silence::TooMuch);
            }
            self.fill(until).await?;
        }
    }

    /// The next `count` octets.
    pub(super) async fn octets(&mut self, count: usize, until: Instant) -> Result<Vec<u8>, Silence> {
        while self.input.len() < count {
            if self.input.len() > AHEAD_OCTETS {
                return Err(Silence::TooMuch);
            }
            self.fill(until).await?;
        }
        Ok(self.input.split_to(count).to_vec())
    }

    /// Everything up to the end of the stream, and how it ended.
    pub(super) async fn rest(&mut self, until: Instant) -> Result<(Vec<u8>, End), Silence> {
        loop {
            match self.fill(until).await {
                Ok(()) if self.input.len() > AHEAD_OCTETS => return Err(Silence::TooMuch),
                Ok(()) => {}
                Err(Silence::Ended(end)) => return Ok((self.input.split().to_vec(), end)),
                Err(silence) => return Err(silence),
            }
        }
    }

    /// Sends octets, and reads meanwhile: a peer that answers while it is told something long
    /// would else wait for us as we wait for it.
    pub(super) async fn send(&mut self, octets: &[u8], until: Instant) -> Result<(), Silence> {
        self.note_requests(octets);
        let mut rest = octets;
        let sending = poll_fn(|cx| {
            let Some(wire) = &mut self.wire else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
            loop {
                let is_flush = rest.is_empty();
                let polled = if is_flush {
                    Pin::new(&mut *wire).poll_flush(cx)
                } else {
                    Pin::new(&mut *wire).poll_write(cx, rest).map_ok(|written| rest.advance(written))
                };
                match polled {
                    Poll::Ready(Ok(())) if is_flush => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
                let mut buffer = [0; 16 * 1024];
                let mut buffer = ReadBuf::new(&mut buffer);
                match Pin::new(&mut *wire).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() && self.input.len() < AHEAD_OCTETS => {
                        self.input.extend_from_slice(buffer.filled());
                    }
                    // The end of the stream and its errors show when they are asked for.
                    _ => return Poll::Pending,
                }
            }
        });
        match timeout_at(until, sending).await {
            Err(_) => Err(Silence::TimedOut),
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Silence::Ended(end_of(&error))),
        }
    }

    /// Remembers what was asked, since answers to HEAD and CONNECT are framed differently.
    fn note_requests(&mut self, octets: &[u8]) {
        if self.ours == Side::Server {
            return;
        }
        for line in octets.split(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") {
                self.requests.push_back(match line.split(|octet| *octet == b' ').next() {
                    Some(b"HEAD") => Method::Head,
                    Some(b"CONNECT") => Method::Connect,
                    _ => Method::Other,
                });
            }
        }
    }

    /// We close. What the peer still says goes unheard.
    pub(super) async fn close(&mut self, until: Instant) {
        self.half_close(until).await;
        if matches!(self.wire, Some(Wire::Tls(_))) {
            // A TLS 1.3 server may have its tickets still to send (RFC 8446, 4.6.1). Were we gone by
            // then, the reset would take with it what we have said.
            let _drained = self.rest(Instant::now() + TICKET_TIME).await;
        }
        self.wire = None;
        self.input.clear();
    }

    /// Closes a connection that the script has no more use for.
    pub(super) async fn leave(mut self, until: Instant) {
        if self.wire.is_some() {
            self.close(until).await;
        }
    }

    /// Says that no more comes.
    pub(super) async fn half_close(&mut self, until: Instant) {
        if let Some(wire) = &mut self.wire {
            // The peer may be gone already, which is what this is about to say.
            let _shut = timeout_at(until, wire.shutdown()).await;
        }
    }
}

fn end_of(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => End::Truncated,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => End::Reset,
        _ => End::Broken(error.to_string()),
    }
}
