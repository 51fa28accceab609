//! Range requests (RFC 9110, 14).

use std::ops::Range;

/// What a `Range` field asks of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no range, one in another unit, one that can't be read, or several at once,
    /// which a server may answer with the whole (14.2).
    Whole,
    Part(Range<u64>),
    /// 416: it begins beyond the end.
    Unsatisfiable,
}

/// Reads a `Range` field against a representation of `octets` octets.
pub(crate) fn wanted(field: &[u8], octets: u64) -> Wanted {
    let Some(spec) = bytes_unit(field) else { return Wanted::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    let (Some(first), Some(last)) = (number(first), number(last)) else { return Wanted::Whole };
    match (first, last) {
        (None, None) => Wanted::Whole,
        (Some(first), Some(last)) if last < first => Wanted::Whole,
        (Some(first), _) if first >= octets => Wanted::Unsatisfiable,
        (Some(first), last) => Wanted::Part(first..last.map_or(octets, |last| last.saturating_add(1).min(octets))),
        (None, Some(suffix)) if suffix == 0 || octets == 0 => Wanted::Unsatisfiable,
        (None, Some(suffix)) => Wanted::Part(octets.saturating_sub(suffix)..octets),
    }
}

/// `Content-Range` of a part (14.4).
pub(crate) fn content_range(part: &Range<u64>, octets: u64) -> String {
    format!("bytes {}-{}/{octets}", part.start, part.end.saturating_sub(1))
}

/// What follows `bytes=`; range units are case-insensitive (14.1).
fn bytes_unit(field: &[u8]) -> Option<&str> {
    let (unit, spec) = std::str::from_utf8(field).ok()?.split_once('=')?;
    unit.trim().eq_ignore_ascii_case("bytes").then_some(spec)
}

/// `Some(None)` for no digits at all, `None` for something else than digits. What overflows is
/// further away than any file's end.
fn number(text: &str) -> Option<Option<u64>> {
    if !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    Some((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_of_ten_octets() {
        use Wanted::{Part, Unsatisfiable, Whole};
        for (field, answer) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=0-99", Part(0..10)),
            ("Bytes=3-", Part(3..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-99", Part(0..10)),
            ("bytes=9-", Part(9..10)),
            ("bytes=10-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999-", Unsatisfiable),
            ("bytes=0-99999999999999999999", Part(0..10)),
            ("bytes=5-4", Whole),
            ("bytes=0-1,4-5", Whole),
            ("bytes=a-b", Whole),
            ("bytes=-", Whole),
            ("bytes=+1-2", Whole),
            ("lines=0-1", Whole),
            ("bytes 0-1", Whole),
        ] {
            assert_eq!(wanted(field.as_bytes(), 10), answer, "{field}");
        }
        assert_eq!(wanted(b"bytes=0-", 0), Unsatisfiable);
        assert_eq!(content_range(&(3..10), 10), "bytes 3-9/10");
    }

    proptest! {
        #[test]
        fn a_part_lies_within_and_is_not_empty(field in "bytes=[0-9,-]{0,24}", octets in any::<u64>()) {
            if let Wanted::Part(part) = wanted(field.as_bytes(), octets) {
                prop_assert!(part.start < part.end && part.end <= octets);
            }
        }
    }
}
