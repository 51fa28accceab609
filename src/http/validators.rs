//! Validators and conditional requests (RFC 9110, 8.8 and 13).

use std::time::{Duration, SystemTime};

pub(crate) use super::dates::{format_date, parse_date, whole_seconds};
use super::{fields::Fields, head::Method, lists};

/// An entity tag. Clients compare and never interpret it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag {
    pub is_weak: bool,
    /// With its quotation marks.
    pub opaque: String,
}

impl EntityTag {
    pub(crate) fn strong(text: impl AsRef<str>) -> EntityTag {
        EntityTag { is_weak: false, opaque: format!("\"{}\"", text.as_ref()) }
    }

    /// `"..."` or `W/"..."` (RFC 9110, 8.8.3).
    pub(crate) fn parse(text: &[u8]) -> Option<EntityTag> {
        let (is_weak, opaque) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let inner = opaque.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let is_tag = inner.iter().all(|octet| matches!(octet, 0x21 | 0x23..=0x7e | 0x80..));
        // Tags of others may hold octets that are no text; ours never do, so such a one matches none.
        is_tag.then(|| EntityTag { is_weak, opaque: String::from_utf8_lossy(opaque).into_owned() })
    }

    /// Both name the very same octets.
    pub(crate) fn matches_strongly(&self, other: &EntityTag) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// Both are as good as each other.
    pub(crate) fn matches_weakly(&self, other: &EntityTag) -> bool {
        self.opaque == other.opaque
    }

    pub(crate) fn to_field(&self) -> String {
        format!("{}{}", if self.is_weak { "W/" } else { "" }, self.opaque)
    }
}

/// What identifies the state of a representation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    pub tag: Option<EntityTag>,
    pub modified: Option<SystemTime>,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412.
    Failed,
}

/// Weighs the preconditions in the order of RFC 9110, 13.2.2. `current` is `None` where nothing
/// exists at the target. Dates that can't be read count as absent (13.1.3).
pub(crate) fn weigh(method: &Method, fields: &Fields, current: Option<&Validators>, now: SystemTime) -> Verdict {
    let modified = current.and_then(|current| current.modified).map(whole_seconds);
    if fields.contains("if-match") {
        if !any_matches(fields, "if-match", current, EntityTag::matches_strongly) {
            return Verdict::Failed;
        }
    } else if let (Some(date), Some(modified)) = (date_field(fields, "if-unmodified-since", now), modified)
        && modified > date
    {
        return Verdict::Failed;
    }
    let is_reading = matches!(method, Method::Get | Method::Head);
    if fields.contains("if-none-match") {
        return match any_matches(fields, "if-none-match", current, EntityTag::matches_weakly) {
            true if is_reading => Verdict::NotModified,
            true => Verdict::Failed,
            false => Verdict::Proceed,
        };
    }
    match (date_field(fields, "if-modified-since", now), modified) {
        // A date that has not come yet can't be one that we said.
        (Some(date), Some(modified)) if is_reading && modified <= date && date <= now => Verdict::NotModified,
        _ => Verdict::Proceed,
    }
}

/// Whether `Range` may be honoured as far as `If-Range` is concerned (RFC 9110, 13.1.5). A date
/// is a strong validator only where the file had been at rest for a second when it was said
/// (8.8.2.2); `now` decides that.
pub(crate) fn allows_range(fields: &Fields, current: &Validators, now: SystemTime) -> bool {
    let Some(value) = fields.get("if-range") else { return true };
    if fields.only("if-range").is_none() {
        return false;
    }
    if let Some(tag) = EntityTag::parse(value) {
        return current.tag.as_ref().is_some_and(|current| current.matches_strongly(&tag));
    }
    match (parse_date(value, now), current.modified) {
        (Some(date), Some(modified)) => {
            let age = now.duration_since(modified).unwrap_or_default();
            whole_seconds(modified) == date && age >= Duration::from_secs(1)
        }
        _ => false,
    }
}

/// Whether one of the tags of the field matches; `*`, alone, matches whatever exists.
fn any_matches(fields: &Fields, name: &str, current: Option<&Validators>, matches: fn(&EntityTag, &EntityTag) -> bool) -> bool {
    let Some(current) = current else { return false };
    if fields.only(name) == Some(b"*") {
        return true;
    }
    let hits = |element: &[u8]| match (&current.tag, EntityTag::parse(element)) {
        (Some(current), Some(tag)) => matches(current, &tag),
        _ => false,
    };
    fields.get_all(name).flat_map(lists::elements).any(hits)
}

fn date_field(fields: &Fields, name: &str, now: SystemTime) -> Option<SystemTime> {
    parse_date(fields.only(name)?, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::UNIX_EPOCH;

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sunday, 06-Nov-94 08:49:36 GMT";
    const AFTER: &str = "Sun Nov  6 08:49:38 1994";

    fn current() -> Validators {
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_250);
        Validators { tag: Some(EntityTag::strong("a")), modified: Some(modified) }
    }

    fn weighed(method: Method, rows: &[(&str, &str)]) -> Verdict {
        let mut fields = Fields::new();
        rows.iter().for_each(|(name, value)| fields.push(name, value));
        weigh(&method, &fields, Some(&current()), parse_date(AFTER.as_bytes(), UNIX_EPOCH).unwrap())
    }

    #[test]
    fn preconditions_in_their_order() {
        use Verdict::{Failed, NotModified, Proceed};
        for (rows, verdict) in [
            (&[][..], Proceed),
            (&[("If-Match", "\"a\"")], Proceed),
            (&[("If-Match", "\"b\", \"a\"")], Proceed),
            (&[("If-Match", "*")], Proceed),
            (&[("If-Match", "W/\"a\"")], Failed),
            (&[("If-Match", "\"b\"")], Failed),
            (&[("If-Match", "\"a\""), ("If-Unmodified-Since", BEFORE)], Proceed),
            (&[("If-Unmodified-Since", THEN)], Proceed),
            (&[("If-Unmodified-Since", BEFORE)], Failed),
            (&[("If-Unmodified-Since", "yesterday")], Proceed),
            (&[("If-None-Match", "W/\"a\"")], NotModified),
            (&[("If-None-Match", "*")], NotModified),
            (&[("If-None-Match", "\"b\", *")], Proceed),
            (&[("If-None-Match", ""), ("If-Modified-Since", AFTER)], Proceed),
            (&[("If-Match", "\"b\", *")], Failed),
            (&[("If-Match", "")], Failed),
            (&[("If-Match", "\"b\""), ("If-Match", "\"a\"")], Proceed),
            (&[("If-Modified-Since", AFTER), ("If-Modified-Since", AFTER)], Proceed),
            (&[("If-None-Match", "\"b\""), ("If-Modified-Since", AFTER)], Proceed),
            (&[("If-Modified-Since", THEN)], NotModified),
            (&[("If-Modified-Since", AFTER)], NotModified),
            (&[("If-Modified-Since", BEFORE)], Proceed),
            (&[("If-Modified-Since", "yesterday")], Proceed),
            (&[("If-Modified-Since", "Sun, 06 Nov 1994 08:49:39 GMT")], Proceed),
            (&[("If-Match", "\"b\""), ("If-None-Match", "\"a\"")], Failed),
        ] {
            assert_eq!(weighed(Method::Get, rows), verdict, "{rows:?}");
        }
        assert_eq!(weighed(Method::Put, &[("If-None-Match", "*")]), Failed);
        assert_eq!(weighed(Method::Put, &[("If-Modified-Since", AFTER)]), Proceed);
    }

    #[test]
    fn nothing_matches_what_is_not_there() {
        let mut fields = Fields::new();
        fields.push("If-Match", "*");
        assert_eq!(weigh(&Method::Put, &fields, None, UNIX_EPOCH), Verdict::Failed);
        let mut fields = Fields::new();
        fields.push("If-None-Match", "*");
        assert_eq!(weigh(&Method::Put, &fields, None, UNIX_EPOCH), Verdict::Proceed);
    }

    #[test]
    fn if_range_wants_a_strong_validator() {
        let allows = |value: &str, later: u64| {
            let mut fields = Fields::new();
            fields.push("If-Range", value);
            allows_range(&fields, &current(), current().modified.unwrap() + Duration::from_secs(later))
        };
        assert!(allows("\"a\"", 0));
        assert!(!allows("W/\"a\"", 0));
        assert!(!allows("\"b\"", 0));
        assert!(allows(THEN, 1));
        assert!(!allows(THEN, 0), "modified within the second: the date is weak");
        assert!(!allows(AFTER, 9));
    }

    #[test]
    fn tags_read_back() {
        for text in ["\"\"", "\"xyzzy\"", "W/\"a,b\""] {
            assert_eq!(EntityTag::parse(text.as_bytes()).unwrap().to_field(), text);
        }
        for text in ["", "a", "\"", "\"a", "w/\"a\"", "\"a b\"", "\"a\"b\""] {
            assert!(EntityTag::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
