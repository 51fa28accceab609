//! What goes to the client: heads with the fields of its connection, pages, and responses out of
//! the cache.

use std::time::SystemTime;

use super::{entry::Stored, forward, pages::Page, rules};
use crate::{
    http::{
        Fields, Method, RequestHead, ResponseHead, Version,
        range::{self, Wanted},
        secrets,
    },
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

/// Answers from the cache: with the whole, with nothing new (304), or with the part that was
/// asked for.
pub(crate) fn say_stored(conn: &mut Conn, asked: &RequestHead, stored: &Stored, cache_status: &str, now: SystemTime, ending: Ending) {
    let is_plain = !has_any(&asked.fields, &["if-none-match", "if-modified-since", "range"]);
    if is_plain || stored.head.status != 200 {
        return say_whole(conn, asked, stored, cache_status, now, ending);
    }
    if rules::is_not_modified(&asked.fields, stored) {
        return say_made(conn, forward::not_modified(stored), stored, cache_status, now, ending);
    }
    let octets = stored.body.len() as u64;
    let wanted = asked.fields.get("range").filter(|_| asked.method == Method::Get && rules::range_applies(&asked.fields, stored));
    match wanted.map_or(Wanted::Whole, |field| range::wanted(field, octets)) {
        // A server may answer several ranges with the whole (RFC 9110, 14.2).
        Wanted::Whole | Wanted::Parts(_) => say_whole(conn, asked, stored, cache_status, now, ending),
        Wanted::Part(part) => {
            let mut head = ResponseHead { fields: stored.head.fields.clone(), ..ResponseHead::new(206) };
            head.fields.set("Content-Range", range::content_range(&part, octets));
            head.fields.set("Content-Length", (part.end - part.start).to_string());
            say_made(conn, head, stored, cache_status, now, ending);
            conn.push(slice(&stored.body, &part));
        }
        Wanted::Unsatisfiable => {
            let mut head = ResponseHead::new(416);
            head.fields.push("Content-Range", format!("bytes */{octets}"));
            head.fields.push("Content-Length", "0");
            say_made(conn, head, stored, cache_status, now, ending);
        }
    }
}

/// The hit path: a prepared head, three lines, the body.
fn say_whole(conn: &mut Conn, asked: &RequestHead, stored: &Stored, cache_status: &str, now: SystemTime, ending: Ending) {
    say_head(conn, stored.prepared());
    let mut out = Vec::with_capacity(256);
    finish_stored(&mut out, stored, cache_status, now, ending);
    say_head(conn, &out);
    if asked.method != Method::Head {
        conn.push(&stored.body);
    }
}

fn say_made(conn: &mut Conn, head: ResponseHead, stored: &Stored, cache_status: &str, now: SystemTime, ending: Ending) {
    let mut out = Vec::with_capacity(1024);
    head.write_to(&mut out);
    out.truncate(out.len().saturating_sub(2));
    finish_stored(&mut out, stored, cache_status, now, ending);
    say_head(conn, &out);
}

fn finish_stored(out: &mut Vec<u8>, stored: &Stored, cache_status: &str, now: SystemTime, ending: Ending) {
    out.extend_from_slice(b"Age: ");
    out.extend_from_slice(stored.age(now).to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    finish(out, cache_status, ending);
}

fn slice<'a>(body: &'a [u8], part: &std::ops::Range<u64>) -> &'a [u8] {
    let at = |octets: u64| usize::try_from(octets).unwrap_or(usize::MAX).min(body.len());
    body.get(at(part.start)..at(part.end)).unwrap_or_default()
}

fn has_any(fields: &Fields, names: &[&str]) -> bool {
    names.iter().any(|name| fields.contains(name))
}
