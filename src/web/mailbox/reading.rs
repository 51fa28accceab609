//! What is read out of the store: a page of the list, or one message. It may wait for the disk.

use std::{cell::OnceCell, collections::BTreeMap, io::Read, ops::Range};

use super::MESSAGE_OCTETS;
use crate::{
    mail::mime::{
        fields::{self, Summary},
        tree::{Part, Tree, header_octets},
    },
    store::{
        StoreError,
        mail::{Flag, MailStore, Maildrop, MessageFacts},
    },
};

/// Messages on one page of the list: each of their heads is read for it.
pub(super) const PAGE_MESSAGES: usize = 50;
/// How much of a message is read for its line in the list, in octets.
const SUMMARY_OCTETS: u64 = 64 * 1024;

/// One page of the list, the newest message first.
pub(super) struct List {
    pub account: String,
    pub messages: usize,
    pub octets: u64,
    /// From 1.
    pub page: usize,
    pub pages: usize,
    pub rows: Vec<Row>,
}

pub(super) struct Row {
    /// As POP3 would count at this moment.
    pub number: usize,
    pub facts: MessageFacts,
    pub flags: Vec<Flag>,
    pub summary: Summary,
}

/// `None` where there is no such page. An empty mailbox has one.
pub(super) fn list(store: &dyn MailStore, account: &str, page: usize) -> Result<Option<List>, StoreError> {
    let maildrop = store.browse(account)?;
    let messages = maildrop.messages().len();
    let Some(indexes) = on_page(messages, page) else { return Ok(None) };
    let rows = indexes.rev().map(|index| row(&*maildrop, index));
    // What another program has removed since is no longer in the list.
    let rows = rows.filter(|row| !matches!(row, Err(StoreError::NotFound))).collect::<Result<_, _>>()?;
    let octets = maildrop.messages().iter().map(|facts| facts.octets).sum();
    let pages = messages.div_ceil(PAGE_MESSAGES).max(1);
    Ok(Some(List { account: account.to_owned(), messages, octets, page, pages, rows }))
}

/// Which of the messages, counted from the oldest, are on a page.
fn on_page(messages: usize, page: usize) -> Option<Range<usize>> {
    let newer = page.checked_sub(1)?.checked_mul(PAGE_MESSAGES)?;
    let end = messages.checked_sub(newer).filter(|end| *end > 0 || page == 1)?;
    Some(end.saturating_sub(PAGE_MESSAGES)..end)
}

fn row(maildrop: &dyn Maildrop, index: usize) -> Result<Row, StoreError> {
    let mut head = Vec::new();
    maildrop.read(index)?.take(SUMMARY_OCTETS).read_to_end(&mut head)?;
    let facts = maildrop.messages().get(index).ok_or(StoreError::NotFound)?.clone();
    Ok(Row { number: index + 1, facts, flags: maildrop.flags(index), summary: fields::summary(&head) })
}

/// Opens the mailbox to look at one message: which one it is, and its size in octets.
pub(super) fn open(store: &dyn MailStore, account: &str, uid: &str) -> Result<(Box<dyn Maildrop>, usize, u64), StoreError> {
    let maildrop = store.browse(account)?;
    let found = maildrop.messages().iter().enumerate().find(|(_, facts)| facts.uid == uid);
    let (index, octets) = found.map(|(index, facts)| (index, facts.octets)).ok_or(StoreError::NotFound)?;
    Ok((maildrop, index, octets))
}

/// A message, taken apart.
pub(super) struct Message {
    pub account: String,
    pub number: usize,
    pub facts: MessageFacts,
    pub flags: Vec<Flag>,
    pub octets: Vec<u8>,
    pub fields: Vec<(String, String)>,
    /// Its parts, or why it is not taken apart.
    pub tree: Result<Tree, String>,
    /// How long the parts are once they are decoded, by number: each is decoded once for that.
    sizes: OnceCell<BTreeMap<String, usize>>,
    /// The unique ids of its neighbours.
    pub newer: Option<String>,
    pub older: Option<String>,
}

impl Message {
    pub(super) fn read(account: String, maildrop: &dyn Maildrop, index: usize) -> Result<Message, StoreError> {
        let all = maildrop.messages();
        let facts = all.get(index).ok_or(StoreError::NotFound)?.clone();
        let mut octets = Vec::with_capacity(usize::try_from(facts.octets.min(MESSAGE_OCTETS)).unwrap_or_default());
        maildrop.read(index)?.take(MESSAGE_OCTETS).read_to_end(&mut octets)?;
        let uid_at = |index: Option<usize>| all.get(index?).map(|facts| facts.uid.clone());
        Ok(Message {
            account,
            number: index + 1,
            flags: maildrop.flags(index),
            newer: uid_at(index.checked_add(1)),
            older: uid_at(index.checked_sub(1)),
            ..Message::taken_apart(octets, facts)
        })
    }

    /// A message that nobody has stored.
    pub(super) fn of(octets: &[u8]) -> Message {
        let facts = MessageFacts { uid: "1".into(), octets: octets.len() as u64 };
        Message::taken_apart(octets.to_vec(), facts)
    }

    fn taken_apart(octets: Vec<u8>, facts: MessageFacts) -> Message {
        let tree = match facts.octets > MESSAGE_OCTETS {
            true => Err(format!("it is larger than {MESSAGE_OCTETS} octets")),
            false => Tree::read(&octets).map_err(|bomb| bomb.to_string()),
        };
        let fields = fields::decoded(octets.get(..header_octets(&octets)).unwrap_or_default());
        Message {
            account: String::new(),
            number: 1,
            flags: Vec::new(),
            newer: None,
            older: None,
            facts,
            octets,
            fields,
            tree,
            sizes: OnceCell::new(),
        }
    }

    /// What delivery wrote down of the envelope, in front of everything that came (RFC 5321, 4.4).
    pub(super) fn envelope(&self) -> &[(String, String)] {
        let is_envelope = |name: &str| ["return-path", "delivered-to"].iter().any(|known| name.eq_ignore_ascii_case(known));
        let count = self.fields.iter().take_while(|(name, _)| is_envelope(name)).count();
        self.fields.get(..count).unwrap_or_default()
    }

    /// A line for each server that had it, the last one first.
    pub(super) fn trace(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|(name, _)| is_trace(name)).map(|(_, value)| value.as_str())
    }

    /// Everything else of the head.
    pub(super) fn head(&self) -> impl Iterator<Item = &(String, String)> {
        let rest = self.fields.get(self.envelope().len()..).unwrap_or_default();
        rest.iter().filter(|(name, _)| !is_trace(name))
    }

    pub(super) fn subject(&self) -> &str {
        fields::named(&self.fields, "subject").filter(|subject| !subject.is_empty()).unwrap_or("(no subject)")
    }

    pub(super) fn parts(&self) -> &[Part] {
        self.tree.as_ref().map_or(&[], |tree| &tree.parts)
    }

    /// The octets of a part that is decoded.
    pub(super) fn size_of(&self, part: &Part) -> usize {
        let leaves = || self.parts().iter().filter(|part| !part.is_composite);
        let sizes = self.sizes.get_or_init(|| leaves().map(|part| (part.number.clone(), part.octets(&self.octets).len())).collect());
        sizes.get(&part.number).copied().unwrap_or_default()
    }

    /// What stands after the head, as far as it is here.
    pub(super) fn body(&self) -> &[u8] {
        self.octets.get(header_octets(&self.octets)..).unwrap_or_default()
    }
}

fn is_trace(name: &str) -> bool {
    name.eq_ignore_ascii_case("received")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_begin_with_the_newest() {
        assert_eq!(on_page(0, 1), Some(0..0));
        assert_eq!(on_page(3, 1), Some(0..3));
        assert_eq!((on_page(50, 1), on_page(50, 2)), (Some(0..50), None));
        assert_eq!((on_page(51, 1), on_page(51, 2), on_page(51, 3)), (Some(1..51), Some(0..1), None));
        for page in [0, 2, usize::MAX, usize::MAX / PAGE_MESSAGES] {
            assert_eq!(on_page(10, page), None, "{page}");
        }
    }
}
