//! What an intermediary does to the heads that it passes on (RFC 9110, 7.6). Pure.
//!
//! Heads are written anew from what was parsed, never copied: what is ambiguous was refused
//! before, and the next reader sees one canonical spelling.

use std::time::SystemTime;

use super::entry::Stored;
use crate::http::{
    Fields, Method, RequestHead, ResponseHead, Version, body,
    framing::{self, Framing},
    lists,
    validators::format_date,
};

/// Fields that concern one connection only, named by Connection or not (RFC 9110, 7.6.1). Trailer
/// is written anew where trailers are passed on.
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

/// Whether a request expects something that can't be met (RFC 9110, 10.1.1).
pub(crate) fn has_unmet_expectation(head: &RequestHead) -> bool {
    let mut expected = head.fields.get_all("expect").flat_map(lists::elements);
    head.version == Version::Http11 && expected.any(|one| !one.eq_ignore_ascii_case(b"100-continue"))
}

/// Whether the sender takes trailers (RFC 9110, 10.1.4).
pub(crate) fn takes_trailers(head: &RequestHead) -> bool {
    head.version == Version::Http11 && lists::contains_token(head.fields.get_all("te"), "trailers")
}

/// Whether a request wants to go on as a WebSocket (RFC 6455, 4.1). No other protocol is passed on:
/// what we don't know we could not tell from a second request (h2c smuggling).
pub(crate) fn wants_websocket(head: &RequestHead, framing: Framing) -> bool {
    head.method == Method::Get
        && head.version == Version::Http11
        && framing == Framing::Empty
        && lists::contains_token(head.fields.get_all("connection"), "upgrade")
        && is_websocket(&head.fields)
}

/// Whether Upgrade names the WebSocket protocol.
pub(crate) fn is_websocket(fields: &Fields) -> bool {
    lists::contains_token(fields.get_all("upgrade"), "websocket")
}

/// Fields that decide how a message is stored, kept or followed: by the time of the trailers that
/// has been decided.
const DECISIVE: &[&str] = &[
    "set-cookie",
    "cache-control",
    "expires",
    "age",
    "vary",
    "pragma",
    "location",
    "retry-after",
    "max-forwards",
    "www-authenticate",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
];

/// Trailers as they are passed on: without what must stand in a head, or concerns one connection
/// only (RFC 9110, 6.5.1). With the chunk that ends the body.
pub(crate) fn last_chunk(trailers: &Fields) -> Vec<u8> {
    let mut out = b"0\r\n".to_vec();
    let mut kept = Fields::new();
    let decides = |name: &[u8]| DECISIVE.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    for (name, value) in trailers.iter().filter(|(name, _)| body::is_trailer(name) && !is_hop_by_hop(name) && !decides(name)) {
        kept.push(name, value);
    }
    kept.write_to(&mut out);
    out.extend_from_slice(b"\r\n");
    out
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
    if let Some(octets) = stored.complete_octets().filter(|_| head.status != 204) {
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
        let is_named = has_connection && named(name) && !is_for_everybody(name);
        if !is_named && !is_hop_by_hop(name) {
            kept.push(name, value);
        }
    }
    kept
}

fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop.as_bytes()))
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
    fn trailers_are_not_a_second_head() {
        let mut trailers = Fields::new();
        for name in ["Content-Length", "Transfer-Encoding", "Host", "Authorization", "Set-Cookie", "Connection", "Proxy-Connection"] {
            trailers.push(name, "1");
        }
        trailers.push("Digest", "x");
        assert_eq!(last_chunk(&trailers), b"0\r\nDigest: x\r\n\r\n");
        assert_eq!(last_chunk(&Fields::new()), body::LAST_CHUNK);
    }

    #[test]
    fn only_websockets_are_upgraded_to() {
        let wants = |text: &str| {
            let head = read(text);
            wants_websocket(&head, framing::of_request(&head).unwrap())
        };
        let fields = "Host: a\nConnection: keep-alive, Upgrade\nUpgrade: WebSocket\n";
        assert!(wants(&format!("GET http://a.test/ HTTP/1.1\n{fields}\n")));
        assert!(!wants(&format!("GET http://a.test/ HTTP/1.0\n{fields}\n")));
        assert!(!wants(&format!("POST http://a.test/ HTTP/1.1\n{fields}\n")));
        assert!(!wants(&format!("GET http://a.test/ HTTP/1.1\n{fields}Content-Length: 1\n\n")));
        assert!(!wants("GET http://a.test/ HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: h2c\n\n"));
        assert!(!wants("GET http://a.test/ HTTP/1.1\nHost: a\nUpgrade: websocket\n\n"));
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
