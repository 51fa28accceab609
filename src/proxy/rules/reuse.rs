//! Whether a stored response is sent, with or without asking the origin (RFC 9111, 4.2.4 and 5.2;
//! RFC 5861; RFC 8246).

use std::time::SystemTime;

use super::super::{
    control::{Control, Scope},
    entry::Stored,
    freshness::Rule,
};

/// What to do with a stored response that matches a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Send it; it stays fresh for this long, negative where it is stale and that is allowed.
    Serve { ttl: i64 },
    /// Send it although it is stale, and ask the origin meanwhile (RFC 5861, 3).
    ServeAndValidate { ttl: i64 },
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

/// Decides on a stored response.
pub(crate) fn reuse(wish: Wish<'_>, stored: &Stored, now: SystemTime) -> Reuse {
    let (asked, control) = (wish.control, &stored.control);
    let validate = |fwd, detail| Reuse::Validate(Why { fwd, detail });
    if control.no_cache.is_whole() {
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
    let (age, ttl) = (stored.age(now), stored.ttl(now));
    let staleness = age.saturating_sub(stored.lifetime.secs);
    let is_stale_allowed = !forbids_stale(control);
    let is_tolerated = is_stale_allowed && asked.max_stale.is_some_and(|limit| staleness <= limit);
    // While it is fresh, what is immutable has not changed: a reload is no reason to ask (RFC 8246, 2).
    let is_unchanged = control.immutable && ttl > 0;
    if !is_unchanged && asked.max_age.is_some_and(|limit| age > limit || (limit == 0 && !is_tolerated)) {
        return validate("request", "request-max-age");
    }
    if asked.min_fresh.is_some_and(|least| stored.lifetime.secs < age.saturating_add(least)) {
        return validate("request", "min-fresh");
    }
    if ttl > 0 || is_tolerated {
        return Reuse::Serve { ttl };
    }
    if is_stale_allowed && control.stale_while_revalidate.is_some_and(|window| staleness <= window) {
        return Reuse::ServeAndValidate { ttl };
    }
    validate("stale", stored.lifetime.rule.name())
}

/// Whether the origin forbids sending this response stale (RFC 9111, 4.2.4 and 5.2.2.10).
fn forbids_stale(control: &Control) -> bool {
    control.must_revalidate || control.proxy_revalidate || control.s_maxage.is_some() || control.no_cache.is_whole()
}

/// Whether a stale response may stand in for an origin that fails (RFC 5861, 4).
pub(crate) fn may_serve_on_error(asked: &Control, stored: &Stored, now: SystemTime) -> bool {
    let window = stored.control.stale_if_error.max(asked.stale_if_error);
    window.is_some_and(|window| may_be_stale_by(window, asked, stored, now))
}

/// Whether a stale response may stand in for an origin that can't be reached or gives no response:
/// then a cache may send what nobody forbids (RFC 9111, 4.2.4), here while it is stale by at most
/// so many seconds.
pub(crate) fn may_serve_disconnected(asked: &Control, stored: &Stored, now: SystemTime, longest_secs: u64) -> bool {
    let is_wanted = asked.max_age.is_none_or(|limit| stored.age(now) <= limit) && asked.min_fresh.is_none();
    may_serve_on_error(asked, stored, now) || (is_wanted && longest_secs > 0 && may_be_stale_by(longest_secs, asked, stored, now))
}

fn may_be_stale_by(secs: u64, asked: &Control, stored: &Stored, now: SystemTime) -> bool {
    let staleness = stored.age(now).saturating_sub(stored.lifetime.secs);
    !forbids_stale(&stored.control) && asked.no_cache == Scope::Absent && staleness <= secs
}

/// Whether an answer of the origin counts as an error that a stale response may stand in for
/// (RFC 5861, 4).
pub(crate) fn is_origin_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}
