//! Parts of a representation: what a request lacks of a stored one, fetching that, and putting
//! both together (RFC 9111, 3.3 and 3.4).

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    Proxy,
    conversation::Next,
    counters::Outcome,
    entry::Stored,
    exchange,
    extent::{self, Extent},
    fetch::Fetched,
    forward,
    reply::Ending,
    request::Request,
    serving::{self, Share},
    status,
};
use crate::{
    http::{
        Method,
        body::Decoder,
        framing::{self, Framing},
    },
    net::{Conn, Ended},
    store::blocking,
};

/// Of a part that is missing at most so many octets are fetched to complete a stored one: the
/// client waits for them. For more the request goes up as it came, and the bytes come down at once.
const COMPLETED_OCTETS: u64 = 1 << 20;

/// What a stored response has of what a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    Nothing,
    /// This, and it can be asked for in such a way that it is sure to fit.
    Missing(Range<u64>),
    /// Too much, or nobody could tell whether it fits.
    TooMuch,
}

/// Compares what is wanted with what is stored.
pub(super) fn lack(request: &Request, stored: &Stored) -> Lack {
    if stored.extent.is_whole() || request.head.method == Method::Head {
        return Lack::Nothing;
    }
    let Some(complete) = stored.complete_octets() else { return Lack::TooMuch };
    let wanted = match serving::share(&request.head, stored) {
        Share::Part(part) => part,
        Share::Whole => 0..complete,
        _ => return Lack::Nothing,
    };
    match stored.extent.missing(&wanted) {
        None => Lack::Nothing,
        Some(missing) if strong_tag(stored).is_some() && missing.end - missing.start <= COMPLETED_OCTETS => Lack::Missing(missing),
        Some(_) => Lack::TooMuch,
    }
}

/// A new part put together with what is stored: only where both have the same strong entity tag,
/// and so are of the very same octets (RFC 9111, 3.4; RFC 9110, 15.3.7.3). The fields are those of
/// the newer one where it has them.
///
/// Reads bodies that are on disk, so it may block. What would get longer than `longest` octets stays
/// as it is.
fn combined(old: &Stored, new: &Stored, targeted: &[String], longest: u64) -> Option<Stored> {
    let Extent::Parts(part) = &new.extent else { return None };
    let is_same = strong_tag(old).is_some() && strong_tag(old) == strong_tag(new);
    let ([range], true) = (part.ranges.as_slice(), is_same && old.complete_octets() == part.complete) else { return None };
    let (extent, body) = match &old.extent {
        Extent::Whole => (Extent::Whole, old.body.clone()),
        Extent::Parts(parts) => {
            let (held, fresh) = (old.body.read(longest).ok()?, new.body.read(longest).ok()?);
            let (extent, body) = extent::combine((parts, &held), (range.clone(), &fresh), part.complete)?;
            (extent, Some(body).filter(|body| body.len() as u64 <= longest)?.into())
        }
    };
    let updated = old.with_fields(&new.head.fields, new.times, targeted);
    let record = super::entry::Record { extent, initial_age: new.initial_age, ..updated.record() };
    Some(Stored::restore(record, body, targeted))
}

fn strong_tag(stored: &Stored) -> Option<&[u8]> {
    stored.head.fields.only("etag").filter(|tag| tag.starts_with(b"\""))
}

impl Proxy {
    /// The answer to a request for what a stored part lacks: with a 206 that fits it is complete.
    /// The whole is as good; with anything else the origin is asked what the client asked.
    pub(super) async fn complete(
        &self,
        client: &mut Conn,
        mut origin: Conn,
        fetched: Fetched<'_>,
        stored: Arc<Stored>,
        ending: Ending,
    ) -> Result<Next, Ended> {
        if !matches!(fetched.answer.head.status, 206 | 304 | 416) {
            return self.relay(client, origin, Fetched { stored: None, ..fetched }, ending).await;
        }
        // 304 and 416 answer our condition and our range, not what the client asked.
        let is_part = fetched.answer.head.status == 206;
        let whole = match if is_part { take(&mut origin, &fetched).await } else { None } {
            Some(body) => self.completed(&fetched, &stored, body).await,
            None => None,
        };
        let request = fetched.request;
        let Some(whole) = whole.filter(|whole| lack(request, whole) == Lack::Nothing) else {
            drop(origin);
            let plain = request.as_it_came();
            return Box::pin(self.fetch(client, &plain, fetched.why, None, None, ending)).await;
        };
        self.put_back(origin, &fetched, Framing::Empty);
        let whole = Arc::new(whole);
        let is_stored = self.keep_updated(request, Some(&stored), &whole).await;
        let cache_status = status::completed(whole.ttl(self.clock.now()), is_stored, &request.key);
        self.say_stored(client, request, &whole, (Outcome::Miss, &cache_status), ending).await
    }

    async fn completed(&self, fetched: &Fetched<'_>, stored: &Arc<Stored>, body: Bytes) -> Option<Stored> {
        let head = forward::response(&fetched.answer.head, &self.pseudonym, fetched.times.received);
        let octets = body.len() as u64;
        self.cache.counters.came_from_origin(octets);
        let part = Stored::new(&fetched.request.head.fields, head, body.into(), fetched.times, &self.settings.targeted);
        match part.extent.held() == Some(octets) {
            true => self.combined(stored.clone(), Arc::new(part)).await,
            false => None,
        }
    }

    /// Puts a new part together with what is stored, off the reactor.
    pub(super) async fn combined(&self, old: Arc<Stored>, new: Arc<Stored>) -> Option<Stored> {
        let (targeted, longest) = (self.settings.targeted.clone(), self.settings.max_object.0);
        blocking(move || combined(&old, &new, &targeted, longest)).await
    }
}

/// The body of an answer that brings what is missing; `None` where it breaks off or is too long.
async fn take(origin: &mut Conn, fetched: &Fetched<'_>) -> Option<Bytes> {
    let framing = framing::of_response(&Method::Get, &fetched.answer.head).ok()?;
    let mut decoder = Decoder::new(framing);
    let mut body = Vec::new();
    while let Some(piece) = exchange::body_piece(origin, &mut decoder).await.ok()? {
        body.extend_from_slice(&piece);
        if body.len() as u64 > COMPLETED_OCTETS {
            return None;
        }
    }
    Some(body.into())
}
