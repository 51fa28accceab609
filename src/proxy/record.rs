//! A stored response's head as text, for the disk: what its age is worked out from, what selects
//! it, which parts there are, and the head itself.
//!
//! ```text
//! requested 1762430400.000000000
//! received 1762430400.120000000
//! age 0
//! parts 0-99,200-299/1000
//! select accept-language en%2Cde
//! select user-agent
//!
//! HTTP/1.1 200 OK
//! Content-Type: text/html
//! ```
//!
//! `parts` stands only where the whole is not there (`*` for a length that is not known); `select`
//! without a value stands for a request without that field. Whoever changes this changes the
//! number of the format in the store's files.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::{
    entry::{Record, Times},
    extent::{Extent, Parts},
};
use crate::http::parse::{self, LineEnds};

/// Writes a record down.
pub(crate) fn print(record: &Record) -> Vec<u8> {
    let Record { head, extent, selection, times, initial_age } = record;
    let mut text = format!("requested {}\nreceived {}\nage {initial_age}\n", stamp(times.requested), stamp(times.received));
    if let Extent::Parts(parts) = extent {
        let ranges: Vec<_> = parts.ranges.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
        let complete = parts.complete.map_or("*".to_owned(), |octets| octets.to_string());
        text.push_str(&format!("parts {}/{complete}\n", ranges.join(",")));
    }
    for (name, value) in selection {
        match value {
            Some(value) => text.push_str(&format!("select {name} {}\n", percent_encode(value, NON_ALPHANUMERIC))),
            None => text.push_str(&format!("select {name}\n")),
        }
    }
    text.push('\n');
    let mut lines = Vec::new();
    head.write_to(&mut lines);
    let mut out = text.into_bytes();
    // Line ends as people's editors like them; no field has one inside.
    out.extend(lines.into_iter().filter(|octet| *octet != b'\r'));
    while out.last() == Some(&b'\n') {
        out.pop();
    }
    out
}

/// Reads a record; `None` where it is not one.
pub(crate) fn read(text: &[u8]) -> Option<Record> {
    let end = memchr::memmem::find(text, b"\n\n")?;
    let (facts, head) = (std::str::from_utf8(text.get(..end)?).ok()?, text.get(end + 2..)?);
    let head = parse::response(&[head, b"\n\n"].concat(), LineEnds::Either).ok()?;
    let mut times = Times { requested: SystemTime::UNIX_EPOCH, received: SystemTime::UNIX_EPOCH };
    let (mut initial_age, mut extent, mut selection) = (None, Extent::Whole, Vec::new());
    for line in facts.lines() {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "requested" => times.requested = time(rest)?,
            "received" => times.received = time(rest)?,
            "age" => initial_age = rest.parse().ok(),
            "parts" => extent = Extent::Parts(parts(rest)?),
            "select" => selection.push(match rest.split_once(' ') {
                Some((name, value)) => (name.to_owned(), Some(percent_decode(value.as_bytes()).collect())),
                None => (rest.to_owned(), None),
            }),
            _ => return None,
        }
    }
    Some(Record { head, extent, selection, times, initial_age: initial_age? })
}

fn parts(text: &str) -> Option<Parts> {
    let (ranges, complete) = text.split_once('/')?;
    let complete = if complete == "*" { None } else { Some(complete.parse().ok()?) };
    let range = |text: &str| -> Option<Range<u64>> {
        let (start, end) = text.split_once('-')?;
        Some(start.parse().ok()?..end.parse().ok()?)
    };
    let ranges = ranges.split(',').map(range).collect::<Option<Vec<_>>>()?;
    // What does not stand in order would make one octet pass for another.
    let is_sound = ranges.iter().all(|range| range.start < range.end)
        && ranges.windows(2).all(|two| matches!(two, [one, next] if one.end < next.start));
    is_sound.then_some(Parts { ranges, complete })
}

/// Seconds since 1970.
fn stamp(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}

fn time(text: &str) -> Option<SystemTime> {
    let (secs, nanos) = text.split_once('.')?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(secs.parse().ok()?, nanos.parse().ok().filter(|nanos| *nanos < 1_000_000_000)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Fields, ResponseHead};

    fn record() -> Record {
        let mut fields = Fields::new();
        fields.push("ETag", "\"1\"");
        fields.push("X-Odd", b"caf\xe9");
        fields.push("X-Empty", "");
        let at = SystemTime::UNIX_EPOCH + Duration::new(784_111_777, 5);
        Record {
            head: ResponseHead { fields, ..ResponseHead::new(200) },
            extent: Extent::Parts(Parts { ranges: vec![0..10, 20..30], complete: Some(100) }),
            selection: vec![("accept-language".into(), Some(b"en,\n\xff".to_vec())), ("cookie".into(), None)],
            times: Times { requested: at, received: at + Duration::from_millis(1500) },
            initial_age: 7,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut written = record();
        assert_eq!(read(&print(&written)), Some(written.clone()));
        written.extent = Extent::Parts(Parts { ranges: vec![5..10, 12..13], complete: None });
        assert_eq!(read(&print(&written)), Some(written.clone()));
        (written.extent, written.selection) = (Extent::Whole, Vec::new());
        assert_eq!(read(&print(&written)), Some(written));
    }

    proptest::proptest! {
        #[test]
        fn what_is_cut_or_changed_is_survived(at in 0usize..200, octet in 0u8.., cut in 0usize..200) {
            let mut text = print(&record());
            let (at, cut) = (at % text.len(), cut % text.len());
            text[at] = octet;
            let _ = read(&text);
            let _ = read(&text[..cut]);
        }
    }
}
