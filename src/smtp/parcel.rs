//! From an envelope to what the store takes: who gets a copy here, what goes to the queue.

use std::time::{SystemTime, UNIX_EPOCH};

use super::directory::Target;
use crate::{
    mail::{address::Path, message},
    store::{
        envelope::{MailParameters, Progress, RcptParameters},
        mail::{Envelope, LocalDelivery, Parcel, Recipient, RecipientState, Spool},
    },
};

/// What is known of a message besides its text.
pub(crate) struct Consignment {
    pub id: String,
    pub sender: Path,
    pub parameters: MailParameters,
    pub copies: Vec<Copy>,
    /// Recipients who have it by this, of whom the sender wants to hear.
    pub reports: Vec<Recipient>,
    pub eight_bit: bool,
    pub arrived: SystemTime,
}

/// One copy, and what the sender asked for its recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    pub target: Target,
    pub parameters: RcptParameters,
}

impl From<Target> for Copy {
    fn from(target: Target) -> Copy {
        Copy { target, parameters: RcptParameters::default() }
    }
}

impl Consignment {
    /// What the store is to take. All targets are in it, so that it takes all or none.
    pub(crate) fn parcel(&self, message: Box<dyn Spool>) -> Parcel {
        let local = self.copies.iter().filter_map(|copy| copy.local_delivery(&self.sender));
        Parcel { message, local: local.collect(), relay: self.envelope(), forwards: Vec::new() }
    }

    /// The queue's entry, where anybody is elsewhere or a report is due.
    fn envelope(&self) -> Option<Envelope> {
        let recipients: Vec<_> = self.copies.iter().filter_map(Copy::recipient).chain(self.reports.iter().cloned()).collect();
        (!recipients.is_empty()).then(|| self.envelope_for("", recipients))
    }

    /// An entry for some recipients; its name is that of the message and `mark`.
    pub(super) fn envelope_for(&self, mark: &str, recipients: Vec<Recipient>) -> Envelope {
        Envelope {
            id: format!("{}{mark}", self.id),
            sender: self.sender_address(),
            recipients,
            eight_bit: self.eight_bit,
            arrived: self.arrived,
            attempts: 0,
            next_attempt: self.arrived,
            held: false,
            parameters: self.parameters.clone(),
        }
    }

    /// Whose maildrops it is for.
    pub(crate) fn accounts(&self) -> Vec<String> {
        let account = |copy: &Copy| match &copy.target {
            Target::Account { account, .. } => Some(account.clone()),
            Target::Remote(_) => None,
        };
        self.copies.iter().filter_map(account).collect()
    }

    /// Whether the relay has work with it.
    pub(crate) fn goes_elsewhere(&self) -> bool {
        !self.reports.is_empty() || self.copies.iter().any(|copy| matches!(copy.target, Target::Remote(_)))
    }

    fn sender_address(&self) -> String {
        match &self.sender {
            Path::Mailbox(mailbox) => mailbox.to_string(),
            Path::Null | Path::Postmaster => String::new(),
        }
    }
}

impl Copy {
    /// What the store is to deliver, where it stays here.
    pub(super) fn local_delivery(&self, sender: &Path) -> Option<LocalDelivery> {
        match &self.target {
            Target::Account { account, mailbox } => {
                Some(LocalDelivery { account: account.clone(), prefix: message::delivery_fields(sender, mailbox).into_bytes() })
            }
            Target::Remote(_) => None,
        }
    }

    /// What the queue is to know of it, where it goes elsewhere.
    pub(super) fn recipient(&self) -> Option<Recipient> {
        match &self.target {
            Target::Remote(mailbox) => Some(Recipient {
                address: mailbox.to_string(),
                state: RecipientState::Waiting { last_reply: None },
                parameters: self.parameters.clone(),
                report: None,
                progress: Progress::default(),
            }),
            Target::Account { .. } => None,
        }
    }
}

/// A new name for a message: the time in milliseconds and thirty random bits, in letters and
/// digits that can't be mistaken for one another, so that names sort by age.
pub(crate) fn new_id(now: SystemTime) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let millis = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let number = (millis << 30) | u128::from(rand::random::<u32>() >> 2);
    (0..15).rev().map(|place| char::from(DIGITS[(number >> (5 * place)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn names_sort_by_age_and_differ() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let (first, second, later) = (new_id(now), new_id(now), new_id(now + Duration::from_millis(1)));
        assert_eq!(first.len(), 15);
        assert_ne!(first, second);
        assert!(first < later && second < later);
    }
}
