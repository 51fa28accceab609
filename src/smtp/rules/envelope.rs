//! The envelope in the making: what MAIL and RCPT add to it.

use super::Session;
use crate::{
    mail::address::{Host, Mailbox, Path},
    smtp::{
        directory::{Directory, Found, Target},
        lab::{Action, Stage, Wish},
        parameters::Declared,
        parcel::Copy,
        question::Question,
        reply::{self, Reply},
        route::Destination,
        rules::{MAX_REFUSED_RECIPIENTS, Step},
    },
    store::envelope::{MailParameters, Notify, OriginalRecipient, Progress, RcptParameters, Recipient, RecipientState, Report},
};

/// An envelope in the making.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub sender: Path,
    pub parameters: MailParameters,
    /// MT-PRIORITY was granted lower than it was asked for.
    pub demoted: bool,
    /// SIZE as it was declared, or one octet: what nobody has room for is refused at RCPT.
    pub(super) octets: u64,
    /// As the client named them, each once.
    pub recipients: Vec<Path>,
    /// The copies that this comes to.
    pub copies: Vec<Copy>,
    /// Recipients who have the message once it is here, of whom the sender wants to hear.
    pub reports: Vec<Recipient>,
    pub(super) wishes: Vec<Wish>,
    /// Somebody was refused.
    pub(super) refused: bool,
    pub(super) content: Content,
}

/// Of whom something is being asked.
pub(super) enum Asked {
    /// The sender, who gets this reply where nothing is wrong.
    Sender(Reply),
    Recipient(Path, Vec<Target>, RcptParameters),
}

/// How much of the message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    /// A part, by BDAT.
    Chunks,
    /// A part that was refused: the rest is of no use (RFC 3030, 3).
    Failed,
}

impl Session {
    /// MAIL.
    pub(super) fn begin(&mut self, sender: Path, declared: Declared) -> Step {
        let policy = &self.policy;
        if self.counts.transactions >= policy.max_transactions {
            return Step::Say(reply::too_many_transactions(policy.directory.name()));
        }
        if declared.size.is_some_and(|size| size > policy.max_message_octets) {
            return Step::Say(reply::message_too_big(policy.max_message_octets));
        }
        // Said before the client sends it all (RFC 1870, 6.1).
        let needed = declared.size.unwrap_or_default().saturating_add(policy.min_free_octets);
        if self.free_octets.is_some_and(|free| free < needed) {
            return Step::Say(reply::no_space());
        }
        if let (true, Some(account), Path::Mailbox(mailbox)) = (policy.own_sender, &self.account, &sender)
            && !policy.directory.owns(account, mailbox, self.link.local)
        {
            return Step::Say(reply::not_your_address(&sender, account));
        }
        let wish = self.wish(&sender);
        if let Some(Wish { stage: Stage::Named, action, .. }) = &wish {
            match action {
                Action::Wait(_) => {}
                Action::Say(reply) => return Step::Say(reply.clone()),
                Action::Drop => return Step::Drop,
            }
        }
        let (parameters, demoted) = self.grant(declared.parameters);
        let reply = reply::sender_ok(&sender).in_utf8(parameters.smtputf8);
        self.counts.transactions += 1;
        let (recipients, copies, reports) = Default::default();
        let step = match self.question_about_sender(&sender).filter(|_| wish.is_none()) {
            Some(question) => {
                self.asked = Some(Asked::Sender(reply));
                Step::Ask(question)
            }
            None => self.after_wait(wish.as_ref(), Step::Say(reply)),
        };
        let wishes = wish.into_iter().collect();
        let content = Content::Nothing;
        let octets = declared.size.unwrap_or_default().max(1);
        let transaction = Transaction { sender, parameters, demoted, octets, recipients, copies, reports, wishes, refused: false, content };
        self.transaction = Some(transaction);
        step
    }

    /// Lowers a priority that the client may not give its mail: else everybody's would be urgent
    /// (RFC 6710, 4.1). Who has logged in may, and who relays.
    fn grant(&self, mut parameters: MailParameters) -> (MailParameters, bool) {
        let trusted = self.account.is_some() || self.policy.directory.relays_for(self.link.peer);
        let demoted = !trusted && parameters.priority.is_some_and(|priority| priority > 0);
        if demoted {
            parameters.priority = Some(0);
        }
        (parameters, demoted)
    }

    /// RCPT.
    pub(super) fn add_recipient(&mut self, recipient: Path, parameters: RcptParameters, utf8: bool) -> Step {
        let Some(transaction) = &self.transaction else { return Step::Say(reply::sender_first()) };
        let smtputf8 = transaction.parameters.smtputf8;
        if utf8 && !smtputf8 {
            return Step::Say(reply::utf8_not_declared());
        }
        if transaction.recipients.contains(&recipient) {
            // One copy, however often somebody is named.
            return Step::Say(reply::recipient_ok(&recipient).in_utf8(smtputf8));
        }
        if transaction.recipients.len() >= self.policy.max_recipients {
            return Step::Say(reply::too_many_recipients());
        }
        let wish = self.wish(&recipient);
        if let Some(Wish { stage: Stage::Named, action: Action::Drop, .. }) = &wish {
            return Step::Drop;
        }
        let found = match &wish {
            Some(Wish { stage: Stage::Named, action: Action::Say(reply), .. }) => Err(reply.clone()),
            Some(Wish { action: Action::Wait(_), rest, .. }) => self.copies(&recipient.with_local(rest)),
            Some(_) => Ok(Vec::new()),
            None => self.copies(&recipient),
        };
        let reply = match found {
            Ok(targets) => {
                if let Some(question) = self.question(&targets, transaction.octets).filter(|_| wish.is_none()) {
                    self.asked = Some(Asked::Recipient(recipient, targets, parameters));
                    return Step::Ask(question);
                }
                let reply = reply::recipient_ok(&recipient);
                self.take_recipient(recipient, targets, parameters);
                reply
            }
            Err(reply) => self.refuse_recipient(reply),
        };
        let step = self.after_wait(wish.as_ref(), Step::Say(reply.in_utf8(smtputf8)));
        if let Some(transaction) = &mut self.transaction {
            transaction.wishes.extend(wish);
        }
        step
    }

    /// What is to be asked before these copies of a message of so many octets are promised.
    fn question(&self, targets: &[Target], octets: u64) -> Option<Question> {
        let directory = &self.policy.directory;
        if let Some(account) = self.policy.unwritable.among(targets) {
            return Some(Question::Writable(account));
        }
        match targets {
            [Target::Remote(mailbox)] => domain_by_dns(directory, mailbox).map(Question::TakesMail),
            _ => directory.weighing(targets, octets).map(Question::Room),
        }
    }

    /// The same of a sender, before anything is taken from it.
    fn question_about_sender(&self, sender: &Path) -> Option<Question> {
        let Path::Mailbox(mailbox) = sender else { return None };
        let is_ours = self.policy.directory.is_local(mailbox.host(), self.link.local);
        let Host::Name(domain) = mailbox.host() else { return None };
        (self.policy.refuse_null_mx_senders && !is_ours).then(|| Question::TakesAnswers(domain.clone()))
    }

    /// MAIL or RCPT, once the answer is there.
    pub(crate) fn answered(&mut self, objection: Option<Reply>) -> Reply {
        match (self.asked.take(), objection) {
            (None, _) => reply::sender_first(),
            (Some(Asked::Sender(reply)), None) => reply,
            (Some(Asked::Sender(_)), Some(refusal)) => {
                self.transaction = None;
                refusal
            }
            (Some(Asked::Recipient(..)), Some(refusal)) => self.refuse_recipient(refusal),
            (Some(Asked::Recipient(recipient, targets, parameters)), None) => self.promise(recipient, targets, parameters),
        }
    }

    fn promise(&mut self, recipient: Path, targets: Vec<Target>, parameters: RcptParameters) -> Reply {
        let smtputf8 = self.transaction.as_ref().is_some_and(|transaction| transaction.parameters.smtputf8);
        let reply = reply::recipient_ok(&recipient).in_utf8(smtputf8);
        self.take_recipient(recipient, targets, parameters);
        reply
    }

    /// The copies that a recipient comes to, or why there are none.
    fn copies(&self, recipient: &Path) -> Result<Vec<Target>, Reply> {
        let directory = &self.policy.directory;
        if let Path::Mailbox(mailbox) = recipient
            && directory.is_closed(mailbox.host())
        {
            return Err(reply::no_mail_there(mailbox.host()));
        }
        match directory.find(recipient, self.link.local) {
            Found::Here(targets) => Ok(targets),
            Found::Unknown => Err(reply::user_unknown(recipient)),
            // Whether there is a route is told only to those who may use it.
            Found::Elsewhere(_) if self.account.is_none() && !directory.relays_for(self.link.peer) => {
                Err(reply::relaying_denied(recipient))
            }
            Found::Elsewhere(mailbox) if directory.routes.next(mailbox.host()).is_none() => Err(reply::no_route(mailbox.host())),
            Found::Elsewhere(mailbox) => Ok(vec![Target::Remote(mailbox)]),
        }
    }

    fn refuse_recipient(&mut self, reply: Reply) -> Reply {
        if let Some(transaction) = &mut self.transaction {
            transaction.refused = true;
        }
        self.counts.refused_recipients += 1;
        if self.counts.refused_recipients > MAX_REFUSED_RECIPIENTS {
            return reply::too_many_mistakes(self.policy.directory.name());
        }
        reply
    }

    fn take_recipient(&mut self, recipient: Path, targets: Vec<Target>, mut parameters: RcptParameters) {
        let own_name = self.policy.directory.name();
        let Some(transaction) = &mut self.transaction else { return };
        let address = match &recipient {
            Path::Mailbox(mailbox) => mailbox.to_string(),
            Path::Null | Path::Postmaster => format!("postmaster@{own_name}"),
        };
        let is_as_named = matches!((&targets[..], &recipient), ([Target::Remote(target)], Path::Mailbox(named)) if target == named);
        if !is_as_named && parameters.orcpt.is_none() {
            // Reports are to name whom the sender named, not whom that led to (RFC 3461, 5.2.7.2).
            parameters.orcpt = Some(original(&address));
        }
        if let Some(report) = report_at_once(&targets, parameters.notify) {
            let progress = Progress::default();
            let reported =
                Recipient { address, state: RecipientState::Delivered, parameters: parameters.clone(), report: Some(report), progress };
            transaction.reports.push(reported);
            // Sent on to many, of whom none is to report again (RFC 3461, 5.2.7.3).
            parameters.notify = parameters.notify.map(|notify| Notify { success: false, ..notify });
        }
        for target in targets {
            add(&mut transaction.copies, Copy { target, parameters: parameters.clone() });
        }
        transaction.recipients.push(recipient);
    }

    /// What an address of the lab asks for, where the lab is on for this client.
    fn wish(&self, path: &Path) -> Option<Wish> {
        match path {
            Path::Mailbox(mailbox) if self.lab => crate::smtp::lab::wish(mailbox.local()),
            _ => None,
        }
    }

    /// Waits first, where the address just named asks for that.
    fn after_wait(&self, wish: Option<&Wish>, then: Step) -> Step {
        match wish {
            Some(Wish { stage: Stage::Named, action: Action::Wait(time), .. }) => Step::Wait { time: *time, then: Box::new(then) },
            _ => then,
        }
    }
}

/// The domain of a mailbox elsewhere that the DNS is to be asked for, if the settings do not say
/// where it is.
fn domain_by_dns(directory: &Directory, mailbox: &Mailbox) -> Option<String> {
    match directory.routes.next(mailbox.host())? {
        Destination::Domain(domain) => Some(domain.to_string()),
        _ => None,
    }
}

/// The report that a recipient's sender gets as soon as the message is here, if it asked for one.
fn report_at_once(targets: &[Target], notify: Option<Notify>) -> Option<Report> {
    notify.filter(|notify| notify.success)?;
    match targets {
        [] | [Target::Remote(_)] => None,
        targets if targets.iter().all(|target| matches!(target, Target::Account { .. })) => Some(Report::Delivered),
        _ => Some(Report::Expanded),
    }
}

fn original(address: &str) -> OriginalRecipient {
    let kind = if address.is_ascii() { "rfc822" } else { "utf-8" };
    OriginalRecipient { kind: kind.into(), address: address.to_owned() }
}

/// Adds a copy unless the same mailbox gets one already.
fn add(copies: &mut Vec<Copy>, copy: Copy) {
    if !copies.iter().any(|other| other.target.is_same_mailbox(&copy.target)) {
        copies.push(copy);
    }
}

/// The recipient for the trace field, where there is only one copy (RFC 5321, 7.2).
pub(crate) fn only_recipient(transaction: &Transaction) -> Option<&Mailbox> {
    match (transaction.recipients.as_slice(), transaction.copies.as_slice()) {
        ([Path::Mailbox(mailbox)], [_]) => Some(mailbox),
        _ => None,
    }
}

/// Whether the envelope has anything that a server without SMTPUTF8 could not be given.
pub(crate) fn needs_utf8(transaction: &Transaction) -> bool {
    let beyond = |path: &Path| matches!(path, Path::Mailbox(mailbox) if mailbox.needs_utf8());
    beyond(&transaction.sender) || transaction.recipients.iter().any(beyond)
}
