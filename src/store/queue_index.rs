//! What is held in memory of the queue's entries: enough to know what is due, and little, so that
//! a hundred thousand of them fit (some 200 octets each). The rest is read when it is needed.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use super::envelope::Envelope;

/// What is known of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub id: Arc<str>,
    /// When it arrived and how urgent it is (RFC 6710; the higher, the more): who goes first.
    pub arrived: SystemTime,
    pub priority: i8,
    pub held: bool,
    pub parts: Box<[Part]>,
}

/// The recipients of an entry in one domain that still wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Empty where it is the sender who waits, for a report.
    pub domain: Arc<str>,
    /// Not before.
    pub due: SystemTime,
}

/// The facts of all entries, by id.
#[derive(Default)]
pub(crate) struct Index {
    entries: BTreeMap<Arc<str>, Facts>,
    /// Each domain once, however many entries it has.
    domains: HashSet<Arc<str>>,
}

/// Domains that nobody needs any more are looked for when there are twice so many.
const DOMAINS: usize = 1024;

impl Index {
    pub(crate) fn insert(&mut self, envelope: &Envelope) {
        let facts = self.facts(envelope);
        self.entries.insert(facts.id.clone(), facts);
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.entries.remove(id);
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Facts> {
        self.entries.values()
    }

    fn facts(&mut self, envelope: &Envelope) -> Facts {
        let mut parts: Vec<Part> = Vec::with_capacity(1);
        for recipient in &envelope.recipients {
            if recipient.is_waiting() {
                let domain = self.domain(&recipient.domain());
                add(&mut parts, Part { domain, due: envelope.due(recipient) });
            }
            if recipient.report.is_some() {
                let domain = self.domain("");
                add(&mut parts, Part { domain, due: SystemTime::UNIX_EPOCH });
            }
        }
        let priority = envelope.parameters.priority.unwrap_or(0);
        Facts { id: envelope.id.as_str().into(), arrived: envelope.arrived, priority, held: envelope.held, parts: parts.into() }
    }

    fn domain(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.domains.get(name) {
            return known.clone();
        }
        if self.domains.len() >= DOMAINS.max(2 * self.entries.len()) {
            self.domains.retain(|domain| Arc::strong_count(domain) > 1);
        }
        let name: Arc<str> = name.into();
        self.domains.insert(name.clone());
        name
    }
}

fn add(parts: &mut Vec<Part>, part: Part) {
    match parts.iter_mut().find(|other| Arc::ptr_eq(&other.domain, &part.domain)) {
        Some(other) => other.due = other.due.min(part.due),
        None => parts.push(part),
    }
}
