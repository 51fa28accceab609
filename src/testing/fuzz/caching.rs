//! The rules of the cache: what they read out of fields, and their arithmetic.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{bounded, parts};
use crate::{
    http::{
        Fields,
        parse::{self, LineEnds},
    },
    proxy::{
        control::Control,
        extent::{self, Extent},
        freshness, record, rules,
    },
    store::cache::object,
};

/// Cache-Control: several lines of it, one per line of the input.
pub fn cache_control(data: &[u8]) {
    let lines: Vec<&[u8]> = bounded(data).split(|octet| *octet == b'\n').collect();
    let control = Control::parse(lines.iter().copied());
    assert!(control.present);
    for secs in [control.max_age, control.s_maxage, control.stale_while_revalidate, control.stale_if_error].into_iter().flatten() {
        assert!(secs <= 1 << 31, "RFC 9111, 1.2.2: no more than can be told");
    }
    if lines.len() == 1 && !lines[0].contains(&b'"') {
        // Without quotes, lines and lists are the same thing.
        let elements = lines[0].split(|octet| *octet == b',');
        assert_eq!(Control::parse(elements), control, "a list is as good as several lines");
    }
    for name in rules::unstorable_fields(&control) {
        assert_eq!(name.to_ascii_lowercase(), name);
    }
}

/// Freshness arithmetic. The input is a response head; the times come out of it.
pub fn freshness(data: &[u8]) {
    let [numbers, head] = parts(bounded(data));
    let Some(fields) = fields(head) else { return };
    let mut numbers =
        numbers.split(|octet| *octet == b' ').map(|word| word.iter().fold(0u64, |sum, octet| sum.wrapping_mul(251) ^ u64::from(*octet)));
    let mut next = |most: u64| numbers.next().unwrap_or(0) % most;
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let (status, delay, rest) = (u16::try_from(100 + next(900)).unwrap_or(200), next(1 << 33), next(1 << 33));
    let requested = start;
    let received = start + Duration::from_secs(delay);
    let now = received + Duration::from_secs(rest);
    let control = Control::parse(fields.get_all("cache-control"));
    let lifetime = freshness::lifetime(status, &fields, &control, received);
    assert!(!lifetime.rule.name().is_empty());
    let initial = freshness::initial_age(&fields, requested, received);
    let age = freshness::current_age(initial, received, now);
    assert!(initial >= delay && age >= initial && age >= rest, "a response grows no younger");
    assert_eq!(freshness::current_age(initial, received, start), initial, "not even where the clock is set back");
}

/// Vary: the fields of one request select the response that was stored for it.
pub fn vary(data: &[u8]) {
    let [response, asked, other] = parts(bounded(data));
    let (Some(response), Some(asked), Some(other)) = (fields(response), fields(asked), fields(other)) else { return };
    let selection = rules::selection(&asked, &response);
    assert!(rules::matches_selection(&asked, &selection), "who caused it to be stored gets it");
    if rules::matches_selection(&other, &selection) {
        assert_eq!(rules::selection(&other, &response), selection, "what one request selects is stored once");
    }
    for (name, _) in &selection {
        assert_eq!(name.to_ascii_lowercase(), *name);
    }
}

/// Parts of a representation, put together as they come: each line of the input is one, `5-9`.
pub fn combine(data: &[u8]) {
    const WHOLE: u64 = 256;
    let text: Vec<u8> = (0..=255).collect();
    let part = |range: &Range<u64>| Bytes::copy_from_slice(text.get(index(range.start)..index(range.end)).unwrap_or_default());
    let mut stored: Option<(Extent, Bytes)> = None;
    for line in bounded(data).split(|octet| *octet == b'\n').take(100) {
        let number = |text: &str| text.parse::<u64>().ok();
        let Some((Some(first), Some(last))) =
            std::str::from_utf8(line).ok().and_then(|line| line.split_once('-')).map(|(a, b)| (number(a), number(b)))
        else {
            continue;
        };
        let range = first.min(WHOLE - 1)..last.saturating_add(1).min(WHOLE);
        if range.start >= range.end {
            continue;
        }
        stored = match &stored {
            Some((Extent::Parts(parts), body)) => extent::combine((parts, body), (range.clone(), &part(&range)), Some(WHOLE)).or(stored),
            Some((Extent::Whole, _)) => stored,
            None => Some((Extent::of(range.clone(), Some(WHOLE)), part(&range))),
        };
        let (extent, body) = stored.as_ref().expect("something is stored by now");
        check_extent(extent, body, &text);
    }
}

/// What is stored is what the representation has there, and no octet of it is taken for another.
fn check_extent(extent: &Extent, body: &Bytes, text: &[u8]) {
    let Extent::Parts(parts) = extent else { return assert_eq!(body, text, "the whole is all of it") };
    assert!(parts.ranges.iter().zip(parts.ranges.iter().skip(1)).all(|(one, next)| one.end < next.start), "in order, never touching");
    let joined: Vec<u8> = parts.ranges.iter().flat_map(|range| &text[index(range.start)..index(range.end)]).copied().collect();
    assert_eq!(*body, joined);
    for (start, end) in [(0, 1), (0, 256), (3, 9), (100, 200), (255, 256)] {
        let wanted = start..end;
        match (extent.locate(&wanted), extent.missing(&wanted)) {
            (Some(found), missing) => {
                assert_eq!(missing, None, "what is found is not missing");
                assert_eq!(body[index(found.start)..index(found.end)], text[index(start)..index(end)]);
            }
            (None, missing) => assert!(missing.is_some_and(|missing| start <= missing.start && missing.end <= end), "{wanted:?}"),
        }
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// An object of the cache as it lies on the disk, and the record of the proxy inside it.
pub fn cache_object(data: &[u8]) {
    let data = bounded(data);
    if let Some(head) = object::Head::parse(data) {
        assert_eq!(object::Head::octets_of(data), Some(data.len()), "a head is as long as it says");
        let printed = head.print(None).expect("what was read can be written");
        assert_eq!(object::Head::parse(&printed).as_ref(), Some(&head), "parse, print, parse");
    }
    if let Some(record) = record::read(data) {
        let printed = record::print(&record);
        let again = record::read(&printed).expect("what was written can be read");
        assert_eq!(record::print(&again), printed, "what is printed prints the same");
        if let Extent::Parts(parts) = &record.extent {
            assert!(parts.ranges.iter().all(|range| range.start < range.end), "no part is empty");
            assert!(parts.ranges.windows(2).all(|two| two[0].end < two[1].start), "parts stand in order and don't touch");
        }
    }
    // With the right checksum, which chance never finds: the record must be read back as it was.
    let head = object::Head { key: "http://a.test/".into(), record: data.to_vec(), body_octets: 5, body_crc32: 7 };
    let printed = head.print(None).expect("it is short");
    let read = object::Head::parse(&printed).expect("what was written can be read");
    let end = data.iter().rposition(|octet| *octet != b'\n').map_or(0, |at| at + 1);
    assert_eq!(read.record, data[..end], "but for line ends behind it");
}

/// Field lines, whatever their ends.
fn fields(text: &[u8]) -> Option<Fields> {
    let mut head = b"HTTP/1.1 200 OK\n".to_vec();
    head.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
    head.extend_from_slice(if text.is_empty() { b"\n" } else { b"\n\n" });
    let end = parse::head_end(&head, 0)?;
    parse::response(head.get(..end)?, LineEnds::Either).ok().map(|head| head.fields)
}
