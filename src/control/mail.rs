//! What an administrator may ask of the mailboxes. Looking locks a mailbox, as POP3 does.

use std::io::Read;

use mail_parser::{HeaderValue, MessageParser};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    net::escape::escape,
    store::{
        StoreError,
        mail::{MailStore, Maildrop},
    },
};

/// How much of a message is read for its header fields, in octets.
const HEADER_OCTETS: u64 = 64 * 1024;
/// How much of a message is shown, in octets.
const SHOWN_OCTETS: u64 = 1024 * 1024;

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    List {
        account: String,
    },
    /// Its text; `number` is that in the list.
    Show {
        account: String,
        number: usize,
    },
}

/// A message in a list.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    pub number: usize,
    pub octets: u64,
    pub date: String,
    pub from: String,
    pub subject: String,
    pub uid: String,
}

/// Carries out an order; the answer is a list of rows, or the text of a message.
pub(crate) fn perform(order: Order, store: &dyn MailStore) -> Result<Value, String> {
    let (Order::List { account } | Order::Show { account, .. }) = &order;
    let told = |error: StoreError| format!("the mailbox of {}: {error}", escape(account));
    let maildrop = store.open_maildrop(account).map_err(told)?;
    match order {
        Order::List { .. } => {
            let rows = (0..maildrop.messages().len()).map(|index| row(&*maildrop, index)).collect::<Result<Vec<_>, _>>();
            serde_json::to_value(rows.map_err(told)?).map_err(|error| error.to_string())
        }
        Order::Show { number, .. } => {
            let there = maildrop.messages().len();
            let index = number.checked_sub(1).filter(|index| *index < there);
            let index = index.ok_or_else(|| format!("{} has {there} messages; there is no number {number}", escape(account)))?;
            Ok(Value::String(text(&*maildrop, index, SHOWN_OCTETS).map_err(told)?))
        }
    }
}

fn row(maildrop: &dyn Maildrop, index: usize) -> Result<Row, StoreError> {
    let head = text(maildrop, index, HEADER_OCTETS)?;
    let message = MessageParser::new().parse_headers(head.as_bytes());
    let field = |name: &str| match message.as_ref().and_then(|message| message.header(name)) {
        Some(HeaderValue::Address(address)) => address.first().and_then(|first| first.address()).unwrap_or_default().to_owned(),
        Some(HeaderValue::DateTime(date)) => date.to_rfc3339(),
        Some(value) => value.as_text().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let facts = maildrop.messages().get(index).ok_or(StoreError::NotFound)?;
    Ok(Row {
        number: index + 1,
        octets: facts.octets,
        date: field("Date"),
        from: field("From"),
        subject: field("Subject"),
        uid: facts.uid.clone(),
    })
}

fn text(maildrop: &dyn Maildrop, index: usize, octets: u64) -> Result<String, StoreError> {
    let mut text = Vec::new();
    maildrop.read(index)?.take(octets).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).replace("\r\n", "\n"))
}
