//! What goes to the client: heads with the fields of its connection, and pages.

use std::time::SystemTime;

use super::{entry::Stored, pages::Page};
use crate::{
    http::{Method, ResponseHead, Version, secrets},
    net::{Conn, tap::Tap},
};

/// How the connection goes on after this response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub version: Version,
    pub persists: bool,
}

impl Ending {
    /// The Connection line, where the version's default is not meant (RFC 9112, 9.3).
    fn line(self) -> &'static str {
        match (self.persists, self.version) {
            (false, _) => "Connection: close\r\n",
            (true, Version::Http10) => "Connection: keep-alive\r\n",
            (true, Version::Http11) => "",
        }
    }
}

/// Says a head, credentials and cookies masked in the transcript.
pub(crate) fn say_head(conn: &mut Conn, head: &[u8]) {
    match conn.tap().is_open() {
        true => conn.say_masked(head, secrets::masked(head)),
        false => conn.say(head),
    }
}

/// Notes a head that was received.
pub(crate) fn note_head(tap: &Tap, head: &[u8]) {
    if tap.is_open() {
        for (line, secret) in secrets::lines(head) {
            tap.received(line, secret);
        }
    }
}

/// Says the head of a response that comes from the origin.
pub(crate) fn say_response(conn: &mut Conn, head: &ResponseHead, is_chunked: bool, cache_status: &str, ending: Ending) {
    let mut out = Vec::with_capacity(1024);
    head.write_to(&mut out);
    out.truncate(out.len().saturating_sub(2));
    if is_chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    finish(&mut out, cache_status, ending);
    say_head(conn, &out);
}

fn finish(out: &mut Vec<u8>, cache_status: &str, ending: Ending) {
    for part in ["Cache-Status: ", cache_status, "\r\n", ending.line(), "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Says a page of our own; to HEAD only its head.
pub(crate) fn say_page(conn: &mut Conn, asked: &Method, page: &Page, now: SystemTime, ending: Ending) {
    let mut out = Vec::with_capacity(1024);
    page.head(now).write_to(&mut out);
    out.truncate(out.len().saturating_sub(2));
    out.extend_from_slice(ending.line().as_bytes());
    out.extend_from_slice(b"\r\n");
    say_head(conn, &out);
    if *asked != Method::Head {
        conn.push(page.body.as_bytes());
    }
}

/// Ends the head of a stored response.
pub(super) fn finish_stored(out: &mut Vec<u8>, stored: &Stored, is_chunked: bool, cache_status: &str, now: SystemTime, ending: Ending) {
    if is_chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"Age: ");
    out.extend_from_slice(stored.age(now).to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    finish(out, cache_status, ending);
}
