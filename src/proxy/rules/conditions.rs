//! What the client's own conditions come to, answered from the cache (RFC 9111, 4.3.2).

use super::super::{
    entry::Stored,
    freshness::{cache_date, secs_between},
};
use crate::http::{Fields, lists::elements};

/// Whether the client's own conditions hold for a stored response, so that 304 is the answer
/// (RFC 9110, 13.2.2: If-None-Match takes precedence).
pub(crate) fn is_not_modified(asked: &Fields, stored: &Stored) -> bool {
    if asked.contains("if-none-match") {
        let tag = stored.head.fields.get("etag").map(opaque);
        return asked.get_all("if-none-match").flat_map(elements).any(|one| one == b"*" || Some(opaque(one)) == tag);
    }
    let Some(since) = asked.only("if-modified-since").and_then(|text| cache_date(text, stored.date)) else { return false };
    // Without Last-Modified the Date counts: then it can't have been modified later.
    let modified = stored.head.fields.get("last-modified").and_then(|text| cache_date(text, stored.date));
    secs_between(since, modified.unwrap_or(stored.date)) == 0
}

/// An entity tag without its weakness mark: what the weak comparison compares (RFC 9110, 8.8.3.2).
pub(super) fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether an If-Range condition lets a range be cut from a stored response: only a strong entity
/// tag or the exact date will do (RFC 9110, 13.1.5).
pub(crate) fn range_applies(asked: &Fields, stored: &Stored) -> bool {
    if !asked.contains("if-range") {
        return true;
    }
    let Some(condition) = asked.only("if-range") else { return false };
    if condition.starts_with(b"\"") {
        return stored.head.fields.only("etag") == Some(condition);
    }
    let date = cache_date(condition, stored.date);
    let modified = stored.head.fields.only("last-modified").and_then(|text| cache_date(text, stored.date));
    // A date is strong only where the content had been at rest when it was sent (8.8.2.2).
    date.is_some() && date == modified && modified.is_some_and(|modified| secs_between(modified, stored.date) >= 1)
}
