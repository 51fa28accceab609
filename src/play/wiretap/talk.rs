//! What a conversation that passes by looks like in a transcript: lines, counts of octets, and
//! asterisks for passwords. Pure: octets in, events out, cut anywhere.
//!
//! | service | lines | octets |
//! |---|---|---|
//! | http, proxy | heads | bodies, tunnels |
//! | smtp, pop3, ftp, capital | everything | the chunks of BDAT |
//! | others | | everything |

use std::{collections::VecDeque, mem, ops::Range};

use crate::{
    http::{
        body::{Decoder, Step},
        framing::{self, Framing},
        head::Method,
        parse::{self, LineEnds},
        secrets,
    },
    transcript::record::{Event, Side},
};

/// A line that is longer is counted, in octets.
const LINE_OCTETS: usize = 64 * 1024;
/// A head that is longer is taken for content, in octets.
const HEAD_OCTETS: usize = 256 * 1024;
/// Requests that may wait for their responses before the oldest is forgotten.
const ASKED: usize = 1024;

/// One conversation.
pub(super) struct Talk {
    kind: Kind,
    shows_secrets: bool,
    client: Half,
    server: Half,
    /// The methods whose responses have not come.
    asked: VecDeque<Method>,
    /// A SASL exchange is going on: what the client says is secret.
    proves: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lines,
    Http,
    Octets,
}

/// What one side has said that is not told yet.
#[derive(Default)]
struct Half {
    pending: Vec<u8>,
    /// The lines of an HTTP head so far.
    head: Vec<u8>,
    reading: Reading,
}

#[derive(Default)]
enum Reading {
    #[default]
    Lines,
    Body(Decoder),
    /// So many octets of a chunk, then lines again.
    Chunk(u64),
    /// Octets from here on: a tunnel, TLS, or what can't be understood.
    Octets,
}

impl Talk {
    pub(super) fn new(service: &str, shows_secrets: bool) -> Talk {
        let kind = match service {
            "http" | "proxy" => Kind::Http,
            "smtp" | "submission" | "pop3" | "ftp" | "capital-tcp" => Kind::Lines,
            _ => Kind::Octets,
        };
        Talk { kind, shows_secrets, client: Half::default(), server: Half::default(), asked: VecDeque::new(), proves: false }
    }

    /// The events that these octets make.
    pub(super) fn heard(&mut self, side: Side, octets: &[u8]) -> Vec<Event> {
        self.half(side).pending.extend_from_slice(octets);
        let mut events = Vec::new();
        while let Some(event) = self.next(side) {
            events.extend(event);
        }
        events
    }

    /// What is left when a side has ended.
    pub(super) fn end(&mut self, side: Side) -> Vec<Event> {
        let rest = mem::take(&mut self.half(side).pending);
        if rest.is_empty() { Vec::new() } else { vec![Event::Bytes { side, octets: rest.len() }] }
    }

    fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// The next event, `Some(None)` where there is none but more to look at, `None` where more octets
    /// must come first.
    fn next(&mut self, side: Side) -> Option<Option<Event>> {
        let is_opaque = self.kind == Kind::Octets;
        let half = self.half(side);
        if half.pending.is_empty() {
            return None;
        }
        match &mut half.reading {
            Reading::Lines if is_opaque => half.reading = Reading::Octets,
            Reading::Lines if half.head.is_empty() && begins_tls(&half.pending) => {
                self.darken();
                return Some(Some(Event::Happened("TLS from here on: its octets are counted".into())));
            }
            Reading::Lines => return self.line(side),
            Reading::Octets => return Some(half.take(side, usize::MAX)),
            Reading::Chunk(0) => half.reading = Reading::Lines,
            Reading::Chunk(left) => {
                let octets = usize::try_from(*left).unwrap_or(usize::MAX).min(half.pending.len());
                *left -= octets as u64;
                return Some(half.take(side, octets));
            }
            Reading::Body(_) => return half.body(side),
        }
        Some(None)
    }

    /// From here on nobody's lines can be read.
    fn darken(&mut self) {
        self.client.reading = Reading::Octets;
        self.server.reading = Reading::Octets;
    }

    fn line(&mut self, side: Side) -> Option<Option<Event>> {
        let half = self.half(side);
        let Some(end) = memchr::memchr(b'\n', &half.pending) else {
            let is_long = half.pending.len() > LINE_OCTETS;
            return is_long.then(|| half.take(side, usize::MAX));
        };
        let line: Vec<u8> = half.pending.drain(..=end).collect();
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let secret = self.secret(side, text).filter(|_| !self.shows_secrets);
        match self.kind {
            Kind::Http => self.head_line(side, &line, text.is_empty()),
            _ => self.follow(side, text),
        }
        Some(Some(Event::Line { side, line: masked(text, secret) }))
    }

    /// A line of an HTTP head. The empty one ends it, and then the body is due.
    fn head_line(&mut self, side: Side, line: &[u8], is_empty: bool) {
        let half = self.half(side);
        if is_empty && half.head.is_empty() {
            return;
        }
        half.head.extend_from_slice(line);
        if !is_empty && half.head.len() < HEAD_OCTETS {
            return;
        }
        let head = mem::take(&mut half.head);
        let framing = match side {
            Side::Client => self.request(&head),
            Side::Server => self.response(&head),
        };
        let half = self.half(side);
        match framing {
            Some(Framing::Empty) => {}
            Some(framing) => half.reading = Reading::Body(Decoder::new(framing)),
            None => half.reading = Reading::Octets,
        }
    }

    fn request(&mut self, head: &[u8]) -> Option<Framing> {
        let head = parse::request(head, LineEnds::Either).ok()?;
        if self.asked.len() == ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(head.method.clone());
        framing::of_request(&head).ok()
    }

    fn response(&mut self, head: &[u8]) -> Option<Framing> {
        let head = parse::response(head, LineEnds::Either).ok()?;
        if head.status == 101 {
            self.darken();
            return None;
        }
        if head.status < 200 {
            return Some(Framing::Empty);
        }
        let method = self.asked.pop_front().unwrap_or(Method::Get);
        if method == Method::Connect && head.status < 300 {
            self.darken();
            return None;
        }
        framing::of_response(&method, &head).ok()
    }

    /// Notices what a line of the other protocols changes.
    fn follow(&mut self, side: Side, line: &[u8]) {
        let (word, rest) = split_word(line);
        match side {
            Side::Client if word.eq_ignore_ascii_case(b"AUTH") && !rest.is_empty() => self.proves = true,
            Side::Client if word.eq_ignore_ascii_case(b"BDAT") => {
                let size = split_word(rest).0;
                let octets = std::str::from_utf8(size).ok().and_then(|size| size.parse().ok()).unwrap_or(0);
                self.client.reading = Reading::Chunk(octets);
            }
            Side::Client => {}
            // The exchange goes on with 334, or with "+ " of POP3.
            Side::Server => self.proves &= word == b"334" || word == b"+",
        }
    }

    /// What of a line is secret.
    fn secret(&self, side: Side, line: &[u8]) -> Option<Range<usize>> {
        if self.kind == Kind::Http {
            return secrets::secret_in(line);
        }
        if side == Side::Server {
            return None;
        }
        let (word, rest) = split_word(line);
        let start = line.len() - rest.len();
        match () {
            () if self.proves => Some(0..line.len()),
            () if word.eq_ignore_ascii_case(b"PASS") => Some(start..line.len()),
            () if word.eq_ignore_ascii_case(b"AUTH") => {
                let initial = split_word(rest).1;
                (!initial.is_empty()).then_some(line.len() - initial.len()..line.len())
            }
            () => None,
        }
    }
}

impl Half {
    /// So many of the octets at hand, counted.
    fn take(&mut self, side: Side, octets: usize) -> Option<Event> {
        let octets = octets.min(self.pending.len());
        self.pending.drain(..octets);
        (octets > 0).then_some(Event::Bytes { side, octets })
    }

    fn body(&mut self, side: Side) -> Option<Option<Event>> {
        let Reading::Body(decoder) = &mut self.reading else { return None };
        match decoder.step(&self.pending) {
            Ok(Step::More) => None,
            Ok(Step::Data(octets)) => Some(self.take_data(side, octets)),
            Ok(step) => {
                let is_end = matches!(step, Step::End(_));
                self.pending.drain(..step.octets().min(self.pending.len()));
                if is_end {
                    self.reading = Reading::Lines;
                }
                Some(None)
            }
            Err(_) => {
                self.reading = Reading::Octets;
                Some(None)
            }
        }
    }

    fn take_data(&mut self, side: Side, octets: usize) -> Option<Event> {
        let event = self.take(side, octets);
        if let Reading::Body(decoder) = &self.reading
            && decoder.is_over()
        {
            self.reading = Reading::Lines;
        }
        event
    }
}

/// Whether a TLS record begins here: a handshake of version 3.x (RFC 8446, 5.1).
fn begins_tls(octets: &[u8]) -> bool {
    matches!(octets, [0x16, 0x03, ..])
}

fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    (word, rest.trim_ascii_start())
}

fn masked(line: &[u8], secret: Option<Range<usize>>) -> Vec<u8> {
    match secret.and_then(|span| Some((line.get(..span.start)?, line.get(span.end..)?))) {
        Some((before, after)) => [before, b"****", after].concat(),
        None => line.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What was heard as text, `C 5` and `S 5` for octets; pieces of one count are joined.
    fn shown(service: &str, said: &[(Side, &[u8])], cut: usize) -> Vec<String> {
        let mut talk = Talk::new(service, false);
        let mut events = Vec::new();
        for (side, octets) in said {
            octets.chunks(cut.max(1)).for_each(|piece| events.extend(talk.heard(*side, piece)));
        }
        let mut lines: Vec<String> = Vec::new();
        let mut count = (None, 0);
        for event in events {
            match event {
                Event::Line { side, line } => lines.push(format!("{side}: {}", String::from_utf8_lossy(&line))),
                Event::Bytes { side, octets } => {
                    if count.0 == Some(side) && lines.last() == Some(&format!("{side} {}", count.1)) {
                        lines.pop();
                    } else {
                        count = (Some(side), 0);
                    }
                    count.1 += octets;
                    lines.push(format!("{side} {}", count.1));
                }
                other => lines.push(format!("{other:?}")),
            }
        }
        lines
    }

    const C: Side = Side::Client;
    const S: Side = Side::Server;

    #[test]
    fn lines_are_lines_and_passwords_asterisks() {
        let said: &[(Side, &[u8])] = &[
            (S, b"220 x\r\n"),
            (C, b"PASS a b\r\nAUTH PLAIN AGE=\r\n"),
            (S, b"334 \r\n"),
            (C, b"c2VjcmV0\r\n"),
            (S, b"235 ok\r\n"),
            (C, b"NOOP\n"),
        ];
        let expected = ["S: 220 x", "C: PASS ****", "C: AUTH PLAIN ****", "S: 334 ", "C: ****", "S: 235 ok", "C: NOOP"];
        assert_eq!(shown("smtp", said, 100), expected);
        assert_eq!(shown("smtp", said, 1), expected);
    }

    #[test]
    fn chunks_and_tls_are_counted() {
        let said: &[(Side, &[u8])] = &[(C, b"BDAT 5 LAST\r\nab\r\ncQUIT\r\n"), (C, b"\x16\x03\x01abc"), (S, b"QQ")];
        let lines = shown("smtp", said, 100);
        assert_eq!(lines[..3], ["C: BDAT 5 LAST", "C 5", "C: QUIT"]);
        assert_eq!(lines[4..], ["C 6", "S 2"]);
    }

    #[test]
    fn bodies_are_counted_as_their_heads_say() {
        let said: &[(Side, &[u8])] = &[
            (C, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
            (C, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\n\r\nxyz"),
        ];
        for cut in [1, 7, 1000] {
            let lines = shown("http", said, cut);
            let counts: Vec<_> = lines.iter().filter(|line| line.as_bytes()[1] == b' ').cloned().collect();
            assert_eq!(counts, ["C 3", "S 3", "S 3"], "{lines:#?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_passes_by_is_lost_or_makes_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..300), http in any::<bool>()) {
            let mut talk = Talk::new(if http { "http" } else { "pop3" }, true);
            let mut events = talk.heard(C, &octets);
            events.extend(talk.end(C));
            prop_assert!(octets.is_empty() || !events.is_empty() || http);
        }
    }
}
