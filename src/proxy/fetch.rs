//! One request for an `http://` address: out of the cache, or from the origin.
//!
//! ```text
//! lookup --Serve--> say_stored
//!    |
//!    +--Go(why, stored?)--> ask --304--> update, say_stored
//!                            |---5xx or no answer, stale allowed--> say_stored
//!                            +---anything else--> relay: to the client, and maybe into the cache
//! ```

use std::{sync::Arc, time::SystemTime};

use super::{
    Proxy,
    conversation::Next,
    entry::{Stored, Times},
    exchange::{self, Answer, Delivery, Question, Trouble},
    forward,
    pages::{Failure, Page},
    reply::{self, Ending},
    request::Request,
    rules::{self, Reuse, Why},
    status,
};
use crate::{
    http::{
        Fault, Method, ResponseHead, Version,
        body::Decoder,
        framing::{self, Framing},
    },
    net::{Conn, Ended},
};

/// What the cache says to a request.
enum Lookup {
    Serve(Arc<Stored>, i64),
    /// Go to the origin, with a stored response to validate if there is one.
    Go(Why, Option<Arc<Stored>>),
}

/// A response on its way: everything about the exchange but the connections.
struct Fetched<'a> {
    request: &'a Request,
    why: Why,
    stored: Option<Arc<Stored>>,
    answer: Answer,
    times: Times,
}

impl Proxy {
    /// Answers a request for an `http://` address.
    pub(super) async fn serve(&self, client: &mut Conn, request: Request, ending: Ending) -> Result<Next, Ended> {
        let now = self.clock.now();
        match self.look_up(&request, now) {
            Lookup::Serve(stored, ttl) => {
                let cache_status = status::hit(ttl, stored.lifetime.rule.name(), &request.key);
                note(client, &request, &cache_status);
                reply::say_stored(client, &request.head, &stored, &cache_status, now, ending);
                Ok(Next::after(ending))
            }
            Lookup::Go(why, _) if request.control.only_if_cached => {
                let page = Page::new(504, "The client wants a stored response only, and none can be used (RFC 9111, 5.2.1.7).");
                let page = page.with("Cache-Status", status::refused(Why { detail: "only-if-cached", ..why }));
                Ok(self.say_page(client, &request.head, request.framing, &page, ending))
            }
            // The rarer and larger half of the work gets a place of its own, off the hit path.
            Lookup::Go(why, stored) => Box::pin(self.fetch(client, &request, why, stored, ending)).await,
        }
    }

    fn look_up(&self, request: &Request, now: SystemTime) -> Lookup {
        let bypass = |fwd, detail| Lookup::Go(Why { fwd, detail }, None);
        let asked = &request.head.fields;
        if !matches!(request.head.method, Method::Get | Method::Head) {
            return bypass("method", "");
        }
        if request.is_uncached {
            return bypass("bypass", "no-cache-host");
        }
        if request.framing != Framing::Empty {
            return bypass("bypass", "request-content");
        }
        if asked.contains("if-match") || asked.contains("if-unmodified-since") {
            // Only the origin knows what these must be compared to (RFC 9110, 13.1.1).
            return bypass("bypass", "precondition");
        }
        let variants = self.cache.variants(&request.slot());
        if variants.is_empty() {
            return bypass("uri-miss", "");
        }
        let Some(stored) = variants.iter().find(|stored| rules::matches_selection(asked, &stored.selection)) else {
            return bypass("vary-miss", "");
        };
        match rules::reuse(request.wish(), stored, now) {
            Reuse::Serve { ttl } => Lookup::Serve(stored.clone(), ttl),
            Reuse::Validate(why) => Lookup::Go(why, Some(stored.clone())),
        }
    }

    /// Asks the origin and answers with what comes of it.
    async fn fetch(
        &self,
        client: &mut Conn,
        request: &Request,
        why: Why,
        stored: Option<Arc<Stored>>,
        ending: Ending,
    ) -> Result<Next, Ended> {
        let requested = self.clock.now();
        let (origin, answer) = match self.ask(client, request, stored.as_deref()).await {
            Ok(asked) => asked,
            Err(Trouble::Client(ended)) => return Err(ended),
            Err(Trouble::Body(fault)) => return Ok(self.refuse_body(client, &fault)),
            Err(Trouble::Origin(failure)) => return Ok(self.fail(client, request, stored, &failure, why, ending)),
        };
        if stored.as_deref().is_some_and(|stored| is_about_neither(request, &answer.head, stored)) {
            self.forget(&request.key);
            return Box::pin(self.fetch(client, request, why, None, ending)).await;
        }
        let times = Times { requested, received: self.clock.now() };
        let ending = Ending { persists: ending.persists && answer.is_asked, ..ending };
        let fetched = Fetched { request, why, stored, answer, times };
        self.settle(client, origin, fetched, ending).await
    }

    /// Sends the request up and gets the head of the response. A reused connection may have been
    /// closed by the origin in the very moment: then once more on a new one, if that can't do
    /// anything twice (RFC 9112, 9.3.1).
    async fn ask(&self, client: &mut Conn, request: &Request, stored: Option<&Stored>) -> Result<(Conn, Answer), Trouble> {
        let fields = request.fields_up(stored);
        let host = request.origin.authority();
        let head = forward::request(&request.head, &host, request.framing, &self.pseudonym, &fields);
        let question = || Question {
            head: &head,
            body: Decoder::new(request.framing),
            is_chunked: request.framing == Framing::Chunked,
            version: request.head.version,
            first_byte_time: self.settings.first_byte_timeout.0,
        };
        let is_repeatable = request.head.method.is_idempotent() && request.framing == Framing::Empty;
        if is_repeatable && let Some(mut origin) = self.pool.take(&request.origin, request.gate) {
            match exchange::ask(client, &mut origin, question()).await {
                Ok(answer) => return Ok((origin, answer)),
                Err(Trouble::Origin(Failure::Died)) if origin.buffered().is_empty() => {}
                Err(trouble) => return Err(trouble),
            }
        }
        let mut origin = self.reach(client, &request.origin, request.gate).await.map_err(Trouble::Origin)?;
        let answer = exchange::ask(client, &mut origin, question()).await?;
        Ok((origin, answer))
    }

    /// A response has come: is it about what is stored, does something stored stand in for it, or
    /// is it passed on?
    async fn settle(&self, client: &mut Conn, origin: Conn, fetched: Fetched<'_>, ending: Ending) -> Result<Next, Ended> {
        let status = fetched.answer.head.status;
        if let Some(stored) = &fetched.stored {
            if status == 304 && rules::validates(&fetched.answer.head.fields, stored) {
                self.put_back(origin, &fetched, Framing::Empty);
                return Ok(self.refresh(client, stored, &fetched, ending));
            }
            if rules::is_origin_error(status) && rules::may_serve_on_error(&fetched.request.control, stored, fetched.times.received) {
                let why = Why { detail: "stale-if-error", ..fetched.why };
                return Ok(self.stand_in(client, stored, fetched.request, Some(status), why, ending));
            }
        }
        self.relay(client, origin, fetched, ending).await
    }

    /// The origin says that what is stored is still good (RFC 9111, 4.3.4).
    fn refresh(&self, client: &mut Conn, stored: &Arc<Stored>, fetched: &Fetched<'_>, ending: Ending) -> Next {
        let (request, now) = (fetched.request, fetched.times.received);
        let answer = forward::response(&fetched.answer.head, &self.pseudonym, now);
        let fresh = Arc::new(stored.updated(&request.head.fields, &answer.fields, fetched.times, &self.settings.targeted));
        self.replace(&request.slot(), Some(stored), fresh.clone());
        let ttl = i64::try_from(fresh.lifetime.secs).unwrap_or(i64::MAX).saturating_sub_unsigned(fresh.age(now));
        let cache_status = status::validated(fetched.why, Some(304), ttl, &request.key);
        note(client, request, &cache_status);
        reply::say_stored(client, &request.head, &fresh, &cache_status, now, ending);
        Next::after(ending)
    }

    /// A stale response stands in for an origin that fails (RFC 5861, 4).
    fn stand_in(&self, client: &mut Conn, stored: &Stored, request: &Request, status: Option<u16>, why: Why, ending: Ending) -> Next {
        let now = self.clock.now();
        let ttl = i64::try_from(stored.lifetime.secs).unwrap_or(i64::MAX).saturating_sub_unsigned(stored.age(now));
        let cache_status = status::validated(why, status, ttl, &request.key);
        note(client, request, &cache_status);
        reply::say_stored(client, &request.head, stored, &cache_status, now, ending);
        Next::after(ending)
    }

    fn fail(&self, client: &mut Conn, request: &Request, stored: Option<Arc<Stored>>, failure: &Failure, why: Why, ending: Ending) -> Next {
        tracing::info!(key = request.key, "no response: {failure}");
        if let Some(stored) = stored.filter(|stored| rules::may_serve_on_error(&request.control, stored, self.clock.now())) {
            return self.stand_in(client, &stored, request, None, Why { detail: "stale-if-error", ..why }, ending);
        }
        let page = failure.page(&request.origin).with("Cache-Status", status::refused(why));
        self.say_page(client, &request.head, request.framing, &page, ending)
    }

    /// The client's body turned out to be broken while it was passed on; the origin's connection
    /// is gone by now, so it can't take the part for the whole.
    fn refuse_body(&self, client: &mut Conn, fault: &Fault) -> Next {
        let ending = Ending { version: Version::Http11, persists: false };
        reply::say_page(client, &Method::Get, &Page::fault(fault), self.clock.now(), ending);
        Next::Close
    }

    /// Passes a response on to the client, and into the cache where it may be stored.
    async fn relay(&self, client: &mut Conn, mut origin: Conn, fetched: Fetched<'_>, ending: Ending) -> Result<Next, Ended> {
        let Fetched { request, why, stored, answer, times } = &fetched;
        let framing = match framing::of_response(&request.head.method, &answer.head) {
            Ok(framing) => framing,
            Err(fault) => return Ok(self.fail(client, request, stored.clone(), &Failure::Broken(fault), *why, ending)),
        };
        self.invalidate(request, &answer.head);
        let head = forward::response(&answer.head, &self.pseudonym, times.received);
        let storing = self.may_store(request, &head, framing, *times);
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
        let draft = storing.is_ok().then(|| self.room.draft(self.max_object()));
        let body = exchange::deliver(&mut origin, client, Delivery { framing, is_chunked, draft }).await?;
        if let Some(body) = body {
            self.replace(&request.slot(), None, Arc::new(Stored::new(&request.head.fields, head, body, *times, &self.settings.targeted)));
        }
        self.put_back(origin, &fetched, framing);
        Ok(Next::after(ending))
    }

    /// Keeps the origin's connection for the next request, where both sides are at rest.
    fn put_back(&self, origin: Conn, fetched: &Fetched<'_>, framing: Framing) {
        let answer = &fetched.answer;
        let persists = framing::persists(answer.head.version, &answer.head.fields) && framing != Framing::UntilClose;
        if persists && answer.is_asked {
            self.pool.keep(&fetched.request.origin, fetched.request.gate, origin);
        }
    }
}

/// Whether a 304 is neither about what is stored nor about what the client has. A client that set
/// no condition can't be told "not modified", so it is asked for once more, without ours.
fn is_about_neither(request: &Request, answer: &ResponseHead, stored: &Stored) -> bool {
    answer.status == 304 && !request.wish().is_conditional && !rules::validates(&answer.fields, stored)
}

/// Notes the decision in the transcript and in the log.
fn note(client: &Conn, request: &Request, cache_status: &str) {
    client.tap().event(cache_status);
    tracing::debug!(id = client.id(), method = %request.head.method, key = request.key, "{cache_status}");
}
