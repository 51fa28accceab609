//! Accepts connections for one service: permits, refusals, back-off, and the wait at the end.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{
    conn::Conn,
    drive::{Datagrams, Service},
    limits::{Limits, Permits},
    link::Link,
    network::Listener,
    stop::Stop,
    suffer::Point,
    tap::Tap,
    tls::TlsServer,
    wire::{Plain, Wire},
};
use crate::transcript::record::{Recorder, Side};

/// Polite refusals under way at a time; beyond them the connection is just closed.
const REFUSALS: usize = 64;
/// How long a peer may take to read its refusal.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
/// The largest datagram that is answered, in octets.
const DATAGRAM_OCTETS: usize = 2048;

/// Numbers the connections of the process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// Everything that the connections of one service share.
pub(crate) struct Door {
    pub name: &'static str,
    pub service: Arc<dyn Service>,
    pub tls: Option<TlsServer>,
    /// TLS comes before everything else.
    pub implicit: bool,
    pub limits: Arc<Limits>,
    pub permits: Permits,
    pub recorder: Recorder,
    /// The service lies behind this link.
    pub link: Option<Arc<Link>>,
    /// The faults that its connections may meet.
    pub faults: Option<Arc<Point>>,
}

/// Accepts until the server drains, then waits for the conversations that are under way. Should
/// it halt, they end with the runtime.
pub(crate) async fn serve(mut listener: Listener, door: Arc<Door>, mut stop: Stop) {
    // Every conversation holds a sender: when the last is gone, so are they all.
    let (under_way, mut all_over) = mpsc::channel::<()>(1);
    let hall = Hall { door, stop: stop.clone(), refusals: Arc::new(Semaphore::new(REFUSALS)), under_way };
    if hall.door.link.is_some() {
        listener.put_behind_link();
    }
    let mut backoff = Duration::from_millis(5);
    let at = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.draining() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((plain, peer)) => {
                backoff = Duration::from_millis(5);
                let local = local_addr(&plain, at);
                match &hall.door.link {
                    None => hall.admit(plain, peer, local),
                    Some(link) => hall.admit_over(link.clone(), plain, peer, local),
                }
            }
            // Out of file descriptors, most likely: hammering on would not make any.
            Err(error) => {
                tracing::warn!(service = hall.door.name, "accept failed: {error}");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(Duration::from_secs(1));
            }
        }
    }
    drop((listener, hall));
    tokio::select! {
        _ = all_over.recv() => {}
        () = stop.halted() => {}
    }
}

/// The address that the peer has reached: the listener's own, unless it listens on all.
fn local_addr(plain: &Plain, at: SocketAddr) -> SocketAddr {
    match plain {
        Plain::Tcp(stream) if at.ip().is_unspecified() => stream.local_addr().unwrap_or(at),
        _ => at,
    }
}

/// What every connection that comes through one door gets.
#[derive(Clone)]
struct Hall {
    door: Arc<Door>,
    stop: Stop,
    refusals: Arc<Semaphore>,
    under_way: mpsc::Sender<()>,
}

impl Hall {
    fn admit(&self, plain: Plain, peer: SocketAddr, local: SocketAddr) {
        let door = &self.door;
        let Some(permit) = door.permits.admit(peer.ip()) else { return self.turn_away(plain, peer) };
        let id = next_id();
        tracing::debug!(service = door.name, id, %peer, "accepted");
        let tap = Tap::open(&door.recorder, door.name, (id, None), Side::Client, (peer, local));
        let mut conn = Conn::new(Wire::Plain(plain), (id, local, peer), door.limits.clone(), self.stop.clone(), tap);
        conn.faults = door.faults.clone();
        let conversation = door.service.clone().drive(conn, door.tls.clone(), door.implicit);
        let under_way = self.under_way.clone();
        tokio::spawn(async move {
            conversation.await;
            drop((permit, under_way));
        });
    }

    /// Lets a connection in that has come over an emulated link, once its peer's ACK would be here.
    fn admit_over(&self, link: Arc<Link>, plain: Plain, peer: SocketAddr, local: SocketAddr) {
        let plain = link.accepted(plain, Some(self.under_way.clone()));
        let mut hall = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(link.accept_time()) => hall.admit(plain, peer, local),
                // It does not stand yet where we are far away: nobody has been promised anything.
                () = hall.stop.draining() => plain.reset(),
            }
        });
    }

    fn turn_away(&self, plain: Plain, peer: SocketAddr) {
        let door = self.door.clone();
        tracing::warn!(service = door.name, %peer, "refused: too many connections");
        if let (Ok(refusal), false) = (self.refusals.clone().try_acquire_owned(), door.implicit) {
            let under_way = self.under_way.clone();
            tokio::spawn(async move {
                refuse(plain, &door, peer).await;
                drop((refusal, under_way));
            });
        }
    }
}

async fn refuse(mut plain: Plain, door: &Door, peer: SocketAddr) {
    let Some(words) = door.service.busy_reply(peer.ip()) else { return };
    let said = timeout(REFUSAL_TIME, async {
        plain.write_all(&words).await?;
        plain.shutdown().await
    });
    // A peer that doesn't listen to its refusal loses nothing.
    let _ignored = said.await;
}

/// Answers datagrams until the server drains.
pub(crate) async fn serve_datagrams(socket: tokio::net::UdpSocket, name: &'static str, service: Arc<dyn Datagrams>, mut stop: Stop) {
    let mut datagram = vec![0; DATAGRAM_OCTETS];
    loop {
        let (octets, peer) = tokio::select! {
            () = stop.draining() => return,
            received = socket.recv_from(&mut datagram) => match received {
                Ok(received) => received,
                // An earlier answer bounced (ICMP): nothing to do about it.
                Err(_) => continue,
            },
        };
        let Some(answer) = service.answer(&datagram[..octets]) else { continue };
        if let Err(error) = socket.send_to(&answer, peer).await {
            tracing::debug!(service = name, %peer, "answer not sent: {error}");
        }
    }
}
