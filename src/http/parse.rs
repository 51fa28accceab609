//! From octets to heads (RFC 9112, 2 to 5), as strict as a message that others read too must be.
//!
//! The request line is checked here, octet by octet, so that 400, 414, 501 and 505 can be told
//! apart; the fields go to `httparse`, which vectorises what matters. Only where it refuses is a
//! second look taken to say what was wrong.

use super::{
    fault::Fault,
    fields::Fields,
    head::{Method, RequestHead, ResponseHead, Version},
    lists::is_token_octet,
    target::{Target, split_authority},
};

/// The longest request target that is served, in octets: RFC 9112, 3 asks for at least 8000.
pub(crate) const TARGET_OCTETS: usize = 16 * 1024;
/// The most fields a head may have; clients send twenty, and each costs time.
pub(crate) const MAX_FIELDS: usize = 100;

/// Which line ends a head may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnds {
    /// CR LF only: for messages that will be passed on.
    CrLf,
    /// CR LF throughout, or bare LF throughout (RFC 9112, 2.2 allows it), for people with `nc`.
    /// Never both in one head: what one reader takes for one line is two for another.
    Either,
}

/// Where a head ends (past its empty line), or `None` while it is incomplete. One empty line
/// before it is tolerated and belongs to it (RFC 9112, 2.2). The octets before `from` were
/// looked at before.
pub(crate) fn head_end(input: &[u8], from: usize) -> Option<usize> {
    let start = leading_line_end(input);
    if let Some(end) = empty_line(input, start) {
        return Some(end);
    }
    let mut at = from.saturating_sub(2).max(start);
    while let Some(found) = input.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        at += found + 1;
        if let Some(end) = empty_line(input, at) {
            return Some(end);
        }
    }
    None
}

/// Like [`head_end`], but it also ends a head early that is none of HTTP/1.x: one whose first line
/// names no version, or whose first octet can't begin one. Whoever speaks something else (TLS,
/// HTTP/0.9) is told so at once and not when the time is up. Other faults wait for the whole head,
/// which says in what form the client wants to be told.
pub(crate) fn request_end(input: &[u8], from: usize) -> Option<usize> {
    if let Some(end) = head_end(input, from) {
        return Some(end);
    }
    let start = leading_line_end(input);
    let rest = input.get(start..)?;
    match rest {
        [] | [b'\r'] => return None,
        [first, ..] if from <= start + 1 && !is_token_octet(*first) => return Some(input.len()),
        _ => {}
    }
    let line_end = start + memchr::memchr(b'\n', rest)? + 1;
    // A line that was whole at the last look was found good then.
    let is_new = line_end > from;
    let line = split_line(rest).0;
    (is_new && memchr::memmem::find(line, b"HTTP/").is_none() && request_line(line).is_err()).then_some(line_end)
}

/// Where the empty line at `at` ends, if there is one.
fn empty_line(input: &[u8], at: usize) -> Option<usize> {
    match input.get(at..)? {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        _ => None,
    }
}

/// How long the one tolerated empty line before a head is.
fn leading_line_end(input: &[u8]) -> usize {
    empty_line(input, 0).unwrap_or(0)
}

/// Reads a whole request head, as [`head_end`] delimits it.
pub(crate) fn request(head: &[u8], ends: LineEnds) -> Result<RequestHead, Fault> {
    let head = head.get(leading_line_end(head)..).unwrap_or_default();
    // First of all the line: however much of the head has come, it is refused for the same reason.
    let (line, rest) = split_line(head);
    let (method, target, version) = request_line(line)?;
    check_line_ends(head, ends)?;
    let fields = fields(rest)?;
    check_host(version, &target, &fields)?;
    Ok(RequestHead { method, target, version, fields })
}

/// Reads a whole response head.
pub(crate) fn response(head: &[u8], ends: LineEnds) -> Result<ResponseHead, Fault> {
    check_line_ends(head, ends)?;
    let (line, rest) = split_line(head);
    let (version, status, reason) = status_line(line)?;
    Ok(ResponseHead { version, status, reason: reason.to_vec(), fields: fields(rest)? })
}

/// Reads the field lines of a trailer section, with the empty line that ends it.
pub(crate) fn trailers(section: &[u8]) -> Result<Fields, Fault> {
    check_line_ends(section, LineEnds::CrLf)?;
    fields(section)
}

/// One kind of line end throughout, and no CR but before LF: a bare CR is a line end to some
/// readers and a blank to others (RFC 9112, 2.2).
fn check_line_ends(head: &[u8], ends: LineEnds) -> Result<(), Fault> {
    let mut bare = None;
    for at in memchr::memchr_iter(b'\n', head) {
        let is_bare = at == 0 || head[at - 1] != b'\r';
        if is_bare && ends == LineEnds::CrLf {
            return Err(Fault::bad("a line ends in a bare LF instead of CR LF", "RFC 9112, 2.2"));
        }
        if *bare.get_or_insert(is_bare) != is_bare {
            return Err(Fault::bad("some lines end in CR LF and some in a bare LF", "RFC 9112, 2.2"));
        }
    }
    let mut returns = memchr::memchr_iter(b'\r', head);
    match returns.any(|at| head.get(at + 1) != Some(&b'\n')) {
        true => Err(Fault::bad("a carriage return stands where no line ends", "RFC 9112, 2.2")),
        false => Ok(()),
    }
}

/// The first line without its end, and what follows.
fn split_line(head: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
    let (line, rest) = head.split_at(end);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// `method SP request-target SP HTTP-version`, with exactly one space each (RFC 9112, 3).
fn request_line(line: &[u8]) -> Result<(Method, Target, Version), Fault> {
    let bad = |what: &'static str| Fault::bad(what, "RFC 9112, 3");
    match line {
        [] => return Err(bad("the request line is empty")),
        // A TLS record: content type handshake.
        [0x16, ..] => return Err(bad("this is TLS, spoken to a port without it: use https and its port")),
        [first, ..] if !is_token_octet(*first) => return Err(bad("a request begins with a method, which is a token")),
        _ => {}
    }
    let mut parts = line.split(|octet| *octet == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(bad("the request line must be a method, a target and a version, with one space between them"));
    };
    if !is_token(method) {
        return Err(bad("the method is not a token"));
    }
    let version = version_of(version)?;
    if target.len() > TARGET_OCTETS {
        return Err(Fault::new(414, format!("the request target is longer than {TARGET_OCTETS} octets"), "RFC 9110, 15.5.15"));
    }
    let text = |octets| std::str::from_utf8(octets).map_err(|_| bad("the request target must be ASCII, the rest percent-encoded"));
    let method = Method::from_token(text(method)?);
    let target = Target::parse(&method, text(target)?)?;
    Ok((method, target, version))
}

/// `HTTP/1.x`. Another major version is one that we don't speak (505); anything else is no
/// version at all (400).
fn version_of(text: &[u8]) -> Result<Version, Fault> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => match major {
            b'1' => Ok(Version::Http11),
            _ => Err(Fault::new(505, format!("{} is not spoken here, only HTTP/1.x", String::from_utf8_lossy(text)), "RFC 9110, 15.6.6")),
        },
        _ => Err(Fault::bad("the request line does not end in a version such as `HTTP/1.1`", "RFC 9112, 2.3")),
    }
}

/// `HTTP-version SP status-code SP [reason]`; the last space is missing from many (RFC 9112, 4).
fn status_line(line: &[u8]) -> Result<(Version, u16, &[u8]), Fault> {
    let bad = || Fault::bad("the status line is not `HTTP/1.1 200 OK` or the like", "RFC 9112, 4");
    let (version, rest) = line.split_at_checked(8).ok_or_else(bad)?;
    let [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] = rest else { return Err(bad()) };
    let digit = |octet: &u8| u16::from(octet - b'0');
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] if reason.iter().all(|octet| is_text(*octet)) => reason,
        _ => return Err(bad()),
    };
    Ok((version_of(version)?, digit(a) * 100 + digit(b) * 10 + digit(c), reason))
}

fn fields(section: &[u8]) -> Result<Fields, Fault> {
    let mut rows = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let rows = match httparse::parse_headers(section, &mut rows) {
        Ok(httparse::Status::Complete((_, rows))) => rows,
        Ok(httparse::Status::Partial) => return Err(Fault::bad("the head breaks off", "RFC 9112, 2.1")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Fault::new(431, format!("more than {MAX_FIELDS} header fields"), "RFC 6585, 5"));
        }
        Err(_) => return Err(diagnose(section)),
    };
    let mut fields = Fields::with_capacity(section.len(), rows.len());
    for row in rows {
        fields.push(row.name, row.value.trim_ascii());
    }
    Ok(fields)
}

/// Says what is wrong with fields that `httparse` has refused.
fn diagnose(section: &[u8]) -> Fault {
    for line in section.split(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(first) = line.first() else { continue };
        if matches!(first, b' ' | b'\t') {
            return Fault::bad("a field value is folded over two lines, which is obsolete", "RFC 9112, 5.2");
        }
        let Some(colon) = memchr::memchr(b':', line) else { return Fault::bad("a header line has no colon", "RFC 9112, 5") };
        let (name, value) = line.split_at(colon);
        let shown = name.escape_ascii();
        if name.trim_ascii_end() != name {
            return Fault::bad(
                format!("white space between the field name `{}` and its colon", name.trim_ascii_end().escape_ascii()),
                "RFC 9112, 5.1",
            );
        }
        if !is_token(name) {
            return Fault::bad(format!("the field name `{shown}` is not a token"), "RFC 9110, 5.1");
        }
        if let Some(octet) = value.iter().find(|octet| !is_text(**octet)) {
            return Fault::bad(format!("the field `{shown}` holds the control character 0x{octet:02X}"), "RFC 9110, 5.5");
        }
    }
    Fault::bad("the header fields can't be read", "RFC 9112, 5")
}

/// Exactly one valid Host in 1.1, at most one in 1.0 (RFC 9112, 3.2): two would let a cache and
/// an origin see two sites in one request.
fn check_host(version: Version, target: &Target, fields: &Fields) -> Result<(), Fault> {
    let bad = |what: &'static str| Err(Fault::bad(what, "RFC 9112, 3.2"));
    let mut hosts = fields.get_all("host");
    let host = hosts.next();
    if hosts.next().is_some() {
        return bad("there is more than one Host field");
    }
    let Some(value) = host else {
        return if version == Version::Http11 { bad("an HTTP/1.1 request needs a Host field") } else { Ok(()) };
    };
    match split_authority(value) {
        // A comma is what two joined Host fields would have between them.
        None => bad("the Host field is not a host with an optional port"),
        Some((host, _)) if host.contains(',') => bad("the Host field names more than one host"),
        // Only a target that names the host itself can do without (RFC 9110, 4.2.1).
        Some(("", _)) if target.authority().is_none() => bad("the Host field names no host"),
        Some(_) => Ok(()),
    }
}

/// RFC 9110, 5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|octet| is_token_octet(*octet))
}

/// What may stand in a field value (RFC 9110, 5.5).
fn is_text(octet: u8) -> bool {
    matches!(octet, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests;
