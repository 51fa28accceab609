//! Time and framing: answers that wait, drip, come in chunks, or break off.

use std::{iter, time::Duration};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    call::{Act, Before, Call},
    content::alphabet,
    inspect, seconds,
};
use crate::{
    http::{Fault, head::reason},
    web::{
        form, page,
        reply::{Body, Reply},
        stream::{Piece, Stream},
    },
};

/// Nobody is kept waiting for longer than this, in seconds: longer waits hold connections for
/// nothing, and most clients have given up by then.
const WAIT_SECS: f64 = 60.0;
/// What drips at most, in octets: each is a packet.
const DRIP_OCTETS: u64 = 10_000;
const MAX_LINES: u64 = 1000;
const MAX_CHUNKS: u64 = 1000;
const CHUNK_OCTETS: u64 = 64 * 1024;

pub(super) fn delay(call: &Call) -> Result<Act, Fault> {
    let wait = call.number(0, 0.0, 0.0..=WAIT_SECS)?;
    let act = inspect::anything(call)?;
    Ok(Act { before: vec![Before::Pause(seconds(wait))], ..act })
}

pub(super) fn drip(call: &Call) -> Result<Act, Fault> {
    let duration = call.asked_number(&["duration"], 2.0, 0.0..=WAIT_SECS)?;
    let octets = call.asked_number(&["octets", "numbytes"], 10, 1..=DRIP_OCTETS)?;
    let wait = call.asked_number(&["delay"], 0.0, 0.0..=WAIT_SECS)?;
    let code = call.asked_number(&["code"], 200, 200..=599)?;
    if matches!(code, 204 | 205 | 304) {
        return Err(Fault::bad(format!("{code} {} has no body to drip", reason(code)), "RFC 9110, 6.4.1"));
    }
    // The last octet ends it: there is one pause fewer than there are octets.
    let between = seconds(duration / (octets.saturating_sub(1).max(1)) as f64);
    let drops = (0..octets).flat_map(move |at| [paused(between, at > 0), Some(Piece::Octets(b"*".to_vec()))]).flatten();
    let reply = streamed(code, page::TEXT, Stream::new(drops).with_length(octets));
    Ok(Act { before: vec![Before::Pause(seconds(wait))], reply: Some(reply) })
}

fn paused(span: Duration, is_wanted: bool) -> Option<Piece> {
    (is_wanted && !span.is_zero()).then_some(Piece::Pause(span))
}

pub(super) fn stream(call: &Call) -> Result<Act, Fault> {
    let lines = call.number(0, 20, 1..=MAX_LINES)?;
    let url = call.url();
    let pieces = (0..lines).map(move |id| Piece::Octets(format!("{}\n", json!({"id": id, "of": lines, "url": url})).into_bytes()));
    Ok(streamed(200, "application/json", Stream::new(pieces)).into())
}

pub(super) fn chunked(call: &Call) -> Result<Act, Fault> {
    let chunks = call.number(0, 10, 0..=MAX_CHUNKS)?;
    let size = call.asked_number(&["size"], 16, 1..=CHUNK_OCTETS)?;
    let between = seconds(call.asked_number(&["pause"], 0.0, 0.0..=WAIT_SECS / chunks.max(1) as f64)?);
    let has_extension = call.is_on("extension");
    let pieces = (0..chunks).flat_map(move |number| {
        let extension = if has_extension { format!(";number={number};says=\"lab\"") } else { String::new() };
        [paused(between, number > 0), Some(Piece::Chunk(alphabet(number * size, size), extension))]
    });
    let mut stream = Stream::new(pieces.flatten());
    let mut reply = Reply::new(200);
    if call.is_on("trailer") {
        reply = reply.with("Trailer", "X-Chunks, X-SHA-256");
        stream.trailers = vec![("X-Chunks".into(), chunks.to_string()), ("X-SHA-256".into(), digest_of_alphabet(chunks, size))];
    }
    let reply = reply.with("Content-Type", page::TEXT).with("Cache-Control", "no-store");
    Ok(reply.with_body(Body::Stream(Box::new(stream))).into())
}

fn digest_of_alphabet(chunks: u64, size: u64) -> String {
    let mut digest = Sha256::new();
    for number in 0..chunks {
        digest.update(alphabet(number * size, size));
    }
    form::hex(&digest.finalize())
}

/// Hangs up: at once, or when `octets` of the body have gone out of `length` that were promised.
pub(super) fn close(call: &Call) -> Result<Act, Fault> {
    let Some(_) = call.asked(&["octets"]) else { return Ok(Act { before: Vec::new(), reply: None }) };
    let octets = call.asked_number(&["octets"], 0, 0..=CHUNK_OCTETS)?;
    let length = call.asked_number(&["length"], octets + 1, octets + 1..=u64::from(u32::MAX))?;
    let pieces = iter::once(Piece::Octets(alphabet(0, octets))).chain(iter::once(Piece::Cut));
    let stream = if call.is_on("chunked") { Stream::new(pieces) } else { Stream::new(pieces).with_length(length) };
    Ok(streamed(200, page::TEXT, stream).into())
}

pub(super) fn streamed(status: u16, content_type: &str, stream: Stream) -> Reply {
    let reply = Reply::new(status).with("Content-Type", content_type).with("Cache-Control", "no-store");
    reply.with_body(Body::Stream(Box::new(stream)))
}
