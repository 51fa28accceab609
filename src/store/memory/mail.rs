//! Maildrops and the mail queue in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::store::{
    StoreError,
    lines::{ToDisk, WireReader},
    mail::{Envelope, Facts, Forward, MailStore, Maildrop, MessageFacts, Parcel, Queue, Spool},
    queue_index::Index,
};

/// What it says is free, in octets: as much as a large disk has.
const FREE_OCTETS: u64 = 1 << 40;

/// [`MailStore`] and [`Queue`] in one, as on disk.
#[derive(Clone, Default)]
pub(crate) struct MemoryMail {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    maildrops: BTreeMap<String, Vec<Stored>>,
    locked: BTreeSet<String>,
    queue: BTreeMap<String, (Envelope, Bytes)>,
    index: Index,
    arrivals: u64,
    is_full: bool,
}

#[derive(Clone)]
struct Stored {
    facts: MessageFacts,
    wire: Bytes,
}

impl MemoryMail {
    pub(crate) fn new() -> MemoryMail {
        MemoryMail::default()
    }

    /// From now on everything that wants space is answered [`StoreError::Full`], or no more.
    #[cfg(test)]
    pub(crate) fn fill(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MailStore for MemoryMail {
    fn spool(&self) -> Result<Box<dyn Spool>, StoreError> {
        if self.lock().is_full { Err(StoreError::Full) } else { Ok(Box::new(MemorySpool { mail: self.clone(), octets: Vec::new() })) }
    }

    fn free_octets(&self) -> Result<u64, StoreError> {
        Ok(if self.lock().is_full { 0 } else { FREE_OCTETS })
    }

    fn accept(&self, parcel: Parcel) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.accept(parcel)
    }

    fn open_maildrop(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
        let account = account.to_ascii_lowercase();
        let mut state = self.lock();
        if !state.locked.insert(account.clone()) {
            return Err(StoreError::Busy);
        }
        let facts = state.facts(&account);
        Ok(Box::new(MemoryMaildrop { mail: self.clone(), account, facts, is_locked: true }))
    }

    fn browse(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
        let account = account.to_ascii_lowercase();
        let facts = self.lock().facts(&account);
        Ok(Box::new(MemoryMaildrop { mail: self.clone(), account, facts, is_locked: false }))
    }
}

impl State {
    fn facts(&self, account: &str) -> Vec<MessageFacts> {
        self.maildrops.get(account).into_iter().flatten().map(|stored| stored.facts.clone()).collect()
    }
}

impl State {
    fn accept(&mut self, mut parcel: Parcel) -> Result<(), StoreError> {
        let mut message = Vec::new();
        parcel.message.reader()?.read_to_end(&mut message)?;
        if self.is_full {
            return Err(StoreError::Full);
        }
        if parcel.relay.as_ref().is_some_and(|envelope| self.queue.contains_key(&envelope.id)) {
            return Err(StoreError::Exists);
        }
        for delivery in &parcel.local {
            self.arrivals += 1;
            let wire = wire_form(&[&delivery.prefix, &message])?;
            let facts = MessageFacts { uid: format!("M{}", self.arrivals), octets: wire.len() as u64 };
            self.maildrops.entry(delivery.account.to_ascii_lowercase()).or_default().push(Stored { facts, wire });
        }
        for Forward { envelope, prefix } in parcel.forwards {
            self.index.insert(&envelope);
            self.queue.insert(envelope.id.clone(), (envelope, [&prefix[..], &message].concat().into()));
        }
        if let Some(envelope) = parcel.relay {
            self.index.insert(&envelope);
            self.queue.insert(envelope.id.clone(), (envelope, message.into()));
        }
        Ok(())
    }
}

/// What a Maildir would give back.
fn wire_form(pieces: &[&[u8]]) -> Result<Bytes, StoreError> {
    let (mut lines, mut disk, mut wire) = (ToDisk::default(), Vec::new(), Vec::new());
    for piece in pieces {
        lines.convert(piece, &mut disk);
    }
    let (octets, _) = lines.finish(&mut disk);
    WireReader::new(&disk[..], octets).read_to_end(&mut wire)?;
    Ok(wire.into())
}

struct MemorySpool {
    mail: MemoryMail,
    octets: Vec<u8>,
}

impl Spool for MemorySpool {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        if self.mail.lock().is_full {
            return Err(StoreError::Full);
        }
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    fn octets(&self) -> u64 {
        self.octets.len() as u64
    }

    fn reader(&mut self) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        Ok(Box::new(&self.octets[..]))
    }
}

struct MemoryMaildrop {
    mail: MemoryMail,
    account: String,
    facts: Vec<MessageFacts>,
    is_locked: bool,
}

impl Maildrop for MemoryMaildrop {
    fn messages(&self) -> &[MessageFacts] {
        &self.facts
    }

    fn read(&self, index: usize) -> Result<Box<dyn Read + Send>, StoreError> {
        let uid = &self.facts.get(index).ok_or(StoreError::NotFound)?.uid;
        let state = self.mail.lock();
        let stored = state.maildrops.get(&self.account).and_then(|all| all.iter().find(|stored| stored.facts.uid == *uid));
        Ok(Box::new(Cursor::new(stored.ok_or(StoreError::NotFound)?.wire.clone())))
    }

    fn remove(&mut self, indexes: &[usize]) -> Result<(), StoreError> {
        let gone: BTreeSet<&str> = indexes.iter().filter_map(|&index| self.facts.get(index)).map(|facts| facts.uid.as_str()).collect();
        if let Some(stored) = self.mail.lock().maildrops.get_mut(&self.account) {
            stored.retain(|stored| !gone.contains(stored.facts.uid.as_str()));
        }
        Ok(())
    }
}

impl Drop for MemoryMaildrop {
    fn drop(&mut self) {
        if self.is_locked {
            self.mail.lock().locked.remove(&self.account);
        }
    }
}

impl Queue for MemoryMail {
    fn list(&self) -> Result<Vec<Envelope>, StoreError> {
        let mut entries: Vec<Envelope> = self.lock().queue.values().map(|(envelope, _)| envelope.clone()).collect();
        entries.sort_by(|a, b| (a.arrived, &a.id).cmp(&(b.arrived, &b.id)));
        Ok(entries)
    }

    fn envelope(&self, id: &str) -> Result<Envelope, StoreError> {
        self.lock().queue.get(id).map(|(envelope, _)| envelope.clone()).ok_or(StoreError::NotFound)
    }

    fn message(&self, id: &str) -> Result<(Box<dyn Read + Send>, u64), StoreError> {
        let state = self.lock();
        let (_, message) = state.queue.get(id).ok_or(StoreError::NotFound)?;
        Ok((Box::new(Cursor::new(message.clone())), message.len() as u64))
    }

    fn scan(&self, visit: &mut dyn FnMut(&Facts)) {
        self.lock().index.all().for_each(visit);
    }

    fn settle(&self, id: &str, change: &mut dyn FnMut(&mut Envelope), reports: Vec<Parcel>) -> Result<Envelope, StoreError> {
        let mut state = self.lock();
        if state.is_full {
            return Err(StoreError::Full);
        }
        let mut envelope = state.queue.get(id).ok_or(StoreError::NotFound)?.0.clone();
        change(&mut envelope);
        envelope.sum_up();
        reports.into_iter().try_for_each(|report| state.accept(report))?;
        if envelope.is_settled() {
            state.queue.remove(id);
            state.index.remove(id);
        } else {
            state.index.insert(&envelope);
            state.queue.get_mut(id).ok_or(StoreError::NotFound)?.0 = envelope.clone();
        }
        Ok(envelope)
    }

    fn remove(&self, id: &str) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.index.remove(id);
        state.queue.remove(id).map(drop).ok_or(StoreError::NotFound)
    }
}
