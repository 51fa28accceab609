//! What the cache says to a request: what is stored for it will do, or why the origin is asked.

use std::{sync::Arc, time::SystemTime};

use super::{
    Proxy,
    entry::Stored,
    parts::{self, Lack},
    request::Request,
    rules::{self, Reuse, Why},
};
use crate::http::{Method, framing::Framing};

/// What the cache says to a request.
pub(super) enum Lookup {
    Serve(Arc<Stored>, i64),
    /// Stale, and being validated meanwhile.
    ServeStale(Arc<Stored>, i64),
    /// Go to the origin, with a stored response to validate if there is one.
    Go(Why, Option<Arc<Stored>>),
}

impl Proxy {
    /// Looks up what is stored. Notes in the request what the origin is to be asked beside it, and with
    /// whom it may share the answer.
    pub(super) async fn look_up(&self, request: &mut Request, now: SystemTime) -> Lookup {
        let bypass = |fwd, detail| Lookup::Go(Why { fwd, detail }, None);
        let asked = &request.head.fields;
        if !matches!(request.head.method, Method::Get | Method::Head) {
            return bypass("method", "");
        }
        if request.is_uncached {
            return bypass("bypass", "no-cache-host");
        }
        if request.wants_websocket {
            return bypass("bypass", "upgrade");
        }
        if request.framing != Framing::Empty {
            return bypass("bypass", "request-content");
        }
        if asked.contains("if-match") || asked.contains("if-unmodified-since") {
            // Only the origin knows what these must be compared to (RFC 9110, 13.1.1).
            return bypass("bypass", "precondition");
        }
        let variants = self.variants(&request.slot()).await;
        let Some(latest) = variants.first() else { return bypass("uri-miss", "") };
        let Some(stored) = rules::select(asked, &variants) else {
            request.flight = Some(flight_beside(request, latest));
            request.variants = rules::candidates(&request.head, &variants);
            return bypass("vary-miss", "");
        };
        match parts::lack(request, stored) {
            Lack::Nothing => {}
            Lack::TooMuch => return bypass("partial", ""),
            Lack::Missing(missing) => {
                request.missing = Some(missing);
                return Lookup::Go(Why { fwd: "partial", detail: "" }, Some(stored.clone()));
            }
        }
        match rules::reuse(request.wish(), stored, now) {
            Reuse::Serve { ttl } => Lookup::Serve(stored.clone(), ttl),
            Reuse::ServeAndValidate { ttl } => {
                self.validate_behind(request, stored);
                Lookup::ServeStale(stored.clone(), ttl)
            }
            Reuse::Validate(why) => {
                request.flight = Some(flight_beside(request, stored));
                Lookup::Go(why, Some(stored.clone()))
            }
        }
    }
}

/// With which requests this one can share a fetch, where responses to its address are known: those
/// that select the same by Vary.
fn flight_beside(request: &Request, known: &Stored) -> String {
    let mut flight = request.slot().into_owned();
    for (name, value) in rules::selection(&request.head.fields, &known.head.fields) {
        flight.push_str(&format!("\n{name}:{}", value.as_deref().map_or("", |value| std::str::from_utf8(value).unwrap_or("?"))));
    }
    flight
}
