//! How much of a representation is stored, and how parts of it are put together (RFC 9111, 3.3 and
//! 3.4; RFC 9110, 15.3.7.3). Pure.

use std::ops::Range;

use bytes::Bytes;

use crate::http::Fields;

/// Parts that one stored response may consist of: a player that jumps about must not make a list
/// that is walked for minutes.
const MAX_PARTS: usize = 64;

/// Which octets of a representation a stored body holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of them.
    #[default]
    Whole,
    /// Some, one part after the other.
    Parts(Parts),
}

/// Parts in their order, never touching, none empty. The stored body is all of them joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub ranges: Vec<Range<u64>>,
    /// The length of the whole representation, where the origin said it.
    pub complete: Option<u64>,
}

impl Extent {
    /// One part of a representation; the whole, where the part is that.
    pub(crate) fn of(range: Range<u64>, complete: Option<u64>) -> Extent {
        Parts { ranges: vec![range], complete }.into_extent()
    }

    /// What a 206 holds by its Content-Range (RFC 9110, 14.4); `None` where it does not say it
    /// well, or not of how many octets it is a part. Several parts at once are not kept.
    pub(crate) fn of_partial(fields: &Fields) -> Option<Extent> {
        let text = std::str::from_utf8(fields.only("content-range")?).ok()?;
        let (unit, rest) = text.split_once(' ')?;
        let (range, complete) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last, complete) = (number(first)?, number(last)?, number(complete)?);
        let is_valid = unit.eq_ignore_ascii_case("bytes") && first <= last && last < complete;
        is_valid.then(|| Extent::of(first..last + 1, Some(complete)))
    }

    /// How many octets the stored body must have; `None` where any number will do.
    pub(crate) fn held(&self) -> Option<u64> {
        match self {
            Extent::Whole => None,
            Extent::Parts(parts) => Some(parts.ranges.iter().map(|range| range.end - range.start).sum()),
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        *self == Extent::Whole
    }

    /// The length of the whole representation, of which `held` octets are stored.
    pub(crate) fn complete(&self, held: Option<u64>) -> Option<u64> {
        match self {
            Extent::Whole => held,
            Extent::Parts(parts) => parts.complete,
        }
    }

    /// Where `wanted` stands in the stored body; `None` where not all of it is stored.
    pub(crate) fn locate(&self, wanted: &Range<u64>) -> Option<Range<u64>> {
        let Extent::Parts(parts) = self else { return Some(wanted.clone()) };
        let mut before = 0;
        for range in &parts.ranges {
            if range.start <= wanted.start && wanted.end <= range.end {
                return Some(before + wanted.start - range.start..before + wanted.end - range.start);
            }
            before += range.end - range.start;
        }
        None
    }

    /// What has to be fetched so that `wanted` is stored: from the first octet that is missing to
    /// the last one.
    pub(crate) fn missing(&self, wanted: &Range<u64>) -> Option<Range<u64>> {
        let Extent::Parts(parts) = self else { return None };
        let (mut start, mut end) = (wanted.start, wanted.end);
        for range in &parts.ranges {
            if range.contains(&start) {
                start = range.end;
            }
        }
        for range in parts.ranges.iter().rev() {
            if range.start < end && end <= range.end {
                end = range.start;
            }
        }
        (start < end).then_some(start..end)
    }
}

impl Parts {
    fn into_extent(self) -> Extent {
        match (self.ranges.as_slice(), self.complete) {
            ([range], Some(complete)) if range.start == 0 && range.end == complete => Extent::Whole,
            _ => Extent::Parts(self),
        }
    }
}

/// Puts a new part of the same representation beside those that are stored. Where both have the
/// same octets the new ones are taken. `None` where it would get too many parts.
pub(crate) fn combine(stored: (&Parts, &Bytes), new: (Range<u64>, &Bytes), complete: Option<u64>) -> Option<(Extent, Bytes)> {
    let ((parts, body), (range, fresh)) = (stored, new);
    let mut pieces = Vec::with_capacity(parts.ranges.len() + 2);
    let mut before = 0;
    for old in &parts.ranges {
        let held = body.slice(octets(before)..octets(before + (old.end - old.start)));
        before += old.end - old.start;
        // What stands before the new part and what stands behind it are kept.
        let head = old.start..old.end.min(range.start);
        let tail = old.start.max(range.end)..old.end;
        for kept in [head, tail].into_iter().filter(|kept| kept.start < kept.end) {
            let at = octets(kept.start - old.start)..octets(kept.end - old.start);
            pieces.push((kept, held.slice(at)));
        }
    }
    pieces.push((range, fresh.clone()));
    pieces.sort_by_key(|(range, _)| range.start);
    let mut ranges: Vec<Range<u64>> = Vec::with_capacity(pieces.len());
    let mut joined = Vec::with_capacity(pieces.iter().map(|(_, octets)| octets.len()).sum());
    for (range, octets) in pieces {
        joined.extend_from_slice(&octets);
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    let complete = complete.or(parts.complete);
    (ranges.len() <= MAX_PARTS).then(|| (Parts { ranges, complete }.into_extent(), joined.into()))
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// An offset in a body that is in memory, where offsets are `usize`.
fn octets(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &[u8] = b"0123456789abcdefghij";

    fn part(range: Range<u64>) -> (Range<u64>, Bytes) {
        (range.clone(), Bytes::from_static(&TEXT[octets(range.start)..octets(range.end)]))
    }

    fn joined(ranges: &[Range<u64>], complete: Option<u64>) -> (Extent, Bytes) {
        let mut all = ranges.iter().cloned().map(part);
        let (range, body) = all.next().unwrap();
        let mut extent = Extent::of(range, complete);
        let mut held = body;
        for (range, body) in all {
            let Extent::Parts(parts) = &extent else { break };
            (extent, held) = combine((parts, &held), (range, &body), None).unwrap();
        }
        (extent, held)
    }

    #[test]
    fn parts_become_the_whole() {
        assert_eq!(Extent::of(0..20, Some(20)), Extent::Whole);
        assert_eq!(joined(&[5..20, 0..5], Some(20)), (Extent::Whole, Bytes::from_static(TEXT)));
        assert_eq!(joined(&[0..9, 5..20], Some(20)), (Extent::Whole, Bytes::from_static(TEXT)));
        assert!(!Extent::of(0..20, None).is_whole(), "nobody said that this is all");
        let (extent, body) = joined(&[2..4, 8..10], Some(20));
        assert_eq!(extent, Extent::Parts(Parts { ranges: vec![2..4, 8..10], complete: Some(20) }));
        assert_eq!(body, "2389");
    }

    #[test]
    fn what_a_content_range_says() {
        for (text, extent) in [
            ("bytes 0-4/10", Some(Extent::of(0..5, Some(10)))),
            ("Bytes 9-9/10", Some(Extent::of(9..10, Some(10)))),
            ("bytes 0-9/10", Some(Extent::Whole)),
            ("bytes 0-4/*", None),
            ("bytes */10", None),
            ("bytes 5-4/10", None),
            ("bytes 0-10/10", None),
            ("bytes 0-+4/10", None),
            ("bytes=0-4/10", None),
            ("lines 0-4/10", None),
            ("bytes 0-99999999999999999999/999999999999999999999", None),
        ] {
            let mut fields = Fields::new();
            fields.push("Content-Range", text);
            assert_eq!(Extent::of_partial(&fields), extent, "{text}");
        }
    }

    #[test]
    fn what_is_missing() {
        let (extent, _) = joined(&[2..4, 8..10], Some(20));
        for (wanted, missing) in [
            (0..20, Some(0..20)),
            (2..4, None),
            (2..3, None),
            (3..9, Some(4..8)),
            (2..10, Some(4..8)),
            (4..8, Some(4..8)),
            (9..20, Some(10..20)),
            (0..3, Some(0..2)),
        ] {
            assert_eq!(extent.missing(&wanted), missing, "{wanted:?}");
            assert_eq!(extent.locate(&wanted).is_some(), missing.is_none(), "{wanted:?}");
        }
        assert_eq!(extent.locate(&(9..10)), Some(3..4));
    }

    #[test]
    fn a_list_of_parts_has_an_end() {
        let mut extent = Extent::of(0..1, None);
        let mut body = Bytes::from_static(b"x");
        for number in 1..MAX_PARTS as u64 {
            let Extent::Parts(parts) = &extent else { unreachable!() };
            (extent, body) = combine((parts, &body), (number * 2..number * 2 + 1, &Bytes::from_static(b"x")), None).unwrap();
        }
        let Extent::Parts(parts) = &extent else { unreachable!() };
        assert_eq!(combine((parts, &body), (1_000..1_001, &Bytes::from_static(b"x")), None), None);
    }

    proptest! {
        #[test]
        fn what_is_located_is_what_was_stored(
            cuts in prop::collection::vec((0u64..20, 1u64..8), 1..8),
            start in 0u64..20,
            octets_wanted in 1u64..8,
        ) {
            let ranges: Vec<_> = cuts.iter().map(|(start, octets)| *start..(start + octets).min(20)).collect();
            let (extent, body) = joined(&ranges, None);
            let wanted = start..(start + octets_wanted).min(20);
            let is_there = wanted.clone().all(|at| ranges.iter().any(|range| range.contains(&at)));
            let found = extent.locate(&wanted).map(|at| &body[octets(at.start)..octets(at.end)]);
            prop_assert_eq!(found, is_there.then(|| &TEXT[octets(wanted.start)..octets(wanted.end)]));
            prop_assert_eq!(extent.missing(&wanted).is_none(), is_there);
        }
    }
}
