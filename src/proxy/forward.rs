//! What an intermediary does to the heads that it passes on (RFC 9110, 7.6). Pure.
//!
//! Heads are written anew from what was parsed, never copied: what is ambiguous was refused
//! before, and the next reader sees one canonical spelling.

use std::time::SystemTime;

use super::entry::Stored;
use crate::http::{
    Fields, Method, RequestHead, ResponseHead, Version,
    framing::{self, Framing},
    lists,
    validators::format_date,
};

/// Fields that concern one connection only, named by Connection or not (RFC 9110, 7.6.1). Trailer
/// is among them since trailers are not passed on.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The request head as it goes up, with the empty line: these fields, and those that are written
/// anew.
pub(crate) fn request(head: &RequestHead, (target, host): (&str, &str), framing: Framing, pseudonym: &str, fields: &Fields) -> Vec<u8> {
    let mut out = format!("{} {target} HTTP/1.1\r\nHost: {host}\r\n", head.method).into_bytes();
    fields.write_to(&mut out);
    if framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(format!("Via: {}\r\n\r\n", via(head.version, pseudonym)).as_bytes());
    out
}

/// The target as an origin is told it: `OPTIONS http://host` asks about the server as a whole
/// (RFC 9112, 3.2.4).
pub(crate) fn target(head: &RequestHead) -> String {
    match head.target.origin_form() {
        target if head.method == Method::Options && target == "/" && !head.target.as_str().ends_with('/') => "*".to_owned(),
        target => target,
    }
}

/// The end-to-end fields of a request, but for those that are written anew: Host, and
/// Max-Forwards counted down (RFC 9110, 7.6.2).
pub(crate) fn request_fields(head: &RequestHead) -> Fields {
    let mut fields = end_to_end(&head.fields);
    fields.remove("host");
    if head.version == Version::Http10 {
        // RFC 9110, 10.1.1: an expectation in 1.0 is ignored.
        fields.remove("expect");
    }
    if let Some(left) = max_forwards(head) {
        fields.set("Max-Forwards", left.saturating_sub(1).to_string());
    }
    fields
}

/// How many more hops a TRACE or OPTIONS may take (RFC 9110, 7.6.2); at 0 it ends here.
pub(crate) fn max_forwards(head: &RequestHead) -> Option<u64> {
    matches!(head.method, Method::Trace | Method::Options).then(|| head.fields.text("max-forwards")?.parse().ok()).flatten()
}

/// Whether a request has been here before: our own pseudonym stands in a Via (RFC 9110, 7.6.3).
pub(crate) fn is_loop(fields: &Fields, pseudonym: &str) -> bool {
    let received_by = |element: &[u8]| element.split(u8::is_ascii_whitespace).nth(1).map(<[u8]>::to_vec);
    fields.get_all("via").flat_map(lists::elements).filter_map(received_by).any(|name| name.eq_ignore_ascii_case(pseudonym.as_bytes()))
}

/// The response head as it is stored and goes to clients: end-to-end fields, Via, and Date where
/// the origin forgot it (RFC 9110, 6.6.1).
pub(crate) fn response(head: &ResponseHead, pseudonym: &str, now: SystemTime) -> ResponseHead {
    let mut fields = end_to_end(&head.fields);
    if matches!(head.status, 100..=199 | 204) || framing::content_length(&fields).is_err() {
        // The second: in an answer to HEAD, where it decides nothing here but might elsewhere.
        fields.remove("content-length");
    }
    if !fields.contains("date") && head.status >= 200 {
        fields.push("Date", format_date(now));
    }
    fields.push("Via", via(head.version, pseudonym));
    ResponseHead { version: Version::Http11, status: head.status, reason: head.reason.clone(), fields }
}

/// Status line and fields of a stored response, up to those that differ from hit to hit.
pub(crate) fn prepare_stored(stored: &Stored) -> Vec<u8> {
    let mut head = stored.head.clone();
    if let Some(octets) = stored.body.octets().filter(|_| head.status != 204) {
        head.fields.set("Content-Length", octets.to_string());
    }
    let mut out = Vec::with_capacity(512);
    head.write_to(&mut out);
    out.truncate(out.len().saturating_sub(2));
    out
}

/// The fields of a 304 made from a stored response (RFC 9110, 15.4.5).
pub(crate) fn not_modified(stored: &Stored) -> ResponseHead {
    const KEPT: &[&str] =
        &["cache-control", "content-location", "date", "etag", "expires", "last-modified", "vary", "via", "access-control-allow-origin"];
    let mut head = ResponseHead::new(304);
    for (name, value) in stored.head.fields.iter() {
        if KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes())) {
            head.fields.push(name, value);
        }
    }
    head
}

/// Whether Connection names fields, and not only how long the connection lives.
pub(crate) fn drops_named_fields(fields: &Fields) -> bool {
    let is_option = |name: &[u8]| name.eq_ignore_ascii_case(b"close") || name.eq_ignore_ascii_case(b"keep-alive");
    fields.get_all("connection").flat_map(lists::elements).any(|name| !is_option(name))
}

/// A copy without the fields that concern one connection only and those that Connection names.
pub(crate) fn end_to_end(fields: &Fields) -> Fields {
    let mut kept = Fields::with_capacity(1024, fields.len() + 4);
    let named = |name: &[u8]| lists::contains_token(fields.get_all("connection"), &String::from_utf8_lossy(name));
    let has_connection = fields.contains("connection");
    for (name, value) in fields.iter() {
        let is_known = HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop.as_bytes()));
        let is_hop_by_hop = is_known || (has_connection && named(name) && !is_for_everybody(name));
        if !is_hop_by_hop {
            kept.push(name, value);
        }
    }
    kept
}

/// Fields that are never an option of one connection (RFC 9110, 7.6.1): what delimits the body or
/// forbids to store it is not taken away by naming it.
fn is_for_everybody(name: &[u8]) -> bool {
    ["content-length", "cache-control", "vary"].iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

/// The Via element of this hop, with the version that the message came in (RFC 9110, 7.6.3).
fn via(version: Version, pseudonym: &str) -> String {
    format!("{} {pseudonym} (Portico)", version.as_str().trim_start_matches("HTTP/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse::{self, LineEnds};

    fn read(text: &str) -> RequestHead {
        parse::request(text.replace('\n', "\r\n").as_bytes(), LineEnds::CrLf).unwrap()
    }

    fn forwarded(text: &str) -> String {
        let head = read(text);
        let framing = framing::of_request(&head).unwrap();
        String::from_utf8(request(&head, (&target(&head), "a.test"), framing, "portico.test", &request_fields(&head))).unwrap()
    }

    #[test]
    fn what_concerns_one_connection_is_not_passed_on() {
        let text = "GET http://a.test/x?y HTTP/1.1\nHost: other\nConnection: close, X-Secret\nX-Secret: 1\nX-Kept: 2\nTE: trailers\nUpgrade: h2c\nProxy-Authorization: Basic x\nKeep-Alive: 5\nProxy-Connection: keep-alive\n\n";
        assert_eq!(forwarded(text), "GET /x?y HTTP/1.1\r\nHost: a.test\r\nX-Kept: 2\r\nVia: 1.1 portico.test (Portico)\r\n\r\n");
    }

    #[test]
    fn a_body_keeps_its_framing() {
        let text = "POST http://a.test/ HTTP/1.0\nContent-Length: 3\nConnection: content-length\nExpect: 100-continue\n\n";
        assert_eq!(forwarded(text), "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nVia: 1.0 portico.test (Portico)\r\n\r\n");
        let text = "POST http://a.test/ HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n";
        assert!(forwarded(text).contains("\r\nTransfer-Encoding: chunked\r\n"));
    }

    #[test]
    fn options_without_a_path_asks_about_the_whole_server() {
        assert!(forwarded("OPTIONS http://a.test HTTP/1.1\nHost: a\nMax-Forwards: 3\n\n").starts_with("OPTIONS * HTTP/1.1\r\n"));
        assert!(forwarded("OPTIONS http://a.test/ HTTP/1.1\nHost: a\nMax-Forwards: 3\n\n").contains("\r\nMax-Forwards: 2\r\n"));
        assert!(forwarded("GET http://a.test HTTP/1.1\nHost: a\n\n").starts_with("GET / HTTP/1.1\r\n"));
    }

    #[test]
    fn loops_are_known_by_our_name() {
        let head = read("GET http://a.test/ HTTP/1.1\nHost: a\nVia: 1.0 fred, 1.1 Portico.test (Portico)\n\n");
        assert!(is_loop(&head.fields, "portico.test"));
        assert!(!is_loop(&head.fields, "fred.test"));
    }

    proptest::proptest! {
        #[test]
        fn what_goes_up_reads_as_one_request(
            names in proptest::collection::vec("(Connection|TE|Transfer-Encoding|Content-Length|Via|X|Host|Cookie)", 0..8),
            values in proptest::collection::vec("[ -~]{0,12}|chunked|close, x|5", 8),
        ) {
            let lines: String = names.iter().zip(&values).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let text = format!("POST http://a.test/x HTTP/1.1\r\n{lines}Host: b\r\n\r\n");
            let Ok(head) = parse::request(text.as_bytes(), LineEnds::CrLf) else { return Ok(()) };
            let Ok(framing) = framing::of_request(&head) else { return Ok(()) };
            let up = request(&head, (&target(&head), "a.test"), framing, "portico.test", &request_fields(&head));
            proptest::prop_assert_eq!(parse::head_end(&up, 0), Some(up.len()));
            let read = parse::request(&up, LineEnds::CrLf).unwrap();
            proptest::prop_assert_eq!(framing::of_request(&read), Ok(framing));
            proptest::prop_assert_eq!(read.fields.only("host"), Some(&b"a.test"[..]));
            proptest::prop_assert!(is_loop(&read.fields, "portico.test") && !read.fields.contains("connection"));
        }
    }
}
