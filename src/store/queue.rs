//! The mail queue on disk: `<id>.eml` holds the message as it came, `<id>.json` its envelope.
//!
//! Both come in one commit; an entry is there once its envelope is. What a crash leaves of an
//! unfinished one is cleared away at the next start; what can't be read is set aside in `damaged/`,
//! where a person may make something of it. An index in memory knows what is due.

use std::{
    ffi::OsString,
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    StoreError,
    commit::{Change, Committer, Disk, RealDisk, RealFolder, Spot, Taken, Temporary, sweep},
    mail::{Envelope, Facts},
    maildir::{FILE_MODE, FOLDER_MODE},
    queue_index::Index,
    staging::{Staging, sweep_staging},
};
use serde::{Deserialize, Serialize};

/// Longer ids are not ours.
const ID_OCTETS: usize = 64;
/// An envelope with 10,000 recipients has a few MiB; a larger file is damaged.
const ENVELOPE_OCTETS: u64 = 64 << 20;
/// Changes of one entry wait for one another; with so many turns those of two rarely do.
const TURNS: usize = 16;
/// Where entries go that can't be read.
const DAMAGED: &str = "damaged";
/// The format of the envelopes' files. The first one, which had no number, lacks what senders ask
/// for and each recipient's own schedule; it is read as one that has neither.
const VERSION: u32 = 2;

pub(crate) struct DiskQueue {
    folder: RealFolder,
    staging: Staging,
    commits: Arc<Committer<RealDisk>>,
    index: Mutex<Index>,
    turns: [Mutex<()>; TURNS],
    hasher: RandomState,
}

/// Writes message and envelope of a new entry, at first in the folder `staging`; it is in the queue
/// once the changes are committed.
pub(crate) fn enter<D: Disk>(
    disk: &D,
    (staging, folder): (&D::Folder, &D::Folder),
    envelope: &Envelope,
    message: &mut dyn Read,
) -> io::Result<[Change<D>; 2]> {
    let mut temporary = Temporary::beside(disk, staging, FILE_MODE)?;
    temporary.fill_from(message)?;
    let message = Change::Place { temporary, to: Spot::new(folder, message_name(&envelope.id)), taken: Taken::Refuse };
    Ok([message, write_envelope(disk, (staging, folder), envelope, Taken::Refuse)?])
}

pub(crate) fn write_envelope<D: Disk>(
    disk: &D,
    (staging, folder): (&D::Folder, &D::Folder),
    envelope: &Envelope,
    taken: Taken,
) -> io::Result<Change<D>> {
    let mut temporary = Temporary::beside(disk, staging, FILE_MODE)?;
    temporary.write_all(&print(envelope)?)?;
    Ok(Change::Place { temporary, to: Spot::new(folder, envelope_name(&envelope.id)), taken })
}

/// An envelope as its file has it.
pub(crate) fn print(envelope: &Envelope) -> io::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Versioned<'a> {
        version: u32,
        #[serde(flatten)]
        envelope: &'a Envelope,
    }
    Ok(serde_json::to_vec_pretty(&Versioned { version: VERSION, envelope })?)
}

/// Reads the file of an envelope, of this version or an older one.
pub(crate) fn parse(text: &[u8]) -> io::Result<Envelope> {
    #[derive(Deserialize)]
    struct Version {
        version: Option<u32>,
    }
    match serde_json::from_slice::<Version>(text)?.version {
        Some(newer) if newer > VERSION => Err(io::Error::other(format!("it has format {newer}, of a newer Portico"))),
        _ => Ok(serde_json::from_slice(text)?),
    }
}

pub(crate) fn envelope_name(id: &str) -> OsString {
    format!("{id}.json").into()
}

pub(crate) fn message_name(id: &str) -> OsString {
    format!("{id}.eml").into()
}

/// An id becomes a file name: it must not be able to lead anywhere.
pub(crate) fn check_id(id: &str) -> Result<(), StoreError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    if (1..=ID_OCTETS).contains(&id.len()) && id.bytes().all(allowed) { Ok(()) } else { Err(StoreError::NotFound) }
}

impl DiskQueue {
    /// Reads all envelopes and clears away what belongs to no entry.
    pub(crate) fn open(folder: RealFolder, commits: Arc<Committer<RealDisk>>) -> Result<DiskQueue, StoreError> {
        sweep(&folder)?;
        sweep_staging(&folder)?;
        let turns = std::array::from_fn(|_| Mutex::default());
        let queue = DiskQueue { folder, staging: Staging::default(), commits, index: Mutex::default(), turns, hasher: RandomState::new() };
        let (mut messages, mut envelopes) = (Vec::new(), Vec::new());
        for name in queue.folder.names()?.into_iter().filter_map(|name| name.into_string().ok()) {
            if let Some(id) = name.strip_suffix(".eml") {
                messages.push(id.to_owned());
            } else if let Some(id) = name.strip_suffix(".json") {
                envelopes.push(id.to_owned());
            }
        }
        messages.sort_unstable();
        envelopes.sort_unstable();
        let has = |sorted: &[String], id: &String| sorted.binary_search(id).is_ok();
        let orphans = messages.iter().filter(|id| !has(&envelopes, id));
        queue.commits.commit(orphans.map(|id| Change::Remove(Spot::new(&queue.folder, message_name(id)))).collect())?;
        for id in &envelopes {
            match queue.read_envelope(id) {
                // Half of a removal: the envelope goes first, so it comes back only by damage.
                _ if !has(&messages, id) => queue.set_aside(id, &"its message is missing", &[envelope_name(id)])?,
                Ok(envelope) => queue.known().insert(&envelope),
                Err(error) => queue.set_aside(id, &error, &[envelope_name(id), message_name(id)])?,
            }
        }
        Ok(queue)
    }

    /// It was acknowledged, and a person may be able to read it: it is not deleted, and not tried at
    /// every start.
    fn set_aside(&self, id: &str, why: &dyn std::fmt::Display, names: &[OsString]) -> Result<(), StoreError> {
        tracing::error!("the queue entry {id} can't be read and is set aside in the queue's folder {DAMAGED}: {why}");
        match self.commits.commit(vec![Change::MakeFolder(Spot::new(&self.folder, DAMAGED), FOLDER_MODE)]) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => drop(made?),
        }
        let damaged = self.folder.folder(DAMAGED)?;
        let moved = |name: &OsString| Change::Move { from: Spot::new(&self.folder, name), to: Spot::new(&damaged, name) };
        self.commits.commit(names.iter().map(moved).collect())?;
        Ok(())
    }

    fn read_envelope(&self, id: &str) -> Result<Envelope, StoreError> {
        let mut text = Vec::new();
        self.folder.read(&envelope_name(id))?.take(ENVELOPE_OCTETS).read_to_end(&mut text)?;
        let envelope = parse(&text)?;
        if envelope.id == id { Ok(envelope) } else { Err(io::Error::other("its id is not the file's").into()) }
    }

    /// What a new entry needs; [`DiskQueue::entered`] follows when it is committed.
    pub(crate) fn prepare(&self, envelope: &Envelope, message: &mut dyn Read) -> Result<[Change<RealDisk>; 2], StoreError> {
        check_id(&envelope.id)?;
        Ok(enter(self.commits.disk(), (&self.staging_folder(2)?, &self.folder), envelope, message)?)
    }

    pub(crate) fn folder(&self) -> &RealFolder {
        &self.folder
    }

    /// Where the next files are to be written.
    pub(crate) fn staging_folder(&self, files: usize) -> io::Result<RealFolder> {
        self.staging.next(&self.folder, || Ok(self.folder.clone()), files)
    }

    pub(crate) fn entered(&self, envelope: &Envelope) {
        self.known().insert(envelope);
    }

    fn known(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps memory and disk in step while two change the same entry.
    fn turn(&self, id: &str) -> MutexGuard<'_, ()> {
        let index = self.hasher.hash_one(id) as usize % TURNS;
        self.turns[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn scan(&self, visit: &mut dyn FnMut(&Facts)) {
        self.known().all().for_each(visit);
    }

    pub(crate) fn list(&self) -> Result<Vec<Envelope>, StoreError> {
        let ids: Vec<_> = self.known().all().map(|facts| facts.id.clone()).collect();
        // Those that go meanwhile are not in the list.
        let mut entries: Vec<_> = ids.iter().filter_map(|id| self.read_envelope(id).ok()).collect();
        entries.sort_by(|a, b| (a.arrived, &a.id).cmp(&(b.arrived, &b.id)));
        Ok(entries)
    }

    pub(crate) fn envelope(&self, id: &str) -> Result<Envelope, StoreError> {
        self.check_known(id)?;
        self.read_envelope(id)
    }

    fn check_known(&self, id: &str) -> Result<(), StoreError> {
        if self.known().contains(id) { Ok(()) } else { Err(StoreError::NotFound) }
    }

    pub(crate) fn message(&self, id: &str) -> Result<(Box<dyn Read + Send>, u64), StoreError> {
        self.check_known(id)?;
        let file = self.folder.read(&message_name(id))?;
        let octets = file.metadata()?.len();
        Ok((Box::new(file), octets))
    }

    /// Changes an entry in one commit with `more`, which goes first: a crash between the two leaves
    /// a report too many, never one too few.
    pub(crate) fn settle(
        &self,
        id: &str,
        change: &mut dyn FnMut(&mut Envelope),
        more: Vec<Change<RealDisk>>,
    ) -> Result<Envelope, StoreError> {
        let _turn = self.turn(id);
        let mut envelope = self.envelope(id)?;
        change(&mut envelope);
        envelope.sum_up();
        let mut changes = more;
        if envelope.is_settled() {
            changes.extend(self.removal(id));
        } else {
            changes.push(write_envelope(self.commits.disk(), (&self.staging_folder(1)?, &self.folder), &envelope, Taken::Replace)?);
        }
        self.commits.commit(changes)?;
        match envelope.is_settled() {
            true => self.known().remove(id),
            false => self.known().insert(&envelope),
        }
        Ok(envelope)
    }

    pub(crate) fn remove(&self, id: &str) -> Result<(), StoreError> {
        let _turn = self.turn(id);
        self.check_known(id)?;
        self.commits.commit(self.removal(id).into())?;
        self.known().remove(id);
        Ok(())
    }

    /// The message goes second: left alone it is swept, while an envelope would be sent again.
    fn removal(&self, id: &str) -> [Change<RealDisk>; 2] {
        [envelope_name(id), message_name(id)].map(|name| Change::Remove(Spot::new(&self.folder, name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{disk_mail::DiskMail, mail::Queue};

    const OLD: &str = r#"{ "id": "ID", "sender": "alice@one.example", "eight_bit": false, "attempts": 2, "held": false,
        "arrived": { "secs_since_epoch": 784111777, "nanos_since_epoch": 0 },
        "next_attempt": { "secs_since_epoch": 784111777, "nanos_since_epoch": 0 },
        "recipients": [{ "address": "bob@two.example", "state": { "Waiting": { "last_reply": "450 later" } } }],
        "parameters": {} }"#;

    /// A queue's folder with these files, opened.
    fn opened(files: &[(&str, &str)]) -> (tempfile::TempDir, DiskMail) {
        let folder = tempfile::tempdir().unwrap();
        let queue = folder.path().join("var/queue");
        std::fs::create_dir_all(&queue).unwrap();
        files.iter().for_each(|(name, content)| std::fs::write(queue.join(name), content).unwrap());
        let mail = DiskMail::open(&folder.path().join("maildir"), &folder.path().join("var")).unwrap();
        (folder, mail)
    }

    #[test]
    fn an_entry_of_the_first_format_is_read_and_written_in_the_new_one() {
        let (folder, mail) = opened(&[("Q1.json", &OLD.replace("ID", "Q1")), ("Q1.eml", "x")]);
        assert_eq!(mail.list().unwrap()[0].attempts, 2);
        mail.change("Q1", &mut |entry| entry.held = true).unwrap();
        let text = std::fs::read_to_string(folder.path().join("var/queue/Q1.json")).unwrap();
        assert!(text.contains("\"version\": 2"), "{text}");
        assert!(parse(text.as_bytes()).unwrap().held);
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_the_rest_is_there() {
        let newer = OLD.replace("ID", "Q3").replacen('{', "{ \"version\": 99,", 1);
        let (folder, mail) = opened(&[
            ("Q1.json", &OLD.replace("ID", "Q1")),
            ("Q1.eml", "x"),
            ("Q2.json", "{ cut off"),
            ("Q2.eml", "y"),
            ("Q3.json", &newer),
            ("Q3.eml", "z"),
            ("Q4.json", &OLD.replace("ID", "Q4")),
            ("Q5.eml", "not acknowledged"),
        ]);
        assert_eq!(mail.list().unwrap().iter().map(|entry| entry.id.clone()).collect::<Vec<_>>(), ["Q1"]);
        let queue = folder.path().join("var/queue");
        for name in ["Q2.json", "Q2.eml", "Q3.json", "Q3.eml", "Q4.json"] {
            assert!(queue.join(DAMAGED).join(name).exists() && !queue.join(name).exists(), "{name}");
        }
        assert!(!queue.join("Q5.eml").exists());
    }
}
