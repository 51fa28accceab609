//! A second reader of HTTP/1.1 messages, written from RFC 9112 alone: as naive as can be, slow,
//! and strict. It shares no code with `crate::http`, so what both agree on is no accident.

use crate::http::framing::Framing;

/// What the octets at hand are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The head, or the body, is not all there.
    Partial,
    Refused,
    Whole(Asked),
}

/// A request, as far as it matters for the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub method: String,
    pub framing: Framing,
    pub persists: bool,
    /// The names of its fields, in lower case.
    pub names: Vec<String>,
    /// Head and body together.
    pub octets: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    Partial,
    Refused,
    Whole { body: Vec<u8>, octets: usize },
}

/// The methods of all requests in a stream that call for an answer. The last one may be one that
/// is refused (method `None`) or that is not all there.
pub(super) fn requests(mut stream: &[u8], bare_line_feeds: bool) -> Vec<Option<Asked>> {
    let mut found = Vec::new();
    while !stream.is_empty() {
        match read_request(stream, bare_line_feeds) {
            Read::Whole(asked) => {
                let octets = asked.octets;
                let goes_on = asked.persists;
                found.push(Some(asked));
                if !goes_on {
                    break;
                }
                stream = &stream[octets..];
            }
            Read::Partial | Read::Refused => {
                found.push(None);
                break;
            }
        }
    }
    found
}

/// Reads the first request of a stream.
pub(super) fn read_request(stream: &[u8], bare_line_feeds: bool) -> Read {
    let skipped = [&b"\r\n"[..], b"\n"].into_iter().find(|end| stream.starts_with(end)).map_or(0, <[u8]>::len);
    let Some((lines, head_octets)) = head_lines(&stream[skipped..], bare_line_feeds) else { return Read::Partial };
    let Some(lines) = lines else { return Read::Refused };
    let Some(mut asked) = lines.split_first().and_then(|(first, rest)| read_head(first, rest)) else { return Read::Refused };
    let head_octets = skipped + head_octets;
    let body = &stream[head_octets..];
    let body_octets = match asked.framing {
        Framing::Length(octets) => match usize::try_from(octets).ok().filter(|octets| *octets <= body.len()) {
            Some(octets) => octets,
            None => return Read::Partial,
        },
        Framing::Chunked => match read_chunked(body) {
            Chunked::Whole { octets, .. } => octets,
            Chunked::Partial => return Read::Partial,
            Chunked::Refused => return Read::Refused,
        },
        Framing::Empty | Framing::UntilClose => 0,
    };
    asked.octets = head_octets + body_octets;
    Read::Whole(asked)
}

/// The lines of a head without their ends, and how long it is with its empty line. `None` where it
/// is not all there, no lines where their ends are mixed or not allowed.
fn head_lines(stream: &[u8], bare_line_feeds: bool) -> Option<(Option<Vec<&[u8]>>, usize)> {
    let (mut lines, mut octets, mut with_return, mut without) = (Vec::new(), 0, 0, 0);
    loop {
        let rest = &stream[octets..];
        let length = rest.iter().position(|octet| *octet == b'\n')?;
        octets += length + 1;
        let line = match rest[..length].split_last() {
            Some((b'\r', line)) => {
                with_return += 1;
                line
            }
            _ => {
                without += 1;
                &rest[..length]
            }
        };
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let is_uniform = without == 0 || (bare_line_feeds && with_return == 0);
    Some((is_uniform.then_some(lines), octets))
}

fn read_head(first: &[u8], lines: &[&[u8]]) -> Option<Asked> {
    let first = std::str::from_utf8(first).ok()?;
    let words: Vec<&str> = first.split(' ').collect();
    let [method, target, version] = words[..] else { return None };
    if !is_token(method.as_bytes()) || !is_target(method, target) {
        return None;
    }
    let minor = version.strip_prefix("HTTP/1.").filter(|minor| minor.len() == 1)?.parse::<u8>().ok()?;
    if lines.len() > 100 {
        return None;
    }
    let fields: Vec<(String, &[u8])> = lines.iter().map(|line| read_field(line)).collect::<Option<_>>()?;
    let values = |name: &str| fields.iter().filter(|(found, _)| found == name).map(|(_, value)| *value).collect::<Vec<_>>();
    match values("host")[..] {
        [] if minor == 0 => {}
        [host] if is_authority(host) && !host.contains(&b',') && (names_host(target) || !matches!(host, [] | [b':', ..])) => {}
        _ => return None,
    }
    let options: Vec<String> = values("connection").join(&b","[..]).split(|octet| *octet == b',').map(lower).collect();
    let says = |option: &str| options.iter().any(|said| said == option);
    let persists = !says("close") && (minor > 0 || says("keep-alive"));
    if fields
        .iter()
        .any(|(name, _)| matches!(name.replace('_', "-").as_str(), "content-length" | "transfer-encoding") && name.contains('_'))
    {
        return None;
    }
    let framing = read_framing(minor, &values("content-length"), &values("transfer-encoding"))?;
    let names = fields.into_iter().map(|(name, _)| name).collect();
    Some(Asked { method: method.to_owned(), framing, persists, names, octets: 0 })
}

/// RFC 9112, 6.3, at its strictest.
fn read_framing(minor: u8, lengths: &[&[u8]], codings: &[&[u8]]) -> Option<Framing> {
    match (lengths, codings) {
        ([], []) => Some(Framing::Empty),
        ([length], []) => {
            let text = std::str::from_utf8(length).ok()?;
            if text.len() > 1 && text.starts_with('0') {
                return None;
            }
            let octets: u64 = if text.bytes().all(|octet| octet.is_ascii_digit()) { text.parse().ok()? } else { return None };
            Some(if octets == 0 { Framing::Empty } else { Framing::Length(octets) })
        }
        ([], [coding]) if minor > 0 && lower(coding) == "chunked" => Some(Framing::Chunked),
        _ => None,
    }
}

fn read_field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_value = value.iter().all(|octet| *octet == b'\t' || (*octet >= b' ' && *octet != 0x7f));
    (is_token(name) && is_value).then(|| (lower(name), trim(value)))
}

/// Whether the target itself says which host is meant.
fn names_host(target: &str) -> bool {
    !target.starts_with('/') && target != "*"
}

/// One of the four forms, in the one place for each.
fn is_target(method: &str, target: &str) -> bool {
    let is_visible = target.bytes().all(|octet| (0x21..=0x7e).contains(&octet) && octet != b'#');
    if !is_visible || target.is_empty() || target.len() > 16 * 1024 {
        return false;
    }
    if method == "CONNECT" {
        let port = target.rsplit(':').next().unwrap_or_default();
        return is_authority(target.as_bytes())
            && !target.starts_with(':')
            && target.contains(':')
            && !port.is_empty()
            && !port.contains(']');
    }
    if target == "*" {
        return method == "OPTIONS";
    }
    if target.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = target.split_once("://") else { return false };
    let is_scheme = scheme.bytes().next().is_some_and(|octet| octet.is_ascii_alphabetic())
        && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    is_scheme && !authority.is_empty() && !authority.starts_with(':') && is_authority(authority.as_bytes())
}

/// `host [":" port]`, without user information (RFC 9110, 7.2 and 4.2.4).
fn is_authority(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, rest)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => ("", port),
                None if rest.is_empty() => ("", ""),
                None => return false,
            }
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let has_whole_escapes =
        host.split('%').skip(1).all(|rest| rest.get(..2).is_some_and(|hex| hex.bytes().all(|octet| octet.is_ascii_hexdigit())));
    let is_host = has_whole_escapes && host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&octet));
    is_host && port.bytes().all(|octet| octet.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// A chunked body at the start of `stream` (RFC 9112, 7.1).
pub(super) fn read_chunked(stream: &[u8]) -> Chunked {
    let (mut body, mut octets) = (Vec::new(), 0);
    loop {
        let rest = &stream[octets..];
        let Some(length) = rest.iter().position(|octet| *octet == b'\n') else { return Chunked::Partial };
        let Some(size) = rest[..length].strip_suffix(b"\r").and_then(read_chunk_size) else { return Chunked::Refused };
        octets += length + 1;
        if size == 0 {
            break;
        }
        let Some(end) = usize::try_from(size).ok().and_then(|size| octets.checked_add(size)) else { return Chunked::Partial };
        let Some(data) = stream.get(octets..end) else { return Chunked::Partial };
        body.extend_from_slice(data);
        octets = end;
        match &stream[octets..] {
            [] | [b'\r'] => return Chunked::Partial,
            [b'\r', b'\n', ..] => octets += 2,
            _ => return Chunked::Refused,
        }
    }
    match head_lines(&stream[octets..], false) {
        None => Chunked::Partial,
        Some((Some(lines), trailer)) if lines.len() <= 100 && lines.iter().all(|line| read_field(line).is_some()) => {
            Chunked::Whole { body, octets: octets + trailer }
        }
        Some(_) => Chunked::Refused,
    }
}

/// `1*HEXDIG [ chunk-ext ]`.
fn read_chunk_size(line: &[u8]) -> Option<u64> {
    // Quoted strings may hold octets of any code: each is a character here.
    let text: String = line.iter().map(|octet| char::from(*octet)).collect();
    let digits = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    let (size, extensions) = text.split_at(digits);
    if !(1..=16).contains(&digits) || line.len() > 1022 || !are_extensions(extensions) {
        return None;
    }
    u64::from_str_radix(size, 16).ok()
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`, by rewriting: what is
/// between quotes becomes a token first, then everything is a matter of splitting.
fn are_extensions(text: &str) -> bool {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, quoted)) = rest.split_once('"') {
        let Some(end) = closing_quote(quoted) else { return false };
        if quoted[..end].chars().any(|c| c.is_ascii_control() && c != '\t') || !before.trim_end_matches([' ', '\t']).ends_with('=') {
            return false;
        }
        // An octet that no token holds marks the place, so that nothing can stand beside it.
        plain += &format!("{before}\u{1}");
        rest = &quoted[end + 1..];
    }
    plain += rest;
    let blanks = [' ', '\t'];
    let mut parts = plain.split(';');
    parts.next().is_some_and(|first| first.trim_matches(blanks).is_empty() && (first.is_empty() || plain.contains(';')))
        && !plain.ends_with(blanks)
        && parts.all(|part| {
            let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            let is_value = |value: &str| value.trim_matches(blanks) == "\u{1}" || is_token(value.trim_matches(blanks).as_bytes());
            is_token(name.trim_matches(blanks).as_bytes()) && value.is_none_or(is_value)
        })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == '"' && !escaped {
            return Some(at);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

fn is_token(text: &[u8]) -> bool {
    const DELIMITERS: &[u8] = b"\"(),/:;<=>?@[\\]{}";
    !text.is_empty() && text.iter().all(|octet| (0x21..=0x7e).contains(octet) && !DELIMITERS.contains(octet))
}

/// Without the blanks and tabs around it.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn lower(text: &[u8]) -> String {
    String::from_utf8_lossy(trim(text)).to_ascii_lowercase()
}
