//! The sending half of [`Conn`]: replies, bytes, files, TLS and the end.

use std::{
    fs::File,
    future::poll_fn,
    io::{self, IoSlice},
    os::unix::fs::FileExt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, Interest},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    conn::Conn,
    ended::{Ended, Phase},
    progress::Progress,
    receive::{Filled, Patience},
    spare,
    tickets::Tickets,
    tls::{TlsClient, TlsServer},
    wire::Wire,
};

/// How much of a file goes out in one step, in octets: long enough to be cheap, short enough not
/// to hold up the other conversations of the reactor.
const STEP_OCTETS: usize = 256 * 1024;
/// Bodies up to this many octets are copied beside their head.
const COPIED_OCTETS: usize = 16 * 1024;
/// How much of a file is buffered at a time where it can't go out so, in octets.
const PIECE_OCTETS: usize = 64 * 1024;
/// How long, and for how much, a closing connection listens for the peer's last words, so that
/// the reply to it is not destroyed by a reset (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 1024 * 1024;
const LINGER_STEP_OCTETS: usize = 8 * 1024;

impl Conn {
    /// Buffers lines of a reply; each ends in CR LF. They are noted in the transcript.
    pub(crate) fn say(&mut self, lines: impl AsRef<[u8]>) {
        let lines = self.spoil(lines.as_ref(), false);
        self.tap.sent(&lines);
        self.output_buffer().extend_from_slice(&lines);
    }

    /// Like [`Conn::say`], for lines that hold a secret: the transcript shows `shown` instead.
    pub(crate) fn say_masked(&mut self, lines: impl AsRef<[u8]>, shown: impl AsRef<[u8]>) {
        self.tap.sent(shown.as_ref());
        self.output_buffer().extend_from_slice(lines.as_ref());
    }

    /// Buffers bytes of a body, which the transcript only counts. Call [`Conn::flush_if_large`]
    /// between pieces, else the buffer grows without bound.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let bytes = self.spoil(bytes, true);
        self.tap.sent_bytes(bytes.len());
        self.output_buffer().extend_from_slice(&bytes);
    }

    fn output_buffer(&mut self) -> &mut BytesMut {
        if self.output.capacity() == 0 {
            self.output = spare::take();
        }
        &mut self.output
    }

    /// Sends octets after what was said before. A few are buffered, so that they share a write with
    /// what comes before and after; many go out from where they lie, and are never copied here.
    pub(crate) async fn send_octets(&mut self, octets: &[u8]) -> Result<(), Ended> {
        if octets.len() <= COPIED_OCTETS {
            self.push(octets);
            return self.flush_if_large().await;
        }
        let octets = self.spoil(octets, true);
        self.tap.sent_bytes(octets.len());
        let (mut rest, mut progress) = (&*octets, Progress::default());
        poll_fn(|cx| self.poll_both(cx, &mut rest, &mut progress)).await?;
        self.break_off_if_cut()
    }

    /// Writes what was said, and `rest` with it.
    fn poll_both(&mut self, cx: &mut Context<'_>, rest: &mut &[u8], progress: &mut Progress) -> Poll<Result<(), Ended>> {
        while !rest.is_empty() {
            let parts = [IoSlice::new(&self.output), IoSlice::new(rest)];
            let Poll::Ready(written) = Pin::new(&mut self.wire).poll_write_vectored(cx, &parts) else {
                return self.poll_slow(cx, progress);
            };
            let written = written.map_err(Ended::from_read)?;
            if written == 0 {
                return Poll::Ready(Err(Ended::Truncated));
            }
            let said = written.min(self.output.len());
            self.output.advance(said);
            *rest = rest.get(written - said..).unwrap_or_default();
            self.unflushed = true;
            self.written += written as u64;
            progress.moved(written, &self.limits);
        }
        Poll::Ready(Ok(()))
    }

    /// How much is buffered for sending, in octets.
    pub(crate) fn unsent(&self) -> usize {
        self.output.len()
    }

    /// How much has been written to the wire since the beginning, in octets.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Flushes once more than 64 KiB are waiting: back-pressure for streams.
    pub(crate) async fn flush_if_large(&mut self) -> Result<(), Ended> {
        if self.output.len() >= 64 * 1024 { self.flush().await } else { Ok(()) }
    }

    /// Writes out whatever was said. Cancel-safe: it forgets exactly what it wrote.
    pub(crate) async fn flush(&mut self) -> Result<(), Ended> {
        let mut progress = Progress::default();
        poll_fn(|cx| self.poll_flush(cx, &mut progress)).await?;
        if self.output.capacity() > 128 * 1024 {
            self.output = BytesMut::new();
        }
        self.break_off_if_cut()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, progress: &mut Progress) -> Poll<Result<(), Ended>> {
        while !self.output.is_empty() {
            let Poll::Ready(written) = Pin::new(&mut self.wire).poll_write(cx, &self.output) else {
                return self.poll_slow(cx, progress);
            };
            let written = written.map_err(Ended::from_read)?;
            if written == 0 {
                return Poll::Ready(Err(Ended::Truncated));
            }
            self.output.advance(written);
            self.written += written as u64;
            self.unflushed = true;
            progress.moved(written, &self.limits);
        }
        if self.unflushed {
            let Poll::Ready(flushed) = Pin::new(&mut self.wire).poll_flush(cx) else { return self.poll_slow(cx, progress) };
            flushed.map_err(Ended::from_read)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The peer takes nothing at the moment; how long may that be so?
    fn poll_slow(&mut self, cx: &mut Context<'_>, progress: &mut Progress) -> Poll<Result<(), Ended>> {
        let due = progress.deadline(&self.limits);
        self.alarm.poll(cx, due).map(|()| Err(Ended::Slow(Phase::Write)))
    }

    /// Sends `octets` octets of `file` from `offset`, after what was said before: by `sendfile`
    /// where the wire is plain TCP, else through a buffer. Answers how many there were: fewer
    /// than asked for where the file has shrunk meanwhile.
    pub(crate) async fn send_file(&mut self, file: &File, offset: u64, octets: u64) -> Result<u64, Ended> {
        let octets = self.curbed(octets);
        let sent = match self.wire.as_tcp().is_some() {
            true => self.send_by_kernel(file, offset, octets).await?,
            false => self.send_through_buffer(file, offset, octets).await?,
        };
        self.tap.sent_bytes(usize::try_from(sent).unwrap_or(usize::MAX));
        self.break_off_if_cut()?;
        Ok(sent)
    }

    async fn send_through_buffer(&mut self, file: &File, offset: u64, octets: u64) -> Result<u64, Ended> {
        let (mut sent, mut buffer) = (0, Vec::new());
        while sent < octets {
            self.flush_if_large().await?;
            buffer.resize(usize::try_from(octets - sent).unwrap_or(usize::MAX).min(PIECE_OCTETS), 0);
            let count = file.read_at(&mut buffer, offset + sent).map_err(Ended::Io)?;
            if count == 0 {
                break;
            }
            self.output_buffer().extend_from_slice(&buffer[..count]);
            sent += count as u64;
        }
        self.flush().await?;
        Ok(sent)
    }

    /// `sendfile(2)` in steps. What was said before goes ahead in a packet of its own: sharing one
    /// with the file (MSG_MORE) costs a third more, since its pages then lie across packets.
    async fn send_by_kernel(&mut self, file: &File, offset: u64, octets: u64) -> Result<u64, Ended> {
        self.flush().await?;
        let mut progress = Progress::default();
        let mut sent = 0;
        while sent < octets {
            let step = usize::try_from(octets - sent).unwrap_or(usize::MAX).min(STEP_OCTETS);
            let send = |tcp: &TcpStream| rustix::fs::sendfile(tcp, file, Some(&mut (offset + sent)), step);
            let moved = poll_fn(|cx| self.poll_beneath(cx, &mut progress, send)).await?;
            if moved == 0 {
                break;
            }
            sent += moved as u64;
        }
        Ok(sent)
    }

    /// Moves octets by a call on the socket itself. The one place that looks beneath.
    pub(super) fn poll_beneath(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut Progress,
        mut step: impl FnMut(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<Result<usize, Ended>> {
        while let Some(tcp) = self.wire.as_tcp() {
            let Poll::Ready(ready) = tcp.poll_write_ready(cx) else { return self.poll_slow(cx, progress).map_ok(|()| 0) };
            ready.map_err(Ended::from_read)?;
            match tcp.try_io(Interest::WRITABLE, || Ok(step(tcp)?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => {
                    let moved = moved.map_err(Ended::from_read)?;
                    progress.moved(moved, &self.limits);
                    self.written += moved as u64;
                    return Poll::Ready(Ok(moved));
                }
            }
        }
        Poll::Ready(Ok(0))
    }

    /// Turns this plain connection into a TLS one, as its server. Whatever the peer sent ahead in
    /// the clear is dropped with the old connection: a command smuggled in before the handshake
    /// (CVE-2011-0411) has nowhere to live.
    pub(crate) async fn upgrade(self, tls: &TlsServer) -> Result<Conn, Ended> {
        let tickets = Tickets::Own(self.id);
        self.upgrade_with(tls, tickets).await
    }

    /// Like [`Conn::upgrade`], for a data connection of connection `parent`: see [`Tickets::Of`].
    pub(crate) async fn upgrade_under(self, tls: &TlsServer, (parent, count): (u64, usize)) -> Result<Conn, Ended> {
        self.upgrade_with(tls, Tickets::Of { parent, count }).await
    }

    async fn upgrade_with(self, tls: &TlsServer, tickets: Tickets) -> Result<Conn, Ended> {
        let Wire::Plain(plain) = self.wire else { return Err(Ended::Tls("TLS inside TLS".into())) };
        let handshake = timeout(self.limits.handshake.0, tls.accept(plain, tickets)).await;
        let (stream, facts) = handshake.map_err(|_| Ended::Slow(Phase::Handshake))??;
        self.tap.secured(format_args!("{} {}", facts.version, facts.cipher));
        let mut conn = Conn::new(Wire::Tls(Box::new(stream)), (self.id, self.local, self.peer), self.limits, self.stop, self.tap);
        conn.tls = Some(Box::new(facts));
        (conn.faults, conn.suffering) = (self.faults, self.suffering);
        Ok(conn)
    }

    /// Turns this plain connection into a TLS one, as its client, which expects the server to
    /// prove that it is `name`.
    pub(crate) async fn secure(self, tls: &TlsClient, name: &str) -> Result<Conn, Ended> {
        let Wire::Plain(plain) = self.wire else { return Err(Ended::Tls("TLS inside TLS".into())) };
        let handshake = timeout(self.limits.handshake.0, tls.connect(plain, name)).await;
        let (stream, facts) = handshake.map_err(|_| Ended::Slow(Phase::Handshake))??;
        self.tap.secured(format_args!("{} {}", facts.version, facts.cipher));
        let mut conn = Conn::new(Wire::Tls(Box::new(stream)), (self.id, self.local, self.peer), self.limits, self.stop, self.tap);
        conn.tls = Some(Box::new(facts));
        Ok(conn)
    }

    /// The wire and what was read ahead: for CONNECT, the opposite of [`Conn::upgrade`].
    pub(super) fn into_tunnel(self) -> (Wire, BytesMut) {
        (self.wire, self.input)
    }

    /// Ends our side and waits for nothing: after a file on a data connection. For TLS this sends
    /// close_notify.
    pub(crate) async fn finish(&mut self) -> Result<(), Ended> {
        self.flush().await?;
        let closed = timeout(self.limits.handshake.0, self.wire.shutdown()).await;
        closed.map_err(|_| Ended::Slow(Phase::Write))?.map_err(Ended::from_read)
    }

    /// Says what is left to say and closes; see [`Conn::wind_up`].
    pub(crate) async fn close(mut self) {
        self.wind_up().await;
    }

    /// The peer has said that it sends nothing more, so that closing need not listen for it.
    pub(crate) fn expect_no_more(&mut self) {
        self.is_peer_done = true;
    }

    /// Says what is left to say and ends our side, listening a moment longer so that the peer can
    /// read the last reply before a reset takes it away. What is left to do is to drop it.
    pub(super) async fn wind_up(&mut self) {
        if self.is_peer_done && self.input.is_empty() && self.wire.as_tcp().is_some() {
            // The system closes gracefully by itself where nothing is left unread.
            let _gone = self.flush().await;
            return;
        }
        if self.finish().await.is_err() {
            return;
        }
        let mut listened = 0;
        let due = Instant::now() + LINGER;
        while listened < LINGER_OCTETS {
            self.input.clear();
            match self.fill(LINGER_STEP_OCTETS, due, Patience::Within).await {
                Ok(Filled::Octets(count)) => listened += count,
                _ => break,
            }
        }
    }
}
