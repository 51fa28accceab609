//! Parses and prints transcripts. `docs/transcripts.md` is the format's description.

use std::{fmt, net::SocketAddr, time::Duration};

use super::{
    directive,
    record::Side,
    text::{Place, Text, Wrong, acts_on_a_terminal, print_note},
};
use crate::units::Span;

/// A transcript: a script to play, or the record of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub items: Vec<Item>,
}

/// One line of a transcript (a directive with several strings may take more).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Where it begins, from 1.
    pub line: usize,
    /// The time in front of it, if any.
    pub at: Option<Duration>,
    pub step: Step,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Blank,
    Comment(String),
    /// The first line of a recording.
    Recorded(Heading),
    Said {
        side: Side,
        text: Text,
    },
    Set {
        key: String,
        value: Text,
    },
    File {
        path: String,
        content: Content,
    },
    Mail {
        account: Text,
        content: Content,
    },
    /// What a name stands for unless whoever plays the script says otherwise.
    Define {
        name: String,
        value: Text,
    },
    /// Another script's lines come here.
    Include(String),
    /// From here on up to the next of these: what is graded together.
    Points {
        points: u32,
        title: String,
    },
    /// Why what follows is expected.
    Because {
        sentence: String,
        source: Option<String>,
    },
    /// Everything is closed and forgotten; after a difference, play goes on here.
    Afresh,
    Only(Mode),
    Connect {
        to: Destination,
        name: String,
        handshake: Handshake,
    },
    Listen {
        name: String,
        /// An address, with or without a port.
        host: Option<Text>,
    },
    Accept {
        listener: String,
        name: String,
        tls: bool,
    },
    On(String),
    /// A handshake, as client for a server of that name.
    Tls {
        name: Option<Text>,
        /// The peer may hang up instead; what follows up to the next part is left out then.
        or_closed: bool,
    },
    Close,
    HalfClose,
    Closed,
    HalfClosed,
    Refused,
    Send(Content),
    Expect(Check),
    Body(Check),
    NoBody,
    Wait(Span),
    Quiet(Span),
    Timeout(Span),
    /// The next expectation is met so soon after the last thing said.
    Within(Span),
    /// The next expected line may be missing.
    Optional,
    /// The next expected line comes once or more often.
    Repeated,
    /// Lines up to the one that is a dot, dot-unstuffed (RFC 5321, 4.5.2; RFC 1939, 3).
    Message(Check),
    /// Content of a recording whose octets were not kept.
    Octets {
        side: Side,
        octets: u64,
    },
    Note(String),
    /// What a data connection has carried, for the reader.
    Data(String),
}

/// `# smtp 127.0.0.1:50312 -> 127.0.0.1:8025 (17)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    pub service: String,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub id: u64,
    /// The connection that this one belongs to.
    pub parent: Option<u64>,
}

/// Where a script can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Memory,
    Sockets,
}

/// What `-- connect` connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Service(String),
    /// `HOST:PORT`, where PORT may be a sum of products.
    Address(Text),
}

/// Whether TLS comes before everything else on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// As the service has it.
    Usual,
    Tls,
    Plain,
}

/// Octets, as a directive gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text { text: Text, times: usize },
    Base64(Vec<u8>),
    File(String),
}

/// What octets must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Exactly(Content),
    Contains(Content),
    /// `octets` is a number or the name of one.
    Octets {
        octets: Text,
        sha256: Option<String>,
    },
    /// In lower-case hexadecimal.
    Sha256(String),
}

/// Where a transcript is wrong and what was meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub line: usize,
    /// In characters from 1.
    pub column: usize,
    pub message: String,
    /// The line itself.
    pub source: String,
}

/// `LINE:COLUMN: what is wrong`, and below it the line with a caret; a file's name can stand in
/// front.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        write!(f, "{}", self.pointer())
    }
}

impl ParseError {
    /// The line, and below it a caret where it is wrong. Of a long line only a piece is shown.
    pub(crate) fn pointer(&self) -> String {
        const SHOWN_CHARS: usize = 100;
        let skipped = self.column.saturating_sub(SHOWN_CHARS * 3 / 4);
        // Each character takes one column here; what would act on a terminal doesn't get there.
        let shown: String =
            self.source.chars().skip(skipped).take(SHOWN_CHARS).map(|c| if acts_on_a_terminal(c) { ' ' } else { c }).collect();
        let number = self.line.to_string();
        let (blank, before) = (" ".repeat(number.len()), " ".repeat((self.column - skipped).saturating_sub(1)));
        format!("{number} | {}\n{blank} | {before}^\n", shown.trim_end())
    }
}

impl Script {
    /// Reads a transcript.
    pub(crate) fn parse(source: &str) -> Result<Script, ParseError> {
        let mut items = Vec::new();
        let mut lines = source.lines().map(str::trim_end).enumerate().peekable();
        while let Some((index, first)) = lines.next() {
            let mut joined = Joined::new(index + 1, first);
            while let Some((index, more)) = lines.next_if(|(_, next)| joined.goes_on_with(next)) {
                joined.add(index + 1, more);
            }
            let (at, step) = parse_line(&joined.text, items.is_empty()).map_err(|wrong| joined.locate(wrong))?;
            items.push(Item { line: index + 1, at, step });
        }
        Ok(Script { items })
    }

    /// The heading, where this is a recording.
    pub(crate) fn recorded(&self) -> Option<&Heading> {
        match self.items.first().map(|item| &item.step) {
            Some(Step::Recorded(heading)) => Some(heading),
            _ => None,
        }
    }
}

/// A line with the lines that continue its string, and where each of them came from.
struct Joined {
    text: String,
    /// (start in `text`, line from 1, octets cut off in front, the line)
    pieces: Vec<(usize, usize, usize, String)>,
}

impl Joined {
    fn new(line: usize, text: &str) -> Joined {
        Joined { text: text.to_owned(), pieces: vec![(0, line, 0, text.to_owned())] }
    }

    fn goes_on_with(&self, next: &str) -> bool {
        next.starts_with([' ', '\t']) && next.trim_start().starts_with('"') && self.text.contains("--")
    }

    fn add(&mut self, line: usize, more: &str) {
        self.text.push(' ');
        let trimmed = more.trim_start();
        self.pieces.push((self.text.len(), line, more.len() - trimmed.len(), more.to_owned()));
        self.text.push_str(trimmed);
    }

    fn locate(&self, wrong: Wrong) -> ParseError {
        let piece = self.pieces.iter().rev().find(|(start, ..)| *start <= wrong.at);
        let (start, line, cut, text) = piece.expect("the first piece starts at 0");
        let octets = wrong.at - start + cut;
        let column = text.char_indices().take_while(|(at, _)| *at < octets).count() + 1;
        ParseError { line: *line, column, message: wrong.what, source: text.clone() }
    }
}

fn parse_line(source: &str, is_first: bool) -> Result<(Option<Duration>, Step), Wrong> {
    if source.is_empty() {
        return Ok((None, Step::Blank));
    }
    if let Some(comment) = source.strip_prefix('#') {
        let comment = comment.strip_prefix(' ').unwrap_or(comment);
        let heading = if is_first { Heading::parse(comment) } else { None };
        return Ok((None, heading.map_or_else(|| Step::Comment(comment.to_owned()), Step::Recorded)));
    }
    let (at, start) = leading_time(source);
    let rest = &source[start..];
    let shifted = |wrong: Wrong, by: usize| Wrong { at: wrong.at + start + by, ..wrong };
    for (prefix, side) in [("C:", Side::Client), ("S:", Side::Server)] {
        let Some(text) = rest.strip_prefix(prefix) else { continue };
        let text = text.strip_prefix(' ').unwrap_or(text);
        let text = Text::parse(text).map_err(|wrong| shifted(wrong, rest.len() - text.len()))?;
        return Ok((at, Step::Said { side, text }));
    }
    if let Some(extent) = rest.strip_prefix("D:") {
        return Ok((at, Step::Data(extent.trim_start().to_owned())));
    }
    let Some(words) = rest.strip_prefix("--") else {
        let what = "a line begins with `C:`, `S:`, `D:`, `--` or `#`".to_owned();
        return Err(Wrong { at: start, what });
    };
    let step = directive::parse(words).map_err(|wrong| shifted(wrong, 2))?;
    Ok((at, step))
}

/// The time in front of a line, if there is one, and where the rest begins.
fn leading_time(source: &str) -> (Option<Duration>, usize) {
    let trimmed = source.trim_start();
    let blanks = source.len() - trimmed.len();
    let word = trimmed.split(' ').next().unwrap_or_default();
    let is_time = word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match word.parse().ok().filter(|_| is_time).and_then(|secs| Duration::try_from_secs_f64(secs).ok()) {
        Some(at) => {
            let rest = trimmed[word.len()..].trim_start();
            (Some(at), source.len() - rest.len())
        }
        None => (None, blanks),
    }
}

impl Heading {
    fn parse(comment: &str) -> Option<Heading> {
        let words: Vec<_> = comment.split(' ').collect();
        let (service, client, server, id, parent) = match words[..] {
            [service, client, "->", server, id] => (service, client, server, id.strip_prefix('(')?.strip_suffix(')')?, None),
            [service, client, "->", server, id, "of", parent] => {
                (service, client, server, id.strip_prefix('(')?, Some(parent.strip_suffix(')')?.parse().ok()?))
            }
            [service, client, "->", server] => (service, client, server, "0", None),
            _ => return None,
        };
        let (client, server, id) = (client.parse().ok()?, server.parse().ok()?, id.parse().ok()?);
        Some(Heading { service: service.to_owned(), client, server, id, parent })
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.iter().try_for_each(|item| writeln!(f, "{item}"))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "{:9.3} ", at.as_secs_f64())?;
        }
        write!(f, "{}", self.step)
    }
}

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {} ({}", self.service, self.client, self.server, self.id)?;
        if let Some(parent) = self.parent {
            write!(f, " of {parent}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Client => "C",
            Side::Server => "S",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Blank => Ok(()),
            Step::Comment(comment) if comment.is_empty() => f.write_str("#"),
            Step::Comment(comment) => write!(f, "# {comment}"),
            Step::Recorded(heading) => write!(f, "# {heading}"),
            Step::Said { side, text } if text.0.is_empty() => write!(f, "{side}:"),
            Step::Said { side, text } => write!(f, "{side}: {}", text.print(Place::Line)),
            Step::Note(note) => write!(f, "-- note {}", print_note(note)),
            Step::Data(extent) => write!(f, "D: {}", print_note(extent)),
            directive => {
                f.write_str("-- ")?;
                directive::print(directive, f)
            }
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use base64::{Engine, engine::general_purpose::STANDARD};
        match self {
            Content::Text { text, times: 1 } => write!(f, "\"{}\"", text.print(Place::Quotes)),
            Content::Text { text, times } => write!(f, "\"{}\" x {times}", text.print(Place::Quotes)),
            Content::Base64(octets) => write!(f, "base64 \"{}\"", STANDARD.encode(octets)),
            Content::File(path) => write!(f, "file \"{}\"", Text::plain(path.as_str()).print(Place::Quotes)),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Exactly(content) => write!(f, "{content}"),
            Check::Contains(content) => write!(f, "contains {content}"),
            Check::Octets { octets, sha256: None } => write!(f, "{} octets", octets.print(Place::Line)),
            Check::Octets { octets, sha256: Some(digest) } => write!(f, "{} octets sha256 {digest}", octets.print(Place::Line)),
            Check::Sha256(digest) => write!(f, "sha256 {digest}"),
        }
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
