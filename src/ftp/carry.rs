//! One transfer from its first reply to its last: what is to be checked before 150, the data
//! connection, the commit, 226.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    command::{ByteRange, Representation},
    conversation::Visit,
    data::DataPort,
    directory::{Listing, Wanted},
    files::{self, refuse},
    listing::Form,
    reply::{Purpose, Reply},
    rules::Transfer,
    transfer::{self, Abort, Extent, Failure, Source},
    upload::{self, Received},
};
use crate::{
    net::{Conn, Ended},
    store::{
        StoreError, VirtualPath, blocking,
        tree::{Author, Receive, Tree, Upload},
    },
};

impl Visit<'_> {
    /// Answers the last reply, which the caller says.
    pub(super) async fn transfer(&mut self, conn: &mut Conn, transfer: Transfer) -> Result<Reply, Ended> {
        match transfer {
            Transfer::Retrieve { path, range, representation } => match self.open_source(&path, range, representation).await {
                Ok(source) => self.send(conn, &path, source).await,
                Err(reply) => Ok(reply),
            },
            Transfer::List(wanted) => match self.list(wanted.clone()).await {
                Ok(listing) => self.send(conn, &wanted.path, Source::Listing(listing)).await,
                Err(reply) => Ok(reply),
            },
            Transfer::Store { path, how, representation } => self.receive(conn, &path, how, representation, None).await,
            Transfer::StoreUnique { folder, representation } => {
                let path = self.unique_name(&folder);
                // RFC 1123, 4.1.2.9 has this very text.
                let announced = format!("FILE: {}", path.name());
                self.receive(conn, &path, Receive::Create, representation, Some(announced)).await
            }
        }
    }

    async fn open_source(&self, path: &VirtualPath, range: ByteRange, representation: Representation) -> Result<Source, Reply> {
        // As the web does it: a look at a name is shorter than the way to another thread.
        let mut file = self.deps.tree.open(path).map_err(|error| refuse(&error, Purpose::Find, path))?;
        let from = range.from;
        match representation {
            Representation::Image if from > file.facts.octets => Err(beyond_the_end()),
            Representation::Image => {
                file.facts.octets = range.end(file.facts.octets);
                Ok(Source::File { file, from })
            }
            Representation::Ascii => {
                let (file, is_beyond) = blocking(move || {
                    let is_beyond = from > 0 && files::is_beyond_the_text(&file, from);
                    (file, is_beyond)
                })
                .await;
                if is_beyond { Err(beyond_the_end()) } else { Ok(Source::Text { file, skip: from }) }
            }
        }
    }

    async fn list(&self, wanted: Wanted) -> Result<Listing, Reply> {
        let account = self.viewer_account().ok_or_else(|| Reply::new(530, "Not logged in"))?;
        let purpose = if matches!(wanted.form, Form::Facts(_)) { Purpose::Enumerate } else { Purpose::Find };
        let (tree, now, path) = (self.deps.tree.clone(), self.deps.clock.now(), wanted.path.clone());
        let opened = blocking(move || Listing::open(&tree, account, now, wanted)).await;
        opened.map_err(|error| refuse(&error, purpose, &path))
    }

    async fn send(&mut self, conn: &mut Conn, path: &VirtualPath, source: Source) -> Result<Reply, Ended> {
        if !self.port.is_set() {
            return Ok(unannounced());
        }
        let port = self.begin(conn, None).await?;
        let (parent, abort) = (self.parent(conn), Abort::default());
        let work = transfer::send(port, &parent, source, &abort);
        let sent = self.meanwhile(conn, &format!("sending {path}"), &abort, work).await?;
        Ok(match sent {
            Ok(Extent::Whole) => Reply::new(226, "Transfer complete, data connection closed"),
            Ok(Extent::Cut) => Reply::new(226, "Transfer complete, but there is more: a recursive listing has a bound"),
            Err(failure) => failed(&failure, Purpose::Find, path),
        })
    }

    async fn receive(
        &mut self,
        conn: &mut Conn,
        path: &VirtualPath,
        how: Receive,
        representation: Representation,
        announced: Option<String>,
    ) -> Result<Reply, Ended> {
        if !self.port.is_set() {
            return Ok(unannounced());
        }
        let author = self.viewer_account().map(files::author);
        let upload = match begin_upload(&self.deps.tree, path, how, author).await {
            Ok(upload) => upload,
            Err(reply) => return Ok(reply),
        };
        let is_unique = announced.is_some();
        let port = self.begin(conn, announced).await?;
        let (parent, abort) = (self.parent(conn), Abort::default());
        let work = upload::receive(port, &parent, upload, representation, &abort);
        let what = format!("receiving {path}");
        let (Received { upload, result }, lost) = self.meanwhile_to_the_end(conn, &what, &abort, work).await;
        let lost = match lost {
            None => self.check_presence(conn).await.err(),
            lost => lost,
        };
        let upload = upload.ok_or(Failure::Aborted);
        if let Some(ended) = lost {
            break_off(upload, path).await;
            return Err(ended);
        }
        // From here on nothing is aborted: either the old file stands or the new one.
        let committed = match (result, upload) {
            (Ok(()), Ok(upload)) => blocking(move || upload.commit()).await.map(drop).map_err(Failure::Store),
            (Ok(()), Err(failure)) => Err(failure),
            (Err(failure), upload) => {
                break_off(upload, path).await;
                Err(failure)
            }
        };
        Ok(match committed {
            // Old clients look for the name here, in these words.
            Ok(()) if is_unique => Reply::new(226, format!("Transfer complete, the file is safe (unique file name: {})", path.name())),
            Ok(()) => Reply::new(226, "Transfer complete, the file is safe"),
            Err(failure) => failed(&failure, Purpose::Place, path),
        })
    }

    /// Says 125 where the data connection stands already, else 150, and hands over its port: one
    /// data connection for each transfer.
    async fn begin(&mut self, conn: &mut Conn, text: Option<String>) -> Result<DataPort, Ended> {
        let peer: IpAddr = conn.peer().ip();
        let (code, usual) = match self.port.is_standing(peer) {
            true => (125, "data connection already open; transfer starting"),
            false => (150, "File status okay; about to open data connection"),
        };
        self.say(conn, &Reply::new(code, text.as_deref().unwrap_or(usual)));
        conn.flush().await?;
        Ok(std::mem::take(&mut self.port))
    }
}

/// Who asks for a file that isn't there is told that first; an upload is not begun for nothing.
fn unannounced() -> Reply {
    Reply::new(425, "Can't open data connection: say PASV, EPSV, PORT or EPRT first")
}

fn beyond_the_end() -> Reply {
    Reply::new(554, "The restart marker is beyond the end of the file")
}

/// How long an upload waits where another one of the file is under way: a client that was cut off
/// and comes back at once should not meet its own last session, which is still keeping what came.
const BUSY_TIME: Duration = Duration::from_secs(2);
/// How often it looks meanwhile.
const BUSY_STEP: Duration = Duration::from_millis(20);

async fn begin_upload(tree: &Arc<dyn Tree>, path: &VirtualPath, how: Receive, author: Option<Author>) -> Result<Box<dyn Upload>, Reply> {
    let until = Instant::now() + BUSY_TIME;
    loop {
        let (tree, place, author) = (tree.clone(), path.clone(), author.clone());
        let begun = blocking(move || match (tree.receive_for(&place, how, author.as_ref()), how) {
            // Denied for the length, or for another reason?
            (Err(StoreError::Denied), Receive::ResumeAt(from)) if from > resumable(&*tree, &place, author.as_ref()) => Ok(None),
            (begun, _) => begun.map(Some),
        });
        match begun.await {
            Err(StoreError::Busy) if Instant::now() < until => sleep(BUSY_STEP).await,
            begun => return begun.map_err(|error| refuse(&error, Purpose::Place, path))?.ok_or_else(beyond_the_end),
        }
    }
}

/// How many octets there are to go on from.
fn resumable(tree: &dyn Tree, path: &VirtualPath, author: Option<&Author>) -> u64 {
    match (tree.facts(path), author) {
        (Ok(facts), _) => facts.octets,
        (Err(StoreError::NotFound), Some(author)) => tree.partial(&author.account.name, path).map_or(0, |partial| partial.facts.octets),
        (Err(_), _) => u64::MAX,
    }
}

/// Keeps what has come for its account to go on from, if that can be.
async fn break_off(upload: Result<Box<dyn Upload>, Failure>, path: &VirtualPath) {
    let Ok(upload) = upload else { return };
    match blocking(move || upload.break_off()).await {
        Ok(0) => {}
        Ok(octets) => tracing::debug!("ftp: {octets} octets of {} are kept", crate::net::escape::escape(path.as_str())),
        Err(error) => tracing::warn!("ftp: what came of {} is not kept: {error}", crate::net::escape::escape(path.as_str())),
    }
}

/// The reply to a transfer that did not come to its end.
fn failed(failure: &Failure, purpose: Purpose, path: &VirtualPath) -> Reply {
    match failure {
        Failure::Unopened => Reply::new(425, "Can't open data connection"),
        Failure::Aborted => Reply::new(426, "Connection closed; transfer aborted"),
        Failure::Lost(Ended::Slow(_)) => Reply::new(426, "Connection closed; transfer aborted: it stood still or was too slow"),
        Failure::Lost(ended) => Reply::new(426, format!("Connection closed; transfer aborted: {ended}")),
        Failure::Garbled => Reply::new(451, "What came is no zlib stream, as MODE Z has it"),
        Failure::Shrunk => Reply::new(451, "The file became shorter while it was sent"),
        Failure::Store(error) => files::refuse(error, purpose, path),
    }
}
