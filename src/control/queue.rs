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

/// An order to the queue. `id` may be `all` where entries are changed.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    List,
    /// An entry and the beginning of its message.
    Show {
        id: String,
    },
    /// Try it now.
    Retry {
        id: String,
    },
    /// No attempts until it is released.
    Hold {
        id: String,
    },
    Release {
        id: String,
    },
    /// Forget it; nobody is told.
    Remove {
        id: String,
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
    pub last_reply: Option<String>,
}

/// Carries out an order; the answer is a list of entries, or of the ids that were changed.
pub(crate) fn perform(order: Order, queue: &dyn Queue, clock: &Clock, wake: &Wake) -> Result<Value, String> {
    let each = |id: &str, change: &dyn Fn(&str) -> Result<(), StoreError>| -> Result<Value, String> {
        let ids = ids(queue, id)?;
        for id in &ids {
            change(id).map_err(|error| told(id, &error))?;
        }
        Ok(ids.into())
    };
    match order {
        Order::List => {
            let entries = queue.list().map_err(|error| format!("the queue can't be read: {error}"))?;
            let rows: Vec<_> = entries.into_iter().map(|envelope| entry(envelope, queue, false)).collect();
            serde_json::to_value(rows).map_err(|error| error.to_string())
        }
        Order::Show { id } => {
            let envelope = queue.envelope(&id).map_err(|error| told(&id, &error))?;
            serde_json::to_value([entry(envelope, queue, true)]).map_err(|error| error.to_string())
        }
        Order::Retry { id } => each(&id, &|id| orders::retry_now(queue, id, clock, wake)),
        Order::Hold { id } => each(&id, &|id| orders::hold(queue, id)),
        Order::Release { id } => each(&id, &|id| orders::release(queue, id, wake)),
        Order::Remove { id } => each(&id, &|id| queue.remove(id)),
    }
}

fn ids(queue: &dyn Queue, id: &str) -> Result<Vec<String>, String> {
    if id != "all" {
        return Ok(vec![id.to_owned()]);
    }
    let entries = queue.list().map_err(|error| format!("the queue can't be read: {error}"))?;
    Ok(entries.into_iter().map(|envelope| envelope.id).collect())
}

fn told(id: &str, error: &StoreError) -> String {
    match error {
        StoreError::NotFound => format!("there is no entry `{id}` in the queue; `portico queue list` shows what there is"),
        error => format!("queue entry {id}: {error}"),
    }
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
    let recipients = envelope.recipients.into_iter().map(|recipient| {
        let (state, last_reply) = match recipient.state {
            RecipientState::Waiting { last_reply } => ("waiting", last_reply),
            RecipientState::Delivered => ("delivered", None),
            RecipientState::Failed(why) => ("failed", Some(why)),
        };
        EntryRecipient { address: recipient.address, state: state.into(), last_reply }
    });
    Entry {
        id: envelope.id,
        sender: envelope.sender,
        octets,
        arrived: time(envelope.arrived),
        attempts: envelope.attempts,
        next_attempt: (!envelope.held).then(|| time(envelope.next_attempt)),
        held: envelope.held,
        recipients: recipients.collect(),
        message,
    }
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
