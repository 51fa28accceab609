//! Ready replies: THE fast path of the origin server.
//!
//! A reply with a file depends on nothing but the octets of the request's head, the file, the
//! settings (which stand as long as the server runs) and the date. So a request that equals an
//! earlier one octet for octet gets the same reply with a new date, as long as the file is the
//! same. No field is looked at, and none needs to be: every field is part of the key.
//!
//! What may be kept is decided on the ordinary way, by [`Ready::of`]: a reply that was made of one
//! file alone ([`Reply::made_of`]), compressed or not. Where variants of the file were looked for
//! and not found, the folder is looked at here too: none can appear in it without a trace.
//!
//! Nothing stale comes out: one look at the file's name (inode, size, both times) precedes each
//! reply. Requests that came together share it, because it was made after all of them had come.

use std::{ops::Range, sync::Arc, time::SystemTime};

use quick_cache::{Weighter, sync::Cache};

use super::{
    body::RequestBody,
    parts::send_part,
    reply::{After, Reply, Source},
    request::Request,
};
use crate::{
    http::Method,
    net::{Conn, Ended},
    store::tree::{Content, Tree},
};

/// The longest head that is kept, in octets: browsers send less than a thousand.
const HEAD_OCTETS: usize = 2 * 1024;
/// What all of them may take, in octets. Plain files are counted where they are kept.
const TOTAL_OCTETS: u64 = 8 * 1024 * 1024;
/// The largest compressed body that is kept, in octets.
const OWN_OCTETS: u64 = 256 * 1024;
/// The largest file that is kept open for its replies, in octets: beyond it an open costs nothing
/// beside the sending, and a removed file would hold its space on the disk for too long.
const OPEN_OCTETS: u64 = 1024 * 1024;
/// What an open file counts for, in octets, so that at most 128 descriptors are taken: requests that
/// differ in nothing but their query may each have opened the file anew.
const DESCRIPTOR_OCTETS: u64 = TOTAL_OCTETS / 128;
/// Replies expected, for the table's size.
const REPLIES: usize = 4096;

/// Replies by the head of their request.
pub(super) struct ReadyReplies(Cache<Box<[u8]>, Arc<Ready>, Octets>);

/// A reply that can go out again.
pub(super) struct Ready {
    request: Box<[u8]>,
    source: Source,
    head: Vec<u8>,
    /// Where the date stands in `head`.
    date: Range<usize>,
    file: Option<(Content, Range<u64>)>,
    /// What of the file is counted here, in octets.
    own: u64,
    pub after: After,
}

/// The last ready reply of a connection, and the arrival up to which its file was looked at.
pub(super) type Last = Option<(u64, Arc<Ready>)>;

#[derive(Clone)]
struct Octets;

impl Weighter<Box<[u8]>, Arc<Ready>> for Octets {
    fn weight(&self, request: &Box<[u8]>, ready: &Arc<Ready>) -> u64 {
        let descriptor = if matches!(ready.file, Some((Content::Disk(_), _))) { DESCRIPTOR_OCTETS } else { 0 };
        (2 * request.len() + ready.head.len() + size_of::<Ready>()) as u64 + ready.own + descriptor
    }
}

impl Default for ReadyReplies {
    fn default() -> ReadyReplies {
        ReadyReplies(Cache::with_weighter(REPLIES, TOTAL_OCTETS, Octets))
    }
}

impl ReadyReplies {
    /// The reply to a request with this head, which came with `arrival`.
    pub(super) fn find(&self, head: &[u8], arrival: u64, last: &mut Last, tree: &dyn Tree) -> Option<Arc<Ready>> {
        if let Some((seen, ready)) = last
            && *seen == arrival
            && *ready.request == *head
        {
            return Some(ready.clone());
        }
        let ready = self.0.get(head)?;
        if !ready.source.is_still(tree) {
            self.0.remove(head);
            return None;
        }
        *last = Some((arrival, ready.clone()));
        Some(ready)
    }

    pub(super) fn keep(&self, ready: Ready) {
        self.0.insert(ready.request.clone(), Arc::new(ready));
    }
}

impl Ready {
    /// What can go out again of this reply to this request, if anything.
    pub(super) fn of(request: &Request, body: &RequestBody, reply: &Reply, after: After, date: &str) -> Option<Ready> {
        let source = reply.source.as_ref().filter(|source| source.has_settled(request.now))?;
        if !body.is_empty() || reply.is_secret || request.wire.len() > HEAD_OCTETS {
            return None;
        }
        let file = match (&request.head.method, reply.status) {
            (Method::Get, 200 | 206) => Some(reply.body.file()?),
            (Method::Get, 304) | (Method::Head, 200 | 304) => None,
            _ => return None,
        };
        if matches!(file, Some((Content::Disk(_), _))) && source.facts.octets > OPEN_OCTETS {
            return None;
        }
        // What was compressed is kept here a second time.
        let own = if reply.says("content-encoding") { file.as_ref().map_or(0, |(_, part)| part.end - part.start) } else { 0 };
        if own > OWN_OCTETS {
            return None;
        }
        let head = reply.head(date, after, request.head.version);
        let at = memchr::memmem::find(&head, date.as_bytes())?;
        Some(Ready { request: (*request.wire).into(), source: source.clone(), head, date: at..at + date.len(), file, own, after })
    }

    pub(super) async fn send(&self, conn: &mut Conn, date: &str) -> Result<(), Ended> {
        let (before, after) = (self.head.get(..self.date.start), self.head.get(self.date.end..));
        for part in [before.unwrap_or_default(), date.as_bytes(), after.unwrap_or_default()] {
            conn.push(part);
        }
        match &self.file {
            Some((content, part)) => send_part(conn, content, part.clone()).await,
            None => Ok(()),
        }
    }
}

impl Source {
    fn is_still(&self, tree: &dyn Tree) -> bool {
        let is_folder_still = |(path, facts): &(_, _)| tree.facts(path).is_ok_and(|now| now == *facts);
        tree.is_still(&self.path, &self.facts) && self.folder.as_ref().is_none_or(is_folder_still)
    }

    /// Whether another state of the file, or of the folder, would show.
    fn has_settled(&self, now: SystemTime) -> bool {
        self.facts.have_settled(now) && self.folder.as_ref().is_none_or(|(_, folder)| folder.have_settled(now))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::store::{
        VirtualPath,
        tree::{FileFacts, FileKind},
    };

    fn ready(number: usize, content: Content) -> Ready {
        let epoch = SystemTime::UNIX_EPOCH;
        let facts = FileFacts { kind: FileKind::File, octets: 1, modified: epoch, changed: epoch, inode: 1, mode: 0o644 };
        Ready {
            request: format!("GET /a?{number} HTTP/1.1\r\n\r\n").into_bytes().into(),
            source: Source { path: VirtualPath::root(), facts, folder: None },
            head: Vec::new(),
            date: 0..0,
            file: Some((content, 0..1)),
            own: 0,
            after: After::KeepOpen,
        }
    }

    /// Anybody can ask for the same file under thousands of queries.
    #[test]
    fn few_descriptors_are_kept() {
        let (replies, file) = (ReadyReplies::default(), Arc::new(File::open("/dev/null").unwrap()));
        (0..2000).for_each(|number| replies.keep(ready(number, Content::Disk(file.clone()))));
        let kept = Arc::strong_count(&file) - 1;
        assert!((16..=128).contains(&kept), "{kept} are kept");
    }
}
