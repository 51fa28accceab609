//! Parts of a file as a body: one of them, or several as `multipart/byteranges` (RFC 9110, 14.6).

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, time::SystemTime};

use super::reply::{Body, Reply};
use crate::{
    http::range::content_range,
    net::{Conn, Ended},
    store::tree::Content,
};

/// Parts up to this many octets go out in one write with their head; larger ones by `sendfile`.
const SMALL_OCTETS: u64 = 32 * 1024;
/// A part larger than this takes several steps to send, in octets: time in which it may change.
const STEP_OCTETS: u64 = 256 * 1024;
/// How much of such a part is held back until it is known that it has not changed.
const HELD_BACK_OCTETS: u64 = 16 * 1024;

/// Several parts of a file, each with a head of its own.
pub(super) struct Parts {
    content: Content,
    parts: Vec<(String, Range<u64>)>,
    boundary: String,
}

/// A reply with these parts of a file of `octets` octets: at least one.
pub(super) fn with_parts(reply: Reply, content: Content, mut parts: Vec<Range<u64>>, octets: u64, media_type: &str) -> Reply {
    if parts.len() > 1 {
        // The parts tell their ranges themselves; the head must not (15.3.7.2).
        let parts = Parts::new(content, parts, octets, media_type);
        let mut reply = reply.with("Content-Type", parts.media_type());
        reply.body = Body::Parts(Box::new(parts));
        return reply;
    }
    let part = parts.pop().unwrap_or_default();
    let mut reply = reply.with("Content-Type", media_type);
    if reply.status == 206 {
        reply = reply.with("Content-Range", content_range(&part, octets));
    }
    reply.body = Body::File(content, part);
    reply
}

impl Parts {
    /// The parts of a file of `octets` octets. The boundary can't be guessed, so that no file can
    /// hold it.
    pub(super) fn new(content: Content, parts: Vec<Range<u64>>, octets: u64, media_type: &str) -> Parts {
        let boundary = format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
        let head = |part: &Range<u64>| {
            let range = content_range(part, octets);
            format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n")
        };
        let parts = parts.into_iter().map(|part| (head(&part), part)).collect();
        Parts { content, parts, boundary }
    }

    pub(super) fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    pub(super) fn len(&self) -> u64 {
        let parts: u64 = self.parts.iter().map(|(head, part)| head.len() as u64 + (part.end - part.start)).sum();
        parts + self.tail().len() as u64
    }

    fn tail(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    pub(super) async fn send(self, conn: &mut Conn) -> Result<(), Ended> {
        for (head, part) in &self.parts {
            conn.push(head.as_bytes());
            send_part(conn, &self.content, part.clone()).await?;
            conn.flush_if_large().await?;
        }
        conn.push(self.tail().as_bytes());
        Ok(())
    }
}

/// Sends one part of a file. Small ones wait for their head's write; large ones go out as the peer
/// takes them.
pub(super) async fn send_part(conn: &mut Conn, content: &Content, part: Range<u64>) -> Result<(), Ended> {
    let octets = part.end - part.start;
    match content {
        Content::Memory(all) => {
            let bounds = usize::try_from(part.start).ok().zip(usize::try_from(part.end).ok());
            conn.send_octets(bounds.and_then(|(start, end)| all.get(start..end)).ok_or_else(changed)?).await
        }
        Content::Disk(file) if octets <= SMALL_OCTETS => {
            let mut buffer = vec![0; usize::try_from(octets).unwrap_or_default()];
            file.read_exact_at(&mut buffer, part.start).map_err(|_| changed())?;
            conn.push(&buffer);
            Ok(())
        }
        Content::Disk(file) if octets <= STEP_OCTETS => send_whole(conn, file, part).await,
        Content::Disk(file) => {
            let before = stamp(file)?;
            let held_back = part.end - HELD_BACK_OCTETS;
            send_whole(conn, file, part.start..held_back).await?;
            if stamp(file)? != before {
                return Err(changed());
            }
            send_whole(conn, file, held_back..part.end).await
        }
    }
}

async fn send_whole(conn: &mut Conn, file: &File, part: Range<u64>) -> Result<(), Ended> {
    let octets = part.end - part.start;
    if conn.send_file(file, part.start, octets).await? < octets { Err(changed()) } else { Ok(()) }
}

/// What changes when a file is written to in place.
fn stamp(file: &File) -> Result<(u64, SystemTime), Ended> {
    let metadata = file.metadata().map_err(Ended::Io)?;
    Ok((metadata.len(), metadata.modified().map_err(Ended::Io)?))
}

/// The head has promised other octets than there are now. Cutting the connection is the only way
/// to tell (RFC 9112, 8): what came so far must not pass for the whole.
fn changed() -> Ended {
    Ended::Io(io::Error::new(io::ErrorKind::UnexpectedEof, "the file changed while it was sent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_what_is_sent() {
        let content = Content::Memory("0123456789".into());
        let parts = Parts::new(content, vec![0..1, 8..10], 10, "text/plain");
        let boundary = parts.media_type().split_once('=').unwrap().1.to_owned();
        let head = |range: &str| format!("\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/10\r\n\r\n");
        let sent = format!("{}0{}89\r\n--{boundary}--\r\n", head("0-0"), head("8-9"));
        assert_eq!(parts.len(), sent.len() as u64);
    }
}
