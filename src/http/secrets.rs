//! What of a head a transcript must not show, and TRACE not give back.

use std::ops::Range;

use super::head::RequestHead;

/// The lines of a head without their ends, each with the part of it that is secret.
pub(crate) fn lines(head: &[u8]) -> impl Iterator<Item = (&[u8], Option<Range<usize>>)> {
    head.split_inclusive(|octet| *octet == b'\n').map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (line, secret_in(line))
    })
}

/// The head with asterisks for its secrets, to be shown in its place.
pub(crate) fn masked(head: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(head.len());
    for (line, secret) in lines(head) {
        match secret {
            Some(span) => shown.extend_from_slice(&[&line[..span.start], b"****", &line[span.end..]].concat()),
            None => shown.extend_from_slice(line),
        }
        shown.extend_from_slice(b"\r\n");
    }
    shown
}

/// Which part of a head line a transcript must not show: credentials after their scheme, cookies
/// after the first name, passwords in URLs. Lines that will be refused are shown too, and their
/// secrets are as good as any.
pub(crate) fn secret_in(line: &[u8]) -> Option<Range<usize>> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    let name = name.trim_ascii();
    let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
    let blanks = value.iter().skip(1).take_while(|octet| octet.is_ascii_whitespace()).count();
    let start = colon + 1 + blanks;
    // Where nothing comes before the secret, all of it is secret.
    let past = |octet| line.get(start..).and_then(|value| memchr::memchr(octet, value)).map_or(start, |at| start + at + 1);
    if is("authorization") || is("proxy-authorization") {
        Some(past(b' ')..line.len())
    } else if is("cookie") {
        Some(past(b'=')..line.len())
    } else if is("set-cookie") {
        let start = past(b'=');
        let end = line.get(start..).and_then(|value| memchr::memchr(b';', value)).map_or(line.len(), |at| start + at);
        Some(start..end)
    } else {
        password_in_url(line)
    }
}

/// Fields that TRACE leaves out.
const NOT_ECHOED: &[&str] = &["authorization", "proxy-authorization", "cookie"];

/// A request head as TRACE gives it back (RFC 9110, 9.3.8): as it was received, but for its secrets.
/// A page's script that could read them would learn cookies and passwords that are kept from it
/// ("cross-site tracing").
pub(crate) fn echo(head: &RequestHead) -> Vec<u8> {
    let mut shown = head.clone();
    NOT_ECHOED.iter().for_each(|name| shown.fields.remove(name));
    let mut octets = Vec::new();
    shown.write_to(&mut octets);
    octets
}

/// The password in the first `scheme://user:password@host` of a line (RFC 3986, 3.2.1).
fn password_in_url(line: &[u8]) -> Option<Range<usize>> {
    let start = memchr::memmem::find(line, b"://")? + 3;
    let authority = line.get(start..)?.split(|octet| b"/?# ".contains(octet)).next()?;
    let end = memchr::memrchr(b'@', authority)?;
    let colon = memchr::memchr(b':', authority.get(..end)?)?;
    Some(start + colon + 1..start + end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_found_for_the_mask() {
        let secret = |line: &'static str| secret_in(line.as_bytes()).map(|span| &line[span]);
        assert_eq!(secret("Authorization: Basic eA=="), Some("eA=="));
        assert_eq!(secret("Proxy-Authorization:eA=="), Some("eA=="));
        assert_eq!(secret("COOKIE:a=b; c=d"), Some("b; c=d"));
        assert_eq!(secret("Set-Cookie: a=b; Path=/"), Some("b"));
        assert_eq!(secret("Set-Cookie: a"), Some("a"));
        assert_eq!(secret("Authorization:"), Some(""));
        assert_eq!(secret("Host: a"), None);
    }

    #[test]
    fn a_secret_in_a_line_that_is_refused_is_masked_too() {
        let secret = |line: &'static str| secret_in(line.as_bytes()).map(|span| &line[span]);
        assert_eq!(secret("Authorization : Basic eA=="), Some("eA=="));
        assert_eq!(secret("GET http://bob:hun@gry@a.test:80/x@y HTTP/1.1"), Some("hun@gry"));
        assert_eq!(secret("Referer: http://bob:hungry@a.test"), Some("hungry"));
        assert_eq!(secret("GET http://bob@a.test:80/ HTTP/1.1"), None);
        assert_eq!(secret("GET http://a.test/u:p@x HTTP/1.1"), None);
    }

    #[test]
    fn a_masked_head_keeps_everything_else() {
        let head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nX: y\r\n\r\n";
        assert_eq!(masked(head), b"HTTP/1.1 200 OK\r\nSet-Cookie: a=****; Path=/\r\nX: y\r\n\r\n");
        assert_eq!(lines(head).count(), 4);
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(input in "(cookie|set-cookie|authorization)?[:;= a/@\r\n]{0,20}") {
            let _ = masked(input.as_bytes());
        }
    }
}
