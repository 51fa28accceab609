//! A response from the origin on its way to the client, and into the cache where it may be stored.
//!
//! What is stored is read along: a task of its own takes it from the origin into the store, and
//! the client that asked reads it there, as do those who follow. So a slow client holds up
//! neither the others nor the origin, and the store gets the whole even if the client goes away
//! before the end. Everything else passes straight through.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Proxy,
    conversation::Next,
    entry::Stored,
    exchange::{self, Delivery},
    fetch::{Fetched, may_put_back, note},
    flights::{Landing, Leader},
    forward,
    pages::Failure,
    reply::{self, Ending},
    rules,
    serving::{self, Source},
    status,
};
use crate::{
    http::{
        ResponseHead, Version,
        body::Decoder,
        framing::{self, Framing},
    },
    net::{Conn, Ended, dial::Gate},
    store::cache::{
        body::Body,
        growing::{Growing, Writer},
    },
};

impl Proxy {
    /// Passes a response on to the client, and into the cache where it may be stored.
    pub(super) async fn relay(&self, client: &mut Conn, origin: Conn, fetched: Fetched<'_>, ending: Ending) -> Result<Next, Ended> {
        let Fetched { request, why, stored, answer, times, .. } = &fetched;
        let framing = match framing::of_response(&request.head.method, &answer.head) {
            Ok(framing) => framing,
            Err(fault) => {
                let failure = Arc::new(Failure::Broken(fault));
                fetched.land(Landing::Failed(failure.clone()));
                return self.fail(client, request, stored.clone(), &failure, *why, ending).await;
            }
        };
        self.invalidate(request, &answer.head);
        let mut head = forward::response(&answer.head, &self.pseudonym, times.received);
        let mut storing = self.may_store(request, &head, framing, *times);
        if request.takes_trailers && framing == Framing::Chunked && answer.head.fields.contains("trailer") {
            // The client takes them, and the store would not.
            answer.head.fields.get_all("trailer").for_each(|names| head.fields.push("Trailer", names));
            storing = storing.and(Err("trailers"));
        }
        if storing.is_err() && stored.is_some() && !rules::is_origin_error(head.status) && head.status != 304 {
            // What the origin sends now instead of it, or says to a HEAD, has made it worthless.
            self.forget(&request.key);
        }
        let is_unmeasured = matches!(framing, Framing::Chunked | Framing::UntilClose);
        let is_chunked = is_unmeasured && request.head.version == Version::Http11;
        let ending = Ending { persists: ending.persists && (is_chunked || !is_unmeasured), ..ending };
        let cache_status = status::forwarded(*why, head.status, storing, &request.key);
        note(client, request, &cache_status);
        reply::say_response(client, &head, is_chunked, &cache_status, ending);
        match storing {
            Ok(()) => {
                let source = self.take_in(origin, fetched, framing, head).await;
                serving::send(client, source, is_chunked).await?;
            }
            Err(_) => {
                fetched.land(Landing::Alone);
                let mut origin = origin;
                exchange::deliver(&mut origin, client, Delivery { framing, is_chunked, takes_trailers: request.takes_trailers }).await?;
                self.put_back(origin, &fetched, framing);
            }
        }
        Ok(Next::after(ending))
    }

    /// Begins to store a response and answers where its body can be read.
    pub(super) async fn take_in(&self, mut origin: Conn, fetched: Fetched<'_>, framing: Framing, head: ResponseHead) -> Source {
        let length = match framing {
            Framing::Length(octets) => Some(octets),
            Framing::Empty => Some(0),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let request = fetched.request;
        let mut decoder = Decoder::new(framing);
        if let Some(body) = exchange::take_whole(&mut origin, &mut decoder, framing).await {
            // It came along with its head: no task, no readers.
            let stored = Arc::new(Stored::new(&request.head.fields, head, body.clone().into(), fetched.times, &self.settings.targeted));
            self.replace(&request.slot(), fetched.stored.as_ref(), stored.clone());
            fetched.land(Landing::Coming(stored.clone(), stored.head.status));
            self.put_back(origin, &fetched, framing);
            return source_of(body);
        }
        let writer = Growing::begin(length, self.settings.max_object.0, &self.room);
        let growing = writer.growing().clone();
        let reader = growing.join(0);
        let coming = Arc::new(Stored::new(&request.head.fields, head, Body::Growing(growing), fetched.times, &self.settings.targeted));
        fetched.land(Landing::Coming(coming.clone(), coming.head.status));
        let intake = Intake {
            proxy: self.this(),
            slot: request.slot().into_owned(),
            keep: may_put_back(&fetched.answer, framing).then(|| (request.next().clone(), request.gate)),
            old: fetched.stored.clone(),
            coming,
            _leader: fetched.leader,
        };
        tokio::spawn(intake.run(origin, decoder, writer));
        reader.map_or(Source::Nothing, |reader| Source::Growing(reader, length))
    }
}

fn source_of(body: Bytes) -> Source {
    let range = 0..body.len();
    Source::Memory(body, range)
}

/// The task that takes a body from the origin into the store.
struct Intake {
    proxy: Option<Arc<Proxy>>,
    slot: String,
    /// Where the connection is kept afterwards, if it can be used again.
    keep: Option<(super::origin::Origin, Gate)>,
    old: Option<Arc<Stored>>,
    coming: Arc<Stored>,
    /// Later requests follow until this is over.
    _leader: Option<Leader>,
}

impl Intake {
    async fn run(self, mut origin: Conn, mut decoder: Decoder, mut writer: Writer) {
        loop {
            let piece = tokio::select! {
                biased;
                piece = exchange::body_piece(&mut origin, &mut decoder) => piece,
                () = writer.abandoned() => return tracing::debug!(key = self.slot, "nobody waits for the rest any more"),
            };
            match piece {
                Ok(Some(piece)) => {
                    if writer.push(piece).await.is_err() {
                        return tracing::debug!(key = self.slot, "nobody waits for the rest any more");
                    }
                    // The time that readers took was not the origin's.
                    origin.grant_time();
                }
                Ok(None) => break,
                // Dropped, the writer tells all readers that the body is cut.
                Err(()) => return,
            }
        }
        let Some(proxy) = &self.proxy else { return };
        if let Some(body) = writer.body() {
            proxy.replace(&self.slot, self.old.as_ref(), Arc::new(self.coming.with_body(body)));
        }
        if let Some((to, gate)) = &self.keep {
            proxy.pool.keep(to, *gate, origin);
        }
        writer.finish();
    }
}
