//! The life of one connection, from accept to close, the same for every protocol.
//!
//! ```text
//! accepted --(implicit TLS: handshake)--> Greeting --> converse --+--> Done ----> close
//!                                            ^                    +--> Err -----> farewell, close
//!                                            |                    +--> Tunnel --> join, close
//!                                         Secured <-- upgrade <-- StartTls
//! ```

use std::{any::Any, borrow::Cow, future::Future, net::IpAddr, panic::AssertUnwindSafe, pin::Pin, sync::Arc, task::Poll};

use super::{
    conn::Conn,
    ended::Ended,
    fault::Moment,
    suffer::{FaultReply, Suffered},
    tls::TlsServer,
    tunnel,
};

/// One protocol: rules and a conversation loop behind a listener.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// The service's name for logs and transcripts.
    fn name(&self) -> &str;

    /// Talks with one peer until there is no more to say.
    ///
    /// # Errors
    /// Why the conversation broke off; [`Protocol::farewell`] may still have a word for the peer.
    fn converse(&self, conn: &mut Conn, entry: Entry) -> impl Future<Output = Result<Exit, Ended>> + Send;

    /// The last words to a peer whose conversation broke off, if the protocol has any for `ended`
    /// (`421 Idle for too long`). Asked only where the peer may still be listening.
    fn farewell(&self, ended: &Ended) -> Option<Farewell>;

    /// A reply that the lab's owner has ordered in place of the protocol's own.
    fn fault_reply(&self) -> fn(&str) -> FaultReply {
        FaultReply::line
    }

    /// The reply to a peer that gets no permit.
    fn busy(&self, peer: IpAddr) -> Option<Farewell>;
}

/// How a conversation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A fresh connection: the server greets where its protocol has a greeting.
    Greeting,
    /// TLS has just been negotiated inside the conversation: everything said before is forgotten.
    Secured,
}

/// How a conversation ended well.
pub(crate) enum Exit {
    /// Both said goodbye.
    Done,
    /// The go-ahead for TLS was said: hand over to the handshake and come back as `Secured`.
    StartTls,
    /// Join this connection with the one given (CONNECT).
    Tunnel(Box<Conn>),
}

/// Last words: complete lines with their CR LF.
pub(crate) type Farewell = Cow<'static, [u8]>;

/// Leads one accepted connection to its end. `implicit` says that TLS comes before everything.
pub(crate) async fn drive<P: Protocol>(mut conn: Conn, protocol: Arc<P>, tls: Option<TlsServer>, implicit: bool) {
    let mut entry = Entry::Greeting;
    let mut handshake = implicit;
    let tap = conn.tap().clone();
    let (id, peer) = (conn.id(), conn.peer());
    loop {
        if handshake {
            let Some(tls) = &tls else { return };
            // What happens once is boxed: while it is idle a connection should be small.
            conn = match Box::pin(conn.upgrade(tls)).await {
                Ok(conn) => conn,
                Err(ended) => return note_end(&protocol, id, &tap, &ended),
            };
        }
        match unpanicked(begin(&*protocol, &mut conn, entry)).await {
            Ok(Exit::Done) => {
                tap.closed("done");
                tracing::debug!(service = protocol.name(), id, "done");
                return conn.wind_up().await;
            }
            Ok(Exit::StartTls) => {
                if let Err(ended) = conn.flush().await {
                    return note_end(&protocol, id, &tap, &ended);
                }
                (handshake, entry) = (true, Entry::Secured);
            }
            Ok(Exit::Tunnel(upstream)) => {
                let (carried, ended) = Box::pin(tunnel::join(conn, *upstream)).await;
                let why = ended.map_or_else(|ended| ended.to_string(), |()| "done".into());
                tap.event(format_args!("tunnel up {} down {}", carried.upstream, carried.downstream));
                tap.closed(&why);
                tracing::info!(service = protocol.name(), id, up = carried.upstream, down = carried.downstream, "tunnel {why}");
                return;
            }
            Err(ended) => {
                tracing::debug!(service = protocol.name(), id, %peer, "{ended}");
                if !matches!(ended, Ended::Truncated | Ended::Io(_) | Ended::Tls(_)) {
                    if let Some(words) = protocol.farewell(&ended) {
                        conn.say(&words);
                    }
                    note_end(&protocol, id, &tap, &ended);
                    return conn.wind_up().await;
                }
                return note_end(&protocol, id, &tap, &ended);
            }
        }
    }
}

/// Converses, unless a fault comes first.
async fn begin<P: Protocol>(protocol: &P, conn: &mut Conn, entry: Entry) -> Result<Exit, Ended> {
    if conn.may_fail() && entry == Entry::Greeting && Box::pin(conn.suffer(Moment::Connect)).await? == Suffered::Answered {
        return Ok(Exit::Done);
    }
    protocol.converse(conn, entry).await
}

fn note_end<P: Protocol>(protocol: &Arc<P>, id: u64, tap: &super::tap::Tap, ended: &Ended) {
    tap.closed(ended);
    match ended {
        Ended::Panicked => tracing::error!(service = protocol.name(), id, "a conversation panicked"),
        _ => tracing::debug!(service = protocol.name(), id, "{ended}"),
    }
}

/// Runs a conversation so that a panic ends it and nothing else.
async fn unpanicked(conversation: impl Future<Output = Result<Exit, Ended>> + Send) -> Result<Exit, Ended> {
    let mut conversation = std::pin::pin!(conversation);
    std::future::poll_fn(move |cx| {
        let poll = std::panic::catch_unwind(AssertUnwindSafe(|| conversation.as_mut().poll(cx)));
        poll.unwrap_or_else(|panic| {
            tracing::error!("panic: {}", panic_text(&*panic));
            Poll::Ready(Err(Ended::Panicked))
        })
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

/// A protocol behind a pointer, so that one registry can hold them all.
pub(crate) trait Service: Send + Sync + 'static {
    fn drive(self: Arc<Self>, conn: Conn, tls: Option<TlsServer>, implicit: bool) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    fn busy_reply(&self, peer: IpAddr) -> Option<Farewell>;
    /// See [`Protocol::fault_reply`].
    fn ordered_reply(&self) -> fn(&str) -> FaultReply;
}

impl<P: Protocol> Service for P {
    fn drive(self: Arc<Self>, conn: Conn, tls: Option<TlsServer>, implicit: bool) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(drive(conn, self, tls, implicit))
    }
    fn busy_reply(&self, peer: IpAddr) -> Option<Farewell> {
        self.busy(peer)
    }
    fn ordered_reply(&self) -> fn(&str) -> FaultReply {
        self.fault_reply()
    }
}

/// A service that answers each datagram by itself.
pub(crate) trait Datagrams: Send + Sync + 'static {
    /// The answer to one datagram, if it deserves one.
    fn answer(&self, datagram: &[u8]) -> Option<Vec<u8>>;
}
