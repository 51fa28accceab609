//! Questions to the file tree and changes of it, with their replies.

use std::sync::Arc;

use super::{
    ascii::ToWire,
    command::{Representation, SetBy},
    listing::{FactSet, Form, Viewer},
    powers::{Powers, folder_is_open},
    reply::{Purpose, Reply, quoted, refusal},
    rules::{Change, Question},
    stamp, transfer,
};
use crate::store::{
    StoreError, VirtualPath,
    accounts::Account,
    blocking,
    tree::{Access, Author, FileFacts, FileKind, OpenFile, Receive, Tree, TreeEntry},
};

/// SIZE in TYPE A has to read the file; beyond this many octets it doesn't (RFC 3659, 4).
const COUNTED_OCTETS: u64 = 16 * 1024 * 1024;
/// STAT of a directory shows so many entries at most: the control connection is no place for more.
const STATUS_ENTRIES: usize = 1000;

/// Does it, durably, and says so.
pub(super) async fn change(tree: &Arc<dyn Tree>, account: Option<Arc<Account>>, change: Change) -> Reply {
    let changing = tree.clone();
    let what = change.clone();
    let done = blocking(move || match &what {
        Change::MakeFolder(path) => changing.make_folder(path),
        Change::RemoveFolder(path) => changing.remove_folder(path),
        Change::RemoveFile(path) => remove_file(&*changing, account, path),
        Change::Rename { from, to } => changing.rename(from, to),
        Change::SetFacts { path, modified_unix_secs, mode, .. } => {
            if let Some(mode) = mode {
                changing.set_mode(path, *mode)?;
            }
            // The time last: setting it must not look like a later change.
            match modified_unix_secs {
                Some(secs) => changing.set_modified(path, stamp::from_unix(*secs).ok_or(StoreError::Denied)?),
                None => Ok(()),
            }
        }
    })
    .await;
    match (done, change) {
        (Ok(()), Change::MakeFolder(path)) => Reply::new(257, format!("{} created", quoted(path))),
        (Ok(()), Change::RemoveFolder(path)) => Reply::new(250, format!("{path} removed")),
        (Ok(()), Change::RemoveFile(path)) => Reply::new(250, format!("{path} removed")),
        (Ok(()), Change::Rename { from, to }) => Reply::new(250, format!("{from} is now {to}")),
        (Ok(()), Change::SetFacts { path, by: SetBy::Site, .. }) => Reply::new(200, format!("{path} has them")),
        (Ok(()), Change::SetFacts { path, modified_unix_secs, mode, .. }) => {
            tell_set(tree, &path, modified_unix_secs.is_some(), mode.is_some()).await
        }
        (Err(error), Change::MakeFolder(path)) => refuse(&error, Purpose::Make, &path),
        (Err(error), Change::Rename { to, .. }) => refuse(&error, Purpose::Place, &to),
        (Err(error), Change::RemoveFolder(path) | Change::RemoveFile(path) | Change::SetFacts { path, .. }) => {
            refuse(&error, Purpose::Find, &path)
        }
    }
}

/// What was set, as it is now: no file system has all times there are (draft-somers-ftp-mfxx, 3.2).
async fn tell_set(tree: &Arc<dyn Tree>, path: &VirtualPath, modified: bool, mode: bool) -> Reply {
    let facts = match facts(tree, path).await {
        Ok(facts) => facts,
        Err(error) => return refuse(&error, Purpose::Find, path),
    };
    let modified = modified.then(|| format!("Modify={};", stamp::print(facts.modified)));
    let mode = mode.then(|| format!("UNIX.mode={:04o};", facts.mode));
    Reply::new(213, format!("{}{} {path}", modified.unwrap_or_default(), mode.unwrap_or_default()))
}

/// On whose behalf an upload comes. Who may only add does not go on with anything either.
pub(super) fn author(account: Arc<Account>) -> Author {
    Author { resumes: !account.adds_only, account }
}

/// Removes a file, and what an upload of the account that broke off has left of one of that name: else
/// SIZE would go on telling of it, and the next file of that name begin with it.
fn remove_file(tree: &dyn Tree, account: Option<Arc<Account>>, path: &VirtualPath) -> Result<(), StoreError> {
    let removed = tree.remove_file(path);
    match (&removed, account) {
        (Ok(()) | Err(StoreError::NotFound), Some(account)) if tree.partial(&account.name, path).is_ok() => {
            // An upload that begins anew does away with what was kept.
            tree.receive_for(path, Receive::Replace, Some(&author(account))).map(drop).or(removed)
        }
        _ => removed,
    }
}

/// Like [`refusal`], and the log hears of failures that are ours.
pub(super) fn refuse(error: &StoreError, purpose: Purpose, path: &VirtualPath) -> Reply {
    if matches!(error, StoreError::Broken(_)) {
        tracing::error!("ftp: {}: {error}", crate::net::escape::escape(path.as_str()));
    }
    refusal(error, purpose, path)
}

/// Whether there is a directory at `path` that can be entered.
pub(super) async fn folder(tree: &Arc<dyn Tree>, path: &VirtualPath) -> Result<(), StoreError> {
    let (tree, path) = (tree.clone(), path.clone());
    blocking(move || match tree.facts(&path)? {
        FileFacts { kind: FileKind::File, .. } => Err(StoreError::NotFolder),
        facts if !tree.may(&path, &facts, Access::Enter) => Err(StoreError::Denied),
        _ => Ok(()),
    })
    .await
}

/// What `name/` names has to be a directory.
pub(super) async fn to_rename(tree: &Arc<dyn Tree>, path: &VirtualPath, is_folder: bool) -> Result<(), StoreError> {
    if is_folder { folder(tree, path).await } else { facts(tree, path).await.map(drop) }
}

async fn facts(tree: &Arc<dyn Tree>, path: &VirtualPath) -> Result<FileFacts, StoreError> {
    let (tree, path) = (tree.clone(), path.clone());
    blocking(move || tree.facts(&path)).await
}

/// Answers a question.
pub(super) async fn answer(tree: &Arc<dyn Tree>, viewer: &Viewer, question: Question) -> Reply {
    match question {
        Question::Size(path, representation) => size(tree, viewer, path, representation).await,
        Question::Modified(path) => match file(tree, &path).await {
            Ok(facts) => Reply::new(213, stamp::print(facts.modified)),
            Err(error) => refuse(&error, Purpose::Find, &path),
        },
        Question::Facts(path, set) => show_facts(tree, viewer, path, set).await,
        Question::Available(path) => match available(tree, viewer, &path).await {
            Ok(octets) => Reply::new(213, octets.to_string()),
            Err(error) => refuse(&error, Purpose::Find, &path),
        },
        Question::Room { folder, octets } => match available(tree, viewer, &folder).await {
            Ok(room) if octets <= room => Reply::new(200, format!("There is room for {octets} octets")),
            Ok(room) => Reply::new(552, format!("Exceeded storage allocation: there is room for {room} octets")),
            Err(error) => refuse(&error, Purpose::Find, &folder),
        },
        Question::Status { path, hidden } => status(tree, viewer, path, hidden).await,
    }
}

/// The facts of a regular file; sizes and times of directories mean nothing (RFC 3659, 3.1 and 4).
async fn file(tree: &Arc<dyn Tree>, path: &VirtualPath) -> Result<FileFacts, StoreError> {
    match facts(tree, path).await? {
        FileFacts { kind: FileKind::Folder, .. } => Err(StoreError::IsFolder),
        facts => Ok(facts),
    }
}

/// Of a file that doesn't stand, but of which an upload of the same account that broke off has left
/// something: how much, so that the client can go on from there.
async fn size(tree: &Arc<dyn Tree>, viewer: &Viewer, path: VirtualPath, representation: Representation) -> Reply {
    let (reading, wanted, account) = (tree.clone(), path.clone(), viewer.account.name.clone());
    let counted = blocking(move || {
        let file = match reading.facts(&wanted) {
            Ok(facts) if facts.kind == FileKind::Folder => return Err(StoreError::IsFolder),
            // A file as it is needs no opening.
            Ok(facts) if representation == Representation::Image => return Ok(Some(facts.octets)),
            Ok(_) => reading.open(&wanted)?,
            Err(StoreError::NotFound) => reading.partial(&account, &wanted)?,
            Err(error) => return Err(error),
        };
        match representation {
            Representation::Image => Ok(Some(file.facts.octets)),
            Representation::Ascii if file.facts.octets > COUNTED_OCTETS => Ok(None),
            Representation::Ascii => count_text(&file).map(Some),
        }
    });
    match counted.await {
        Ok(Some(octets)) => Reply::new(213, octets.to_string()),
        Ok(None) => Reply::new(550, format!("{path}: too large to count in TYPE A; say TYPE I")),
        Err(error) => refuse(&error, Purpose::Find, &path),
    }
}

/// Whether a place in the text on the wire is past its end. Of a file that is too large to be
/// counted only what no text could reach is.
pub(super) fn is_beyond_the_text(file: &OpenFile, place: u64) -> bool {
    match file.facts.octets {
        octets if octets > COUNTED_OCTETS => place > octets.saturating_mul(2),
        _ => count_text(file).is_ok_and(|octets| place > octets),
    }
}

/// How many octets a file has as text on the wire.
fn count_text(file: &OpenFile) -> Result<u64, StoreError> {
    let (mut machine, mut offset, mut count) = (ToWire::default(), 0, 0);
    while offset < file.facts.octets {
        let piece = transfer::read_piece(file, offset)?;
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        count += machine.count(&piece);
    }
    Ok(count)
}

async fn show_facts(tree: &Arc<dyn Tree>, viewer: &Viewer, path: VirtualPath, set: FactSet) -> Reply {
    let (tree, wanted, account) = (tree.clone(), path.clone(), viewer.account.clone());
    let found = blocking(move || match tree.facts(&wanted) {
        Ok(facts) => {
            let powers = Powers::looked_up(&*tree, &account, &wanted, &facts);
            Ok((facts, powers))
        }
        Err(StoreError::NotFound) => {
            let partial = tree.partial(&account.name, &wanted)?;
            Ok((partial.facts, Powers::over_partial(&account, &wanted)))
        }
        Err(error) => Err(error),
    });
    match found.await {
        Ok((facts, powers)) => {
            let line = format!("{} {path}", set.show(&facts, powers));
            Reply::lines(250, format!("Facts about {path}"), vec![line], "End")
        }
        Err(error) => refuse(&error, Purpose::Find, &path),
    }
}

async fn available(tree: &Arc<dyn Tree>, viewer: &Viewer, path: &VirtualPath) -> Result<u64, StoreError> {
    let (tree, place, account) = (tree.clone(), path.clone(), viewer.account.clone());
    blocking(move || tree.available(&place, &account)).await
}

async fn status(tree: &Arc<dyn Tree>, viewer: &Viewer, path: VirtualPath, hidden: bool) -> Reply {
    let (tree, wanted, viewer) = (tree.clone(), path.clone(), viewer.clone());
    match blocking(move || status_of(&*tree, &viewer, &wanted, hidden)).await {
        Ok(reply) => reply,
        Err(error) => refuse(&error, Purpose::Find, &path),
    }
}

fn status_of(tree: &dyn Tree, viewer: &Viewer, path: &VirtualPath, hidden: bool) -> Result<Reply, StoreError> {
    let found = tree.facts(path)?;
    if found.kind == FileKind::File {
        let line = viewer.long(path.name(), &found, Powers::looked_up(tree, &viewer.account, path, &found));
        return Ok(Reply::lines(213, format!("Status of {path}:"), vec![line], "End of status"));
    }
    let entries = tree.walk(path)?.next(STATUS_ENTRIES + 1)?;
    let (is_cut, is_open) = (entries.len() > STATUS_ENTRIES, folder_is_open(tree, &viewer.account, path));
    let powers = |entry: &TreeEntry| Powers::over_entry(tree, &viewer.account, path, entry, is_open);
    let shown = entries.iter().filter(|entry| hidden || !entry.name.starts_with('.')).take(STATUS_ENTRIES);
    let lines = shown.map(|entry| viewer.line(Form::Long, "", entry, || powers(entry))).collect();
    let last = if is_cut { "And more: say LIST" } else { "End of status" };
    Ok(Reply::lines(212, format!("Status of {path}:"), lines, last))
}
