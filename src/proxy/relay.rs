//! A response from the origin on its way to the client, and into the cache where it may be stored.
//!
//! What is stored is read along: a task of its own takes it from the origin into the store, and
//! the client that asked reads it there, as do those who follow. So a slow client holds up
//! neither the others nor the origin, and the store gets the whole even if the client goes away
//! before the end. Everything else passes straight through.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::{
    Proxy,
    compress::Dressed,
    conversation::Next,
    counters::Outcome,
    entry::Stored,
    exchange::{self, Delivery},
    fetch::{Fetched, may_put_back, note},
    flights::{Landing, Leader},
    forgotten::Moment,
    forward,
    origin::Origin,
    pages::Failure,
    reply::{self, Ending},
    rules,
    serving::{self, Source},
    status,
};
use crate::{
    http::{
        Method, ResponseHead, Version,
        body::Decoder,
        framing::{self, Framing},
    },
    net::{Conn, Ended, dial::Gate},
    store::cache::{
        Variant,
        body::Body,
        growing::{Reader, Writer},
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
        if request.head.method == Method::Head && head.status == 200 {
            self.compare_with_head(request, &head, *times).await;
        } else if storing.is_err() && stored.is_some() && !rules::is_origin_error(head.status) && head.status != 304 {
            // What the origin sends now instead of it has made it worthless.
            self.forget(&request.key);
        }
        let Dressed { head: said, coder } = self.dress(&request.head, &head, framing::content_length(&head.fields).ok().flatten());
        let is_unmeasured = matches!(framing, Framing::Chunked | Framing::UntilClose) || coder.is_some();
        let is_chunked = is_unmeasured && request.head.version == Version::Http11;
        let ending = Ending { persists: ending.persists && (is_chunked || !is_unmeasured), ..ending };
        let cache_status = status::forwarded(*why, head.status, storing, &request.key);
        note(client, request, Outcome::Miss, &cache_status);
        reply::say_response(client, &said, is_chunked, &cache_status, ending);
        match storing {
            Ok(()) => {
                drop(said);
                let source = self.take_in(origin, fetched, framing, head).await;
                serving::send(client, source, coder, is_chunked).await?;
            }
            Err(_) => {
                fetched.land(Landing::Alone);
                let mut origin = origin;
                let delivery = Delivery { framing, is_chunked, takes_trailers: request.takes_trailers, coder };
                let octets = exchange::deliver(&mut origin, client, delivery).await?;
                self.cache.counters.came_from_origin(octets);
                self.put_back(origin, &fetched, framing);
            }
        }
        Ok(Next::after(ending))
    }

    /// Begins to store a response and answers where its body can be read.
    async fn take_in(&self, origin: Conn, fetched: Fetched<'_>, framing: Framing, head: ResponseHead) -> Source {
        match self.intake(origin, fetched, framing, head).await {
            Begun::Whole(body) => source_of(body),
            Begun::Growing(reader, length, intake) => {
                tokio::spawn(intake.run());
                reader.map_or(Source::Nothing, |reader| Source::Growing(reader, length))
            }
        }
    }

    /// Stores a response to its end, for nobody but the cache and those who follow.
    pub(super) async fn take_in_alone(&self, origin: Conn, fetched: Fetched<'_>, framing: Framing, head: ResponseHead) {
        if let Begun::Growing(_reader, _, intake) = self.intake(origin, fetched, framing, head).await {
            intake.run().await;
        }
    }

    async fn intake(&self, mut origin: Conn, fetched: Fetched<'_>, framing: Framing, head: ResponseHead) -> Begun {
        let length = match framing {
            Framing::Length(octets) => Some(octets),
            Framing::Empty => Some(0),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let request = fetched.request;
        let mut decoder = Decoder::new(framing);
        if let Some(body) = exchange::take_whole(&mut origin, &mut decoder, framing).await {
            // It came along with its head: no task, no readers.
            self.cache.counters.came_from_origin(body.len() as u64);
            let stored = Arc::new(Stored::new(&request.head.fields, head, body.clone().into(), fetched.times, &self.settings.targeted));
            self.replace(&request.slot(), self.asked(request), fetched.stored.as_ref(), stored.clone()).await;
            fetched.land(Landing::Coming(stored.clone(), stored.head.status));
            self.put_back(origin, &fetched, framing);
            return Begun::Whole(body);
        }
        let begun = Stored::new(&request.head.fields, head, Bytes::new().into(), fetched.times, &self.settings.targeted);
        let writer = self.cache.store.begin(&request.slot(), length, Variant::record(&begun).len());
        let reader = writer.growing().join(0);
        let coming = Arc::new(begun.with_body(Body::Growing(writer.growing().clone())));
        fetched.land(Landing::Coming(coming.clone(), coming.head.status));
        let intake = Intake {
            proxy: self.this.clone(),
            slot: request.slot().into_owned(),
            asked: self.asked(request),
            keep: may_put_back(&fetched.answer, framing).then(|| (request.next().clone(), request.gate)),
            old: fetched.stored.clone(),
            coming,
            origin,
            decoder,
            writer,
            _leader: fetched.leader,
        };
        Begun::Growing(reader, length, Box::new(intake))
    }
}

/// A response that has begun to be stored.
enum Begun {
    Whole(Bytes),
    /// With the first reader, and the length if it is known.
    Growing(Option<Reader>, Option<u64>, Box<Intake>),
}

fn source_of(body: Bytes) -> Source {
    let range = 0..body.len();
    Source::Memory(body, range)
}

/// Takes a body from the origin into the store.
struct Intake {
    proxy: Weak<Proxy>,
    slot: String,
    asked: Moment,
    /// Where the connection is kept afterwards, if it can be used again.
    keep: Option<(Origin, Gate)>,
    old: Option<Arc<Stored>>,
    coming: Arc<Stored>,
    origin: Conn,
    decoder: Decoder,
    writer: Writer,
    /// Later requests follow until this is over.
    _leader: Option<Leader>,
}

impl Intake {
    async fn run(mut self: Box<Self>) {
        let is_whole = self.pump().await;
        let Some(proxy) = self.proxy.upgrade() else { return };
        proxy.cache.counters.came_from_origin(self.writer.growing().arrived());
        if !is_whole {
            // Dropped, the writer tells all readers that the body is cut.
            return;
        }
        if let Some(body) = self.writer.body().await {
            proxy.replace(&self.slot, self.asked, self.old.as_ref(), Arc::new(self.coming.with_body(body))).await;
        }
        if let Some((to, gate)) = &self.keep {
            proxy.pool.keep(to, *gate, self.origin);
        }
        self.writer.finish();
    }

    /// Moves the body piece by piece; tells whether it came to its end.
    async fn pump(&mut self) -> bool {
        loop {
            let piece = tokio::select! {
                biased;
                piece = exchange::body_piece(&mut self.origin, &mut self.decoder) => piece,
                () = self.writer.abandoned() => Err(()),
            };
            match piece {
                Ok(Some(piece)) => {
                    if self.writer.push(piece).await.is_err() {
                        tracing::debug!(key = self.slot, "nobody waits for the rest any more");
                        return false;
                    }
                    // The time that readers took was not the origin's.
                    self.origin.grant_time();
                }
                Ok(None) => return true,
                Err(()) => return false,
            }
        }
    }
}
