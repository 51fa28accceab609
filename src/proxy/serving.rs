//! Answers out of what is stored, or on its way into the store: the whole, nothing new (304), or
//! the part that was asked for.

use std::{fs::File, ops::Range, sync::Arc, time::SystemTime};

use super::{
    compress::Coder,
    entry::Stored,
    exchange::push_piece,
    forward,
    outlet::Outlet,
    reply::{self, Ending},
    rules,
};
use crate::{
    http::{
        Method, RequestHead, ResponseHead, Version, body,
        range::{self, Wanted},
    },
    net::{Conn, Ended},
    store::cache::{
        body::Body,
        growing::{Growing, Next, Reader},
    },
};

/// A part of a body on its way is waited for if it begins no further ahead than this, in octets;
/// else asking the origin for it is quicker.
const AHEAD_OCTETS: u64 = 256 * 1024;

/// What a request gets of a stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Whole,
    /// The whole, compressed on the way.
    Coded,
    NotModified,
    Part(Range<u64>),
    /// Of so many octets none is in the range.
    Unsatisfiable(u64),
}

impl Share {
    /// How much of the body it is.
    pub(super) fn octets(&self, stored: &Stored) -> u64 {
        match self {
            Share::Whole | Share::Coded => stored.body.octets().unwrap_or(0),
            Share::Part(part) => part.end - part.start,
            Share::NotModified | Share::Unsatisfiable(_) => 0,
        }
    }
}

/// Weighs the client's conditions and range (RFC 9110, 13.2.2 and 14.2; RFC 9111, 4.3.2).
pub(super) fn share(asked: &RequestHead, stored: &Stored) -> Share {
    let fields = &asked.fields;
    let is_plain = !["if-none-match", "if-modified-since", "range"].iter().any(|name| fields.contains(name));
    if is_plain || stored.head.status != 200 {
        return Share::Whole;
    }
    if rules::is_not_modified(fields, stored) {
        return Share::NotModified;
    }
    // A server may answer any range with the whole: so does one that doesn't know yet how long it is.
    let Some(octets) = stored.complete_octets() else { return Share::Whole };
    let wanted = fields.get("range").filter(|_| asked.method == Method::Get && rules::range_applies(fields, stored));
    match wanted.map_or(Wanted::Whole, |field| range::wanted(field, octets)) {
        // A server may answer several ranges with the whole (RFC 9110, 14.2).
        Wanted::Whole | Wanted::Parts(_) => Share::Whole,
        Wanted::Part(part) => Share::Part(part),
        Wanted::Unsatisfiable => Share::Unsatisfiable(octets),
    }
}

/// A body as far as one answer needs it, ready to be sent: whatever can go wrong before the head
/// is said has not.
pub(super) enum Source {
    Nothing,
    Memory(bytes::Bytes, Range<usize>),
    /// This part of a file.
    File(Arc<File>, Range<u64>),
    /// Read along from the range's start to its end; to the body's end where that is not known.
    Growing(Reader, Option<u64>),
}

/// Opens what an answer needs of a body; `None` where that can't be had any more.
pub(super) fn open(asked: &RequestHead, stored: &Stored, share: &Share) -> Option<Source> {
    let range = match share {
        Share::NotModified | Share::Unsatisfiable(_) => return Some(Source::Nothing),
        _ if asked.method == Method::Head => return Some(Source::Nothing),
        Share::Whole | Share::Coded => 0..stored.complete_octets().unwrap_or(u64::MAX),
        Share::Part(part) => part.clone(),
    };
    let range = stored.extent.locate(&range)?;
    match &stored.body {
        Body::Whole(octets) => {
            let at = |octet: u64| usize::try_from(octet).unwrap_or(usize::MAX).min(octets.len());
            Some(Source::Memory(octets.clone(), at(range.start)..at(range.end)))
        }
        Body::File(filed) => {
            let (file, offset) = filed.open().ok()?;
            Some(Source::File(file, offset + range.start..offset + range.end))
        }
        Body::Growing(growing) => read_along(growing, range),
    }
}

fn read_along(growing: &Arc<Growing>, range: Range<u64>) -> Option<Source> {
    let reader = growing.join(range.start).filter(|_| range.start <= growing.arrived() + AHEAD_OCTETS)?;
    let left = (range.end != u64::MAX).then(|| range.end - range.start);
    Some(Source::Growing(reader, left))
}

/// Says the head of an answer from what is stored.
pub(super) fn say_head(
    client: &mut Conn,
    stored: &Stored,
    share: &Share,
    is_chunked: bool,
    cache_status: &str,
    now: SystemTime,
    ending: Ending,
) {
    let head = match share {
        Share::Whole => {
            // The hit path: a prepared head, three lines.
            reply::say_head(client, stored.prepared());
            let mut out = Vec::with_capacity(256);
            reply::finish_stored(&mut out, stored, is_chunked, cache_status, now, ending);
            return reply::say_head(client, &out);
        }
        Share::Coded => stored.head.clone(),
        Share::NotModified => forward::not_modified(stored),
        Share::Part(part) => {
            let mut head = ResponseHead { fields: stored.head.fields.clone(), ..ResponseHead::new(206) };
            head.fields.set("Content-Range", range::content_range(part, stored.complete_octets().unwrap_or(part.end)));
            head.fields.set("Content-Length", (part.end - part.start).to_string());
            head
        }
        Share::Unsatisfiable(octets) => {
            let mut head = ResponseHead::new(416);
            head.fields.push("Content-Range", format!("bytes */{octets}"));
            head.fields.push("Content-Length", "0");
            head
        }
    };
    let mut out = Vec::with_capacity(1024);
    head.write_to(&mut out);
    out.truncate(out.len().saturating_sub(2));
    reply::finish_stored(&mut out, stored, is_chunked, cache_status, now, ending);
    reply::say_head(client, &out);
}

/// Sends a body; in chunks where its length is not known, and compressed where there is a coder.
///
/// # Errors
/// Where it breaks off, the connection is cut: a truncated body must never look complete.
pub(super) async fn send(client: &mut Conn, source: Source, coder: Option<Coder>, is_chunked: bool) -> Result<(), Ended> {
    match source {
        Source::Nothing => Ok(()),
        Source::Growing(reader, left) => Box::pin(send_growing(Outlet::new(client, is_chunked, coder)?, reader, left, is_chunked)).await,
        // Rare, and large: kept out of what every idle connection holds.
        source if coder.is_some() => Box::pin(send_coded(Outlet::new(client, is_chunked, coder)?, source, is_chunked)).await,
        Source::Memory(octets, range) => client.send_octets(octets.get(range).unwrap_or_default()).await,
        Source::File(file, part) => send_file(client, &file, part).await,
    }
}

/// Compresses a body that is there.
async fn send_coded(mut outlet: Outlet<'_>, source: Source, is_chunked: bool) -> Result<(), Ended> {
    match source {
        Source::Memory(octets, range) => outlet.push(octets.get(range).unwrap_or_default()).await?,
        Source::File(file, part) => outlet.push_file(&file, part).await?,
        Source::Nothing | Source::Growing(..) => {}
    }
    outlet.finish()?;
    push_piece(outlet.client(), None, is_chunked);
    Ok(())
}

/// Sends a part of a file, without a copy where the system can do that.
async fn send_file(client: &mut Conn, file: &File, part: Range<u64>) -> Result<(), Ended> {
    let octets = part.end - part.start;
    match client.send_file(file, part.start, octets).await? {
        sent if sent == octets => Ok(()),
        // Somebody has cut it while it was sent.
        _ => Err(Ended::Truncated),
    }
}

async fn send_growing(mut outlet: Outlet<'_>, mut reader: Reader, mut left: Option<u64>, is_chunked: bool) -> Result<(), Ended> {
    while left != Some(0) {
        let is_waiting = outlet.is_waiting();
        let next = tokio::select! {
            biased;
            next = reader.next() => next,
            // The client gets what there is while we wait for more.
            flushed = outlet.flush(), if is_waiting => {
                flushed?;
                continue;
            }
        };
        match next {
            Next::Piece(piece) => {
                let take = left.map_or(piece.len(), |left| usize::try_from(left).unwrap_or(usize::MAX).min(piece.len()));
                outlet.push(piece.get(..take).unwrap_or_default()).await?;
                left = left.map(|left| left - take as u64);
            }
            Next::File(file, part) => {
                let take = left.map_or(part.end - part.start, |left| left.min(part.end - part.start));
                let part = part.start..part.start + take;
                match outlet.is_coded() {
                    true => outlet.push_file(&file, part).await?,
                    false => send_file_piece(outlet.client(), &file, part, is_chunked).await?,
                }
                left = left.map(|left| left - take);
            }
            Next::Whole => break,
            Next::Cut => return Err(outlet.cut(left.is_some()).await),
        }
    }
    outlet.finish()?;
    push_piece(outlet.client(), None, is_chunked);
    Ok(())
}

/// Sends a part of a file as one piece of a body.
async fn send_file_piece(client: &mut Conn, file: &File, part: Range<u64>, is_chunked: bool) -> Result<(), Ended> {
    if is_chunked {
        client.push(body::chunk_line(usize::try_from(part.end - part.start).unwrap_or(usize::MAX)).as_bytes());
    }
    send_file(client, file, part).await?;
    if is_chunked {
        client.push(b"\r\n");
    }
    Ok(())
}

/// Ends a body that is not whole so that nobody takes it for whole: its length or its last chunk
/// is missing, or the connection is reset.
pub(super) async fn cut(client: &mut Conn, is_measured: bool) -> Ended {
    // Should the client be gone too, nothing changes.
    let _gone = client.flush().await;
    if !is_measured {
        client.abort();
    }
    Ended::Truncated
}

/// Whether the answer must go in chunks, and how the connection goes on: a body of unknown length
/// ends with the connection for 1.0 clients (RFC 9112, 6.3).
pub(super) fn framed(stored: &Stored, share: &Share, ending: Ending) -> (bool, Ending) {
    let is_unmeasured = *share == Share::Coded || (*share == Share::Whole && stored.body.octets().is_none());
    let is_chunked = is_unmeasured && ending.version == Version::Http11;
    (is_chunked, Ending { persists: ending.persists && (is_chunked || !is_unmeasured), ..ending })
}
