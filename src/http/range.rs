//! Range requests (RFC 9110, 14).

use std::ops::Range;

use super::lists;

/// The most ranges that one request may ask for; more are answered with the whole. Each costs a
/// head of its own in the answer: many tiny ones are an attack (RFC 9110, 17.15). A reader of PDF
/// files asks for some dozens.
const MAX_RANGES: usize = 100;

/// What a `Range` field asks of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no range, one in another unit, one that can't be read, or more than are served.
    Whole,
    Part(Range<u64>),
    /// Several, at least two: they neither overlap nor touch, so that together they are never
    /// more than the whole, and stand in the order in which they were asked for.
    Parts(Vec<Range<u64>>),
    /// 416: all of them begin beyond the end.
    Unsatisfiable,
}

/// Reads a `Range` field against a representation of `octets` octets.
pub(crate) fn wanted(field: &[u8], octets: u64) -> Wanted {
    let Some(specs) = bytes_unit(field) else { return Wanted::Whole };
    let mut parts = Vec::new();
    for (count, spec) in lists::elements(specs).enumerate() {
        match (part(spec, octets), count < MAX_RANGES) {
            (Some(part), true) => parts.extend(part),
            _ => return Wanted::Whole,
        }
    }
    if lists::elements(specs).next().is_none() {
        return Wanted::Whole;
    }
    let mut parts = coalesced(parts);
    match parts.len() {
        0 => Wanted::Unsatisfiable,
        1 => Wanted::Part(parts.remove(0)),
        _ => Wanted::Parts(parts),
    }
}

/// `Content-Range` of a part (14.4).
pub(crate) fn content_range(part: &Range<u64>, octets: u64) -> String {
    format!("bytes {}-{}/{octets}", part.start, part.end.saturating_sub(1))
}

/// What follows `bytes=`; range units are case-insensitive (14.1).
fn bytes_unit(field: &[u8]) -> Option<&[u8]> {
    let (unit, specs) = field.split_at_checked(memchr::memchr(b'=', field)?)?;
    unit.trim_ascii().eq_ignore_ascii_case(b"bytes").then_some(specs.get(1..)?)
}

/// One `int-range` or `suffix-range` (14.1.2): `None` for what is neither, `Some(None)` where it
/// can't be satisfied.
fn part(spec: &[u8], octets: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = std::str::from_utf8(spec).ok()?.split_once('-')?;
    match (number(first)?, number(last)?) {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        (Some(first), _) if first >= octets => Some(None),
        (Some(first), last) => Some(Some(first..last.map_or(octets, |last| last.saturating_add(1).min(octets)))),
        (None, Some(suffix)) if suffix == 0 || octets == 0 => Some(None),
        (None, Some(suffix)) => Some(Some(octets.saturating_sub(suffix)..octets)),
    }
}

/// `Some(None)` for no digits at all, `None` for something else than digits. What overflows is
/// further away than any file's end.
fn number(text: &str) -> Option<Option<u64>> {
    if !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    Some((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

/// Joins parts that overlap or touch (14.2; 15.3.7.2): otherwise `0-,0-,0-` would bring the file
/// three times. The joined part takes the place of its first.
fn coalesced(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(parts.len());
    for mut part in parts {
        let mut place = joined.len();
        // What it touches may through it touch each other.
        while let Some(at) = joined.iter().position(|other| part.start <= other.end && other.start <= part.end) {
            let other = joined.remove(at);
            part = part.start.min(other.start)..part.end.max(other.end);
            place = place.min(at);
        }
        joined.insert(place.min(joined.len()), part);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use Wanted::{Part, Parts, Unsatisfiable, Whole};

    #[test]
    fn one_range_of_ten_octets() {
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
            ("bytes=a-b", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes=,", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1-2-3", Whole),
            ("bytes=0x1-2", Whole),
            ("lines=0-1", Whole),
            ("bytes 0-1", Whole),
            ("bytes", Whole),
            ("", Whole),
        ] {
            assert_eq!(wanted(field.as_bytes(), 10), answer, "{field}");
        }
        assert_eq!(wanted(b"bytes=0-", 0), Unsatisfiable);
        assert_eq!(content_range(&(3..10), 10), "bytes 3-9/10");
    }

    #[test]
    fn several_ranges_of_ten_octets() {
        for (field, answer) in [
            ("bytes=0-0,-1", Parts(vec![0..1, 9..10])),
            ("bytes=0-1, 4-5 ,, 8-", Parts(vec![0..2, 4..6, 8..10])),
            ("bytes=8-,0-1", Parts(vec![8..10, 0..2])),
            ("bytes=0-3,2-5", Part(0..6)),
            ("bytes=0-3,4-5", Part(0..6)),
            ("bytes=0-1,8-,2-7", Part(0..10)),
            ("bytes=6-7,0-1,3-6", Parts(vec![3..8, 0..2])),
            ("bytes=0-,0-,0-", Part(0..10)),
            ("bytes=0-0,99-", Part(0..1)),
            ("bytes=98-,99-", Unsatisfiable),
            ("bytes=0-1,5-4", Whole),
            ("bytes=0-1,x", Whole),
        ] {
            assert_eq!(wanted(field.as_bytes(), 10), answer, "{field}");
        }
    }

    #[test]
    fn a_hundred_ranges_are_served_and_one_more_is_not() {
        let field = |count: u64| format!("bytes={}", (0..count).map(|at| format!("{0}-{0}", at * 2)).collect::<Vec<_>>().join(","));
        assert!(matches!(wanted(field(100).as_bytes(), 1000), Parts(parts) if parts.len() == 100));
        assert_eq!(wanted(field(101).as_bytes(), 1000), Whole);
    }

    proptest! {
        #[test]
        fn parts_lie_within_and_apart(field in "bytes=[0-9,-]{0,40}", octets in 0u64..200) {
            let parts = match wanted(field.as_bytes(), octets) {
                Part(part) => vec![part],
                Parts(parts) => {
                    prop_assert!(parts.len() > 1);
                    parts
                }
                Whole | Unsatisfiable => Vec::new(),
            };
            let mut sorted = parts.clone();
            sorted.sort_by_key(|part| part.start);
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= octets));
            prop_assert!(sorted.windows(2).all(|two| two[0].end < two[1].start), "{parts:?}");
        }

        #[test]
        fn every_octet_asked_for_comes_back(asked in prop::collection::vec((0u64..60, 0u64..20), 1..8)) {
            let field: Vec<String> = asked.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let parts = match wanted(format!("bytes={}", field.join(",")).as_bytes(), 50) {
                Part(part) => vec![part],
                Parts(parts) => parts,
                other => {
                    prop_assert_eq!(other, Unsatisfiable);
                    Vec::new()
                }
            };
            for octet in 0..50 {
                let is_asked = asked.iter().any(|(first, more)| (*first..=first + more).contains(&octet));
                prop_assert_eq!(parts.iter().any(|part| part.contains(&octet)), is_asked, "{}", octet);
            }
        }

        #[test]
        fn arbitrary_octets_never_panic(field in prop::collection::vec(any::<u8>(), 0..40), octets in any::<u64>()) {
            let _ = wanted(&field, octets);
        }
    }
}
