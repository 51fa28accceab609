//! What SMTP hands to POP3 and to the relay: messages into maildrops and into the queue.

use std::{
    any::Any,
    io::Read,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::StoreError;
pub(crate) use super::{
    envelope::{Envelope, Recipient, RecipientState},
    queue_index::Facts,
};

/// A message while it arrives: in memory up to 256 KiB, beyond that in a temporary file without a
/// name. Octets are kept as they come, with CR LF line ends.
pub(crate) trait Spool: Send + Any {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError>;
    /// How much was written, in octets.
    fn octets(&self) -> u64;
    /// Reads from the start.
    fn reader(&mut self) -> Result<Box<dyn Read + Send + '_>, StoreError>;
}

/// Where a message that has arrived completely is to go. All of it is taken, or nothing.
pub(crate) struct Parcel {
    /// Everything from the trace fields on, without Return-Path.
    pub message: Box<dyn Spool>,
    pub local: Vec<LocalDelivery>,
    /// Recipients elsewhere, if any: the queue's entry.
    pub relay: Option<Envelope>,
    /// What goes on to others by the settings of accounts here.
    pub forwards: Vec<Forward>,
}

/// An entry of the queue for what an account forwards.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    pub envelope: Envelope,
    /// Header lines to put in front (Delivered-To), each with CR LF.
    pub prefix: Vec<u8>,
}

/// Final delivery into one account's maildrop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalDelivery {
    pub account: String,
    /// Header lines to put in front (Return-Path, Delivered-To), each with CR LF.
    pub prefix: Vec<u8>,
}

/// Takes messages durably.
pub(crate) trait MailStore: Send + Sync + 'static {
    /// An empty message to write to.
    fn spool(&self) -> Result<Box<dyn Spool>, StoreError>;
    /// The same for a message that will go into one maildrop and nowhere else, as far as is known:
    /// it may be written there while it comes. It has to be accepted all the same.
    fn spool_for(&self, _delivery: LocalDelivery) -> Result<Box<dyn Spool>, StoreError> {
        self.spool()
    }
    /// How many octets may still be written, as far as anybody knows.
    fn free_octets(&self) -> Result<u64, StoreError> {
        Ok(u64::MAX)
    }
    /// Whether messages can be put into the maildrop of an account: tried, and taken back.
    fn probe(&self, _account: &str) -> Result<(), StoreError> {
        Ok(())
    }
    /// Everything is safe in all its places when this returns `Ok`, and nowhere when it fails.
    fn accept(&self, parcel: Parcel) -> Result<(), StoreError>;
    /// The same for many at once, each taken or refused by itself; they share the waiting.
    fn accept_all(&self, parcels: Vec<Parcel>) -> Vec<Result<(), StoreError>> {
        parcels.into_iter().map(|parcel| self.accept(parcel)).collect()
    }
    /// Whether `octets` more keep the maildrop of an account within `quota`, as POP3 counts octets.
    fn has_room(&self, account: &str, octets: u64, quota: u64) -> Result<bool, StoreError> {
        let there: u64 = self.browse(account)?.messages().iter().map(|facts| facts.octets).sum();
        Ok(there.saturating_add(octets) <= quota)
    }
    /// Opens and locks the maildrop of an account; [`StoreError::Busy`] while another session
    /// has it. The lock goes with the value, or with the process.
    fn open_maildrop(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError>;
    /// The same without the lock, to look only: a session may have it meanwhile.
    fn browse(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
        self.open_maildrop(account)
    }
}

/// A locked maildrop: the messages that were there when it was opened, oldest first.
pub(crate) trait Maildrop: Send {
    fn messages(&self) -> &[MessageFacts];
    /// The message `index` (from 0) with CR LF line ends, exactly `octets` of them.
    fn read(&self, index: usize) -> Result<Box<dyn Read + Send>, StoreError>;
    /// What mail programs have noted of the message `index`.
    fn flags(&self, _index: usize) -> Vec<Flag> {
        Vec::new()
    }
    /// Removes messages for good: durable when it returns. `Err` says that some are still there.
    fn remove(&mut self, indexes: &[usize]) -> Result<(), StoreError>;
}

/// The flags of a Maildir, and `new` for messages that no mail program has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flag {
    New,
    Passed,
    Replied,
    Seen,
    Trashed,
    Draft,
    Flagged,
}

/// One message of a maildrop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageFacts {
    /// The same for ever, unique in the maildrop, 1 to 70 printable characters (RFC 1939, 7).
    pub uid: String,
    /// Size with CR LF line ends.
    pub octets: u64,
}

/// The durable mail queue.
pub(crate) trait Queue: Send + Sync + 'static {
    /// Shows what is known of every entry without reading any, in no particular order.
    fn scan(&self, visit: &mut dyn FnMut(&Facts));
    /// All entries, oldest first: for people.
    fn list(&self) -> Result<Vec<Envelope>, StoreError>;
    fn envelope(&self, id: &str) -> Result<Envelope, StoreError>;
    /// The message of an entry, with its octets.
    fn message(&self, id: &str) -> Result<(Box<dyn Read + Send>, u64), StoreError>;
    /// Changes an entry, and takes reports about it: all of it durable when it returns, or none.
    /// An entry that is settled then goes.
    fn settle(&self, id: &str, change: &mut dyn FnMut(&mut Envelope), reports: Vec<Parcel>) -> Result<Envelope, StoreError>;
    /// Changes an entry: durable when it returns.
    fn change(&self, id: &str, change: &mut dyn FnMut(&mut Envelope)) -> Result<Envelope, StoreError> {
        self.settle(id, change, Vec::new())
    }
    /// Removes an entry: durable when it returns.
    fn remove(&self, id: &str) -> Result<(), StoreError>;
}

/// How long until something happens, for the queue runner.
pub(crate) fn until(next: SystemTime, now: SystemTime) -> Duration {
    next.duration_since(now).unwrap_or_default()
}
