//! THE decision how a message's body is delimited (RFC 9112, 6.3), and whether the connection
//! stays open after it (RFC 9112, 9.3).
//!
//! There is no second place that looks at Content-Length or Transfer-Encoding. Whatever two
//! implementations might read differently is an error here: two lengths (equal ones too), a
//! length beside a coding, an empty or signed length, `chunked` anywhere but alone at the end, names
//! that only look like the two.

use super::{
    fault::Fault,
    fields::Fields,
    head::{Method, RequestHead, ResponseHead, Version},
    lists,
};

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// So many octets, at least one.
    Length(u64),
    Chunked,
    /// Everything up to the end of the connection: responses only.
    UntilClose,
}

/// How the body of a request is delimited.
///
/// # Errors
/// 400 where it is ambiguous, 501 for a transfer coding other than `chunked`. The connection can't
/// be used any further: nobody knows where the next request begins.
pub(crate) fn of_request(head: &RequestHead) -> Result<Framing, Fault> {
    match explicit(head.version, &head.fields)? {
        Some(framing) => Ok(framing),
        None => Ok(Framing::Empty),
    }
}

/// How the body of a response to a request with method `asked` is delimited.
///
/// # Errors
/// As [`of_request`]; the response can't be used.
pub(crate) fn of_response(asked: &Method, head: &ResponseHead) -> Result<Framing, Fault> {
    let is_bodiless = matches!(head.status, 100..=199 | 204 | 304) || *asked == Method::Head;
    if is_bodiless || (*asked == Method::Connect && matches!(head.status, 200..=299)) {
        return Ok(Framing::Empty);
    }
    Ok(explicit(head.version, &head.fields)?.unwrap_or(Framing::UntilClose))
}

/// What the fields say, if they say anything.
fn explicit(version: Version, fields: &Fields) -> Result<Option<Framing>, Fault> {
    refuse_lookalikes(fields)?;
    let is_coded = fields.contains("transfer-encoding");
    match content_length(fields)? {
        Some(_) if is_coded => Err(Fault::bad("both Content-Length and Transfer-Encoding say how long the body is", "RFC 9112, 6.3")),
        Some(0) => Ok(Some(Framing::Empty)),
        Some(octets) => Ok(Some(Framing::Length(octets))),
        None if is_coded => chunked(version, fields).map(Some),
        None => Ok(None),
    }
}

/// Refuses `Content_Length` and `Transfer_Encoding`: valid names that mean nothing, but gateways
/// that write `_` for `-` would take them for the fields that decide.
fn refuse_lookalikes(fields: &Fields) -> Result<(), Fault> {
    let is_lookalike = |name: &[u8]| {
        matches!(name.len(), 14 | 17)
            && name.contains(&b'_')
            && (name.eq_ignore_ascii_case(b"content_length") || name.eq_ignore_ascii_case(b"transfer_encoding"))
    };
    match fields.iter().find(|(name, _)| is_lookalike(name)) {
        Some((name, _)) => {
            Err(Fault::bad(format!("the field name `{}` could be taken for another", name.escape_ascii()), "RFC 9112, 11.2"))
        }
        None => Ok(()),
    }
}

/// The one Content-Length.
///
/// # Errors
/// 400 where there are several, or something else than digits.
pub(crate) fn content_length(fields: &Fields) -> Result<Option<u64>, Fault> {
    let mut values = fields.get_all("content-length");
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.contains(&b',') {
        return Err(Fault::bad("Content-Length is given more than once", "RFC 9112, 6.3"));
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Fault::bad(format!("Content-Length `{}` is not a decimal number", value.escape_ascii()), "RFC 9110, 8.6"));
    }
    if value.len() > 1 && value.starts_with(b"0") {
        // Octal to some, decimal to others.
        return Err(Fault::bad("Content-Length begins with a zero", "RFC 9110, 8.6"));
    }
    let digits = std::str::from_utf8(value).unwrap_or_default();
    digits.parse().map(Some).map_err(|_| Fault::bad("Content-Length is beyond all measure", "RFC 9110, 8.6"))
}

/// `chunked`, alone and spelled out.
fn chunked(version: Version, fields: &Fields) -> Result<Framing, Fault> {
    if version == Version::Http10 {
        return Err(Fault::bad("HTTP/1.0 has no Transfer-Encoding", "RFC 9112, 6.1"));
    }
    let codings: Vec<&[u8]> = fields.get_all("transfer-encoding").flat_map(lists::raw_elements).collect();
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let Some((last, others)) = codings.split_last() else {
        return Err(Fault::bad("Transfer-Encoding is empty", "RFC 9112, 6.1"));
    };
    if !is_chunked(last) || others.iter().any(is_chunked) || others.iter().any(|coding| coding.is_empty()) {
        return Err(Fault::bad("Transfer-Encoding does not end in `chunked`, given once", "RFC 9112, 6.3"));
    }
    match others {
        [] => Ok(Framing::Chunked),
        [coding, ..] => Err(Fault::new(501, format!("the transfer coding `{}` is not supported", coding.escape_ascii()), "RFC 9112, 6.1")),
    }
}

/// Whether the sender of this head keeps the connection open after the message.
pub(crate) fn persists(version: Version, fields: &Fields) -> bool {
    if lists::contains_token(fields.get_all("connection"), "close") {
        return false;
    }
    version == Version::Http11 || lists::contains_token(fields.get_all("connection"), "keep-alive")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse::{self, LineEnds};

    fn request(version: &str, fields: &str) -> Result<Framing, Fault> {
        let head = format!("POST / {version}\r\nHost: a\r\n{fields}\r\n");
        of_request(&parse::request(head.as_bytes(), LineEnds::CrLf).unwrap())
    }

    #[test]
    fn clear_cases() {
        for (fields, framing) in [
            ("", Framing::Empty),
            ("Content-Length: 0\r\n", Framing::Empty),
            ("content-length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
            ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
            ("Transfer-Encoding: CHUNKED\r\n", Framing::Chunked),
        ] {
            assert_eq!(request("HTTP/1.1", fields), Ok(framing), "{fields:?}");
        }
    }

    #[test]
    fn every_ambiguity_is_an_error() {
        for (fields, status) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
            ("Content-Length: 5, 5\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 007\r\n", 400),
            ("Content-Length: 00\r\n", 400),
            ("Content-Length: 1_0\r\n", 400),
            ("Content-Length: 5,\r\n", 400),
            ("Content_Length: 5\r\n", 400),
            ("Transfer_Encoding: chunked\r\n", 400),
            ("Content-Length: +5\r\n", 400),
            ("Content-Length: -5\r\n", 400),
            ("Content-Length: 0x5\r\n", 400),
            ("Content-Length: 5 5\r\n", 400),
            ("Content-Length: 5;x\r\n", 400),
            ("Content-Length: 18446744073709551616\r\n", 400),
            ("Transfer-Encoding:\r\n", 400),
            ("Transfer-Encoding: identity\r\n", 400),
            ("Transfer-Encoding: gzip\r\n", 400),
            ("Transfer-Encoding: chunked, gzip\r\n", 400),
            ("Transfer-Encoding: chunked, chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: , chunked\r\n", 400),
            ("Transfer-Encoding: chunked;x\r\n", 400),
            ("Transfer-Encoding: chunked,\r\n", 400),
            ("Transfer-Encoding: chunked\u{a0}\r\n", 400),
            ("Transfer-Encoding: 'chunked'\r\n", 400),
            ("Transfer-Encoding: identity, chunked, identity\r\n", 400),
            ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", 501),
            ("Transfer-Encoding: \"chunked\"\r\n", 400),
            ("Transfer-Encoding: xchunked\r\n", 400),
            ("Transfer-Encoding: \x0bchunked\r\n", 0),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ] {
            match status {
                0 => assert!(parse::request(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes(), LineEnds::CrLf).is_err()),
                _ => assert_eq!(request("HTTP/1.1", fields).expect_err(fields).status, status, "{fields:?}"),
            }
        }
        assert_eq!(request("HTTP/1.0", "Transfer-Encoding: chunked\r\n").unwrap_err().status, 400);
    }

    #[test]
    fn responses_depend_on_the_question() {
        let read = |asked: Method, head: &str| of_response(&asked, &parse::response(head.as_bytes(), LineEnds::CrLf).unwrap());
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(read(Method::Get, long), Ok(Framing::Length(9)));
        assert_eq!(read(Method::Head, long), Ok(Framing::Empty));
        assert_eq!(read(Method::Connect, long), Ok(Framing::Empty));
        assert_eq!(read(Method::Get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), Ok(Framing::Empty));
        assert_eq!(read(Method::Get, "HTTP/1.1 100 Continue\r\n\r\n"), Ok(Framing::Empty));
        assert_eq!(read(Method::Get, "HTTP/1.0 200 OK\r\n\r\n"), Ok(Framing::UntilClose));
        assert!(read(Method::Get, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn persistence_by_version_and_option() {
        let persists = |version, connection: &str| {
            let mut fields = Fields::new();
            fields.push("Connection", connection);
            persists(version, &fields)
        };
        assert!(persists(Version::Http11, ""));
        assert!(!persists(Version::Http11, "x, Close"));
        assert!(!persists(Version::Http10, ""));
        assert!(persists(Version::Http10, "Keep-Alive"));
        assert!(!persists(Version::Http10, "keep-alive, close"));
    }
}
