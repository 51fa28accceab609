//! Bodies: a machine that takes octets apart, and the writing of chunks (RFC 9112, 6 and 7).
//!
//! The machine owns no socket. It is shown the octets at hand and says what the first of them
//! are; whoever owns the connection takes them away and shows it the rest.
//!
//! ```text
//! Length:   Remaining(n) --Data--> ... --> Ended
//! Chunked:  Size --Framing--> Remaining(n) --Data--> ... --> AfterData --Framing--> Size
//!             \--"0"--Framing--> Trailers --End--> Ended
//! Stream:   Data, Data, ... until the connection ends
//! ```

use super::{fault::Fault, fields::Fields, framing::Framing, lists, parse};

/// The longest chunk size line, extensions included, in octets.
const SIZE_LINE_OCTETS: usize = 1024;
/// All size lines beyond their digits: a stream of tiny chunks with fat extensions is an attack.
const EXTENSION_OCTETS: usize = 16 * 1024;
/// The longest trailer section, in octets.
const TRAILER_OCTETS: usize = 8 * 1024;
/// Digits of a chunk size: sixteen fill 64 bits.
const SIZE_DIGITS: usize = 16;

/// Takes one body apart.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    is_chunked: bool,
    extension_octets: usize,
    trailers: Fields,
}

#[derive(Debug)]
enum State {
    /// So many octets of data come next.
    Remaining(u64),
    /// A chunk size line comes next.
    Size,
    /// The CR LF after a chunk's data comes next.
    AfterData,
    Trailers,
    Stream,
    Ended,
}

/// What the first octets at hand are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There are too few of them to tell.
    More,
    /// So many octets of framing: take them away and go on.
    Framing(usize),
    /// So many octets of the body.
    Data(usize),
    /// So many octets of framing, and then the message is over.
    End(usize),
}

impl Step {
    /// How many octets to take away.
    pub(crate) fn octets(self) -> usize {
        match self {
            Step::More => 0,
            Step::Framing(octets) | Step::Data(octets) | Step::End(octets) => octets,
        }
    }
}

impl Decoder {
    pub(crate) fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::Empty => State::Ended,
            Framing::Length(octets) => State::Remaining(octets),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::Stream,
        };
        Decoder { state, is_chunked: framing == Framing::Chunked, extension_octets: 0, trailers: Fields::new() }
    }

    /// Looks at the octets at hand. After [`Step::End`], and for bodies that are over, it answers
    /// `End(0)`.
    ///
    /// # Errors
    /// 400 where the framing is broken: the connection can't be used any further.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, Fault> {
        match self.state {
            State::Ended => Ok(Step::End(0)),
            _ if input.is_empty() => Ok(Step::More),
            State::Stream => Ok(Step::Data(input.len())),
            State::Remaining(octets) => Ok(self.data(octets, input.len())),
            State::Size => self.size_line(input),
            State::AfterData => self.after_data(input),
            State::Trailers => self.trailer_section(input),
        }
    }

    /// How many octets of data are sure to come next: what is left of a length or a chunk.
    pub(crate) fn announced(&self) -> u64 {
        match self.state {
            State::Remaining(octets) => octets,
            _ => 0,
        }
    }

    /// Whether the whole body has been taken.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether the end of the connection is the end of the body, and not the loss of it.
    pub(crate) fn ends_with_stream(&self) -> bool {
        matches!(self.state, State::Stream | State::Ended)
    }

    /// The trailer fields, once the body is over. They never mix with the header fields: a field
    /// that decides something must not come after the decision (RFC 9110, 6.5.1).
    pub(crate) fn trailers(&self) -> &Fields {
        &self.trailers
    }

    fn data(&mut self, remaining: u64, at_hand: usize) -> Step {
        let take = usize::try_from(remaining).unwrap_or(usize::MAX).min(at_hand);
        let left = remaining - take as u64;
        self.state = match (left, self.is_chunked) {
            (0, true) => State::AfterData,
            (0, false) => State::Ended,
            _ => State::Remaining(left),
        };
        Step::Data(take)
    }

    /// `chunk-size [chunk-ext] CRLF`.
    fn size_line(&mut self, input: &[u8]) -> Result<Step, Fault> {
        let Some(end) = line_end(input, SIZE_LINE_OCTETS, "a chunk size line is too long")? else { return Ok(Step::More) };
        let line = &input[..end - 2];
        let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let octets = chunk_size(size)?;
        check_extension(extension)?;
        self.extension_octets += extension.len();
        if self.extension_octets > EXTENSION_OCTETS {
            return Err(Fault::bad("the chunk extensions are too long", "RFC 9112, 7.1.1"));
        }
        self.state = if octets == 0 { State::Trailers } else { State::Remaining(octets) };
        Ok(Step::Framing(end))
    }

    fn after_data(&mut self, input: &[u8]) -> Result<Step, Fault> {
        match input {
            [b'\r', b'\n', ..] => {
                self.state = State::Size;
                Ok(Step::Framing(2))
            }
            [b'\r'] => Ok(Step::More),
            _ => Err(Fault::bad("the data of a chunk is not followed by CR LF: the chunk size is wrong", "RFC 9112, 7.1")),
        }
    }

    /// `*( field-line CRLF ) CRLF`.
    fn trailer_section(&mut self, input: &[u8]) -> Result<Step, Fault> {
        let too_long = "the trailer section is too long";
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(end) = line_end(rest, TRAILER_OCTETS.saturating_sub(at), too_long)? else { return Ok(Step::More) };
            at += end;
            if end == 2 {
                break;
            }
        }
        if at > 2 {
            self.trailers = parse::trailers(&input[..at])?;
        }
        self.state = State::Ended;
        Ok(Step::End(at))
    }
}

/// Where the first line ends, past its CR LF, within `limit` octets.
fn line_end(input: &[u8], limit: usize, too_long: &'static str) -> Result<Option<usize>, Fault> {
    let within = &input[..input.len().min(limit)];
    match memchr::memchr(b'\n', within) {
        None if input.len() >= limit => Err(Fault::bad(too_long, "RFC 9112, 7.1")),
        None => Ok(None),
        Some(at) if at > 0 && input[at - 1] == b'\r' => Ok(Some(at + 1)),
        // Some readers would take the line to go on: the classic chunk smuggling.
        Some(_) => Err(Fault::bad("a line of the chunk framing ends in a bare LF", "RFC 9112, 7.1")),
    }
}

fn chunk_size(digits: &[u8]) -> Result<u64, Fault> {
    let bad = || Fault::bad("a chunk does not begin with its size in hexadecimal digits", "RFC 9112, 7.1");
    let text = std::str::from_utf8(digits).map_err(|_| bad())?;
    match text.len() {
        0 => Err(bad()),
        1..=SIZE_DIGITS => u64::from_str_radix(text, 16).map_err(|_| bad()),
        _ => Err(Fault::bad("a chunk size has more than 16 digits", "RFC 9112, 7.1")),
    }
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (7.1.1). Extensions mean nothing
/// to us; they must only be what everybody takes for one.
fn check_extension(extension: &[u8]) -> Result<(), Fault> {
    let mut rest = extension;
    while !rest.is_empty() {
        rest =
            one_extension(rest).ok_or_else(|| Fault::bad("something other than an extension follows a chunk size", "RFC 9112, 7.1.1"))?;
    }
    Ok(())
}

/// What follows the first extension; `None` where there is none.
fn one_extension(text: &[u8]) -> Option<&[u8]> {
    let rest = lists::after_token(past_blanks(text).strip_prefix(b";").map(past_blanks)?)?;
    let Some(value) = past_blanks(rest).strip_prefix(b"=").map(past_blanks) else { return Some(rest) };
    lists::after_token(value).or_else(|| lists::after_quoted(value))
}

fn past_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    text.get(blanks..).unwrap_or_default()
}

/// Fields that say where a message ends, whom it is for, who sends it or what its content is: they
/// come too late after the content, and whoever believed them there could be led astray (RFC 9110,
/// 6.5.1).
const NOT_IN_TRAILERS: &[&str] = &[
    "transfer-encoding",
    "content-length",
    "host",
    "connection",
    "trailer",
    "te",
    "expect",
    "range",
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "content-encoding",
    "content-type",
    "content-range",
];

/// The first field of a trailer section that has no place there.
pub(crate) fn misplaced_in(trailers: &Fields) -> Option<&'static str> {
    NOT_IN_TRAILERS.iter().find(|name| trailers.contains(name)).copied()
}

/// Whether a field may be passed on among trailers.
pub(crate) fn is_trailer(name: &[u8]) -> bool {
    !NOT_IN_TRAILERS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Ends a chunked body that has no trailers.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The size line before a chunk of `octets` octets, which CR LF must follow.
pub(crate) fn chunk_line(octets: usize) -> String {
    format!("{octets:X}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The body and what was left over; `None` for a body that is not over.
    type Decoded = Option<(Vec<u8>, Vec<u8>)>;

    /// Decodes what arrives in the given pieces.
    fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<Decoded, Fault> {
        let mut decoder = Decoder::new(framing);
        let (mut input, mut body) = (Vec::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                match decoder.step(&input)? {
                    Step::More => break,
                    Step::Framing(octets) => drop(input.drain(..octets)),
                    Step::Data(octets) => body.extend(input.drain(..octets)),
                    Step::End(octets) => {
                        input.drain(..octets);
                        break;
                    }
                }
            }
        }
        Ok(decoder.is_over().then_some((body, input)))
    }

    const CHUNKED: &[u8] = b"4\r\nWiki\r\n6;a=\"b\\\"; \"\r\npedia \r\n0A ; x\t= y;z\r\nin chunks.\r\n00\r\nX: y\r\n\r\nGET";

    #[test]
    fn chunks_wherever_the_input_is_split() {
        for split in 0..CHUNKED.len() - 3 {
            let (body, rest) = decode(Framing::Chunked, &[&CHUNKED[..split], &CHUNKED[split..]]).unwrap().unwrap();
            assert_eq!((&body[..], &rest[..]), (&b"Wikipedia in chunks."[..], &b"GET"[..]), "split at {split}");
        }
        let single: Vec<&[u8]> = CHUNKED.chunks(1).collect();
        assert_eq!(decode(Framing::Chunked, &single).unwrap().unwrap().0, b"Wikipedia in chunks.");
    }

    #[test]
    fn a_length_ends_the_body_before_the_next_request() {
        let (body, rest) = decode(Framing::Length(3), &[b"ab", b"cGET"]).unwrap().unwrap();
        assert_eq!((&body[..], &rest[..]), (&b"abc"[..], &b"GET"[..]));
        assert_eq!(decode(Framing::Length(9), &[b"abc"]).unwrap(), None);
    }

    #[test]
    fn broken_framing_is_refused() {
        let overlong = format!("1;{}\r\n", "x".repeat(SIZE_LINE_OCTETS));
        let fat = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(EXTENSION_OCTETS / 1000 + 1);
        let trailers = format!("0\r\n{}", "X: y\r\n".repeat(TRAILER_OCTETS / 6 + 1));
        for input in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1 x\r\n",
            "1,x\r\n",
            "1\n",
            "1;a\n",
            "1;\x01\r\n",
            "1;\r\n",
            "1;;a\r\n",
            "1;a \r\n",
            "1;a=\r\n",
            "1;a=b c\r\n",
            "1;a[=b\r\n",
            "1;a=\"b\r\n",
            "1;a=\"b\"c\r\n",
            "1;a\rb\r\n",
            "1_0\r\n",
            "1\ra\r\n",
            "1\r\nab",
            "1\r\na\n",
            "11111111111111111\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\n y\r\n\r\n",
            "0\r\n\n",
            &overlong,
            &fat,
            &trailers,
        ] {
            assert_eq!(decode(Framing::Chunked, &[input.as_bytes()]).expect_err(input).status, 400, "{input:?}");
        }
    }

    #[test]
    fn trailers_are_kept_apart() {
        let mut decoder = Decoder::new(Framing::Chunked);
        assert_eq!(decoder.step(b"0\r\nA: b\r\n\r\n"), Ok(Step::Framing(3)));
        assert_eq!(decoder.step(b"A: b\r\n"), Ok(Step::More));
        assert_eq!(decoder.step(b"A: b\r\n\r\nx"), Ok(Step::End(8)));
        assert_eq!(decoder.trailers().get("a"), Some(&b"b"[..]));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8), split in 0usize..400) {
            let mut wire = Vec::new();
            for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                wire.extend([chunk_line(piece.len()).as_bytes(), piece, b"\r\n"].concat());
            }
            wire.extend_from_slice(LAST_CHUNK);
            let split = split.min(wire.len());
            let (body, rest) = decode(Framing::Chunked, &[&wire[..split], &wire[split..]]).unwrap().unwrap();
            prop_assert_eq!(body, pieces.concat());
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn arbitrary_octets_never_panic(pieces in prop::collection::vec("[0-9a-f\r\n; :X]{0,12}", 0..8)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            let _ = decode(Framing::Chunked, &pieces);
        }
    }
}
