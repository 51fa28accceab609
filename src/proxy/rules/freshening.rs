//! Which stored responses a 304 or an answer to HEAD is about, and what it changes in them
//! (RFC 9111, 4.3.3 to 4.3.5).

use super::{super::entry::Stored, conditions::opaque};
use crate::http::Fields;

/// Fields of a 304 that don't update what is stored, since they describe its body: with others
/// than those it came with it could not be read (RFC 9111, 3.2).
pub(crate) const NOT_UPDATED: &[&str] = &["content-length", "content-encoding", "content-range", "transfer-encoding"];

/// Whether a stored response has something that the origin can compare (RFC 9111, 4.3.1).
pub(crate) fn has_validator(fields: &Fields) -> bool {
    fields.contains("etag") || fields.contains("last-modified")
}

/// Whether a 304 is about this stored response, whose validators were sent (RFC 9111, 4.3.4).
///
/// A strong entity tag must be the stored one; a weak one or a date must correspond. One without
/// any validator, which an origin should not send, answers the only question that was asked:
/// `is_alone` tells whether nothing but the validators of this one went up.
pub(crate) fn validates(answer: &Fields, stored: &Stored, is_alone: bool) -> bool {
    let kept = &stored.head.fields;
    match (answer.get("etag"), kept.get("etag")) {
        (Some(new), Some(old)) if new.starts_with(b"W/") => opaque(new) == opaque(old),
        (Some(new), Some(old)) => new == old,
        (Some(_), None) => false,
        (None, _) if answer.contains("last-modified") => answer.get("last-modified") == kept.get("last-modified"),
        (None, _) => is_alone && has_validator(kept),
    }
}

/// The stored responses that a 304 with a strong entity tag is about beside the one it was asked
/// for: all with the same tag (RFC 9111, 4.3.4).
pub(crate) fn shares_strong_tag(answer: &Fields, stored: &Stored) -> bool {
    answer.get("etag").is_some_and(|tag| tag.starts_with(b"\"") && stored.head.fields.get("etag") == Some(tag))
}

/// What a 200 to HEAD does to a response that is stored for GET (RFC 9111, 4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadEffect {
    /// It is about the same representation: the stored head is updated.
    Update,
    /// It is about another one.
    Invalidate,
    /// It tells nothing by which the two could be compared.
    Nothing,
}

/// Compares what a HEAD brought with what is stored: the validators that came, and the length.
pub(crate) fn head_effect(answer: &Fields, stored: &Stored) -> HeadEffect {
    let kept = &stored.head.fields;
    let length = stored.complete_octets().map(|octets| octets.to_string().into_bytes());
    let compared = ["etag", "last-modified"].into_iter().filter_map(|name| Some((answer.get(name)?, kept.get(name))));
    let sized = answer.get("content-length").map(|new| (new, length.as_deref()));
    let pairs: Vec<_> = compared.chain(sized).collect();
    match pairs.iter().all(|(new, old)| Some(*new) == *old) {
        _ if pairs.is_empty() => HeadEffect::Nothing,
        true => HeadEffect::Update,
        false => HeadEffect::Invalidate,
    }
}
