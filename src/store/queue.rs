//! The mail queue on disk: `<id>.eml` holds the message as it came, `<id>.json` its envelope.
//!
//! Both come in one commit; an entry is there once its envelope is. What a crash leaves of an
//! unfinished one is cleared away at the next start. All envelopes are also held in memory, so
//! that looking for what is due reads nothing.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    StoreError,
    commit::{Change, Committer, Disk, RealDisk, RealFolder, Spot, Taken, Temporary, sweep},
    mail::{Envelope, Queue},
    maildir::FILE_MODE,
};

/// Longer ids are not ours.
const ID_OCTETS: usize = 64;
/// An envelope with 10,000 recipients has a few MiB; a larger file is damaged.
const ENVELOPE_OCTETS: u64 = 64 << 20;
/// Changes of one entry wait for one another; with so many turns those of two rarely do.
const TURNS: usize = 16;

pub(crate) struct DiskQueue {
    folder: RealFolder,
    commits: Arc<Committer<RealDisk>>,
    envelopes: Mutex<BTreeMap<String, Envelope>>,
    turns: [Mutex<()>; TURNS],
    hasher: RandomState,
}

/// Writes message and envelope of a new entry; it is in the queue once the changes are committed.
pub(crate) fn enter<D: Disk>(disk: &D, folder: &D::Folder, envelope: &Envelope, message: &mut dyn Read) -> io::Result<[Change<D>; 2]> {
    let mut temporary = Temporary::beside(disk, folder, FILE_MODE)?;
    temporary.fill_from(message)?;
    let message = Change::Place { temporary, to: Spot::new(folder, message_name(&envelope.id)), taken: Taken::Refuse };
    Ok([message, write_envelope(disk, folder, envelope, Taken::Refuse)?])
}

pub(crate) fn write_envelope<D: Disk>(disk: &D, folder: &D::Folder, envelope: &Envelope, taken: Taken) -> io::Result<Change<D>> {
    let mut temporary = Temporary::beside(disk, folder, FILE_MODE)?;
    temporary.write_all(&serde_json::to_vec_pretty(envelope)?)?;
    Ok(Change::Place { temporary, to: Spot::new(folder, envelope_name(&envelope.id)), taken })
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
        let queue = DiskQueue {
            folder,
            commits,
            envelopes: Mutex::default(),
            turns: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        };
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
        queue.discard(messages.iter().filter(|id| !has(&envelopes, id)).map(|id| message_name(id)))?;
        queue.discard(envelopes.iter().filter(|id| !has(&messages, id)).map(|id| envelope_name(id)))?;
        for id in envelopes.iter().filter(|id| has(&messages, id)) {
            match queue.read_envelope(id) {
                Ok(envelope) => drop(queue.known().insert(id.clone(), envelope)),
                // Left where it is: it was acknowledged, and a person may be able to read it.
                Err(error) => tracing::error!("the queue entry {id} can't be read and is left alone: {error}"),
            }
        }
        Ok(queue)
    }

    fn discard(&self, names: impl Iterator<Item = OsString>) -> Result<(), StoreError> {
        let orphans = names.map(|name| Change::Remove(Spot::new(&self.folder, name))).collect();
        self.commits.commit(orphans)?;
        Ok(())
    }

    fn read_envelope(&self, id: &str) -> Result<Envelope, StoreError> {
        let mut text = Vec::new();
        self.folder.read(&envelope_name(id))?.take(ENVELOPE_OCTETS).read_to_end(&mut text)?;
        let envelope: Envelope = serde_json::from_slice(&text).map_err(io::Error::from)?;
        if envelope.id == id { Ok(envelope) } else { Err(io::Error::other("its id is not the file's").into()) }
    }

    /// What a new entry needs; [`DiskQueue::entered`] follows when it is committed.
    pub(crate) fn prepare(&self, envelope: &Envelope, message: &mut dyn Read) -> Result<[Change<RealDisk>; 2], StoreError> {
        check_id(&envelope.id)?;
        Ok(enter(self.commits.disk(), &self.folder, envelope, message)?)
    }

    pub(crate) fn entered(&self, envelope: Envelope) {
        self.known().insert(envelope.id.clone(), envelope);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Envelope>> {
        self.envelopes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps memory and disk in step while two change the same entry.
    fn turn(&self, id: &str) -> MutexGuard<'_, ()> {
        let index = self.hasher.hash_one(id) as usize % TURNS;
        self.turns[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue for DiskQueue {
    fn list(&self) -> Result<Vec<Envelope>, StoreError> {
        let mut entries: Vec<Envelope> = self.known().values().cloned().collect();
        entries.sort_by(|a, b| (a.arrived, &a.id).cmp(&(b.arrived, &b.id)));
        Ok(entries)
    }

    fn envelope(&self, id: &str) -> Result<Envelope, StoreError> {
        self.known().get(id).cloned().ok_or(StoreError::NotFound)
    }

    fn message(&self, id: &str) -> Result<(Box<dyn Read + Send>, u64), StoreError> {
        self.envelope(id)?;
        let file = self.folder.read(&message_name(id))?;
        let octets = file.metadata()?.len();
        Ok((Box::new(file), octets))
    }

    fn update(&self, envelope: &Envelope) -> Result<(), StoreError> {
        let _turn = self.turn(&envelope.id);
        self.envelope(&envelope.id)?;
        self.commits.commit(vec![write_envelope(self.commits.disk(), &self.folder, envelope, Taken::Replace)?])?;
        self.known().insert(envelope.id.clone(), envelope.clone());
        Ok(())
    }

    fn remove(&self, id: &str) -> Result<(), StoreError> {
        let _turn = self.turn(id);
        self.envelope(id)?;
        // The message goes second: left alone it is swept, while an envelope would be sent again.
        let names = [envelope_name(id), message_name(id)];
        self.commits.commit(names.map(|name| Change::Remove(Spot::new(&self.folder, name))).into())?;
        self.known().remove(id);
        Ok(())
    }
}
