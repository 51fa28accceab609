//! What a shared cache may store and when it may use it again (RFC 9111). Pure: a request, a
//! response and the time in, a decision and its reason out. The reasons go into Cache-Status.

use std::time::SystemTime;

use super::{
    control::{Control, Scope},
    entry::Stored,
    freshness::{Lifetime, Rule, is_heuristically_cacheable, secs_between},
};
use crate::http::{Fields, lists::elements, validators::parse_date};

/// Status codes whose caching rules we know, for `must-understand` (RFC 9111, 5.2.2.3).
const UNDERSTOOD: &[u16] = &[200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501];

/// Why a response is not stored: one word for Cache-Status.
pub(crate) type Unstored = &'static str;

/// Whether a complete response to a GET may be stored (RFC 9111, 3).
pub(crate) fn may_store(asked: &Fields, status: u16, response: &Fields, control: &Control, lifetime: Lifetime) -> Result<(), Unstored> {
    if status < 200 || status == 206 || status == 304 {
        // Parts are not combined yet, and a 304 only updates what is stored.
        return Err("status");
    }
    if control.must_understand && !UNDERSTOOD.contains(&status) {
        return Err("must-understand");
    }
    if control.no_store && !control.must_understand {
        return Err("no-store");
    }
    if Control::parse(asked.get_all("cache-control")).no_store {
        return Err("request-no-store");
    }
    if control.private.is_whole() {
        return Err("private");
    }
    if asked.contains("authorization") && !allows_authorized(control) {
        return Err("authorization");
    }
    if varies_on_everything(response) {
        return Err("vary-all");
    }
    if !lifetime.rule.is_explicit() && !control.public && !is_heuristically_cacheable(status) {
        return Err("no-lifetime");
    }
    if response.contains("set-cookie") && !lifetime.rule.is_explicit() && !control.public {
        // Stored on a mere guess, one visitor's session would become everybody's (7.3).
        return Err("set-cookie");
    }
    if !is_of_use(response, control, lifetime) {
        return Err("no-use");
    }
    Ok(())
}

/// Whether a response to a request with Authorization may be stored (RFC 9111, 3.5).
fn allows_authorized(control: &Control) -> bool {
    control.public || control.must_revalidate || control.s_maxage.is_some()
}

/// Storing what is neither fresh for a second nor can be validated would only take room.
fn is_of_use(response: &Fields, control: &Control, lifetime: Lifetime) -> bool {
    let is_ever_fresh = lifetime.secs > 0 && !control.no_cache.is_whole();
    has_validator(response) || is_ever_fresh || control.stale_if_error.is_some()
}

/// Fields that must not be kept: those that `private` or `no-cache` name (RFC 9111, 5.2.2.4 and
/// 5.2.2.7).
pub(crate) fn unstorable_fields(control: &Control) -> impl Iterator<Item = &str> {
    let scopes: [&Scope; 2] = [&control.private, &control.no_cache];
    scopes.into_iter().flat_map(Scope::fields).map(String::as_str)
}

/// What to do with a stored response that matches a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Send it; it stays fresh for this long, negative where it is stale and that is allowed.
    Serve { ttl: i64 },
    /// Ask the origin whether it is still good.
    Validate(Why),
}

/// Why a request is forwarded although something is stored for it: `fwd` and `detail` of
/// Cache-Status (RFC 9211, 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    pub fwd: &'static str,
    pub detail: &'static str,
}

/// What a request asks of the cache beside its address.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub control: &'a Control,
    /// `Pragma: no-cache`.
    pub pragma: bool,
    /// If-None-Match or If-Modified-Since: whoever asks has a copy and wants to know of changes.
    pub is_conditional: bool,
}

/// Decides on a stored response (RFC 9111, 4.2.4 and 5.2.1).
pub(crate) fn reuse(wish: Wish<'_>, stored: &Stored, now: SystemTime) -> Reuse {
    let asked = wish.control;
    let validate = |fwd, detail| Reuse::Validate(Why { fwd, detail });
    if stored.control.no_cache.is_whole() {
        return validate("stale", "no-cache");
    }
    if asked.no_cache != Scope::Absent {
        return validate("request", "request-no-cache");
    }
    if wish.pragma && !asked.present {
        // Pragma counts only where there is no Cache-Control (RFC 9111, 5.4).
        return validate("request", "pragma");
    }
    if wish.is_conditional && stored.lifetime.rule == Rule::Young {
        // A guess on so little is good enough to save a fetch, not to deny a change.
        return validate("request", "young");
    }
    let age = stored.age(now);
    let ttl = i64::try_from(stored.lifetime.secs).unwrap_or(i64::MAX).saturating_sub_unsigned(age);
    let staleness = age.saturating_sub(stored.lifetime.secs);
    let tolerated = asked.max_stale.is_some_and(|limit| staleness <= limit) && !forbids_stale(&stored.control);
    if asked.max_age.is_some_and(|limit| age > limit || (limit == 0 && !tolerated)) {
        return validate("request", "request-max-age");
    }
    if asked.min_fresh.is_some_and(|least| stored.lifetime.secs < age.saturating_add(least)) {
        return validate("request", "min-fresh");
    }
    if ttl > 0 || tolerated {
        return Reuse::Serve { ttl };
    }
    validate("stale", stored.lifetime.rule.name())
}

/// Whether the origin forbids sending this response stale (RFC 9111, 4.2.4 and 5.2.2.10).
fn forbids_stale(control: &Control) -> bool {
    control.must_revalidate || control.proxy_revalidate || control.s_maxage.is_some() || control.no_cache.is_whole()
}

/// Whether a stale response may stand in for an origin that fails (RFC 5861, 4).
pub(crate) fn may_serve_on_error(asked: &Control, stored: &Stored, now: SystemTime) -> bool {
    let staleness = stored.age(now).saturating_sub(stored.lifetime.secs);
    let window = stored.control.stale_if_error.max(asked.stale_if_error);
    !forbids_stale(&stored.control) && asked.no_cache == Scope::Absent && window.is_some_and(|window| staleness <= window)
}

/// Whether an answer of the origin counts as an error that a stale response may stand in for
/// (RFC 5861, 4).
pub(crate) fn is_origin_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// The request fields that a response was selected by, with their values in normal form: what
/// [`matches_selection`] compares (RFC 9111, 4.1).
pub(crate) fn selection(asked: &Fields, response: &Fields) -> Vec<(String, Option<Vec<u8>>)> {
    let names = response.get_all("vary").flat_map(elements);
    let mut selection: Vec<_> = names.map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    selection.sort();
    selection.dedup();
    selection.into_iter().map(|name| (name.clone(), normal_form(asked, &name))).collect()
}

/// Whether a request selects the response that was stored with `selection`.
pub(crate) fn matches_selection(asked: &Fields, selection: &[(String, Option<Vec<u8>>)]) -> bool {
    selection.iter().all(|(name, value)| normal_form(asked, name) == *value)
}

/// The values of all lines of a field as one list without optional blanks; `None` where there is
/// no line at all.
fn normal_form(asked: &Fields, name: &str) -> Option<Vec<u8>> {
    asked.contains(name).then(|| asked.get_all(name).flat_map(elements).collect::<Vec<_>>().join(&b","[..]))
}

fn varies_on_everything(response: &Fields) -> bool {
    response.get_all("vary").flat_map(elements).any(|name| name == b"*")
}

/// Whether the client's own conditions hold for a stored response, so that 304 is the answer
/// (RFC 9111, 4.3.2; RFC 9110, 13.2.2: If-None-Match takes precedence).
pub(crate) fn is_not_modified(asked: &Fields, stored: &Stored) -> bool {
    if asked.contains("if-none-match") {
        let Some(tag) = stored.head.fields.get("etag") else {
            return asked.get_all("if-none-match").flat_map(elements).any(|one| one == b"*");
        };
        return asked.get_all("if-none-match").flat_map(elements).any(|one| one == b"*" || opaque(one) == opaque(tag));
    }
    let Some(since) = asked.get("if-modified-since").and_then(|text| parse_date(text, stored.date)) else { return false };
    let modified = stored.head.fields.get("last-modified").and_then(|text| parse_date(text, stored.date));
    secs_between(since, modified.unwrap_or(stored.date)) == 0
}

/// An entity tag without its weakness mark: what the weak comparison compares (RFC 9110, 8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether an If-Range condition lets a range be cut from a stored response: only a strong entity
/// tag or the exact date will do (RFC 9110, 13.1.5).
pub(crate) fn range_applies(asked: &Fields, stored: &Stored) -> bool {
    let Some(condition) = asked.get("if-range") else { return true };
    match parse_date(condition, stored.date) {
        Some(date) => stored.head.fields.get("last-modified").and_then(|text| parse_date(text, stored.date)) == Some(date),
        None => !condition.starts_with(b"W/") && stored.head.fields.get("etag") == Some(condition),
    }
}

/// Fields of a 304 that don't update what is stored, since they describe its body (RFC 9111, 3.2).
pub(crate) const NOT_UPDATED: &[&str] = &["content-length", "content-encoding", "content-range", "transfer-encoding"];

/// Whether a stored response has something that the origin can compare (RFC 9111, 4.3.1).
pub(crate) fn has_validator(fields: &Fields) -> bool {
    fields.contains("etag") || fields.contains("last-modified")
}

/// Whether a 304 is about the stored response, whose validators we sent: if it names an entity
/// tag it must be ours, and not one of the client's (RFC 9111, 4.3.4).
pub(crate) fn validates(answer: &Fields, stored: &Stored) -> bool {
    match (answer.get("etag"), stored.head.fields.get("etag")) {
        (Some(new), Some(old)) => opaque(new) == opaque(old),
        _ => has_validator(&stored.head.fields),
    }
}

#[cfg(test)]
mod tests;
