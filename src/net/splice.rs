//! Octets that go from one TCP connection to another without being looked at: `splice(2)` moves
//! them through a pipe of the kernel, so that they are never copied.
//!
//! A pipe takes two descriptors. So it is lent like a buffer: for as long as there is something in
//! it, and not while one waits for more.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

use super::{
    conn::Conn,
    ended::{Ended, Phase},
    progress::Progress,
};

/// What a pipe holds, in octets, where the system allows it: a large one saves calls.
const PIPE_OCTETS: usize = 256 * 1024;
/// How many pipes are kept per thread.
const KEPT: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe of the kernel.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// Octets on their way, in a pipe.
pub(super) struct Load {
    pipe: Pipe,
    octets: usize,
}

/// What became of octets that were to be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    Whole,
    /// The sender broke off.
    Broken,
}

impl Pipe {
    /// An empty one.
    fn take() -> io::Result<Pipe> {
        if let Some(pipe) = SPARE.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Where it is refused, the pipe is smaller and the calls are more.
        let _size = fcntl_setpipe_size(&write, PIPE_OCTETS);
        Ok(Pipe { read, write })
    }

    fn give(self) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(self);
            }
        });
    }
}

impl Load {
    /// What has come from `tcp`, at most `limit` octets; `None` at the end of the stream.
    pub(super) fn poll_from(tcp: &TcpStream, limit: usize, cx: &mut Context<'_>) -> Poll<io::Result<Option<Load>>> {
        loop {
            ready!(tcp.poll_read_ready(cx))?;
            let pipe = Pipe::take()?;
            let limit = limit.min(PIPE_OCTETS);
            let fill = || Ok(splice(tcp, None, &pipe.write, None, limit, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?);
            match tcp.try_io(Interest::READABLE, fill) {
                Ok(0) => {
                    pipe.give();
                    return Poll::Ready(Ok(None));
                }
                Ok(octets) => return Poll::Ready(Ok(Some(Load { pipe, octets }))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => pipe.give(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Moves some of it on; 0 once there is no more.
    pub(super) fn move_to(&mut self, tcp: &TcpStream) -> rustix::io::Result<usize> {
        if self.octets == 0 {
            return Ok(0);
        }
        let moved = splice(&self.pipe.read, None, tcp, None, self.octets, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?;
        self.octets -= moved;
        Ok(moved)
    }

    /// Gives the pipe back, if it is empty.
    pub(super) fn unload(self) {
        if self.octets == 0 {
            self.pipe.give();
        }
    }
}

impl Conn {
    /// Whether what comes here can be passed on to `to` unseen: both are plain TCP.
    pub(crate) fn can_pass_to(&self, to: &Conn) -> bool {
        self.wire.as_tcp().is_some() && to.wire.as_tcp().is_some()
    }

    /// Passes the next `octets` octets on to another connection, no faster than it takes them.
    /// Both peers must make progress. [`Conn::can_pass_to`] must hold.
    ///
    /// # Errors
    /// Why `to` has ended; an end of this connection is [`Passed::Broken`].
    pub(crate) async fn pass_to(&mut self, to: &mut Conn, octets: u64) -> Result<Passed, Ended> {
        let ahead = usize::try_from(octets).unwrap_or(usize::MAX).min(self.input.len());
        let ahead = self.take(ahead);
        self.tap.received_bytes(ahead.len());
        to.push(&ahead);
        to.flush().await?;
        let mut left = octets - ahead.len() as u64;
        while left > 0 {
            let limit = usize::try_from(left).unwrap_or(usize::MAX);
            let Ok(Some(mut load)) = self.load(limit).await else { return Ok(Passed::Broken) };
            let octets = load.octets();
            self.tap.received_bytes(octets);
            let mut progress = Progress::default();
            while load.octets() > 0 {
                let moved = poll_fn(|cx| to.poll_beneath(cx, &mut progress, |tcp| load.move_to(tcp))).await?;
                if moved == 0 {
                    return Err(Ended::Truncated);
                }
            }
            load.unload();
            to.tap.sent_bytes(octets);
            left -= octets as u64;
        }
        Ok(Passed::Whole)
    }

    async fn load(&mut self, limit: usize) -> Result<Option<Load>, Ended> {
        let mut progress = Progress::default();
        poll_fn(|cx| {
            let Some(tcp) = self.wire.as_tcp() else { return Poll::Ready(Ok(None)) };
            if let Poll::Ready(load) = Load::poll_from(tcp, limit, cx) {
                return Poll::Ready(load.map_err(Ended::from_read));
            }
            let due = progress.deadline(&self.limits);
            self.alarm.poll(cx, due).map(|()| Err(Ended::Slow(Phase::Body)))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap());
        let (dialled, accepted) = tokio::join!(dialled, listener.accept());
        (dialled.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn octets_arrive_in_order_and_the_end_is_seen() {
        let ((mut sender, from), (to, mut receiver)) = (pair().await, pair().await);
        let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
        let copy = sent.clone();
        let sending = tokio::spawn(async move { sender.write_all(&copy).await.unwrap() });
        let passing = tokio::spawn(async move {
            while let Some(mut load) = poll_fn(|cx| Load::poll_from(&from, usize::MAX, cx)).await.unwrap() {
                while load.octets() > 0 {
                    to.async_io(Interest::WRITABLE, || Ok(load.move_to(&to)?)).await.unwrap();
                }
                load.unload();
            }
        });
        let mut received = Vec::new();
        receiver.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        sending.await.unwrap();
        passing.await.unwrap();
    }
}
