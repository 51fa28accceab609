//! A connection's stream behind a link.
//!
//! ```text
//! conversation --> outbox --> bottleneck --> in flight --> socket
//! conversation <-- in flight <-- bottleneck <-- inbox <--- socket
//! ```
//!
//! A task of its own carries both ways, whether or not the conversation looks: what the peer sends
//! starts its way when it comes, and what was said last is delivered after the conversation has
//! ended. It owns the socket; the conversation holds the near end, [`Linked`].

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    super::{alarm::Alarm, receive::poll_read_past_urgent, wire::Plain},
    Keep, Way,
    lane::{BOX_OCTETS, End, Lane, Load},
};

/// How long the peer may take nothing, after the conversation has ended, of what is delivered to it.
const STRANDED: Duration = Duration::from_secs(60);
/// How long one listens for the peer's end after our own has been delivered.
const LINGER: Duration = Duration::from_secs(2);

/// What a connection is given of its link.
pub(super) struct Ways {
    pub number: u64,
    pub made: Instant,
    pub inward: Way,
    pub outward: Way,
    /// When the first octet may start its way, in and out.
    pub opens: (Duration, Duration),
}

/// The near end: what a conversation reads from and writes to.
pub(crate) struct Linked(Arc<Mutex<Carriage>>);

/// Both ways of a connection.
struct Carriage {
    made: Instant,
    inward: Lane,
    outward: Lane,
    reader: Option<Waker>,
    writer: Option<Waker>,
    carrier: Option<Waker>,
    near: Near,
}

/// What the conversation has done to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Near {
    Open,
    /// It is gone; what is under way is still delivered.
    Gone,
    /// It wants the peer to see a reset.
    Reset,
}

impl Linked {
    /// Puts a stream behind these ways and starts the task that carries.
    pub(super) fn new(far: Plain, ways: Ways, keep: Keep) -> Linked {
        if let Plain::Tcp(tcp) = &far {
            // Urgent data must not go missing from the stream; see `Conn::take_urgent_inline`.
            let _inline = SockRef::from(tcp).set_out_of_band_inline(true);
        }
        let carriage = Carriage {
            made: ways.made,
            inward: Lane::new(ways.inward, ways.number, ways.opens.0),
            outward: Lane::new(ways.outward, ways.number, ways.opens.1),
            reader: None,
            writer: None,
            carrier: None,
            near: Near::Open,
        };
        let carriage = Arc::new(Mutex::new(carriage));
        let mut carrier = Carrier { carriage: carriage.clone(), far, alarm: Alarm::default(), blocked: None, delivered: None };
        tokio::spawn(async move {
            poll_fn(|cx| carrier.poll(cx)).await;
            drop((carrier, keep));
        });
        Linked(carriage)
    }

    /// Lets the peer see a reset, once this is dropped, and not a clean end.
    pub(crate) fn reset(&self) {
        self.lock().near = Near::Reset;
    }

    fn lock(&self) -> MutexGuard<'_, Carriage> {
        lock(&self.0)
    }
}

fn lock(carriage: &Mutex<Carriage>) -> MutexGuard<'_, Carriage> {
    carriage.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Linked {
    fn drop(&mut self) {
        let mut carriage = self.lock();
        if carriage.near == Near::Open {
            carriage.near = Near::Gone;
            carriage.outward.end.get_or_insert(End::Clean);
        }
        wake(&mut carriage.carrier);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl AsyncRead for Linked {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut carriage = self.lock();
        let now = carriage.now();
        let Some(load) = carriage.inward.arrived(now) else {
            carriage.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        match load {
            Load::Octets(octets) => {
                let count = octets.len().min(buf.remaining());
                buf.put_slice(&octets[..count]);
                carriage.inward.take(count);
                wake(&mut carriage.carrier);
                Poll::Ready(Ok(()))
            }
            Load::End(End::Clean) => Poll::Ready(Ok(())),
            Load::End(End::Broken(kind)) => Poll::Ready(Err((*kind).into())),
        }
    }
}

impl AsyncWrite for Linked {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut carriage = self.lock();
        if let Some(end) = carriage.outward.end {
            let kind = if let End::Broken(kind) = end { kind } else { io::ErrorKind::BrokenPipe };
            return Poll::Ready(Err(kind.into()));
        }
        let taken = &bytes[..bytes.len().min(carriage.outward.room())];
        if taken.is_empty() && !bytes.is_empty() {
            carriage.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        carriage.outward.waiting.extend_from_slice(taken);
        wake(&mut carriage.carrier);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut carriage = self.lock();
        carriage.outward.end.get_or_insert(End::Clean);
        wake(&mut carriage.carrier);
        Poll::Ready(Ok(()))
    }
}

impl Carriage {
    fn now(&self) -> Duration {
        self.made.elapsed()
    }
}

/// The task that carries.
struct Carrier {
    carriage: Arc<Mutex<Carriage>>,
    far: Plain,
    alarm: Alarm,
    /// Since when the peer has taken nothing.
    blocked: Option<Duration>,
    /// When the last of ours was delivered.
    delivered: Option<Duration>,
}

impl Carrier {
    /// Carries what is due, both ways; ready once there will be nothing more to carry.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let carriage = self.carriage.clone();
        let mut carriage = lock(&carriage);
        carriage.carrier = Some(cx.waker().clone());
        loop {
            if carriage.near == Near::Reset {
                self.break_off();
                return Poll::Ready(());
            }
            let now = carriage.now();
            let more = [self.carry_out(&mut carriage, cx, now), self.carry_in(&mut carriage, cx, now)];
            if self.is_over(&carriage, now) {
                return Poll::Ready(());
            }
            let patience = self.blocked.map(|since| since + STRANDED).or(self.delivered.map(|at| at + LINGER));
            let patience = patience.filter(|_| carriage.near == Near::Gone);
            let Some(due) = more.into_iter().chain([patience]).flatten().min() else { return Poll::Pending };
            if self.alarm.poll(cx, carriage.made + due).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// From the conversation to the peer. Answers when there is more to do.
    fn carry_out(&mut self, carriage: &mut Carriage, cx: &mut Context<'_>, now: Duration) -> Option<Duration> {
        while let Some(load) = carriage.outward.arrived(now) {
            let Poll::Ready(delivered) = self.deliver(load, cx) else {
                self.blocked.get_or_insert(now);
                return None;
            };
            self.blocked = None;
            match delivered {
                Ok(Delivered::Octets(count)) => carriage.outward.take(count),
                Ok(Delivered::End) => {
                    carriage.outward.take_end();
                    self.delivered = Some(now);
                }
                Err(error) => {
                    carriage.outward.break_off(error.kind());
                    self.delivered = Some(now);
                    wake(&mut carriage.writer);
                }
            }
        }
        // After the delivery: it may have opened the window that what waits was waiting for.
        let retry = carriage.outward.advance(now);
        if carriage.outward.has_room() {
            wake(&mut carriage.writer);
        }
        retry.into_iter().chain(carriage.outward.next_arrival()).min()
    }

    fn deliver(&mut self, load: &Load, cx: &mut Context<'_>) -> Poll<io::Result<Delivered>> {
        match load {
            Load::Octets(octets) => Pin::new(&mut self.far).poll_write(cx, octets).map_ok(Delivered::Octets),
            Load::End(_) => Pin::new(&mut self.far).poll_shutdown(cx).map_ok(|()| Delivered::End),
        }
    }

    /// From the peer to the conversation. Answers when there is more to do.
    fn carry_in(&mut self, carriage: &mut Carriage, cx: &mut Context<'_>, now: Duration) -> Option<Duration> {
        // First of all, since what is under way leaves room for more.
        let mut retry = carriage.inward.advance(now);
        while carriage.inward.end.is_none() && carriage.inward.has_room() {
            let Poll::Ready(read) = self.take_in(&mut carriage.inward.waiting, cx) else { break };
            match read {
                Ok(0) => carriage.inward.end = Some(End::Clean),
                Ok(_) if carriage.near != Near::Open => carriage.inward.waiting.clear(),
                Ok(_) => {}
                Err(error) => carriage.inward.end = Some(End::Broken(error.kind())),
            }
            retry = carriage.inward.advance(now);
        }
        if carriage.near != Near::Open {
            return None;
        }
        match carriage.inward.arrived(now) {
            Some(_) => {
                wake(&mut carriage.reader);
                retry
            }
            None => retry.into_iter().chain(carriage.inward.next_arrival()).min(),
        }
    }

    fn take_in(&mut self, inbox: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        inbox.reserve(BOX_OCTETS);
        match &mut self.far {
            Plain::Tcp(tcp) => poll_read_past_urgent(tcp, cx, inbox),
            far => std::pin::pin!(far.read_buf(inbox)).poll(cx),
        }
    }

    /// Whether the conversation has gone and nothing is left to deliver.
    fn is_over(&self, carriage: &Carriage, now: Duration) -> bool {
        let is_stranded = self.blocked.is_some_and(|since| now >= since + STRANDED);
        let has_peer_gone = carriage.inward.end.is_some();
        let is_delivered = self.delivered.is_some_and(|at| has_peer_gone || now >= at + LINGER);
        carriage.near == Near::Gone && (is_stranded || is_delivered)
    }

    fn break_off(&mut self) {
        if let Plain::Tcp(tcp) = &self.far {
            // Where this fails the peer sees a clean end, as it would without.
            let _reset = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
    }
}

enum Delivered {
    Octets(usize),
    End,
}
