//! What a client of ours needs beyond a server: sending and listening at once, and telling whether
//! a connection kept for later is still good.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, BufMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout_at,
};

use super::{
    conn::Conn,
    ended::{Ended, Phase},
    progress::Progress,
};

/// How much is read at once while we also send, in octets.
const LISTEN_OCTETS: usize = 4 * 1024;

/// What [`Conn::exchange`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchanged {
    /// This many octets went out.
    Sent(usize),
    /// This many octets came in and lie in [`Conn::buffered`]; 0 means that the peer has ended.
    Received(usize),
}

impl Conn {
    /// Sends some of what is waiting to be sent or receives something, whichever is possible
    /// first: so that a server that answers before it has the whole request is heard. The peer
    /// must do either within the stall time while something waits to be sent. Cancel-safe.
    pub(crate) async fn exchange(&mut self) -> Result<Exchanged, Ended> {
        let until = match self.output.is_empty() {
            true => tokio::time::Instant::now() + Duration::from_secs(86_400),
            false => Progress::default().deadline(&self.limits),
        };
        let moved = timeout_at(until, std::future::poll_fn(|cx| self.poll_exchange(cx))).await;
        moved.map_err(|_| Ended::Slow(Phase::Write))?.map_err(Ended::from_read)
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<Exchanged>> {
        if let Poll::Ready(received) = self.poll_receive(cx) {
            return Poll::Ready(received.map(Exchanged::Received));
        }
        if !self.output.is_empty() {
            let written = std::task::ready!(Pin::new(&mut self.wire).poll_write(cx, &self.output))?;
            self.output.advance(written);
            self.unflushed = true;
            return Poll::Ready(Ok(Exchanged::Sent(written)));
        }
        if self.unflushed {
            std::task::ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Pending
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut space = [0; LISTEN_OCTETS];
        let mut buffer = ReadBuf::new(&mut space);
        std::task::ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buffer))?;
        self.input.put_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Whether a connection that we keep for later is still good: the server has neither ended it
    /// nor said anything unasked, which would be taken for the answer to the next request
    /// (response queue poisoning).
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.input.is_empty() && self.output.is_empty() && self.poll_receive(&mut nobody).is_pending()
    }

    /// Lets go of the connection so that the peer sees a reset and never a clean end: for a body
    /// that only the end of the connection would delimit and that is not whole.
    pub(crate) fn abort(&mut self) {
        self.output.clear();
        self.wire.beneath().reset();
    }
}
