//! Accepts connections for one service: permits, refusals, back-off, and the wait at the end.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, sync::Semaphore, task::JoinSet, time::timeout};

use super::{
    conn::Conn,
    drive::{Datagrams, Service},
    limits::{Limits, Permits},
    network::Listener,
    stop::Stop,
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
}

/// Accepts until the server drains, then waits for the conversations that are under way.
pub(crate) async fn serve(mut listener: Listener, door: Arc<Door>, mut stop: Stop) {
    let mut conversations = JoinSet::new();
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let mut backoff = Duration::from_millis(5);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.draining() => break,
            Some(_) = conversations.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((plain, peer)) => {
                backoff = Duration::from_millis(5);
                let local = local_addr(&plain, &listener);
                admit(plain, peer, local, &door, &stop, &refusals, &mut conversations);
            }
            // Out of file descriptors, most likely: hammering on would not make any.
            Err(error) => {
                tracing::warn!(service = door.name, "accept failed: {error}");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(Duration::from_secs(1));
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = async { while conversations.join_next().await.is_some() {} } => {}
        () = stop.halted() => conversations.abort_all(),
    }
}

fn local_addr(plain: &Plain, listener: &Listener) -> SocketAddr {
    match plain {
        Plain::Tcp(stream) => stream.local_addr().or_else(|_| listener.local_addr()),
        Plain::Memory(_) => listener.local_addr(),
    }
    .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

fn admit(
    plain: Plain,
    peer: SocketAddr,
    local: SocketAddr,
    door: &Arc<Door>,
    stop: &Stop,
    refusals: &Arc<Semaphore>,
    conversations: &mut JoinSet<()>,
) {
    let Some(permit) = door.permits.admit(peer.ip()) else {
        tracing::warn!(service = door.name, %peer, "refused: too many connections");
        if let (Ok(refusal), false) = (refusals.clone().try_acquire_owned(), door.implicit) {
            let door = door.clone();
            conversations.spawn(async move {
                refuse(plain, &door, peer).await;
                drop(refusal);
            });
        }
        return;
    };
    let id = next_id();
    tracing::debug!(service = door.name, id, %peer, "accepted");
    let tap = Tap::open(&door.recorder, door.name, (id, None), Side::Client, (peer, local));
    let conn = Conn::new(Wire::Plain(plain), (id, local, peer), door.limits.clone(), stop.clone(), tap);
    let conversation = door.service.clone().drive(conn, door.tls.clone(), door.implicit);
    conversations.spawn(async move {
        conversation.await;
        drop(permit);
    });
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
