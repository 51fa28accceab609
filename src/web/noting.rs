//! Who asked for what, and what became of it: for the access log and for `tracing`.
//!
//! While nobody wants to know, all this costs the test whether somebody does.

use std::time::{Instant, SystemTime};

use super::{Web, access::Access, request::Request};
use crate::{
    http::{Fields, basic},
    net::{Conn, Ended, Phase},
};

/// What is to be noted of one request.
pub(super) struct Noted<'a> {
    /// The head as it came, or what there is of it.
    head: &'a [u8],
    /// `None` where the head could not be read.
    fields: Option<&'a Fields>,
    at: SystemTime,
    status: u16,
    octets: u64,
}

impl<'a> Noted<'a> {
    pub(super) fn of(request: &'a Request, status: u16, octets: u64) -> Noted<'a> {
        Noted { head: &request.wire, fields: Some(&request.head.fields), at: request.now, status, octets }
    }

    /// Of a request that could not be read.
    pub(super) fn unread(head: &'a [u8], at: SystemTime, status: u16, octets: u64) -> Noted<'a> {
        Noted { head, fields: None, at, status, octets }
    }

    /// The first line, or as much as there is of it.
    fn request_line(&self) -> &'a [u8] {
        let begin = self.head.iter().position(|octet| !matches!(octet, b'\r' | b'\n')).unwrap_or(self.head.len());
        let rest = self.head.get(begin..).unwrap_or_default();
        let line = rest.split(|octet| *octet == b'\n').next().unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

impl Web {
    /// When a request began; `None` while nobody wants to know.
    pub(super) fn begins(&self) -> Option<Instant> {
        (self.shared.log.is_some() || tracing::enabled!(tracing::Level::DEBUG)).then(Instant::now)
    }

    pub(super) fn note(&self, conn: &Conn, noted: &Noted<'_>, began: Instant) {
        let line = noted.request_line();
        let words = String::from_utf8_lossy(line);
        let mut words = words.split(' ');
        tracing::debug!(
            service = self.deps.service,
            id = conn.id(),
            peer = %conn.peer().ip(),
            method = words.next().unwrap_or_default(),
            target = words.next().unwrap_or_default(),
            status = noted.status,
            octets = noted.octets,
            micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        let Some(log) = &self.shared.log else { return };
        let field = |name| noted.fields.and_then(|fields| fields.get(name));
        let user = field("authorization").and_then(basic::credentials).map(|(name, _)| name);
        log.note(&Access {
            peer: conn.peer().ip(),
            user: user.as_deref(),
            at: noted.at,
            request_line: if line.is_empty() { b"-" } else { line },
            status: noted.status,
            octets: noted.octets,
            referer: field("referer"),
            user_agent: field("user-agent"),
        });
    }

    /// A head that did not arrive in time; see `farewell`.
    pub(super) fn note_ended(&self, conn: &Conn, ended: &Ended) {
        if let (Ended::Slow(Phase::Line), Some(began)) = (ended, self.begins()) {
            self.note(conn, &Noted::unread(conn.buffered(), self.deps.clock.now(), 408, 0), began);
        }
    }

    /// A body that did not arrive: too slow for `farewell`, or the client went away.
    pub(super) fn note_broken_off(&self, conn: &Conn, request: &Request, ended: &Ended, began: Option<Instant>) {
        if let Some(began) = began {
            let status = if matches!(ended, Ended::Slow(_)) { 408 } else { 400 };
            self.note(conn, &Noted::of(request, status, 0), began);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_whatever_came() {
        let line = |head: &'static [u8]| Noted::unread(head, SystemTime::UNIX_EPOCH, 400, 0).request_line();
        for (head, expected) in [
            (&b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &b"GET / HTTP/1.1"[..]),
            (b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1"),
            (b"\x16\x03\x01", b"\x16\x03\x01"),
            (b"\r\n\r\n", b""),
            (b"", b""),
        ] {
            assert_eq!(line(head), expected);
        }
    }
}
