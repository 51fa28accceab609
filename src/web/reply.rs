//! What goes back: a status, fields and a body, and how they go on the wire.

use std::{fmt::Write, io::Read, ops::Range, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    parts::{self, Parts},
    stream::Stream,
};
use crate::{
    http::{Fault, Version, head::reason, validators},
    net::{Conn, Ended},
    store::{
        VirtualPath, blocking,
        tree::{Content, FileFacts},
    },
};

/// How much of a body is read at a time, in octets, where it is read while it is sent.
const PIECE_OCTETS: u64 = 64 * 1024;

/// A response in the making. Date, Server, Content-Length and Connection come by themselves.
pub(super) struct Reply {
    pub status: u16,
    /// Field lines, each with its CR LF.
    fields: String,
    pub body: Body,
    /// A field holds a secret that the transcript must not show.
    pub is_secret: bool,
    /// See [`Reply::made_of`].
    pub source: Option<Source>,
    /// The room in memory that its body takes, given back when it has been sent.
    _held: Option<OwnedSemaphorePermit>,
}

/// The one file that a reply was made of.
#[derive(Clone)]
pub(super) struct Source {
    pub path: VirtualPath,
    pub facts: FileFacts,
    /// The folder that was found to hold no variant of it.
    pub folder: Option<(VirtualPath, FileFacts)>,
}

pub(super) enum Body {
    /// None at all. With 204 and 304 there is no Content-Length either.
    None,
    Octets(Vec<u8>),
    /// Part of a file.
    File(Content, Range<u64>),
    /// Several parts of a file.
    Parts(Box<Parts>),
    /// So many octets that are read while they are sent.
    Message(Box<dyn Read + Send>, u64),
    /// It comes in its own time.
    Stream(Box<Stream>),
}

/// What becomes of the connection after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    KeepOpen,
    Close,
}

/// Why answering a request stops early.
pub(super) enum Halt {
    /// With a refusal, which is answered in the ordinary way.
    Refused(Fault),
    /// With the end of the conversation.
    Ended(Ended),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Halt {
        Halt::Refused(fault)
    }
}

impl From<Ended> for Halt {
    fn from(ended: Ended) -> Halt {
        Halt::Ended(ended)
    }
}

impl Reply {
    /// A reply without a body.
    pub(super) fn new(status: u16) -> Reply {
        Reply { status, fields: String::with_capacity(256), body: Body::None, is_secret: false, source: None, _held: None }
    }

    /// A reply with a body made here.
    pub(super) fn text(status: u16, content_type: &str, text: String) -> Reply {
        Reply { body: Body::Octets(text.into_bytes()), ..Reply::new(status).with("Content-Type", content_type) }
    }

    /// Adds a field. Line ends in the value would break the head apart ("response splitting"), so
    /// they never get in.
    pub(super) fn with(mut self, name: &str, value: impl AsRef<str>) -> Reply {
        let value = value.as_ref();
        self.fields.push_str(name);
        self.fields.push_str(": ");
        match value.contains(char::is_control) {
            false => self.fields.push_str(value),
            true => self.fields.extend(value.chars().filter(|c| !c.is_control())),
        }
        self.fields.push_str("\r\n");
        self
    }

    /// Adds a field that no transcript may show.
    pub(super) fn with_secret(self, name: &str, value: &str) -> Reply {
        Reply { is_secret: true, ..self.with(name, value) }
    }

    pub(super) fn with_body(self, body: Body) -> Reply {
        Reply { body, ..self }
    }

    /// Says that nothing but the head of the request and this file decided the reply, so that an
    /// equal request gets an equal reply as long as the file stays the same.
    pub(super) fn made_of(self, source: Source) -> Reply {
        Reply { source: Some(source), ..self }
    }

    /// Keeps the room that its body takes until it has been sent.
    pub(super) fn holding(self, room: OwnedSemaphorePermit) -> Reply {
        Reply { _held: Some(room), ..self }
    }

    /// Whether it has a field of this name, given in lower case.
    pub(super) fn says(&self, name: &str) -> bool {
        let names = self.fields.split("\r\n").filter_map(|line| line.split_once(':'));
        names.into_iter().any(|(said, _)| said.eq_ignore_ascii_case(name))
    }

    /// The head as it goes on the wire.
    pub(super) fn head(&self, date: &str, after: After, version: Version) -> Vec<u8> {
        let mut head = String::with_capacity(self.fields.len() + 256);
        let _infallible = write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        head.push_str("Date: ");
        head.push_str(date);
        head.push_str(concat!("\r\nServer: Portico/", env!("CARGO_PKG_VERSION"), "\r\n"));
        head.push_str(&self.fields);
        match self.body.len() {
            Some(octets) => {
                let _infallible = write!(head, "Content-Length: {octets}\r\n");
            }
            None if self.body.is_chunked_for(version) => head.push_str("Transfer-Encoding: chunked\r\n"),
            // Without it the client would take all that follows for the body (RFC 9112, 6.3).
            None if matches!(self.body, Body::None) && !matches!(self.status, 204 | 304) => head.push_str("Content-Length: 0\r\n"),
            None => {}
        }
        head.push_str("X-Content-Type-Options: nosniff\r\n");
        match (after, version) {
            (After::Close, _) => head.push_str("Connection: close\r\n"),
            (After::KeepOpen, Version::Http10) => head.push_str("Connection: keep-alive\r\n"),
            (After::KeepOpen, Version::Http11) => {}
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

impl Body {
    fn len(&self) -> Option<u64> {
        match self {
            Body::None => None,
            Body::Octets(octets) => Some(octets.len() as u64),
            Body::File(_, part) => Some(part.end - part.start),
            Body::Parts(parts) => Some(parts.len()),
            Body::Message(_, octets) => Some(*octets),
            Body::Stream(stream) => stream.length,
        }
    }

    fn is_chunked_for(&self, version: Version) -> bool {
        matches!(self, Body::Stream(stream) if stream.is_chunked_for(version))
    }

    /// Whether nothing but the end of the connection can tell its end.
    pub(super) fn ends_with_connection(&self, version: Version) -> bool {
        matches!(self, Body::Stream(stream) if stream.length.is_none() && !stream.is_chunked_for(version))
    }

    /// The octets of a body that was made here.
    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Body::Octets(octets) => octets,
            _ => &[],
        }
    }

    /// The part of a file that it is.
    pub(super) fn file(&self) -> Option<(Content, Range<u64>)> {
        match self {
            Body::File(content, part) => Some((content.clone(), part.clone())),
            _ => None,
        }
    }

    /// Sends it. Small bodies wait for their head's write; large ones go out as the peer takes them.
    pub(super) async fn send(self, conn: &mut Conn, version: Version) -> Result<(), Ended> {
        match self {
            Body::None => Ok(()),
            Body::Octets(octets) => conn.send_octets(&octets).await,
            Body::Stream(stream) => stream.send(conn, version).await,
            Body::File(content, part) => parts::send_part(conn, &content, part).await,
            Body::Parts(parts) => parts.send(conn).await,
            Body::Message(source, _) => send_read(conn, source).await,
        }
    }
}

/// Reads and sends by turns, reading where it may take its time.
async fn send_read(conn: &mut Conn, mut source: Box<dyn Read + Send>) -> Result<(), Ended> {
    loop {
        let read = blocking(move || {
            let mut piece = Vec::new();
            source.by_ref().take(PIECE_OCTETS).read_to_end(&mut piece).map(|_| (piece, source))
        });
        let (piece, rest) = read.await.map_err(Ended::Io)?;
        if piece.is_empty() {
            return Ok(());
        }
        conn.send_octets(&piece).await?;
        source = rest;
    }
}

/// Renders the date once a second, not once a request.
#[derive(Default)]
pub(super) struct Dates(ArcSwap<(u64, String)>);

impl Dates {
    pub(super) fn at(&self, now: SystemTime) -> Rendered {
        let second = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let current = self.0.load();
        if current.0 == second && !current.1.is_empty() {
            return Rendered(arc_swap::Guard::into_inner(current));
        }
        let fresh = Arc::new((second, validators::format_date(now)));
        self.0.store(fresh.clone());
        Rendered(fresh)
    }
}

/// A rendered date.
pub(super) struct Rendered(Arc<(u64, String)>);

impl std::ops::Deref for Rendered {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_value_can_not_split_the_head() {
        let reply = Reply::new(301).with("Location", "/a\r\nSet-Cookie: b");
        let head = String::from_utf8(reply.head("", After::KeepOpen, Version::Http11)).unwrap();
        assert!(head.contains("Location: /aSet-Cookie: b\r\n"));
    }

    #[test]
    fn a_reply_says_where_it_ends() {
        let head = |reply: Reply| String::from_utf8(reply.head("", After::Close, Version::Http11)).unwrap();
        assert!(!head(Reply::new(204)).contains("Content-Length"));
        assert!(!head(Reply::new(304)).contains("Content-Length"));
        assert!(head(Reply::new(412)).contains("Content-Length: 0\r\n"));
        assert!(head(Reply::text(200, "text/plain", String::new())).contains("Content-Length: 0\r\n"));
    }
}
