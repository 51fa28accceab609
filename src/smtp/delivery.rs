//! Local delivery: what the settings of the accounts make of a message that is here.
//!
//! An account may send its mail on (`forward`), and what it keeps may have a bound (`mail-quota`).
//! Both are settled before anything is stored, and for each recipient by itself: where some copies
//! can't be delivered and others can, the sender gets a report on the former, since the one reply
//! after the dot can't tell them apart (RFC 5321, 6.1).

use std::{collections::BTreeSet, io::Read, net::IpAddr};

use super::{
    directory::{Directory, Found, Target},
    parcel::{Consignment, Copy},
    reply::{self, Reply},
};
use crate::{
    mail::{
        address::{Mailbox, Path},
        mime::{fields, tree::header_octets},
    },
    store::{
        StoreError,
        envelope::{Notify, Progress, RcptParameters, Recipient, RecipientState, Report},
        mail::{Forward, LocalDelivery, MailStore, Spool},
    },
};

/// How much of a message is looked at for its Delivered-To fields, in octets.
const HEADER_OCTETS: u64 = 64 * 1024;

/// A question to the store: is there room for a message?
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weighing {
    pub account: String,
    pub octets: u64,
    pub quota: u64,
}

impl Weighing {
    /// Waits for the disk. Where nobody can tell, delivery itself will show.
    pub(super) fn has_room(&self, mail: &dyn MailStore) -> bool {
        let room = mail.has_room(&self.account, self.octets, self.quota);
        room.unwrap_or_else(|error| {
            tracing::warn!(account = self.account, "the mailbox can't be measured: {error}");
            true
        })
    }

    /// The refusal: for good where the message would not even fit into an empty mailbox.
    pub(super) fn refusal(&self) -> Reply {
        if self.octets > self.quota { reply::larger_than_mailbox(self.quota) } else { reply::mailbox_full() }
    }
}

impl Directory {
    /// What is to be asked of the store before these copies of a message of so many octets are
    /// promised. A list's members are asked once the message is here, each for itself.
    pub(super) fn weighing(&self, targets: &[Target], octets: u64) -> Option<Weighing> {
        match targets {
            [Target::Account { account, .. }] => self.weighing_of(account, octets),
            _ => None,
        }
    }

    fn weighing_of(&self, account: &str, octets: u64) -> Option<Weighing> {
        let delivery = self.people.delivery(account)?;
        let is_kept = delivery.forward.is_empty() || delivery.keep_copy;
        let quota = delivery.quota.unwrap_or(self.mail_quota);
        (is_kept && quota > 0).then(|| Weighing { account: account.to_owned(), octets, quota })
    }

    /// What the settings say of one copy.
    fn has_terms(&self, copy: &Copy) -> bool {
        match &copy.target {
            Target::Account { account, .. } => self.forwards(copy) || self.weighing_of(account, 1).is_some(),
            Target::Remote(_) => false,
        }
    }

    /// Whether an account sends on what comes for it.
    fn forwards(&self, copy: &Copy) -> bool {
        match &copy.target {
            Target::Account { account, .. } => self.people.delivery(account).is_some_and(|delivery| !delivery.forward.is_empty()),
            Target::Remote(_) => false,
        }
    }
}

/// Whether the settings of the accounts say anything about these copies.
pub(super) fn has_terms(directory: &Directory, consignment: &Consignment) -> bool {
    consignment.copies.iter().any(|copy| directory.has_terms(copy))
}

/// Where a message goes that has one recipient, who keeps it: what the settings say now may change
/// until it is here.
pub(super) fn sole_delivery(directory: &Directory, sender: &Path, copies: &[Copy]) -> Option<LocalDelivery> {
    match copies {
        [copy] if !directory.forwards(copy) => copy.local_delivery(sender),
        _ => None,
    }
}

/// Sends on what accounts forward: their copies give way to those of others here, and to entries of
/// the queue. `own` is the address that the client connected to.
pub(super) fn forward(
    directory: &Directory,
    consignment: &mut Consignment,
    message: &mut dyn Spool,
    own: IpAddr,
) -> Result<Vec<Forward>, StoreError> {
    if !consignment.copies.iter().any(|copy| directory.forwards(copy)) {
        return Ok(Vec::new());
    }
    let mut rounds = Rounds { directory, own, been: delivered_to(message)?, seen: BTreeSet::new(), kept: Vec::new(), sent_on: Vec::new() };
    for copy in std::mem::take(&mut consignment.copies) {
        let is_forwarded = directory.forwards(&copy);
        let parameters = copy.parameters.clone();
        rounds.settle(copy, is_forwarded.then(|| success_of(consignment, &parameters)).flatten());
    }
    consignment.copies = rounds.kept;
    let envelope = |index: usize, recipients: Vec<Recipient>| consignment.envelope_for(&format!("-f{index}"), recipients);
    let entries = rounds.sent_on.into_iter().enumerate();
    Ok(entries
        .map(|(index, (by, recipients))| Forward {
            envelope: envelope(index + 1, recipients),
            prefix: format!("Delivered-To: {by}\r\n").into_bytes(),
        })
        .collect())
}

/// Where the sender wants to hear of success, a forwarder does not say "delivered": it passes the
/// wish on (RFC 3461, 5.2.7.2). Answers the wish, once it is off the list of what is reported here.
fn success_of(consignment: &mut Consignment, parameters: &RcptParameters) -> Option<Notify> {
    let notify = parameters.notify?;
    let original = &parameters.orcpt.as_ref()?.address;
    let at = consignment.reports.iter().position(|report| report.report == Some(Report::Delivered) && report.address == *original)?;
    consignment.reports.remove(at);
    Some(Notify { success: true, ..notify })
}

/// One message on its way through the settings of those who forward.
struct Rounds<'a> {
    directory: &'a Directory,
    own: IpAddr,
    /// Mailboxes that this message has been delivered to before.
    been: Vec<String>,
    /// Accounts whose settings were followed already: two that forward to each other end here.
    seen: BTreeSet<String>,
    kept: Vec<Copy>,
    /// By the mailbox that sends it on.
    sent_on: Vec<(Mailbox, Vec<Recipient>)>,
}

impl Rounds<'_> {
    fn settle(&mut self, copy: Copy, notify: Option<Notify>) {
        let Target::Account { account, mailbox } = &copy.target else { return self.keep(copy) };
        let delivery = self.directory.people.delivery(account).unwrap_or_default();
        let is_loop = self.been.iter().any(|been| been.eq_ignore_ascii_case(&mailbox.to_string()));
        if delivery.forward.is_empty() || is_loop {
            return self.keep(copy);
        }
        if !self.seen.insert(account.clone()) {
            return;
        }
        let before = (self.kept.len(), self.sent_on.iter().map(|(_, recipients)| recipients.len()).sum::<usize>());
        let parameters = RcptParameters { notify: notify.or(copy.parameters.notify), ..copy.parameters.clone() };
        for to in &delivery.forward {
            self.send_on(to, mailbox, &parameters);
        }
        let after = (self.kept.len(), self.sent_on.iter().map(|(_, recipients)| recipients.len()).sum::<usize>());
        if delivery.keep_copy || before == after {
            // Nothing is lost: what leads nowhere stays.
            self.keep(copy);
        }
    }

    fn send_on(&mut self, to: &str, by: &Mailbox, parameters: &RcptParameters) {
        let address = if to.contains('@') { to.to_owned() } else { format!("{to}@{}", self.directory.name()) };
        let Ok(address) = Mailbox::parse(&address) else { return };
        let targets = match self.directory.find(&Path::Mailbox(address), self.own) {
            Found::Here(targets) => targets,
            Found::Elsewhere(mailbox) => vec![Target::Remote(mailbox)],
            Found::Unknown => Vec::new(),
        };
        for target in targets {
            match target {
                Target::Remote(mailbox) => self.send_away(mailbox, by, parameters.clone()),
                Target::Account { .. } => self.settle(Copy { target, parameters: parameters.clone() }, None),
            }
        }
    }

    fn send_away(&mut self, to: Mailbox, by: &Mailbox, parameters: RcptParameters) {
        let copy = Copy { target: Target::Remote(to), parameters };
        let Some(recipient) = copy.recipient() else { return };
        match self.sent_on.iter_mut().find(|(known, _)| known == by) {
            Some((_, recipients)) if recipients.iter().any(|other| other.address == recipient.address) => {}
            Some((_, recipients)) => recipients.push(recipient),
            None => self.sent_on.push((by.clone(), vec![recipient])),
        }
    }

    fn keep(&mut self, copy: Copy) {
        if !self.kept.iter().any(|other| other.target.is_same_mailbox(&copy.target)) {
            self.kept.push(copy);
        }
    }
}

/// The mailboxes that a message says it was delivered to: who finds its own has a loop.
fn delivered_to(message: &mut dyn Spool) -> Result<Vec<String>, StoreError> {
    let mut head = Vec::new();
    message.reader()?.take(HEADER_OCTETS).read_to_end(&mut head)?;
    let fields = fields::decoded(&head[..header_octets(&head)]);
    Ok(fields.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("Delivered-To")).map(|(_, value)| value).collect())
}

/// Takes out the copies for which there is no room, and has their sender told; where there is no
/// room for any, answers the refusal. Reads folders: not for the reactor.
pub(super) fn weigh(
    directory: &Directory,
    mail: &dyn MailStore,
    consignment: &mut Consignment,
    octets: u64,
    forwards: usize,
) -> Result<(), Reply> {
    let mut refused = Vec::new();
    for (index, copy) in consignment.copies.iter().enumerate() {
        let Target::Account { account, .. } = &copy.target else { continue };
        refused.extend(
            directory.weighing_of(account, octets).filter(|weighing| !weighing.has_room(mail)).map(|weighing| (index, weighing.refusal())),
        );
    }
    if refused.is_empty() {
        return Ok(());
    }
    if refused.len() == consignment.copies.len() && forwards == 0 {
        return Err(refused.swap_remove(0).1);
    }
    if matches!(consignment.sender, Path::Null) {
        // Nobody could be told; a report over the bound does less harm than one that is lost.
        return Ok(());
    }
    for (index, _) in refused.into_iter().rev() {
        let copy = consignment.copies.remove(index);
        let Target::Account { mailbox, .. } = copy.target else { continue };
        let address = mailbox.to_string();
        consignment.reports.retain(|report| report.address != address);
        let is_wanted = copy.parameters.notify.is_none_or(|notify| notify.failure);
        consignment.reports.push(Recipient {
            address,
            state: RecipientState::Failed(reply::mailbox_full_for_good().to_string().trim_end().to_owned()),
            parameters: copy.parameters,
            report: is_wanted.then_some(Report::Failed),
            progress: Progress::default(),
        });
    }
    Ok(())
}
