//! Whether a response is kept (RFC 9111, 3).

use super::{
    super::{
        control::{Control, Scope},
        freshness::{Lifetime, is_heuristically_cacheable},
    },
    freshening::has_validator,
};
use crate::http::{Fields, lists::elements};

/// Why a response is not stored: one word for Cache-Status.
pub(crate) type Unstored = &'static str;

/// Whether a complete response to a GET may be stored (RFC 9111, 3). That a part says rightly
/// which one it is, or that a POST may be stored at all, is seen to before.
pub(crate) fn may_store(asked: &Fields, status: u16, response: &Fields, control: &Control, lifetime: Lifetime) -> Result<(), Unstored> {
    if status < 200 || status == 304 {
        // A 304 only updates what is stored.
        return Err("status");
    }
    if control.must_understand && !is_understood(status) {
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

/// Status codes whose caching rules we know, for `must-understand` (RFC 9111, 5.2.2.3): all that
/// RFC 9110 defines. What it says of caching them beyond the general rules concerns 206 and 304.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

/// Whether a response to a request with Authorization may be stored (RFC 9111, 3.5).
fn allows_authorized(control: &Control) -> bool {
    control.public || control.must_revalidate || control.s_maxage.is_some()
}

/// Storing what is neither fresh for a second nor can be validated would only take room.
fn is_of_use(response: &Fields, control: &Control, lifetime: Lifetime) -> bool {
    let is_ever_fresh = lifetime.secs > 0 && !control.no_cache.is_whole();
    has_validator(response) || is_ever_fresh || control.stale_if_error.is_some() || control.stale_while_revalidate.is_some()
}

/// Fields that must not be kept: those that `private` or `no-cache` name (RFC 9111, 5.2.2.4 and
/// 5.2.2.7).
pub(crate) fn unstorable_fields(control: &Control) -> impl Iterator<Item = &str> {
    let scopes: [&Scope; 2] = [&control.private, &control.no_cache];
    scopes.into_iter().flat_map(Scope::fields).map(String::as_str)
}

fn varies_on_everything(response: &Fields) -> bool {
    response.get_all("vary").flat_map(elements).any(|name| name == b"*")
}
