//! Reading from the wire beneath a connection: into its own buffer, for lines, heads and parsers,
//! or straight to where a body is gathered.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes};
use tokio::{io::AsyncReadExt, net::TcpStream, time::Instant};

use super::{
    conn::Conn,
    ended::{Ended, Phase},
    progress::Progress,
    spare,
};

/// How much is read at once while a body is on its way, in octets.
const READ_OCTETS: usize = 64 * 1024;

/// What a parser makes of the bytes at hand.
pub(crate) enum Parse<T> {
    /// It wants more input than there is.
    More,
    /// It took `consumed` octets (may be 0) and made `value` of them.
    Got { consumed: usize, value: T },
}

/// What came of a wait for input.
pub(super) enum Filled {
    Octets(usize),
    /// The end of the stream.
    End,
    TooLate,
}

/// How long a wait may take and whether shutdown ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Between two commands.
    Idle,
    /// Inside a command that takes several lines.
    Within,
    /// While a transfer runs elsewhere.
    Unbounded,
}

impl Conn {
    /// Hands the bytes at hand to `step` until it has made something of them, reading more as it
    /// asks for more. Answers the octets it took and what it made. The peer must make progress.
    pub(crate) async fn parse<T>(&mut self, mut step: impl FnMut(&[u8]) -> Parse<T>) -> Result<(Bytes, T), Ended> {
        loop {
            match step(&self.input) {
                Parse::Got { consumed, value } => return Ok((self.input.split_to(consumed).freeze(), value)),
                Parse::More => self.progressing_fill().await.map_err(|ended| match ended {
                    Ended::Closed => Ended::Truncated,
                    ended => ended,
                })?,
            }
        }
    }

    /// The next octets as they come, at most 64 KiB; `None` at the end of the stream. The peer
    /// must make progress.
    pub(crate) async fn bytes(&mut self) -> Result<Option<Bytes>, Ended> {
        if self.input.is_empty() {
            match self.progressing_fill().await {
                Ok(()) => {}
                Err(Ended::Closed) => return Ok(None),
                Err(ended) => return Err(ended),
            }
        }
        let count = self.input.len().min(READ_OCTETS);
        Ok(Some(self.input.split_to(count).freeze()))
    }

    /// Puts what comes next at the beginning of `room`, and tells how many octets that is; 0 at the
    /// end of the stream. They go there straight from the system. The peer must make progress.
    /// Cancel-safe.
    pub(crate) async fn bytes_into(&mut self, room: &mut [u8]) -> Result<usize, Ended> {
        if !self.input.is_empty() {
            let count = self.input.len().min(room.len());
            self.input.copy_to_slice(&mut room[..count]);
            return Ok(count);
        }
        self.flush().await?;
        let due = self.progress.deadline(&self.limits);
        let filled = poll_fn(|cx| match self.poll_read(cx, &mut &mut *room) {
            Poll::Ready(read) => Poll::Ready(self.filled(read)),
            Poll::Pending => self.alarm.poll(cx, due).map(|()| Ok(Filled::TooLate)),
        });
        match filled.await? {
            Filled::Octets(count) => {
                self.progress.moved(count, &self.limits);
                Ok(count)
            }
            Filled::End => Ok(0),
            Filled::TooLate => Err(Ended::Slow(Phase::Body)),
        }
    }

    /// Whether the peer may have sent more, or has gone: if not, reading now would only wait.
    pub(crate) fn has_news(&self) -> bool {
        !self.input.is_empty() || self.wire.has_news()
    }

    /// Starts the time anew in which the peer must make progress: after a wait that was not its
    /// fault.
    pub(crate) fn grant_time(&mut self) {
        self.progress = Progress::default();
    }

    pub(super) async fn progressing_fill(&mut self) -> Result<(), Ended> {
        self.flush().await?;
        let due = self.progress.deadline(&self.limits);
        match self.fill(READ_OCTETS, due, Patience::Within).await? {
            Filled::Octets(count) => {
                self.progress.moved(count, &self.limits);
                Ok(())
            }
            Filled::End if self.input.is_empty() => Err(Ended::Closed),
            Filled::End => Err(Ended::Truncated),
            Filled::TooLate => Err(Ended::Slow(Phase::Body)),
        }
    }

    /// Reads once into the input buffer, until `due`. Cancel-safe.
    pub(super) async fn fill(&mut self, octets: usize, due: Instant, patience: Patience) -> Result<Filled, Ended> {
        poll_fn(|cx| {
            if let Poll::Ready(read) = self.poll_fill(cx, octets) {
                return Poll::Ready(self.filled(read));
            }
            if patience == Patience::Idle && self.stop.poll_draining(cx).is_ready() {
                return Poll::Ready(Err(Ended::Shutdown));
            }
            self.alarm.poll(cx, due).map(|()| Ok(Filled::TooLate))
        })
        .await
    }

    /// Reads once if there is something; else the buffer is given back, so that whoever waits
    /// holds none.
    fn poll_fill(&mut self, cx: &mut Context<'_>, octets: usize) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 {
            self.input = spare::take();
        }
        self.input.reserve(octets);
        let mut input = std::mem::take(&mut self.input);
        let read = self.poll_read(cx, &mut input);
        self.input = input;
        if read.is_pending() && self.input.is_empty() {
            spare::give(&mut self.input);
        }
        read
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut impl BufMut) -> Poll<io::Result<usize>> {
        match self.wire.as_tcp().filter(|_| self.urgent_inline) {
            Some(tcp) => poll_read_past_urgent(tcp, cx, buffer),
            None => pin!(self.wire.read_buf(buffer)).poll(cx),
        }
    }

    fn filled(&mut self, read: io::Result<usize>) -> Result<Filled, Ended> {
        self.arrivals += 1;
        match read {
            // TLS without close_notify.
            Err(error) if self.takes_any_end && error.kind() == io::ErrorKind::UnexpectedEof => Ok(Filled::End),
            read => match read.map_err(Ended::from_read)? {
                0 => Ok(Filled::End),
                count => Ok(Filled::Octets(count)),
            },
        }
    }
}

/// A read stops short at the urgent mark with more behind it, which tokio's own would take for the
/// end of what is there, and wait.
pub(super) fn poll_read_past_urgent(tcp: &TcpStream, cx: &mut Context<'_>, buffer: &mut impl BufMut) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_read_ready(cx))?;
        match tcp.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return Poll::Ready(read),
        }
    }
}
