//! One request for an `http://` address: out of the cache, with somebody else's fetch, or from the
//! origin.
//!
//! ```text
//! look up (lookup.rs) --> serve, if what is stored will do
//!   \--> board (flights.rs) --> follow a fetch in flight --> serve what it brings
//!          \--> fetch: ask the origin (exchange.rs)
//!                 304: refresh what is stored, serve it
//!                 5xx or no answer, stale allowed: serve what is stored
//!                 anything else: relay.rs
//! ```

use std::{pin::Pin, sync::Arc};

use tokio::time::Instant;

use super::{
    Proxy,
    control::Scope,
    conversation::Next,
    counters::Outcome,
    entry::{Stored, Times},
    exchange::{self, Answer, Question, Trouble},
    flights::{Boarding, Landing, Leader},
    forward,
    lookup::Lookup,
    pages::{Failure, Page},
    reply::{self, Ending},
    request::Request,
    rules::{self, Reuse, Why},
    serving, status,
};
use crate::{
    http::{
        Method, ResponseHead,
        body::Decoder,
        framing::{self, Framing},
    },
    net::{Conn, Ended},
};

/// So often a request follows another one whose leader goes; then it goes alone.
const MAX_FLIGHTS: usize = 8;

/// A response on its way: everything about the exchange but the connections.
pub(super) struct Fetched<'a> {
    pub request: &'a Request,
    pub why: Why,
    pub stored: Option<Arc<Stored>>,
    pub answer: Answer,
    pub times: Times,
    /// Those who follow wait for us.
    pub leader: Option<Leader>,
}

/// The answering of a request, where it comes back to itself.
type Answering<'a> = Pin<Box<dyn Future<Output = Result<Next, Ended>> + Send + 'a>>;

impl Fetched<'_> {
    /// Tells those who follow, if anybody may.
    pub(super) fn land(&self, landing: Landing) {
        if let Some(leader) = &self.leader {
            leader.land(landing);
        }
    }
}

impl Proxy {
    /// Answers a request for an `http://` address.
    pub(super) async fn serve(&self, client: &mut Conn, mut request: Request, ending: Ending) -> Result<Next, Ended> {
        let began = Instant::now();
        let next = self.answer_one(client, &mut request, ending).await;
        if let Some(outcome) = request.outcome.get() {
            self.cache.counters.count(*outcome, began.elapsed());
        }
        next
    }

    async fn answer_one(&self, client: &mut Conn, request: &mut Request, ending: Ending) -> Result<Next, Ended> {
        let now = self.clock.now();
        match self.look_up(request, now).await {
            Lookup::Serve(stored, ttl) => {
                let cache_status = status::hit(ttl, stored.lifetime.rule.name(), &request.key);
                self.say_stored(client, request, &stored, (Outcome::Hit, &cache_status), ending).await
            }
            Lookup::ServeStale(stored, ttl) => {
                let cache_status = status::hit(ttl, "stale-while-revalidate", &request.key);
                self.say_stored(client, request, &stored, (Outcome::Hit, &cache_status), ending).await
            }
            Lookup::Go(why, _) if request.control.only_if_cached => {
                let page = Page::new(504, "The client wants a stored response only, and none can be used (RFC 9111, 5.2.1.7).");
                let page = page.with("Cache-Status", status::refused(Why { detail: "only-if-cached", ..why }));
                Ok(self.say_page(client, &request.head, request.framing, &page, ending))
            }
            // The rarer and larger half of the work gets a place of its own, off the hit path.
            Lookup::Go(why, stored) => Box::pin(self.obtain(client, request, why, stored, ending)).await,
        }
    }

    /// Says what is stored, or on its way.
    pub(super) async fn say_stored(
        &self,
        client: &mut Conn,
        request: &Request,
        stored: &Stored,
        (outcome, cache_status): (Outcome, &str),
        ending: Ending,
    ) -> Result<Next, Ended> {
        let share = serving::share(&request.head, stored);
        let Some(source) = serving::open(&request.head, stored, &share) else {
            return self.fetch_again(client, request, ending).await;
        };
        let (dressed, share, coder) = self.dress_stored(&request.head, stored, share);
        let said = dressed.as_deref().unwrap_or(stored);
        let (is_chunked, ending) = serving::framed(said, &share, ending);
        note(client, request, outcome, cache_status);
        serving::say_head(client, said, &share, is_chunked, cache_status, self.clock.now(), ending);
        serving::send(client, source, coder, is_chunked).await?;
        self.cache.counters.sent_from_cache(share.octets(stored));
        Ok(Next::after(ending))
    }

    /// What is stored was thrown out, or damaged, while it was looked at: the origin has it.
    fn fetch_again<'a>(&'a self, client: &'a mut Conn, request: &'a Request, ending: Ending) -> Answering<'a> {
        self.forget(&request.key);
        Box::pin(self.fetch(client, request, Why { fwd: "uri-miss", detail: "lost" }, None, None, ending))
    }

    /// Goes with a fetch in flight for the same response, or starts one.
    async fn obtain(
        &self,
        client: &mut Conn,
        request: &Request,
        why: Why,
        stored: Option<Arc<Stored>>,
        ending: Ending,
    ) -> Result<Next, Ended> {
        let mut leader = None;
        for _ in 0..MAX_FLIGHTS {
            let follower = match self.board(request, why, stored.is_some()) {
                Boarding::Follow(follower) => follower,
                Boarding::Lead(lead) => {
                    leader = Some(lead);
                    break;
                }
                Boarding::Alone => break,
            };
            match follower.landing().await {
                Landing::Coming(coming, origin_status) if self.may_share(request, &coming) => {
                    let cache_status = status::collapsed(why, origin_status, &request.key);
                    return self.say_stored(client, request, &coming, (Outcome::Collapsed, &cache_status), ending).await;
                }
                Landing::Failed(failure) => return self.fail(client, request, stored, &failure, why, ending).await,
                Landing::Erred(origin_status) if self.may_stand_in(request, stored.as_deref()) => {
                    return self.stand_in(client, stored.as_deref(), request, Some(origin_status), why, ending).await;
                }
                // Somebody has to go first again.
                Landing::Deserted => {}
                _ => break,
            }
        }
        self.fetch(client, request, why, stored, leader, ending).await
    }

    /// Who may share a fetch: what asks for an answer of its own gets one.
    fn board(&self, request: &Request, why: Why, has_stored: bool) -> Boarding {
        // What completes a part is of use to nobody else.
        let is_for_many = matches!(why.fwd, "uri-miss" | "vary-miss" | "stale" | "partial") && request.missing.is_none();
        match is_for_many && !wants_its_own(request) {
            true => self.flights.board(&self.flight(request), can_lead(request, has_stored)),
            false => Boarding::Alone,
        }
    }

    /// What requests for the same response have in common: the address, and where it is known what
    /// else selects it (Vary), that too. Otherwise they are told apart once it has come. What was
    /// asked for before the address was changed is another response.
    pub(super) fn flight(&self, request: &Request) -> String {
        let flight = request.flight.clone().unwrap_or_else(|| request.slot().into_owned());
        match self.cache.forgotten.epoch(&request.key) {
            Some(epoch) => format!("{flight}\n#{epoch}"),
            None => flight,
        }
    }

    /// Whether what somebody else fetched may answer this request too (RFC 9111, 4).
    fn may_share(&self, request: &Request, coming: &Stored) -> bool {
        rules::matches_selection(&request.head.fields, &coming.selection)
            && matches!(rules::reuse(request.wish(), coming, self.clock.now()), Reuse::Serve { .. })
            && serving::open(&request.head, coming, &serving::share(&request.head, coming)).is_some()
    }

    /// Asks the origin and answers with what comes of it.
    pub(super) async fn fetch(
        &self,
        client: &mut Conn,
        request: &Request,
        why: Why,
        stored: Option<Arc<Stored>>,
        leader: Option<Leader>,
        ending: Ending,
    ) -> Result<Next, Ended> {
        let requested = self.clock.now();
        let (origin, answer) = match self.ask(Some(&mut *client), request, stored.as_deref()).await {
            Ok(asked) => asked,
            Err(Trouble::Client(ended)) => return Err(ended),
            // The origin's connection is gone by now, so it can't take the part for the whole.
            Err(Trouble::Body(fault)) => return Ok(self.refuse(client, &fault)),
            Err(Trouble::Origin(failure)) => {
                let failure = Arc::new(failure);
                if let Some(leader) = leader {
                    leader.land(Landing::Failed(failure.clone()));
                }
                return self.fail(client, request, stored, &failure, why, ending).await;
            }
        };
        if is_about_neither(request, &answer.head, stored.as_deref()) {
            self.forget(&request.key);
            // It must not take up room while its successor waits for some.
            drop(origin);
            let plain = request.as_it_came();
            return Box::pin(self.fetch(client, &plain, why, None, leader, ending)).await;
        }
        let times = Times { requested, received: self.clock.now() };
        let ending = Ending { persists: ending.persists && answer.is_asked, ..ending };
        let fetched = Fetched { request, why, stored, answer, times, leader };
        self.settle(client, origin, fetched, ending).await
    }

    /// Sends the request up and gets the head of the response. A reused connection may have been
    /// closed by the origin in the very moment: then once more on a new one, if that can't do
    /// anything twice (RFC 9112, 9.3.1). Without a client it is a fetch in the background.
    pub(super) async fn ask(
        &self,
        mut client: Option<&mut Conn>,
        request: &Request,
        stored: Option<&Stored>,
    ) -> Result<(Conn, Answer), Trouble> {
        let fields = request.fields_up(stored);
        let head = request.head_up(&self.pseudonym, &fields);
        let question = || Question {
            head: &head,
            body: Decoder::new(request.framing),
            is_chunked: request.framing == Framing::Chunked,
            version: request.head.version,
            first_byte_time: self.settings.first_byte_timeout.0,
            wants_websocket: request.wants_websocket,
        };
        let is_repeatable = request.head.method.is_idempotent() && request.framing == Framing::Empty;
        let mut permit = Some(self.pool.admit(request.next()).await.map_err(Trouble::Origin)?);
        if is_repeatable && let Some(mut origin) = self.pool.take(request.next(), request.gate) {
            origin.hold(permit.take());
            match exchange::ask(client.as_deref_mut(), &mut origin, question()).await {
                Ok(answer) => return Ok((origin, answer)),
                Err(Trouble::Origin(Failure::Died)) if origin.buffered().is_empty() => permit = origin.release(),
                Err(trouble) => return Err(trouble),
            }
        }
        let mut origin = self.reach(&request.origin, &request.way).await.map_err(Trouble::Origin)?;
        origin.hold(permit);
        let answer = exchange::ask(client, &mut origin, question()).await?;
        Ok((origin, answer))
    }

    /// A response has come: is it about what is stored, does something stored stand in for it, or
    /// is it passed on?
    async fn settle(&self, client: &mut Conn, origin: Conn, fetched: Fetched<'_>, ending: Ending) -> Result<Next, Ended> {
        let status = fetched.answer.head.status;
        if status == 101 {
            return Ok(self.switch(client, origin, &fetched));
        }
        if let (Some(stored), Some(_)) = (&fetched.stored, &fetched.request.missing) {
            let stored = stored.clone();
            return self.complete(client, origin, fetched, stored, ending).await;
        }
        if let Some(variant) = meant_variant(fetched.request, &fetched.answer.head) {
            self.put_back(origin, &fetched, Framing::Empty);
            return self.refresh(client, &variant, &fetched, ending).await;
        }
        if let Some(stored) = fetched.stored.clone() {
            if status == 304 && rules::validates(&fetched.answer.head.fields, &stored, fetched.request.asks_alone(&stored)) {
                self.put_back(origin, &fetched, Framing::Empty);
                return self.refresh(client, &stored, &fetched, ending).await;
            }
            if rules::is_origin_error(status) && self.may_stand_in(fetched.request, Some(&stored)) {
                fetched.land(Landing::Erred(status));
                return self.stand_in(client, Some(&stored), fetched.request, Some(status), fetched.why, ending).await;
            }
        }
        self.relay(client, origin, fetched, ending).await
    }

    /// The origin says that what is stored is still good (RFC 9111, 4.3.4).
    async fn refresh(&self, client: &mut Conn, stored: &Arc<Stored>, fetched: &Fetched<'_>, ending: Ending) -> Result<Next, Ended> {
        let (request, now) = (fetched.request, fetched.times.received);
        let fresh = self.freshen(stored, fetched).await;
        let cache_status = status::validated(fetched.why, Some(304), fresh.ttl(now), &request.key);
        self.say_stored(client, request, &fresh, (Outcome::Validated, &cache_status), ending).await
    }

    /// Updates what is stored by a 304.
    pub(super) async fn freshen(&self, stored: &Arc<Stored>, fetched: &Fetched<'_>) -> Arc<Stored> {
        let (request, now) = (fetched.request, fetched.times.received);
        let answer = forward::response(&fetched.answer.head, &self.pseudonym, now);
        let fresh = Arc::new(stored.updated(&request.head.fields, &answer.fields, fetched.times, &self.settings.targeted));
        // One that was selected by other fields stays for those.
        match self.keep_updated(request, fetched.stored.as_ref(), &fresh).await {
            true => {
                self.freshen_others(&request.slot(), &answer.fields, fetched.times, &fresh).await;
                fetched.land(Landing::Coming(fresh.clone(), 304));
            }
            false => fetched.land(Landing::Alone),
        }
        fresh
    }

    fn may_stand_in(&self, request: &Request, stored: Option<&Stored>) -> bool {
        let stored = stored.filter(|_| request.missing.is_none());
        stored.is_some_and(|stored| rules::may_serve_on_error(&request.control, stored, self.clock.now()))
    }

    /// A stale response stands in for an origin that fails (RFC 5861, 4).
    async fn stand_in(
        &self,
        client: &mut Conn,
        stored: Option<&Stored>,
        request: &Request,
        status: Option<u16>,
        why: Why,
        ending: Ending,
    ) -> Result<Next, Ended> {
        let Some(stored) = stored else { return Ok(Next::Close) };
        let ttl = stored.ttl(self.clock.now());
        let cache_status = status::validated(Why { detail: "stale-if-error", ..why }, status, ttl, &request.key);
        self.say_stored(client, request, stored, (Outcome::StoodIn, &cache_status), ending).await
    }

    pub(super) async fn fail(
        &self,
        client: &mut Conn,
        request: &Request,
        stored: Option<Arc<Stored>>,
        failure: &Failure,
        why: Why,
        ending: Ending,
    ) -> Result<Next, Ended> {
        tracing::info!(key = request.key, "no response: {failure}");
        if self.may_stand_in(request, stored.as_deref()) {
            return self.stand_in(client, stored.as_deref(), request, None, why, ending).await;
        }
        let longest_secs = self.settings.stale_if_unreachable.0.as_secs();
        let is_allowed = |stored: &Arc<Stored>| rules::may_serve_disconnected(&request.control, stored, self.clock.now(), longest_secs);
        if let Some(stored) = stored.filter(|stored| failure.is_disconnection() && request.missing.is_none() && is_allowed(stored)) {
            let why = Why { detail: "unreachable", ..why };
            let cache_status = status::validated(why, None, stored.ttl(self.clock.now()), &request.key);
            return self.say_stored(client, request, &stored, (Outcome::Hit, &cache_status), ending).await;
        }
        let page = failure.page(&request.origin).with("Cache-Status", status::refused(why));
        Ok(self.say_page(client, &request.head, request.framing, &page, ending))
    }

    /// The origin goes on as a WebSocket: from here on both sides talk through us.
    fn switch(&self, client: &mut Conn, origin: Conn, fetched: &Fetched<'_>) -> Next {
        let mut head = forward::response(&fetched.answer.head, &self.pseudonym, fetched.times.received);
        for (name, value) in [("Connection", "Upgrade"), ("Upgrade", "websocket")] {
            head.fields.push(name, value);
        }
        head.fields.push("Cache-Status", status::refused(fetched.why));
        let mut out = Vec::with_capacity(512);
        head.write_to(&mut out);
        reply::say_head(client, &out);
        Next::Tunnel(Box::new(origin))
    }

    /// Keeps the origin's connection for the next request, where both sides are at rest.
    pub(super) fn put_back(&self, origin: Conn, fetched: &Fetched<'_>, framing: Framing) {
        if may_put_back(&fetched.answer, framing) {
            self.pool.keep(fetched.request.next(), fetched.request.gate, origin);
        }
    }
}

/// Whether a connection can be used again after this answer.
pub(super) fn may_put_back(answer: &Answer, framing: Framing) -> bool {
    framing::persists(answer.head.version, &answer.head.fields) && framing != Framing::UntilClose && answer.is_asked
}

/// Whether a request must not get what others fetched.
fn wants_its_own(request: &Request) -> bool {
    let (control, wish) = (&request.control, request.wish());
    let is_reload = control.no_cache != Scope::Absent || control.max_age == Some(0) || (wish.pragma && !control.present);
    is_reload || control.no_store || request.head.fields.contains("authorization")
}

/// Whether the response to this request can be one for others. A condition or range of the client
/// goes up as it is unless ours takes its place.
fn can_lead(request: &Request, has_stored: bool) -> bool {
    let fields = &request.head.fields;
    request.head.method == Method::Get && (has_stored || !(request.wish().is_conditional || fields.contains("range")))
}

/// Whether a 304 is neither about what is stored nor about what the client has. A client that set
/// no condition can't be told "not modified", so it is asked for once more, without ours.
fn is_about_neither(request: &Request, answer: &ResponseHead, stored: Option<&Stored>) -> bool {
    let is_ours = |stored: &Stored| rules::validates(&answer.fields, stored, request.asks_alone(stored));
    let has_asked = stored.is_some() || !request.variants.is_empty();
    answer.status == 304
        && has_asked
        && !request.wish().is_conditional
        && !stored.is_some_and(is_ours)
        && meant_variant(request, answer).is_none()
}

/// The variant that a 304 names, where the request selects none that is stored (RFC 9111, 4.3.4).
fn meant_variant(request: &Request, answer: &ResponseHead) -> Option<Arc<Stored>> {
    let is_meant = |variant: &&Arc<Stored>| answer.fields.contains("etag") && rules::validates(&answer.fields, variant, false);
    request.variants.iter().find(is_meant).filter(|_| answer.status == 304).cloned()
}

/// Notes the decision in the transcript and in the log.
pub(super) fn note(client: &Conn, request: &Request, outcome: Outcome, cache_status: &str) {
    // The first word counts: what was lost on the way is asked for again.
    let _known = request.outcome.set(outcome);
    client.tap().event(cache_status);
    tracing::debug!(id = client.id(), method = %request.head.method, key = request.key, "{cache_status}");
}
