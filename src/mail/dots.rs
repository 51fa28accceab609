//! Dot-stuffing (RFC 5321, 4.5.2; RFC 1939, 3) and THE machine that finds the end of a message.
//!
//! Both machines are fed chunk by chunk, cut anywhere, and hold no text. Why the second one is so
//! strict: when two servers disagree about where a message ends, what one takes for text is for
//! the other a new envelope under somebody else's name ("SMTP smuggling", CVE-2023-51764 and its
//! kin). So **only CR LF `.` CR LF ends a message**, never a mixed form such as LF `.` CR LF.
//!
//! People at a telnet or `nc` that sends bare LF are served all the same: where every line of the
//! connection so far ended so, the first line end of a message decides for the whole message.

use memchr::{memchr, memchr2};

/// Doubles the dots that begin a line, on the way out.
pub(crate) struct Stuffer {
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    Text,
    Cr,
}

impl Stuffer {
    pub(crate) fn new() -> Stuffer {
        Stuffer { place: Place::LineStart }
    }

    /// Appends the stuffed form of `chunk` to `out`. The text is to have CR LF line ends.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) {
        while let Some(&first) = chunk.first() {
            match (self.place, first) {
                (Place::LineStart, b'.') => out.push(b'.'),
                (Place::Cr, b'\n') => {
                    out.push(b'\n');
                    (self.place, chunk) = (Place::LineStart, &chunk[1..]);
                    continue;
                }
                _ => {}
            }
            let through_cr = memchr(b'\r', chunk).map(|at| at + 1);
            let (span, rest) = chunk.split_at(through_cr.unwrap_or(chunk.len()));
            out.extend_from_slice(span);
            self.place = if through_cr.is_some() { Place::Cr } else { Place::Text };
            chunk = rest;
        }
    }

    /// Appends the dot that ends the message, on a line by itself.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        if self.place != Place::LineStart {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// Finds the end of a message on the way in and removes the doubled dots.
///
/// ```text
///            '.'            CR           LF
/// LineStart -----> Dot --------> DotCr -----> the end
///     ^             | else         | else: a bare CR
///     | LF          v              v
///    Cr <--------- Text <----------+
///          CR
/// ```
/// The start of the data counts as a line start: DATA's own CR LF went before it.
///
/// A message that comes in chunks of known length (BDAT, RFC 3030) has no dots to find: there the
/// same machine only looks after the line ends.
pub(crate) struct Unstuffer {
    state: State,
    ends: Ends,
    mixed: bool,
    /// Dots have a meaning.
    dots: bool,
    /// What a CR or LF that stands by itself becomes.
    stray: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    /// After the dot that began a line.
    Dot,
    DotCr,
    Text,
    Cr,
}

/// Which octets end a line of this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The first line end will tell.
    Undecided,
    CrLf,
    Lf,
}

/// How far a chunk brought the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// All of it was text; there is more to come.
    More,
    /// The message ended after this many octets of the chunk; what follows are commands.
    End(usize),
}

impl Unstuffer {
    /// `people` says that every line of the connection so far ended in a bare LF.
    pub(crate) fn new(people: bool) -> Unstuffer {
        let ends = if people { Ends::Undecided } else { Ends::CrLf };
        Unstuffer { state: State::LineStart, ends, mixed: false, dots: true, stray: None }
    }

    /// For a message in chunks.
    pub(crate) fn chunked(people: bool) -> Unstuffer {
        Unstuffer { dots: false, ..Unstuffer::new(people) }
    }

    /// Has a CR or LF that stands by itself become a blank, as which it can be no line end for
    /// anybody.
    pub(crate) fn normalising(mut self) -> Unstuffer {
        self.stray = Some(b' ');
        self
    }

    /// The chunks are over: a CR that was held back is one by itself.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if matches!(self.state, State::Cr | State::DotCr) {
            self.bare(b'\r', out);
        }
    }

    /// Appends the text in `chunk` to `out`, its line ends as CR LF.
    pub(crate) fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Fed {
        let mut at = 0;
        while let Some(&octet) = chunk.get(at) {
            if self.state == State::Text {
                let plain = self.plain(&chunk[at..]);
                if plain > 0 {
                    out.extend_from_slice(&chunk[at..at + plain]);
                    at += plain;
                    continue;
                }
            }
            at += 1;
            if self.step(octet, out) {
                return Fed::End(at);
            }
        }
        Fed::More
    }

    /// How much of `text`, which goes on within a line, is to be taken as it is: whole lines, too,
    /// as long as they end in CR LF and the next one begins with nothing that matters.
    fn plain(&mut self, text: &[u8]) -> usize {
        let mut at = 0;
        while let Some(span) = memchr2(b'\r', b'\n', &text[at..]) {
            at += span;
            if self.ends != Ends::CrLf || !text[at..].starts_with(b"\r\n") {
                return at;
            }
            at += 2;
            if matches!(text.get(at), None | Some(b'.' | b'\r' | b'\n')) {
                self.state = State::LineStart;
                return at;
            }
        }
        text.len()
    }

    /// The line ends that were decided on.
    pub(crate) fn ends(&self) -> Ends {
        self.ends
    }

    /// Whether a CR or LF stood by itself where lines end otherwise: such a message is refused,
    /// since the next server might take it for a line end.
    pub(crate) fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// Takes one octet; says whether it ended the message.
    fn step(&mut self, octet: u8, out: &mut Vec<u8>) -> bool {
        if octet == b'\n' {
            return self.line_feed(out);
        }
        if matches!(self.state, State::Cr | State::DotCr) {
            self.bare(b'\r', out);
        }
        self.state = match (self.state, octet) {
            (State::LineStart, b'.') if self.dots => return self.go(State::Dot),
            (State::Dot, b'\r') if self.ends != Ends::Lf => return self.go(State::DotCr),
            (_, b'\r') if self.ends != Ends::Lf => return self.go(State::Cr),
            (_, b'\r') => {
                self.bare(octet, out);
                return false;
            }
            _ => State::Text,
        };
        out.push(octet);
        false
    }

    fn line_feed(&mut self, out: &mut Vec<u8>) -> bool {
        let after_cr = matches!(self.state, State::Cr | State::DotCr);
        if self.ends == Ends::Undecided {
            self.ends = if after_cr { Ends::CrLf } else { Ends::Lf };
        }
        if after_cr != (self.ends == Ends::CrLf) {
            // Only a bare LF in a CR LF message comes here: in the other kind no CR is held back.
            self.bare(b'\n', out);
            return self.go(State::Text);
        }
        if matches!(self.state, State::Dot | State::DotCr) {
            return true;
        }
        out.extend_from_slice(b"\r\n");
        self.go(State::LineStart)
    }

    fn bare(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.mixed = true;
        out.push(self.stray.unwrap_or(octet));
        self.state = State::Text;
    }

    fn go(&mut self, state: State) -> bool {
        self.state = state;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `sent` cut at `cut`: the text, and how many octets the message took if it ended.
    fn unstuff(people: bool, sent: &[u8], cut: usize) -> (Vec<u8>, Option<usize>, bool) {
        let mut machine = Unstuffer::new(people);
        let mut out = Vec::new();
        let (first, second) = sent.split_at(cut.min(sent.len()));
        let end = match machine.feed(first, &mut out) {
            Fed::End(at) => Some(at),
            Fed::More => match machine.feed(second, &mut out) {
                Fed::End(at) => Some(first.len() + at),
                Fed::More => None,
            },
        };
        (out, end, machine.is_mixed())
    }

    fn stuff(text: &[u8], cut: usize) -> Vec<u8> {
        let mut machine = Stuffer::new();
        let mut out = Vec::new();
        let (first, second) = text.split_at(cut.min(text.len()));
        machine.feed(first, &mut out);
        machine.feed(second, &mut out);
        machine.finish(&mut out);
        out
    }

    #[test]
    fn no_mixed_form_ends_a_message_however_it_is_cut() {
        for end in [
            &b"\n.\n"[..],
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r.\r\n",
            b"\r\n.\r",
            b"\n.\r",
            b"\r.\n",
            b"\r\n.\0\r\n",
            b"\r\n\0.\r\n",
            b"\r\n.\r\r\n",
            b"\r\n..\r\n",
            b"\r\n. \r\n",
            b"\n\n.\r\n",
            b"\r\n.\x0b\r\n",
        ] {
            let sent = [b"text", end, b"MAIL FROM:<evil@portico.test>\r\n"].concat();
            for cut in 0..=sent.len() {
                assert_eq!(unstuff(false, &sent, cut).1, None, "{} cut at {cut}", end.escape_ascii());
            }
        }
    }

    #[test]
    fn a_bare_cr_or_lf_is_noticed_and_a_clean_message_is_not() {
        for (sent, mixed) in [
            (&b"a\r\nb\r\n.\r\n"[..], false),
            (b".\r\n", false),
            (b"..\r\n.\r\n", false),
            (b"a\nb\r\n.\r\n", true),
            (b"a\rb\r\n.\r\n", true),
            (b"a\r\r\n.\r\n", true),
            (b".\rb\r\n.\r\n", true),
            (b"\n\r\n.\r\n", true),
        ] {
            for cut in 0..=sent.len() {
                let (_, end, found) = unstuff(false, sent, cut);
                assert_eq!((end, found), (Some(sent.len()), mixed), "{} cut at {cut}", sent.escape_ascii());
            }
        }
    }

    #[test]
    fn people_with_bare_line_feeds_end_their_message_their_way() {
        for (sent, text, end, mixed) in [
            (&b"hi\nthere\n.\nQUIT\n"[..], &b"hi\r\nthere\r\n"[..], Some(11), false),
            (b".\n", b"", Some(2), false),
            (b"..a\n.b\n.\n", b".a\r\nb\r\n", Some(9), false),
            // The first line end decides: from then on only its like counts.
            (b"hi\r\n.\n\r\n.\r\n", b"hi\r\n\n\r\n", Some(11), true),
            (b"hi\n.\r\n.\n", b"hi\r\n\r\r\n", Some(8), true),
            (b".\r\n", b"", Some(3), false),
        ] {
            for cut in 0..=sent.len() {
                let found = unstuff(true, sent, cut);
                assert_eq!(found, (text.to_vec(), end, mixed), "{} cut at {cut}", sent.escape_ascii());
            }
        }
    }

    #[test]
    fn in_chunks_a_dot_is_a_dot_and_line_ends_are_watched_over() {
        for (people, sent, text, mixed) in [
            (false, &b".\r\n..\r\n.\r\n"[..], &b".\r\n..\r\n.\r\n"[..], false),
            (false, b"no end", b"no end", false),
            (false, b"a\nb", b"a\nb", true),
            (false, b"a\r", b"a\r", true),
            (true, b".\n\n", b".\r\n\r\n", false),
        ] {
            for cut in 0..=sent.len() {
                let (mut machine, mut out) = (Unstuffer::chunked(people), Vec::new());
                let (first, second) = sent.split_at(cut);
                assert_eq!((machine.feed(first, &mut out), machine.feed(second, &mut out)), (Fed::More, Fed::More));
                machine.finish(&mut out);
                assert_eq!((out.as_slice(), machine.is_mixed()), (text, mixed), "{} cut at {cut}", sent.escape_ascii());
            }
        }
    }

    #[test]
    fn normalised_a_stray_line_end_is_a_blank() {
        let (mut machine, mut out) = (Unstuffer::new(false).normalising(), Vec::new());
        assert_eq!(machine.feed(b"a\n.\nb\r.\r\n\r\r\n.\r\n", &mut out), Fed::End(15));
        assert_eq!(out, b"a . b .\r\n \r\n");
    }

    proptest! {
        #[test]
        fn stuffed_and_unstuffed_is_the_same(lines in proptest::collection::vec("[.a \\t\0]{0,5}", 0..8), cut in 0_usize..60, other in 0_usize..60) {
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let wire = stuff(text.as_bytes(), cut);
            prop_assert_eq!(unstuff(false, &wire, other), (text.into_bytes(), Some(wire.len()), false));
        }

        #[test]
        fn cutting_changes_nothing(sent in proptest::collection::vec(proptest::sample::select(vec![b'.', b'\r', b'\n', b'a', 0]), 0..24), people: bool, cut in 0_usize..24) {
            prop_assert_eq!(unstuff(people, &sent, cut), unstuff(people, &sent, 0));
        }

        #[test]
        fn octet_by_octet_comes_out_the_same(sent in proptest::collection::vec(proptest::sample::select(vec![b'.', b'\r', b'\n', b'a', b'b']), 0..40), people: bool) {
            let (mut machine, mut out, mut end) = (Unstuffer::new(people), Vec::new(), None);
            for (index, octet) in sent.iter().enumerate() {
                if machine.feed(&[*octet], &mut out) != Fed::More {
                    end = Some(index + 1);
                    break;
                }
            }
            prop_assert_eq!((out, end, machine.is_mixed()), unstuff(people, &sent, 0));
        }

        #[test]
        fn a_message_ends_exactly_at_its_first_crlf_dot_crlf(sent in proptest::collection::vec(proptest::sample::select(vec![b'.', b'\r', b'\n', b'a']), 0..24)) {
            let with_line = [&b"\r\n"[..], &sent].concat();
            let expected = with_line.windows(5).position(|five| five == b"\r\n.\r\n").map(|at| at + 3);
            prop_assert_eq!(unstuff(false, &sent, 0).1, expected);
        }
    }
}
