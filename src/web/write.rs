//! PUT and DELETE (RFC 9110, 9.3.4 and 9.3.5): atomic, durable, under the account's rights.

use std::{sync::Arc, time::SystemTime};

use super::{
    Web, answer,
    body::RequestBody,
    files, page,
    reply::{Halt, Reply},
    request::Request,
};
use crate::{
    http::{
        Fault, RequestHead, lists,
        validators::{self, Validators, Verdict},
    },
    net::{Conn, escape::Escaped},
    store::{
        Account, StoreError, VirtualPath, blocking,
        tree::{Author, FileKind, Placed, Receive, Tree, Upload},
    },
};

/// What of an upload is gathered in memory, in octets, before it is written. Writing may wait for
/// the disk, so it is done where it holds up nobody; a file this small takes one such step.
const GATHERED_OCTETS: usize = 256 * 1024;

impl Web {
    /// Stores the body under the path: whole or not at all, and on disk before it is confirmed.
    pub(super) async fn put(&self, conn: &mut Conn, request: &Request, path: &VirtualPath, body: &mut RequestBody) -> Result<Reply, Halt> {
        let account = self.check_right(request, path).await?;
        if let Some(refusal) = check_content(request) {
            return refusal;
        }
        let (tree, target) = (self.deps.tree.clone(), path.clone());
        let received = blocking(move || {
            // A PUT begins anew each time: nothing is kept of one that breaks off.
            let author = Author { account, resumes: false };
            tree.receive_for(&target, Receive::Replace, Some(&author))
        })
        .await;
        let mut upload = received.map_err(|error| no_place(error, path))?;
        let condition = self.condition(request, path);
        condition.check().map_err(|error| refusal(error, path))?;
        let mut gathered = Vec::new();
        let mut is_whole = true;
        while let Some(octets) = body.next(conn).await? {
            gathered.extend_from_slice(&octets);
            if gathered.len() >= GATHERED_OCTETS {
                upload = written(upload, std::mem::take(&mut gathered)).await.map_err(|error| refusal(error, path))?;
                is_whole = false;
                conn.grant_time();
            }
        }
        let store = move || {
            // What went by in several pieces was never seen as a whole.
            let tag = is_whole.then(|| answer::tag_of_content(&gathered));
            upload.write(&gathered)?;
            upload.commit_if(&|| condition.check()).map(|(_, placed)| (placed, tag))
        };
        let (placed, tag) = blocking(store).await.map_err(|error| refusal(error, path))?;
        conn.tap().event(format_args!("stored {}", shown(path)));
        let reply = match placed {
            Placed::Created => Reply::text(201, "text/plain; charset=utf-8", "Created.\n".into()).with("Location", request.link(path)),
            Placed::Replaced => Reply::new(204),
        };
        // What came is what is kept, octet for octet: only then may a validator be told (9.3.4).
        Ok(match tag {
            Some(tag) => reply.with("ETag", tag.to_field()),
            None => reply,
        })
    }

    pub(super) async fn delete(&self, conn: &mut Conn, request: &Request, path: &VirtualPath) -> Result<Reply, Halt> {
        self.check_right(request, path).await?;
        let facts = self.deps.tree.facts(path).map_err(|error| refusal(error, path))?;
        if request.names_folder() && facts.kind == FileKind::File {
            return Err(Fault::new(404, format!("there is no folder {}, but a file", shown(path)), "RFC 9110, 15.5.5").into());
        }
        let (tree, target, condition) = (self.deps.tree.clone(), path.clone(), self.condition(request, path));
        let removed = blocking(move || tree.remove_if(&target, &|| condition.check())).await;
        removed.map_err(|error| refusal(error, path))?;
        conn.tap().event(format_args!("removed {}", shown(path)));
        Ok(Reply::new(204))
    }

    /// 401 without an account, 403 without its right.
    async fn check_right(&self, request: &Request, path: &VirtualPath) -> Result<Arc<Account>, Halt> {
        let account = self.account(request).await?;
        if !account.may_write(path) || path.is_hidden() || path.is_root() {
            return Err(Fault::new(403, format!("the account {} may not write {}", account.name, shown(path)), "RFC 9110, 15.5.4").into());
        }
        Ok(account)
    }

    fn condition(&self, request: &Request, path: &VirtualPath) -> Condition {
        let is_any = ["if-match", "if-none-match", "if-unmodified-since"].iter().any(|name| request.head.fields.contains(name));
        let asked = is_any.then(|| (request.head.clone(), request.now));
        Condition { asked, tree: self.deps.tree.clone(), path: path.clone() }
    }
}

/// The preconditions of a request to change something. They are checked twice: at first, so that
/// nobody sends a body in vain, and when it has come, with nobody else changing anything between
/// the look and the change. That is how no update gets lost (RFC 9110, 13.1.1).
struct Condition {
    asked: Option<(RequestHead, SystemTime)>,
    tree: Arc<dyn Tree>,
    path: VirtualPath,
}

impl Condition {
    fn check(&self) -> Result<(), StoreError> {
        let Some((head, now)) = &self.asked else { return Ok(()) };
        let current = match self.tree.open(&self.path) {
            Ok(file) => {
                let tag = files::tag_for(&head.fields, *now, &file).map(|plain| answer::known_tag(plain, &head.fields));
                Some(Validators { tag, modified: Some(file.facts.modified) })
            }
            Err(StoreError::NotFound) => None,
            // A folder is there and has no validators.
            Err(StoreError::IsFolder) => Some(Validators::default()),
            Err(error) => return Err(error),
        };
        match validators::weigh(&head.method, &head.fields, current.as_ref(), *now) {
            Verdict::Proceed => Ok(()),
            Verdict::Failed | Verdict::NotModified => Err(StoreError::Changed),
        }
    }
}

/// What can't be PUT: a part, something encoded, anything into a folder's name.
fn check_content(request: &Request) -> Option<Result<Reply, Halt>> {
    let fields = &request.head.fields;
    if fields.contains("content-range") {
        return Some(Err(Fault::bad("a part of a file can't be PUT, only the whole", "RFC 9110, 14.5").into()));
    }
    if fields.get_all("content-encoding").flat_map(lists::elements).any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        // Kept as it came it would be served as what it is not.
        let fault = Fault::new(415, "a file is taken as it is, without a content coding", "RFC 9110, 15.5.16");
        return Some(Ok(page::refusal(&fault, request.audience()).with("Accept-Encoding", "identity")));
    }
    if request.names_folder() {
        return Some(Err(Fault::new(409, "a path that ends in a slash names a folder, not a file", "RFC 9110, 9.3.4").into()));
    }
    None
}

async fn written(mut upload: Box<dyn Upload>, octets: Vec<u8>) -> Result<Box<dyn Upload>, StoreError> {
    blocking(move || upload.write(&octets).map(|()| upload)).await
}

/// A new file without a folder to lie in is a conflict with the state of the tree.
fn no_place(error: StoreError, path: &VirtualPath) -> Fault {
    match error {
        StoreError::NotFound => {
            Fault::new(409, format!("there is no folder {} to put this into", shown(&path.parent())), "RFC 9110, 15.5.10")
        }
        error => refusal(error, path),
    }
}

/// As for reading, but that a file where a folder should be is a conflict.
fn refusal(error: StoreError, path: &VirtualPath) -> Fault {
    match error {
        StoreError::NotFolder => Fault::new(409, format!("{} would lie below a file", shown(path)), "RFC 9110, 15.5.10"),
        error => files::refusal(error, path),
    }
}

/// A path for texts: whoever reads them at a terminal must not be acted upon by its octets.
fn shown(path: &VirtualPath) -> Escaped<'_> {
    Escaped(path.as_str().as_bytes())
}
