//! Takes a message from the wire, by DATA or by BDAT, and hands it to the store.

use std::time::SystemTime;

use mail_parser::{HeaderName, MessageParser};

use super::{
    conversation::{Client, Smtp},
    delivery,
    incoming::{Arrived, Framing, Incoming, PATIENCE_OCTETS},
    lab::Action,
    parcel::{Consignment, new_id},
    reply::{self, Reply},
    rules::{Role, Transaction, needs_utf8, only_recipient},
};
use crate::{
    mail::{
        address::Mailbox,
        date,
        dots::Fed,
        head::{Head, Repair},
        message,
    },
    net::{Ended, Parse},
    store::{
        self, StoreError,
        mail::{Forward, Parcel, Spool},
    },
};

/// A message that comes by BDAT, as far as it has come.
pub(super) struct Chunked {
    slip: Slip,
    incoming: Incoming,
}

/// What a message is known by from its first octet on.
struct Slip {
    id: String,
    arrived: SystemTime,
}

impl Client<'_> {
    /// Takes the message after DATA and answers the reply to its last line; none where an address of
    /// the lab wants the connection lost.
    pub(super) async fn receive(&mut self, go_ahead: &Reply) -> Result<Option<Reply>, Ended> {
        // Where there is no room we say so before the client sends, not after.
        let (slip, incoming) = match self.begin(Framing::Dot) {
            Ok(begun) => begun,
            Err(reply) => return Ok(Some(reply)),
        };
        self.say(go_ahead);
        let incoming = self.transfer(incoming).await?;
        self.people &= incoming.ends_in_bare_lf();
        self.conclude(slip, incoming, Framing::Dot).await
    }

    /// Takes a chunk after BDAT (RFC 3030, 2). Its octets are read in any case: they are no commands.
    pub(super) async fn take_chunk(&mut self, octets: u64, last: bool) -> Result<Option<Reply>, Ended> {
        let begun = match self.chunked.take() {
            Some(chunked) => Ok(chunked),
            None => self.begin(Framing::Chunks).map(|(slip, incoming)| Box::new(Chunked { slip, incoming })),
        };
        let mut chunked = match begun {
            Ok(chunked) => chunked,
            Err(reply) => {
                self.swallow(octets).await?;
                self.session.chunk_failed();
                return Ok(Some(reply));
            }
        };
        self.check_chunk(octets)?;
        let mut left = octets;
        while left > 0 {
            left -= self.some_of_chunk(left, |wire| _ = chunked.incoming.feed(wire)).await?;
            if chunked.incoming.is_endless() {
                return Err(Ended::Abuse("the message is far too big"));
            }
        }
        if last {
            let Chunked { slip, incoming } = *chunked;
            return self.conclude(slip, incoming, Framing::Chunks).await;
        }
        if let Some(reply) = chunked.incoming.trouble().cloned() {
            self.session.chunk_failed();
            return Ok(Some(reply));
        }
        self.chunked = Some(chunked);
        Ok(Some(reply::chunk(octets)))
    }

    /// Reads the octets of a chunk that is not wanted, up to a bound.
    pub(super) async fn swallow(&mut self, octets: u64) -> Result<(), Ended> {
        self.check_chunk(octets)?;
        let mut left = octets;
        while left > 0 {
            left -= self.some_of_chunk(left, |_| ()).await?;
        }
        Ok(())
    }

    /// A chunk that is said to be endless is not worth beginning with, wanted or not.
    fn check_chunk(&self, octets: u64) -> Result<(), Ended> {
        let bound = self.smtp.policy.max_message_octets.saturating_add(PATIENCE_OCTETS);
        if octets <= bound { Ok(()) } else { Err(Ended::Abuse("the message is far too big")) }
    }

    /// Takes what has come of a chunk, at most `left` octets of it; answers how many.
    async fn some_of_chunk(&mut self, left: u64, take: impl FnOnce(&[u8])) -> Result<u64, Ended> {
        let step = |wire: &[u8]| match wire.len() {
            0 => Parse::More,
            length => Parse::Got { consumed: usize::try_from(left).map_or(length, |left| left.min(length)), value: () },
        };
        let (octets, ()) = self.conn.parse(step).await?;
        self.conn.tap().received_text(&octets);
        take(&octets);
        Ok(octets.len() as u64)
    }

    /// A new message, with its trace field.
    fn begin(&self, framing: Framing) -> Result<(Slip, Incoming), Reply> {
        let Some(transaction) = self.session.transaction() else { return Err(reply::sender_first()) };
        let policy = &self.smtp.policy;
        let mail = &self.smtp.mail;
        let spool = match delivery::sole_delivery(&policy.directory, &transaction.sender, &transaction.copies) {
            Some(delivery) => mail.spool_for(delivery),
            None => mail.spool(),
        };
        let spool = spool.map_err(|error| reply::storage(&error))?;
        let arrived = self.smtp.clock.now();
        let id = new_id(arrived);
        let head = Head::new(self.trace(transaction, &id), self.repair(&id));
        let head = if policy.own_from && policy.role == Role::Submission { head.keeping_authors() } else { head };
        let incoming = Incoming::new((framing, self.people), head, spool, policy.max_message_octets, policy.bare_newlines);
        Ok((Slip { id, arrived }, incoming))
    }

    /// Feeds the wire to the message until its dot.
    async fn transfer(&mut self, mut incoming: Incoming) -> Result<Incoming, Ended> {
        loop {
            let step = |wire: &[u8]| match wire.len() {
                0 => Parse::More,
                length => match incoming.feed(wire) {
                    Fed::More => Parse::Got { consumed: length, value: Fed::More },
                    Fed::End(consumed) => Parse::Got { consumed, value: Fed::End(consumed) },
                },
            };
            let (octets, fed) = self.conn.parse(step).await?;
            self.conn.tap().received_text(&octets);
            match fed {
                Fed::End(_) => return Ok(incoming),
                Fed::More if incoming.is_endless() => return Err(Ended::Abuse("the message is far too big")),
                Fed::More => {}
            }
        }
    }

    /// The message is here: ends the transaction and answers its reply.
    async fn conclude(&mut self, slip: Slip, incoming: Incoming, framing: Framing) -> Result<Option<Reply>, Ended> {
        let (wait, wish) = self.session.at_dot();
        let Some(transaction) = self.session.take_transaction() else { return Ok(Some(reply::sender_first())) };
        if !wait.is_zero() {
            Box::pin(self.conn.pause(wait)).await?;
        }
        let arrived = match incoming.finish(framing) {
            Ok(arrived) => arrived,
            Err(reply) => return Ok(Some(reply)),
        };
        match wish {
            Some(Action::Say(reply)) => return Ok(Some(reply)),
            Some(Action::Drop | Action::Wait(_)) => return Ok(None),
            None => {}
        }
        if let Some(authors) = &arrived.authors
            && let Some(reply) = self.session.objection_to(&mailboxes(authors))
        {
            return Ok(Some(reply));
        }
        Ok(Some(self.accept(slip, transaction, arrived).await))
    }

    /// Hands the message to the store. From the 250 on it is ours: it is said when all is safe.
    async fn accept(&mut self, slip: Slip, transaction: Transaction, message: Arrived) -> Reply {
        let mut parameters = transaction.parameters.clone();
        // What turned out to be ASCII throughout may go to any server.
        let Arrived { spool, eight_bit, .. } = message;
        parameters.smtputf8 &= eight_bit || needs_utf8(&transaction);
        let Transaction { sender, copies, reports, demoted, .. } = transaction;
        let priority = parameters.priority.filter(|_| demoted);
        let Slip { id, arrived } = slip;
        let consignment = Consignment { id, sender, parameters, copies, reports, eight_bit, arrived };
        let (consignment, spool, forwards) = match self.settle(consignment, spool).await {
            Ok(settled) => settled,
            Err(reply) => return reply,
        };
        let octets = spool.octets();
        let goes_elsewhere = consignment.goes_elsewhere() || !forwards.is_empty();
        let parcel = Parcel { forwards, ..consignment.parcel(spool) };
        match self.smtp.intake.accept(parcel).await {
            Ok(()) => {
                let Consignment { id, sender, copies, .. } = &consignment;
                tracing::info!(service = self.smtp.service, conn = self.conn.id(), id, %sender, copies = copies.len(), octets, "accepted");
                if goes_elsewhere {
                    self.smtp.wake.wake();
                }
                priority.map_or_else(|| reply::accepted(id), |priority| reply::accepted_with_priority(id, priority))
            }
            Err(error) => {
                tracing::error!(service = self.smtp.service, "a message could not be stored: {error}");
                if !matches!(error, StoreError::Full) {
                    // Whose mailbox was it? From now on these are refused alone, and hold up nobody's copy.
                    self.smtp.answerers.examine(consignment.accounts()).await;
                }
                reply::storage(&error)
            }
        }
    }

    /// Follows the settings of the accounts; most have none that matter here.
    async fn settle(
        &mut self,
        mut consignment: Consignment,
        mut message: Box<dyn Spool>,
    ) -> Result<(Consignment, Box<dyn Spool>, Vec<Forward>), Reply> {
        if !delivery::has_terms(&self.smtp.policy.directory, &consignment) {
            return Ok((consignment, message, Vec::new()));
        }
        let (policy, mail, own) = (self.smtp.policy.clone(), self.smtp.mail.clone(), self.conn.local().ip());
        store::blocking(move || {
            let directory = &policy.directory;
            let forwards = delivery::forward(directory, &mut consignment, &mut *message, own).map_err(|error| reply::storage(&error))?;
            delivery::weigh(directory, &*mail, &mut consignment, message.octets(), forwards.len())?;
            Ok((consignment, message, forwards))
        })
        .await
    }

    fn trace(&self, transaction: &Transaction, id: &str) -> String {
        message::Received {
            hello: self.session.hello(),
            peer: self.conn.peer().ip(),
            by: Smtp::name(self.smtp),
            with: self.session.with(),
            tls: self.conn.tls().map(|facts| (facts.version, facts.cipher.as_str())),
            id,
            recipient: only_recipient(transaction),
            at: self.smtp.clock.now(),
        }
        .field()
    }

    /// What submission adds; the MX port leaves messages alone (RFC 5321, 6.4).
    fn repair(&self, id: &str) -> Option<Repair> {
        (self.smtp.policy.role == Role::Submission)
            .then(|| Repair { date: date::format(self.smtp.clock.now()), message_id: format!("<{id}@{}>", Smtp::name(self.smtp)) })
    }
}

/// The mailboxes in From and Sender fields.
fn mailboxes(fields: &[u8]) -> Vec<Mailbox> {
    let Some(parsed) = MessageParser::new().parse_headers(fields) else { return Vec::new() };
    let ours = parsed.headers().iter().filter(|header| matches!(header.name, HeaderName::From | HeaderName::Sender));
    let addresses = ours.filter_map(|header| header.value().as_address()).flat_map(|addresses| addresses.iter());
    addresses.filter_map(|address| Mailbox::parse(address.address()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authors_are_found_however_they_are_written() {
        let fields = b"From: Alice <alice@portico.test>,\r\n \"B, ob\" <bob@localhost>\r\nSENDER: carol@remote.example\r\n";
        let found: Vec<_> = mailboxes(fields).iter().map(Mailbox::to_string).collect();
        assert_eq!(found, ["alice@portico.test", "bob@localhost", "carol@remote.example"]);
        assert!(mailboxes(b"From: nobody at all\r\n").is_empty() && mailboxes(b"").is_empty());
    }
}
