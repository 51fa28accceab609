//! What an HTTP head says about its body, as a judge reads it (RFC 9112, 6.3).

use tokio::time::Instant;

use super::{
    Difference,
    peer::{AHEAD_OCTETS, Method, Peer, Silence},
};
use crate::transcript::matching::{excerpt, field};

/// How the body after a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Octets(u64),
    Chunked,
    /// Up to the end of the stream.
    ToEnd,
}

/// The framing that a response with this status line and these fields has.
pub(super) fn of_response(start: &[u8], fields: &[Vec<u8>], asked: Method) -> Framing {
    let status = start.split(|octet| *octet == b' ').nth(1).unwrap_or_default();
    let has_none = status.starts_with(b"1") || matches!(status, b"204" | b"304");
    if has_none || asked == Method::Head || (asked == Method::Connect && status.starts_with(b"2")) {
        return Framing::None;
    }
    announced(fields).unwrap_or(Framing::ToEnd)
}

/// The framing that a request with these fields has.
pub(super) fn of_request(fields: &[Vec<u8>]) -> Framing {
    announced(fields).unwrap_or(Framing::None)
}

fn announced(fields: &[Vec<u8>]) -> Option<Framing> {
    let value = |wanted: &[u8]| {
        fields.iter().filter_map(|line| field(line)).find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    if value(b"transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with(b"chunked")) {
        return Some(Framing::Chunked);
    }
    let length = std::str::from_utf8(value(b"content-length")?).ok()?.parse().ok()?;
    Some(Framing::Octets(length))
}

/// Reads a body, decoded.
///
/// # Errors
/// How it departs from what the head announced.
pub(super) async fn read(peer: &mut Peer, framing: Framing, until: Instant) -> Result<Vec<u8>, Difference> {
    match framing {
        Framing::None => Ok(Vec::new()),
        Framing::Octets(octets) => {
            let announced = usize::try_from(octets).map_err(|_| Difference::new("the head announces more than there can be"))?;
            let body = peer.octets(announced, until).await;
            body.map_err(|silence| broke_off(&format!("a body of {octets} octets"), &silence, &peer.input))
        }
        Framing::Chunked => chunked(peer, until).await,
        Framing::ToEnd => match peer.rest(until).await {
            Ok((body, _)) => Ok(body),
            Err(silence) => Err(broke_off("a body up to the end of the connection", &silence, &peer.input)),
        },
    }
}

async fn chunked(peer: &mut Peer, until: Instant) -> Result<Vec<u8>, Difference> {
    let mut body = Vec::new();
    loop {
        let line = line(peer, until, "the size of a chunk").await?;
        let digits = line.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii_end();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size else {
            return Err(Difference::between("a chunk's size is no number", "a hexadecimal number", excerpt(&line)));
        };
        if size == 0 {
            while !line_is_empty(peer, until).await? {}
            return Ok(body);
        }
        if body.len().saturating_add(size) > AHEAD_OCTETS {
            return Err(broke_off("the end of a chunked body", &Silence::TooMuch, b""));
        }
        let chunk = peer.octets(size, until).await;
        body.extend(chunk.map_err(|silence| broke_off(&format!("a chunk of {size} octets"), &silence, &peer.input))?);
        if !line_is_empty(peer, until).await? {
            return Err(Difference::new(format!("the chunk of {size} octets does not end after them")));
        }
    }
}

async fn line_is_empty(peer: &mut Peer, until: Instant) -> Result<bool, Difference> {
    Ok(line(peer, until, "the end of a chunked body").await?.is_empty())
}

async fn line(peer: &mut Peer, until: Instant, what: &str) -> Result<Vec<u8>, Difference> {
    match peer.line(until).await {
        Ok(line) if line.has_cr => Ok(line.text),
        Ok(line) => Err(Difference::between("a line ends without CR", what, excerpt(&line.text))),
        Err(silence) => Err(broke_off(what, &silence, &peer.input)),
    }
}

/// Says that something didn't come, and what came of it.
pub(super) fn broke_off(expected: &str, silence: &Silence, partial: &[u8]) -> Difference {
    let what = match silence {
        Silence::TimedOut if partial.is_empty() => "nothing arrived in time",
        Silence::TimedOut => "the rest did not arrive in time",
        Silence::Ended(super::peer::End::Closed) => "the peer closed early",
        Silence::Ended(super::peer::End::Truncated) => "TLS was cut off without close_notify",
        Silence::Ended(super::peer::End::Reset) => "the peer reset the connection",
        Silence::Ended(super::peer::End::Broken(why)) => {
            return Difference::between(format!("the connection broke: {why}"), expected, excerpt(partial));
        }
        Silence::TooMuch => "the peer sends without end",
    };
    let received = if partial.is_empty() { "nothing".to_owned() } else { excerpt(partial) };
    Difference::between(what, expected, received)
}
