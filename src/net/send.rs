//! The sending half of [`Conn`]: replies, bytes, files, TLS and the end.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest},
    time::{timeout, timeout_at},
};

use super::{
    conn::{Conn, Progress},
    ended::{Ended, Phase},
    spare,
    tls::{TlsClient, TlsServer},
    wire::Wire,
};

/// How much of a file goes out in one step, in octets: long enough to be cheap, short enough not
/// to hold up the other conversations of the reactor.
const STEP_OCTETS: usize = 256 * 1024;
/// How long, and for how much, a closing connection listens for the peer's last words, so that
/// the reply to it is not destroyed by a reset (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 1024 * 1024;

impl Conn {
    /// Buffers lines of a reply; each ends in CR LF. They are noted in the transcript.
    pub(crate) fn say(&mut self, lines: impl AsRef<[u8]>) {
        let lines = lines.as_ref();
        self.tap.sent(lines);
        self.output_buffer().extend_from_slice(lines);
    }

    /// Like [`Conn::say`], for lines that hold a secret: the transcript shows `shown` instead.
    pub(crate) fn say_masked(&mut self, lines: impl AsRef<[u8]>, shown: impl AsRef<[u8]>) {
        self.tap.sent(shown.as_ref());
        self.output_buffer().extend_from_slice(lines.as_ref());
    }

    /// Buffers bytes of a body, which the transcript only counts. Call [`Conn::flush_if_large`]
    /// between pieces, else the buffer grows without bound.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.tap.sent_bytes(bytes.len());
        self.output_buffer().extend_from_slice(bytes);
    }

    fn output_buffer(&mut self) -> &mut BytesMut {
        if self.output.capacity() == 0 {
            self.output = spare::take();
        }
        &mut self.output
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
        std::future::poll_fn(|cx| self.poll_flush(cx, &mut progress)).await?;
        if self.output.capacity() > 128 * 1024 {
            self.output = BytesMut::new();
        }
        Ok(())
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
        self.flush().await?;
        let mut progress = Progress::default();
        let mut sent = 0;
        let mut buffer = Vec::new();
        while sent < octets {
            let step = usize::try_from(octets - sent).unwrap_or(usize::MAX).min(STEP_OCTETS);
            let moved = if self.wire.as_tcp().is_some() {
                let moved = timeout_at(progress.deadline(&self.limits), self.sendfile(file, offset + sent, step)).await;
                let moved = moved.map_err(|_| Ended::Slow(Phase::Write))??;
                self.written += moved as u64;
                moved
            } else {
                buffer.resize(step.min(64 * 1024), 0);
                let count = file.read_at(&mut buffer, offset + sent).map_err(Ended::Io)?;
                self.output.extend_from_slice(&buffer[..count]);
                self.flush().await?;
                count
            };
            if moved == 0 {
                break;
            }
            progress.moved(moved, &self.limits);
            sent += moved as u64;
        }
        self.tap.sent_bytes(usize::try_from(sent).unwrap_or(usize::MAX));
        Ok(sent)
    }

    /// One step of `sendfile(2)`; 0 at the end of the file. The one place that looks beneath.
    async fn sendfile(&self, file: &File, offset: u64, octets: usize) -> Result<usize, Ended> {
        let tcp = self.wire.as_tcp().expect("the caller asked whether the wire is plain TCP");
        let step = || {
            let mut offset = offset;
            rustix::fs::sendfile(tcp, file, Some(&mut offset), octets).map_err(io::Error::from)
        };
        tcp.async_io(Interest::WRITABLE, step).await.map_err(Ended::from_read)
    }

    /// Turns this plain connection into a TLS one, as its server. Whatever the peer sent ahead in
    /// the clear is dropped with the old connection: a command smuggled in before the handshake
    /// (CVE-2011-0411) has nowhere to live.
    pub(crate) async fn upgrade(self, tls: &TlsServer) -> Result<Conn, Ended> {
        let Wire::Plain(plain) = self.wire else { return Err(Ended::Tls("TLS inside TLS".into())) };
        let handshake = timeout(self.limits.handshake.0, tls.accept(plain, self.id)).await;
        let (stream, facts) = handshake.map_err(|_| Ended::Slow(Phase::Handshake))??;
        self.tap.secured(format_args!("{} {}", facts.version, facts.cipher));
        let mut conn = Conn::new(Wire::Tls(Box::new(stream)), (self.id, self.local, self.peer), self.limits, self.stop, self.tap);
        conn.tls = Some(Box::new(facts));
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

    /// Says what is left to say and closes, listening a moment longer so that the peer can read
    /// the last reply before a reset takes it away.
    pub(crate) async fn close(mut self) {
        if self.finish().await.is_err() {
            return;
        }
        let mut listened = 0;
        let mut sink = BytesMut::with_capacity(8 * 1024);
        let until = tokio::time::Instant::now() + LINGER;
        while listened < LINGER_OCTETS {
            sink.clear();
            match timeout_at(until, self.wire.read_buf(&mut sink)).await {
                Ok(Ok(count)) if count > 0 => listened += count,
                _ => break,
            }
        }
    }
}
