//! What an administrator may ask of the mail queue.

use std::{io::Read, time::SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    clock::Clock,
    smtp::relay::{Wake, orders},
    store::{
        StoreError,
        mail::{Envelope, Queue, RecipientState},
    },
};

/// How much of a message is shown, in octets.
const SHOWN_OCTETS: u64 = 64 * 1024;

/// An order to the queue. Each word of `which` is an entry's id, `all`, a domain or an address that
/// mail waits for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    List {
        which: Vec<String>,
    },
    /// Entries and the beginning of their messages.
    Show {
        which: Vec<String>,
    },
    /// Try them now.
    Retry {
        which: Vec<String>,
    },
    /// No attempts until they are released.
    Hold {
        which: Vec<String>,
    },
    Release {
        which: Vec<String>,
    },
    /// Forget them; nobody is told.
    Remove {
        which: Vec<String>,
    },
}

/// An entry as people and programs see it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Entry {
    pub id: String,
    pub sender: String,
    pub octets: u64,
    pub arrived: String,
    pub attempts: u32,
    /// When it is tried next; not while it is held.
    pub next_attempt: Option<String>,
    pub held: bool,
    /// MT-PRIORITY, 0 where the sender said nothing.
    pub priority: i8,
    pub envid: Option<String>,
    pub recipients: Vec<EntryRecipient>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct EntryRecipient {
    pub address: String,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    pub attempts: u32,
    /// While it waits.
    pub next_attempt: Option<String>,
    pub last_reply: Option<String>,
    /// The server that said so.
    pub remote: Option<String>,
    /// The report that the sender is still to get.
    pub report: Option<Value>,
}

/// Carries out an order; the answer is a list of entries, or of the ids that were changed.
pub(crate) fn perform(order: Order, queue: &dyn Queue, clock: &Clock, wake: &Wake) -> Result<Value, String> {
    let each = |entries: Vec<Envelope>, change: &dyn Fn(&str) -> Result<(), StoreError>| -> Result<Value, String> {
        let mut changed = Vec::new();
        for Envelope { id, .. } in entries {
            match change(&id) {
                Ok(()) => changed.push(id),
                // It has left meanwhile: somebody else was faster.
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(format!("queue entry {id}: {error}")),
            }
        }
        Ok(changed.into())
    };
    let entries = |which: &[String], whole| {
        let rows: Vec<_> = chosen(queue, which)?.into_iter().map(|envelope| entry(envelope, queue, whole)).collect();
        serde_json::to_value(rows).map_err(|error| error.to_string())
    };
    match order {
        Order::List { which } if which.is_empty() => entries(&[ALL.to_owned()], false),
        Order::List { which } => entries(&which, false),
        Order::Show { which } => entries(&which, true),
        Order::Retry { which } => each(not_held(chosen(queue, &which)?)?, &|id| orders::retry_now(queue, id, clock, wake)),
        Order::Hold { which } => each(chosen(queue, &which)?, &|id| orders::hold(queue, id)),
        Order::Release { which } => each(chosen(queue, &which)?, &|id| orders::release(queue, id, wake)),
        Order::Remove { which } => each(chosen(queue, &which)?, &|id| queue.remove(id)),
    }
}

/// Stands for every entry.
const ALL: &str = "all";

/// The entries that the words name, oldest first, each once.
fn chosen(queue: &dyn Queue, which: &[String]) -> Result<Vec<Envelope>, String> {
    let list = || queue.list().map_err(|error| format!("the queue can't be read: {error}"));
    // An id needs no look at all the others.
    let by_id: Result<Vec<_>, _> = which.iter().map(|id| queue.envelope(id)).collect();
    if let Ok(entries) = by_id {
        return Ok(entries);
    }
    let all = list()?;
    let unknown = which.iter().find(|word| *word != ALL && !all.iter().any(|entry| is_meant(entry, word)));
    match unknown {
        Some(word) => {
            Err(format!("there is no entry `{word}` in the queue, and none waits for it; `portico queue list` shows what there is"))
        }
        None => Ok(all.into_iter().filter(|entry| which.iter().any(|word| is_meant(entry, word))).collect()),
    }
}

/// Those that may be tried. To name held ones alone is a mistake that is told.
fn not_held(entries: Vec<Envelope>) -> Result<Vec<Envelope>, String> {
    match entries.first() {
        Some(first) if entries.iter().all(|entry| entry.held) => {
            Err(format!("queue entry {} is held; `portico queue release` lets it be tried", first.id))
        }
        _ => Ok(entries.into_iter().filter(|entry| !entry.held).collect()),
    }
}

fn is_meant(entry: &Envelope, word: &str) -> bool {
    let waits = |word: &str| {
        let mut waiting = entry.recipients.iter().filter(|recipient| recipient.is_waiting());
        waiting.any(|recipient| recipient.domain() == word || recipient.address.to_lowercase() == word)
    };
    word == ALL || entry.id == word || waits(&word.to_lowercase())
}

fn entry(envelope: Envelope, queue: &dyn Queue, whole: bool) -> Entry {
    let message = queue.message(&envelope.id);
    let octets = message.as_ref().map_or(0, |(_, octets)| *octets);
    let message = message.ok().filter(|_| whole).map(|(reader, _)| {
        let mut text = Vec::new();
        // A message that can't be read to its end is shown as far as it goes.
        let _broken = reader.take(SHOWN_OCTETS).read_to_end(&mut text);
        String::from_utf8_lossy(&text).replace("\r\n", "\n")
    });
    let recipients = envelope.recipients.iter().map(|recipient| {
        let (state, last_reply) = match &recipient.state {
            RecipientState::Waiting { last_reply } => ("waiting", last_reply.clone()),
            RecipientState::Delivered => ("delivered", None),
            RecipientState::Failed(why) => ("failed", Some(why.clone())),
        };
        let is_tried = recipient.is_waiting() && !envelope.held;
        EntryRecipient {
            address: recipient.address.clone(),
            state: state.into(),
            attempts: recipient.progress.attempts,
            next_attempt: is_tried.then(|| time(envelope.due(recipient))),
            last_reply,
            remote: recipient.progress.remote.clone(),
            report: recipient.report.and_then(|report| serde_json::to_value(report).ok()),
        }
    });
    let recipients = recipients.collect();
    Entry {
        recipients,
        id: envelope.id,
        sender: envelope.sender,
        octets,
        arrived: time(envelope.arrived),
        attempts: envelope.attempts,
        next_attempt: (!envelope.held).then(|| time(envelope.next_attempt)),
        held: envelope.held,
        priority: envelope.parameters.priority.unwrap_or(0),
        envid: envelope.parameters.envid,
        message,
    }
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        envelope::{MailParameters, Progress, RcptParameters, Recipient},
        mail::{MailStore, Parcel},
        memory::MemoryMail,
    };

    fn queue(entries: &[(&str, &str)]) -> MemoryMail {
        let mail = MemoryMail::new();
        for (id, address) in entries {
            let recipient = Recipient {
                address: (*address).into(),
                state: RecipientState::Waiting { last_reply: None },
                parameters: RcptParameters::default(),
                report: None,
                progress: Progress::default(),
            };
            let envelope = Envelope {
                id: (*id).into(),
                sender: String::new(),
                recipients: vec![recipient],
                eight_bit: false,
                arrived: SystemTime::UNIX_EPOCH,
                attempts: 0,
                next_attempt: SystemTime::UNIX_EPOCH,
                held: false,
                parameters: MailParameters::default(),
            };
            let message = mail.spool().unwrap();
            mail.accept(Parcel { message, local: Vec::new(), relay: Some(envelope), forwards: Vec::new() }).unwrap();
        }
        mail
    }

    fn held(mail: &MemoryMail, words: &[&str]) -> Result<Value, String> {
        let which = words.iter().map(|word| (*word).to_owned()).collect();
        perform(Order::Hold { which }, mail, &Clock::system(), &Wake::default())
    }

    #[test]
    fn entries_are_named_by_id_domain_address_or_all() {
        let mail = queue(&[("Q1", "a@one.example"), ("Q2", "b@One.Example"), ("Q3", "c@two.example")]);
        for (words, ids) in [
            (&["Q3"][..], &["Q3"][..]),
            (&["one.example"], &["Q1", "Q2"]),
            (&["ONE.example", "Q2", "Q3"], &["Q1", "Q2", "Q3"]),
            (&["b@one.example"], &["Q2"]),
            (&["all"], &["Q1", "Q2", "Q3"]),
        ] {
            assert_eq!(held(&mail, words), Ok(ids.to_vec().into()), "{words:?}");
        }
        assert!(held(&mail, &["Q1", "three.example"]).unwrap_err().contains("three.example"));
        assert!(mail.list().unwrap().iter().all(|entry| entry.held));
        assert_eq!(held(&queue(&[]), &["all"]), Ok(Value::Array(Vec::new())));
    }

    #[test]
    fn what_is_held_is_not_said_to_be_tried() {
        let mail = queue(&[("Q1", "a@one.example"), ("Q2", "b@two.example")]);
        let retry = |word: &str| {
            let order = Order::Retry { which: vec![word.to_owned()] };
            perform(order, &mail, &Clock::system(), &Wake::default())
        };
        held(&mail, &["Q1"]).unwrap();
        assert!(retry("Q1").unwrap_err().contains("Q1 is held"));
        assert_eq!(retry("all"), Ok(vec!["Q2"].into()));
    }
}
