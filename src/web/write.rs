//! PUT and DELETE (RFC 9110, 9.3.4 and 9.3.5): atomic, durable, under the account's rights.

use super::{
    Web, answer,
    body::RequestBody,
    files,
    reply::{Halt, Reply},
    request::Request,
};
use crate::{
    http::{
        Fault,
        validators::{self, Validators, Verdict},
    },
    net::{Conn, escape::Escaped},
    store::{
        StoreError, VirtualPath, blocking,
        tree::{FileKind, Placed, Receive},
    },
};

impl Web {
    /// Stores the body under the path: whole or not at all, and on disk before it is confirmed.
    pub(super) async fn put(&self, conn: &mut Conn, request: &Request, path: &VirtualPath, body: &mut RequestBody) -> Result<Reply, Halt> {
        self.check_right(request, path).await?;
        if request.head.fields.contains("content-range") {
            return Err(Fault::bad("a part of a file can't be PUT, only the whole", "RFC 9110, 14.5").into());
        }
        if request.names_folder() {
            return Err(Fault::new(409, "a path that ends in a slash names a folder, not a file", "RFC 9110, 9.3.4").into());
        }
        self.check_preconditions(request, path)?;
        let mut upload = self.deps.tree.receive(path, Receive::Replace).map_err(|error| no_place(error, path))?;
        while let Some(octets) = body.next(conn).await? {
            upload.write(&octets).map_err(|error| refusal(error, path))?;
        }
        let placed = self.in_turn(request, path, move || upload.commit().map(|(_, placed)| placed)).await?;
        conn.tap().event(format_args!("stored {}", shown(path)));
        Ok(match placed {
            Placed::Created => Reply::text(201, "text/plain; charset=utf-8", "Created.\n".into()).with("Location", request.link(path)),
            Placed::Replaced => Reply::new(204),
        })
    }

    pub(super) async fn delete(&self, conn: &mut Conn, request: &Request, path: &VirtualPath) -> Result<Reply, Halt> {
        self.check_right(request, path).await?;
        self.check_preconditions(request, path)?;
        let (tree, target) = (self.deps.tree.clone(), path.clone());
        let remove = move || match tree.facts(&target)?.kind {
            FileKind::File => tree.remove_file(&target),
            FileKind::Folder => tree.remove_folder(&target),
        };
        self.in_turn(request, path, remove).await?;
        conn.tap().event(format_args!("removed {}", shown(path)));
        Ok(Reply::new(204))
    }

    /// 401 without an account, 403 without its right.
    async fn check_right(&self, request: &Request, path: &VirtualPath) -> Result<(), Halt> {
        let account = self.account(request).await?;
        if !account.may_write(path) || path.is_hidden() || path.is_root() {
            return Err(Fault::new(403, format!("the account {} may not write {}", account.name, shown(path)), "RFC 9110, 15.5.4").into());
        }
        Ok(())
    }

    /// 412 where the file is not in the state that the request is made for.
    fn check_preconditions(&self, request: &Request, path: &VirtualPath) -> Result<(), Halt> {
        if !is_conditional(request) {
            return Ok(());
        }
        let current = match self.deps.tree.open(path) {
            Ok(file) => {
                let tag = files::tag(request, &file).map(|plain| answer::known_tag(plain, &request.head.fields));
                Some(Validators { tag, modified: Some(file.facts.modified) })
            }
            Err(StoreError::NotFound) => None,
            // A folder is there and has no validators.
            Err(StoreError::IsFolder) => Some(Validators::default()),
            Err(error) => return Err(refusal(error, path).into()),
        };
        match validators::weigh(&request.head.method, &request.head.fields, current.as_ref(), request.now) {
            Verdict::Proceed => Ok(()),
            _ => Err(Fault::new(412, format!("{} is not in the state that the request is made for", shown(path)), "RFC 9110, 13.1").into()),
        }
    }

    /// Makes a change in its turn: one with preconditions looks once more, with nobody else
    /// changing anything between the look and the change.
    async fn in_turn<T: Send + 'static>(
        &self,
        request: &Request,
        path: &VirtualPath,
        change: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Halt> {
        let changed = if is_conditional(request) {
            let _alone = self.turns.write().await;
            self.check_preconditions(request, path)?;
            blocking(change).await
        } else {
            let _among_others = self.turns.read().await;
            blocking(change).await
        };
        changed.map_err(|error| refusal(error, path).into())
    }
}

fn is_conditional(request: &Request) -> bool {
    ["if-match", "if-none-match", "if-unmodified-since"].iter().any(|name| request.head.fields.contains(name))
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
