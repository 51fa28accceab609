//! The transaction state (RFC 1939, 5): which messages are marked as deleted, and what each of its
//! commands comes to. Pure.

use super::{
    command::{Command, Number},
    reply::Reply,
    rules::Step,
};
use crate::store::mail::MessageFacts;

/// Which messages are marked as deleted, and the sum of the others.
#[derive(Debug)]
pub(super) struct Marks {
    deleted: Vec<bool>,
    messages: usize,
    octets: u64,
}

impl Marks {
    pub(super) fn none(messages: &[MessageFacts]) -> Marks {
        let octets = messages.iter().map(|message| message.octets).sum();
        Marks { deleted: vec![false; messages.len()], messages: messages.len(), octets }
    }

    /// Their indexes.
    pub(super) fn deleted(&self) -> Vec<usize> {
        self.deleted.iter().enumerate().filter(|(_, deleted)| **deleted).map(|(index, _)| index).collect()
    }

    /// What to do for a command of the transaction state; `None` for others.
    pub(super) fn step(&mut self, command: Command, messages: &[MessageFacts]) -> Option<Step> {
        let step = match command {
            Command::Stat => Step::Say(Reply::ok(format_args!("{} {}", self.messages, self.octets))),
            Command::Noop => Step::Say(Reply::ok("nothing done")),
            Command::Rset => {
                *self = Marks::none(messages);
                Step::Say(Reply::ok(format_args!("maildrop has {}", self.count())))
            }
            Command::List(None) => Step::ListSizes(Reply::ok(self.count())),
            Command::Uidl(None) => Step::ListUids(Reply::ok(self.count())),
            Command::List(Some(number)) => {
                self.about(number, messages, |index, facts| Step::Say(Reply::ok(format_args!("{} {}", index + 1, facts.octets))))
            }
            Command::Uidl(Some(number)) => {
                self.about(number, messages, |index, facts| Step::Say(Reply::ok(format_args!("{} {}", index + 1, facts.uid))))
            }
            Command::Retr(number) => self.about(number, messages, |index, _| Step::Send(index)),
            Command::Top(number, lines) => self.about(number, messages, |index, _| Step::SendTop(index, lines)),
            Command::Dele(number) => self.delete(number, messages),
            Command::User(_)
            | Command::Pass(_)
            | Command::Apop { .. }
            | Command::Auth { .. }
            | Command::Utf8
            | Command::Stls
            | Command::Lang(_)
            | Command::Capa
            | Command::Quit => return None,
        };
        Some(step)
    }

    fn delete(&mut self, number: Number, messages: &[MessageFacts]) -> Step {
        let (index, facts) = match self.find(number, messages) {
            Ok(found) => found,
            Err(reply) => return Step::Say(reply),
        };
        if let Some(mark) = self.deleted.get_mut(index) {
            *mark = true;
            self.messages -= 1;
            self.octets -= facts.octets;
        }
        Step::Say(Reply::ok(format_args!("message {} deleted", index + 1)))
    }

    fn about(&self, number: Number, messages: &[MessageFacts], then: impl FnOnce(usize, &MessageFacts) -> Step) -> Step {
        self.find(number, messages).map_or_else(Step::Say, |(index, facts)| then(index, facts))
    }

    /// The index of a message that is there and not marked as deleted.
    fn find<'m>(&self, number: Number, messages: &'m [MessageFacts]) -> Result<(usize, &'m MessageFacts), Reply> {
        let index = number.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let found = index.and_then(|index| Some((index, messages.get(index)?, *self.deleted.get(index)?)));
        match found {
            Some((index, facts, false)) => Ok((index, facts)),
            Some((index, ..)) => Err(Reply::err(format_args!("message {} is deleted", index + 1))),
            None => Err(Reply::err(format_args!("no such message, only {} in maildrop", plural(messages.len())))),
        }
    }

    /// The indexes of the messages from `start` on that are not marked.
    pub(super) fn remaining(&self, start: usize) -> impl Iterator<Item = usize> {
        self.deleted.iter().enumerate().skip(start).filter(|(_, deleted)| !**deleted).map(|(index, _)| index)
    }

    fn count(&self) -> String {
        format!("{} ({} octets)", plural(self.messages), self.octets)
    }
}

fn plural(messages: usize) -> String {
    if messages == 1 { "1 message".into() } else { format!("{messages} messages") }
}
