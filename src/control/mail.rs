//! What an administrator may ask of the mailboxes. Looking locks nothing and changes nothing: a
//! message that was new stays new.

use std::io::Read;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    mail::mime::fields::{self, Summary},
    net::escape::escape,
    store::{
        StoreError,
        mail::{Flag, MailStore, Maildrop},
    },
};

/// How much of a message is read for its header fields, in octets.
const HEADER_OCTETS: u64 = 64 * 1024;
/// The largest message that is handed out, in octets: it goes through memory.
const MESSAGE_OCTETS: u64 = 256 * 1024 * 1024;

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    List {
        account: String,
    },
    /// All of it; `number` is that in the list.
    Message {
        account: String,
        number: usize,
    },
}

/// A message in a list.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    pub number: usize,
    pub octets: u64,
    pub flags: Vec<Flag>,
    #[serde(flatten)]
    pub summary: Summary,
    pub uid: String,
}

/// A whole message.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Message {
    pub uid: String,
    pub flags: Vec<Flag>,
    /// With CR LF line ends.
    pub base64: String,
}

impl Message {
    pub(crate) fn octets(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.base64)
    }
}

/// Carries out an order; the answer is a list of [`Row`], or a [`Message`].
pub(crate) fn perform(order: Order, store: &dyn MailStore) -> Result<Value, String> {
    let (Order::List { account } | Order::Message { account, .. }) = &order;
    let told = |error: StoreError| format!("the mailbox of {}: {error}", escape(account));
    let maildrop = store.browse(account).map_err(told)?;
    let there = maildrop.messages().len();
    let answer = match order {
        Order::List { .. } => {
            let rows = (0..there).map(|index| row(&*maildrop, index));
            // What another program has removed since is no longer in the list.
            let rows: Result<Vec<_>, _> = rows.filter(|row| !matches!(row, Err(StoreError::NotFound))).collect();
            serde_json::to_value(rows.map_err(told)?)
        }
        Order::Message { number, .. } => {
            let index = number.checked_sub(1).filter(|index| *index < there);
            let index = index.ok_or_else(|| format!("{} has {there} messages; there is no number {number}", escape(account)))?;
            serde_json::to_value(message(&*maildrop, index).map_err(told)?)
        }
    };
    answer.map_err(|error| error.to_string())
}

fn row(maildrop: &dyn Maildrop, index: usize) -> Result<Row, StoreError> {
    let mut head = Vec::new();
    maildrop.read(index)?.take(HEADER_OCTETS).read_to_end(&mut head)?;
    let facts = maildrop.messages().get(index).ok_or(StoreError::NotFound)?;
    Ok(Row {
        number: index + 1,
        octets: facts.octets,
        flags: maildrop.flags(index),
        summary: fields::summary(&head),
        uid: facts.uid.clone(),
    })
}

fn message(maildrop: &dyn Maildrop, index: usize) -> Result<Message, StoreError> {
    let facts = maildrop.messages().get(index).ok_or(StoreError::NotFound)?;
    let mut octets = Vec::new();
    maildrop.read(index)?.take(MESSAGE_OCTETS).read_to_end(&mut octets)?;
    Ok(Message { uid: facts.uid.clone(), flags: maildrop.flags(index), base64: STANDARD.encode(octets) })
}
