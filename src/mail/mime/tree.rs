//! The parts of a message (RFC 2046, 5.1 and 5.2.1), found within bounds.
//!
//! A body is cut at the delimiter lines of its own boundary only, so a part can never reach beyond
//! the part that holds it. What goes beyond a bound is a [`Bomb`]: such a message is shown raw.

use std::{fmt, ops::Range};

use super::fields::{self, Kind};

/// Parts within parts. Mail that was forwarded ten times has some twenty.
const DEPTH: usize = 32;
/// Parts in all. A digest of a busy list has some hundred.
const PARTS: usize = 1000;
/// The longest header section that is read, in octets.
pub(crate) const HEADER_OCTETS: usize = 256 * 1024;
/// RFC 2046, 5.1.1 allows 70; some programs make longer ones.
const BOUNDARY_OCTETS: usize = 250;

/// The parts of a message in the order of the text, the message itself first.
#[derive(Debug)]
pub(crate) struct Tree {
    pub parts: Vec<Part>,
}

#[derive(Debug)]
pub(crate) struct Part {
    /// As IMAP counts (RFC 3501, 6.4.5): `2.1` is the first part of the second. Empty for a
    /// multipart that is the body of a message: its parts go by the number of the message.
    pub number: String,
    /// How many parts it is in.
    pub depth: usize,
    pub kind: Kind,
    pub header: Range<usize>,
    /// As it was sent: encoded, without the line end in front of the next delimiter.
    pub body: Range<usize>,
    /// Whether it consists of the parts that follow.
    pub is_composite: bool,
}

/// Why a message is not taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bomb {
    Depth,
    Parts,
    Header,
}

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bomb::Depth => write!(f, "its parts are nested more than {DEPTH} deep"),
            Bomb::Parts => write!(f, "it has more than {PARTS} parts"),
            Bomb::Header => write!(f, "it has a header section of more than {HEADER_OCTETS} octets"),
        }
    }
}

impl Tree {
    pub(crate) fn read(message: &[u8]) -> Result<Tree, Bomb> {
        let mut walk = Walk { message, parts: Vec::new() };
        walk.message(0..message.len(), &[], 0)?;
        Ok(Tree { parts: walk.parts })
    }

    /// The part with this number.
    pub(crate) fn find(&self, number: &str) -> Option<&Part> {
        self.parts.iter().find(|part| !part.number.is_empty() && part.number == number)
    }

    /// What a person would read first: the plain text of the first alternative, else HTML.
    pub(crate) fn text(&self) -> Option<&Part> {
        let readable = |media: &str| self.parts.iter().find(|part| part.is_readable() && part.kind.media == media);
        readable("text/plain").or_else(|| readable("text/html")).or_else(|| self.parts.iter().find(|part| part.is_readable()))
    }

    /// What a person would save: everything but the text that is read in place.
    pub(crate) fn attachments(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| !part.is_composite && !part.is_readable())
    }
}

impl Part {
    /// Text that is there to be read in place.
    pub(crate) fn is_readable(&self) -> bool {
        !self.is_composite && self.kind.media.starts_with("text/") && !self.kind.is_attachment && self.kind.name.is_none()
    }
}

struct Walk<'a> {
    message: &'a [u8],
    parts: Vec<Part>,
}

impl Walk<'_> {
    /// A message: the whole one, or one within it that has the number `number`.
    fn message(&mut self, span: Range<usize>, number: &[u32], depth: usize) -> Result<(), Bomb> {
        let (header, body) = self.cut_header(span)?;
        let kind = fields::kind(&self.message[header.clone()], "text/plain");
        match self.delimited(&kind, &body) {
            Some(spans) => {
                self.add(String::new(), depth, &kind, (&header, &body), true)?;
                self.multipart(spans, &kind, number, depth)
            }
            None => self.leaf(kind, (header, body), &below(number, 1), depth),
        }
    }

    /// A part of a multipart.
    fn part(&mut self, span: Range<usize>, default: &str, number: &[u32], depth: usize) -> Result<(), Bomb> {
        let (header, body) = self.cut_header(span)?;
        let kind = fields::kind(&self.message[header.clone()], default);
        match self.delimited(&kind, &body) {
            Some(spans) => {
                self.add(print(number), depth, &kind, (&header, &body), true)?;
                self.multipart(spans, &kind, number, depth)
            }
            None => self.leaf(kind, (header, body), number, depth),
        }
    }

    fn multipart(&mut self, spans: Vec<Range<usize>>, kind: &Kind, number: &[u32], depth: usize) -> Result<(), Bomb> {
        // RFC 2046, 5.1.5: the parts of a digest are messages unless they say otherwise.
        let default = if kind.media == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        for (index, span) in (1..).zip(spans) {
            self.part(span, default, &below(number, index), depth + 1)?;
        }
        Ok(())
    }

    /// A part that is not multipart; it may still be a message.
    fn leaf(&mut self, kind: Kind, (header, body): (Range<usize>, Range<usize>), number: &[u32], depth: usize) -> Result<(), Bomb> {
        // RFC 2046, 5.2.1 and RFC 6532, 3.7: only the first may not be encoded, and an encoded one
        // is a file like any other.
        let is_message = matches!(kind.media.as_str(), "message/rfc822" | "message/global") && kind.encoding.is_identity();
        self.add(print(number), depth, &kind, (&header, &body), is_message)?;
        if is_message { self.message(body, number, depth + 1) } else { Ok(()) }
    }

    fn add(
        &mut self,
        number: String,
        depth: usize,
        kind: &Kind,
        (header, body): (&Range<usize>, &Range<usize>),
        is_composite: bool,
    ) -> Result<(), Bomb> {
        if self.parts.len() >= PARTS {
            return Err(Bomb::Parts);
        }
        if depth > DEPTH {
            return Err(Bomb::Depth);
        }
        self.parts.push(Part { number, depth, kind: kind.clone(), header: header.clone(), body: body.clone(), is_composite });
        Ok(())
    }

    /// Header section, with its empty line, and body.
    fn cut_header(&self, span: Range<usize>) -> Result<(Range<usize>, Range<usize>), Bomb> {
        let end = span.start + header_octets(&self.message[span.clone()]);
        if end - span.start > HEADER_OCTETS {
            return Err(Bomb::Header);
        }
        Ok((span.start..end, end..span.end))
    }

    /// The parts of a multipart body; `None` where it is none, or can't be cut.
    fn delimited(&self, kind: &Kind, body: &Range<usize>) -> Option<Vec<Range<usize>>> {
        let boundary = kind.boundary.as_deref().filter(|_| kind.media.starts_with("multipart/"))?.as_bytes();
        if boundary.is_empty() || boundary.len() > BOUNDARY_OCTETS {
            return None;
        }
        let spans = cut_at_delimiters(&self.message[body.clone()], boundary);
        let moved = |span: &Range<usize>| span.start + body.start..span.end + body.start;
        (!spans.is_empty()).then(|| spans.iter().map(moved).collect())
    }
}

fn below(number: &[u32], index: u32) -> Vec<u32> {
    [number, &[index]].concat()
}

fn print(number: &[u32]) -> String {
    number.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// The octets of a header section with the empty line that ends it. Without one all is header.
pub(crate) fn header_octets(entity: &[u8]) -> usize {
    let mut start = 0;
    loop {
        let rest = &entity[start..];
        if rest.starts_with(b"\r\n") {
            return start + 2;
        }
        if rest.starts_with(b"\n") {
            return start + 1;
        }
        match memchr::memchr(b'\n', rest) {
            Some(at) => start += at + 1,
            None => return entity.len(),
        }
    }
}

/// What stands between the delimiter lines of a body. A last delimiter that is missing is read as
/// if it stood at the end. One part more than a message may have is enough to see that.
fn cut_at_delimiters(body: &[u8], boundary: &[u8]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut open: Option<usize> = None;
    let line = [b"--", boundary].concat();
    for start in memchr::memmem::find_iter(body, &line).filter(|at| *at == 0 || body[at - 1] == b'\n') {
        let Some((end, is_last)) = delimiter_end(body, start + line.len()) else { continue };
        // RFC 2046, 5.1.1: the line end in front of a delimiter belongs to it.
        spans.extend(open.take().map(|from| from..before_line_end(body, from, start)));
        if is_last || spans.len() > PARTS {
            return spans;
        }
        open = Some(end);
    }
    spans.extend(open.map(|from| from..body.len()));
    spans
}

/// Where the line after a delimiter begins, and whether it was the last one; `None` where more than
/// blanks follows the boundary: it is another's, or none.
fn delimiter_end(body: &[u8], after_boundary: usize) -> Option<(usize, bool)> {
    let rest = &body[after_boundary..];
    let (is_last, padding) = rest.strip_prefix(b"--").map_or((false, rest), |rest| (true, rest));
    let blanks = padding.iter().take_while(|octet| matches!(octet, b' ' | b'\t' | b'\r')).count();
    match padding.get(blanks) {
        Some(b'\n') => Some((body.len() - padding.len() + blanks + 1, is_last)),
        Some(_) => None,
        None => Some((body.len(), is_last)),
    }
}

fn before_line_end(body: &[u8], from: usize, delimiter: usize) -> usize {
    let text = &body[from..delimiter];
    let text = text.strip_suffix(b"\n").map_or(text, |text| text.strip_suffix(b"\r").unwrap_or(text));
    from + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str) -> Vec<String> {
        let message = message.replace('\n', "\r\n");
        let tree = Tree::read(message.as_bytes()).unwrap();
        tree.parts.iter().map(|part| format!("{}{} {}", "  ".repeat(part.depth), part.number, part.kind.media)).collect()
    }

    #[test]
    fn parts_are_numbered_as_in_imap() {
        assert_eq!(shown("Subject: x\n\ntext\n"), ["1 text/plain"]);
        // The example of RFC 3501, 6.4.5.
        let message = "Content-Type: multipart/mixed; boundary=A\n\npreamble\n--A\n\ntext\n--A\nContent-Type: application/octet-stream\n\nx\n\
            --A\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=B\n\n--B\n\none\n--B\nContent-Type: text/html\n\ntwo\n--B--\n\
            --A\nContent-Type: multipart/mixed; boundary=\"C D\"\n\n--C D\nContent-Type: image/gif\n\nx\n--C D\nContent-Type: message/rfc822\n\nSubject: y\n\ninner\n--C D--\n--A--\nepilogue\n";
        let expected = [
            " multipart/mixed",
            "  1 text/plain",
            "  2 application/octet-stream",
            "  3 message/rfc822",
            "     multipart/mixed",
            "      3.1 text/plain",
            "      3.2 text/html",
            "  4 multipart/mixed",
            "    4.1 image/gif",
            "    4.2 message/rfc822",
            "      4.2.1 text/plain",
        ];
        assert_eq!(shown(message), expected);
    }

    #[test]
    fn a_body_is_without_the_line_end_that_belongs_to_the_delimiter() {
        let message = b"Content-Type: multipart/mixed; boundary=A\r\n\r\n--A\r\n\r\none\r\n\r\n--A \t\r\n\r\n--Abc\r\n--A-\r\ntwo";
        let tree = Tree::read(message).unwrap();
        let bodies: Vec<_> = tree.parts[1..].iter().map(|part| &message[part.body.clone()]).collect();
        assert_eq!(bodies, [&b"one\r\n"[..], b"--Abc\r\n--A-\r\ntwo"]);
        let tree = Tree::read(b"Content-Type: multipart/mixed; boundary=A\n\n--A\n--A--\n").unwrap();
        assert_eq!((tree.parts.len(), tree.parts[1].body.len()), (2, 0));
    }

    #[test]
    fn a_multipart_that_cannot_be_cut_is_one_part() {
        for kind in ["multipart/mixed", "multipart/mixed; boundary=\"\"", "multipart/mixed; boundary=other"] {
            let message = format!("Content-Type: {kind}\r\n\r\n--A\r\n\r\nx\r\n");
            let tree = Tree::read(message.as_bytes()).unwrap();
            assert!(tree.parts.len() == 1 && !tree.parts[0].is_composite, "{kind}");
        }
    }

    #[test]
    fn bombs_are_refused_at_the_bound_and_not_before() {
        let nested = |depth: usize| {
            let opened = (0..depth).map(|level| format!("Content-Type: multipart/mixed; boundary=b{level}x\r\n\r\n--b{level}x\r\n"));
            Tree::read((opened.collect::<String>() + "\r\ntext\r\n").as_bytes()).map(|tree| tree.parts.len())
        };
        assert_eq!((nested(DEPTH), nested(DEPTH + 1)), (Ok(DEPTH + 1), Err(Bomb::Depth)));
        let many = |parts: usize| {
            let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned() + &"--b\r\n\r\n".repeat(parts);
            Tree::read(message.as_bytes()).map(|tree| tree.parts.len())
        };
        assert_eq!((many(PARTS - 1), many(PARTS)), (Ok(PARTS), Err(Bomb::Parts)));
        let wide = |octets: usize| {
            Tree::read(("X: ".to_owned() + &"x".repeat(octets - 7) + "\r\n\r\ntext").as_bytes()).map(|tree| tree.parts.len())
        };
        assert_eq!((wide(HEADER_OCTETS), wide(HEADER_OCTETS + 1)), (Ok(1), Err(Bomb::Header)));
    }

    #[test]
    fn lines_like_delimiters_are_looked_at_once_each() {
        let nested: String =
            (1..DEPTH).map(|level| format!("Content-Type: multipart/mixed; boundary={0}\n\n--{0}\n", "b".repeat(level))).collect();
        let message = nested + "\n" + &format!("--{}\n", "b".repeat(DEPTH)).repeat(100_000);
        assert_eq!(Tree::read(message.as_bytes()).unwrap().parts.len(), DEPTH);
    }

    #[test]
    fn messages_within_messages_by_the_thousand_are_refused_in_time() {
        let message = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
        assert_eq!(Tree::read(message.as_bytes()).err(), Some(Bomb::Depth));
    }
}
