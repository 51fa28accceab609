//! The rules of the session (RFC 5321, 4.1.4): what a command means now, and the reply to it.
//!
//! ```text
//! connected --HELO/EHLO--> ready --MAIL--> sender --RCPT--> recipients --DATA, BDAT LAST--> ready
//!                            ^                                   '--BDAT--> chunks --BDAT LAST--^
//!                            '----- RSET, HELO, EHLO
//! ```
//! Pure: [`Session::step`] takes a command and says what to do; `conversation` does it. What MAIL
//! and RCPT add to the envelope is in `envelope`, what VRFY and EXPN are told in `lookup`.

mod envelope;
mod lookup;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Duration};

use envelope::{Asked, Content};
pub(crate) use envelope::{Transaction, needs_utf8, only_recipient};

use super::{
    command::{Command, Need, Row, VERBS, Verb},
    directory::Directory,
    explain,
    lab::{self, Action, Stage},
    question::{Question, Unwritable},
    reply::{self, Reply},
    settings::{BareNewlines, Lab, Settings},
};
use crate::{
    mail::{address::Mailbox, message::With},
    store::sasl::{Mechanism, Offer},
};

/// After so many commands that made no sense the client is hung up on: it guesses passwords, or
/// it is no mail client at all.
const MAX_MISTAKES: u32 = 20;
/// After so many recipients that were refused, too: it goes through a list of names to learn which
/// of them exist. A mailing list with as many dead members comes in several sessions.
const MAX_REFUSED_RECIPIENTS: u32 = 1000;

/// Which of the two jobs a port has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes mail for our domains from anybody (port 25).
    Mx,
    /// Takes mail for anywhere from those who have logged in (RFC 6409).
    Submission,
}

/// What is the same for every session of a port.
pub(crate) struct Policy {
    pub role: Role,
    pub directory: Directory,
    pub max_message_octets: u64,
    pub max_recipients: usize,
    pub max_transactions: usize,
    pub max_failed_logins: u32,
    pub min_free_octets: u64,
    pub own_sender: bool,
    pub own_from: bool,
    pub vrfy: bool,
    pub expn: bool,
    pub lab: Lab,
    pub bare_newlines: BareNewlines,
    pub refuse_null_mx_senders: bool,
    /// Whose mailbox could not be written of late.
    pub unwritable: Arc<Unwritable>,
}

impl Policy {
    pub(crate) fn new(role: Role, directory: Directory, settings: &Settings) -> Policy {
        Policy {
            role,
            directory,
            max_message_octets: settings.max_message.0,
            max_recipients: settings.max_recipients,
            max_transactions: settings.max_transactions,
            max_failed_logins: settings.max_failed_logins,
            min_free_octets: settings.min_free.0,
            own_sender: settings.own_sender,
            own_from: settings.own_from,
            vrfy: settings.vrfy,
            expn: settings.expn,
            lab: settings.lab,
            bare_newlines: settings.bare_newlines,
            refuse_null_mx_senders: settings.refuse_null_mx_senders,
            unwritable: Arc::default(),
        }
    }
}

/// What the session knows of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub peer: IpAddr,
    pub local: IpAddr,
    pub tls: bool,
    /// Whether passwords may be sent over it.
    pub passwords: bool,
    /// The ways to log in.
    pub offer: Offer,
}

/// One client's session.
pub(crate) struct Session {
    policy: Arc<Policy>,
    link: Link,
    hello: Option<Hello>,
    account: Option<String>,
    transaction: Option<Transaction>,
    /// Of whom something is being asked.
    asked: Option<Asked>,
    counts: Counts,
    /// What the disk has room for, in octets, where it was looked at.
    free_octets: Option<u64>,
    /// Addresses of the lab work for this client.
    lab: bool,
}

/// What has happened so far in a session, where that has a bound.
#[derive(Default)]
struct Counts {
    transactions: usize,
    mistakes: u32,
    refused_recipients: u32,
    failed_logins: u32,
}

struct Hello {
    name: String,
    extended: bool,
}

/// What to do about a command.
#[derive(Debug)]
pub(crate) enum Step {
    Say(Reply),
    /// Say this, then take the message.
    Receive(Reply),
    /// Take so many octets of the message (RFC 3030).
    Chunk {
        octets: u64,
        last: bool,
    },
    /// Take so many octets, drop them, and say this.
    Swallow {
        octets: u64,
        reply: Reply,
    },
    /// Say this, then shake hands.
    StartTls(Reply),
    /// Ask for the rest of the credentials and check them.
    LogIn {
        mechanism: Mechanism,
        initial: Option<String>,
    },
    /// Wait, as an address of the lab asked for, and go on.
    Wait {
        time: Duration,
        then: Box<Step>,
    },
    /// Ask, and tell [`Session::answered`].
    Ask(Question),
    /// Hang up without a word.
    Drop,
}

impl Session {
    pub(crate) fn new(policy: Arc<Policy>, link: Link) -> Session {
        let lab = match policy.lab {
            Lab::Off => false,
            Lab::Loopback => link.peer.to_canonical().is_loopback(),
            Lab::On => true,
        };
        let (hello, account, transaction, asked, free_octets) = Default::default();
        Session { policy, link, hello, account, transaction, asked, counts: Counts::default(), free_octets, lab }
    }

    /// What to do about a command, or about a line that is none.
    pub(crate) fn step(&mut self, parsed: Result<Command, Reply>) -> Step {
        let step = match parsed {
            Err(reply) => Step::Say(reply),
            Ok(command) => match (self.objection(command.verb().row()), command) {
                (None, command) => self.obey(command),
                // The octets come all the same: taken for commands they would be an injection.
                (Some(reply), Command::Bdat { octets, .. }) => {
                    // Chunks behind one that failed may have been on their way already.
                    let reply = if self.content() == Some(Content::Failed) { reply } else { self.count(reply) };
                    Step::Swallow { octets, reply }
                }
                (Some(reply), _) => Step::Say(reply),
            },
        };
        match step {
            Step::Say(reply) => Step::Say(self.count(reply)),
            step => step,
        }
    }

    /// The reply where a precondition of the verb does not hold.
    fn objection(&self, row: &Row) -> Option<Reply> {
        row.needs.iter().find_map(|need| {
            let (holds, otherwise): (bool, fn() -> Reply) = match need {
                Need::Hello => (self.hello.is_some(), reply::hello_first),
                Need::ExtendedHello => (self.is_extended(), reply::extended_hello_first),
                Need::Login => (self.policy.role == Role::Mx || self.account.is_some(), reply::login_required),
                Need::NotLoggedIn => (self.account.is_none(), reply::login_already),
                Need::Plain => (!self.link.tls, reply::tls_already),
                Need::Sender => (self.transaction.is_some(), reply::sender_first),
                Need::NoTransaction if row.verb == Verb::Mail => {
                    (self.content().is_none_or(|content| content == Content::Failed), reply::sender_given_already)
                }
                Need::NoChunks => (self.content() != Some(Content::Chunks), reply::within_chunks),
                Need::NoFailure => (self.content() != Some(Content::Failed), reply::chunk_failed),
                Need::NoTransaction => (self.transaction.is_none(), reply::within_transaction),
                Need::Recipient if self.transaction.as_ref().is_some_and(|transaction| transaction.refused) => {
                    (self.has_recipient(), reply::no_valid_recipients)
                }
                Need::Recipient => (self.has_recipient(), reply::recipient_first),
            };
            (!holds).then(otherwise)
        })
    }

    fn obey(&mut self, command: Command) -> Step {
        match command {
            Command::Helo(name) => self.greet(name, false),
            Command::Ehlo(name) => self.greet(name, true),
            Command::Mail { sender, declared } => self.begin(sender, declared),
            Command::Rcpt { recipient, parameters, utf8 } => self.add_recipient(recipient, parameters, utf8),
            Command::Data => self.at_data().unwrap_or_else(|| Step::Receive(reply::enter_mail())),
            Command::Bdat { octets, last } => self.chunk(octets, last),
            Command::Rset => {
                self.transaction = None;
                Step::Say(reply::reset())
            }
            Command::Noop => Step::Say(reply::noop()),
            Command::Quit => Step::Say(reply::goodbye(self.policy.directory.name())),
            Command::Vrfy(asked) => Step::Say(self.verify(&asked)),
            Command::Expn(asked) => Step::Say(self.expand(&asked)),
            Command::Help(row) => Step::Say(self.help(row)),
            Command::StartTls => Step::StartTls(reply::start_tls()),
            Command::Auth { mechanism, initial } => self.begin_login(&mechanism, initial),
        }
    }

    /// HELO or EHLO; either also ends a transaction (RFC 5321, 4.1.4).
    fn greet(&mut self, name: String, extended: bool) -> Step {
        self.transaction = None;
        let own = self.policy.directory.name();
        let reply = if extended { reply::extended_hello(own, &name, self.keywords()) } else { reply::hello(&name) };
        self.hello = Some(Hello { name, extended });
        Step::Say(reply)
    }

    /// The extensions, each offered only where it can be used now.
    fn keywords(&self) -> Vec<String> {
        let mut keywords = vec![
            "PIPELINING".to_owned(),
            format!("SIZE {}", self.policy.max_message_octets),
            "8BITMIME".to_owned(),
            "SMTPUTF8".to_owned(),
            "CHUNKING".to_owned(),
            "DSN".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
            "MT-PRIORITY".to_owned(),
            format!("LIMITS MAILMAX={} RCPTMAX={}", self.policy.max_transactions, self.policy.max_recipients),
        ];
        if !self.link.tls {
            keywords.push("STARTTLS".into());
        }
        if self.link.passwords && self.account.is_none() {
            keywords.push(format!("AUTH {}", self.link.offer.names()));
        }
        if self.offers(Verb::Expn) {
            keywords.push("EXPN".into());
        }
        keywords.push("HELP".into());
        keywords
    }

    /// BDAT, where it may come.
    fn chunk(&mut self, octets: u64, last: bool) -> Step {
        let is_first = self.content() == Some(Content::Nothing);
        if let Some(transaction) = &mut self.transaction {
            transaction.content = Content::Chunks;
        }
        match self.at_data().filter(|_| is_first) {
            None => Step::Chunk { octets, last },
            Some(Step::Say(reply)) => {
                self.chunk_failed();
                Step::Swallow { octets, reply }
            }
            Some(Step::Wait { time, .. }) => Step::Wait { time, then: Box::new(Step::Chunk { octets, last }) },
            Some(step) => step,
        }
    }

    /// A chunk was refused: what comes of this message is dropped.
    pub(crate) fn chunk_failed(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.content = Content::Failed;
        }
    }

    /// Whether a message is coming by BDAT.
    pub(crate) fn is_chunking(&self) -> bool {
        self.content() == Some(Content::Chunks)
    }

    fn content(&self) -> Option<Content> {
        self.transaction.as_ref().map(|transaction| transaction.content)
    }

    /// What addresses of the lab want once the message has come.
    pub(crate) fn at_dot(&self) -> (Duration, Option<Action>) {
        self.wishes(Stage::Dot)
    }

    fn wishes(&self, stage: Stage) -> (Duration, Option<Action>) {
        lab::at(stage, self.transaction.as_ref().map_or(&[], |transaction| &transaction.wishes))
    }

    /// What they want in place of the go-ahead for the message.
    fn at_data(&self) -> Option<Step> {
        let (time, end) = self.wishes(Stage::Data);
        let end = end.map(|end| match end {
            Action::Say(reply) => Step::Say(reply),
            Action::Drop | Action::Wait(_) => Step::Drop,
        });
        if time.is_zero() {
            return end;
        }
        Some(Step::Wait { time, then: Box::new(end.unwrap_or_else(|| Step::Receive(reply::enter_mail()))) })
    }

    /// The ways to log in that this client was told of.
    pub(crate) fn offer(&self) -> &Offer {
        &self.link.offer
    }

    fn begin_login(&self, mechanism: &str, initial: Option<String>) -> Step {
        if !self.link.passwords {
            return Step::Say(reply::encryption_required());
        }
        match self.link.offer.find(mechanism) {
            Some(mechanism) => Step::LogIn { mechanism, initial },
            None => Step::Say(reply::unknown_mechanism()),
        }
    }

    /// The credentials were right.
    pub(crate) fn logged_in(&mut self, account: &str) -> Reply {
        self.account = Some(account.to_owned());
        reply::login_ok(account)
    }

    /// They were not, or there were none: `reply` says which. Who goes on guessing has to connect
    /// again each time; every failure has been delayed already.
    pub(crate) fn not_logged_in(&mut self, reply: Reply) -> Reply {
        self.counts.failed_logins += u32::from(reply.code() == 535);
        if self.counts.failed_logins >= self.policy.max_failed_logins {
            return reply::too_many_failed_logins(self.policy.directory.name());
        }
        self.count(reply)
    }

    /// What the disk has room for now.
    pub(crate) fn note_free_octets(&mut self, octets: Option<u64>) {
        self.free_octets = octets;
    }

    /// Why the one who has logged in may not send a message with these authors, if so: the addresses
    /// of its From and Sender fields (RFC 6409, 6.1 and 8).
    pub(crate) fn objection_to(&self, authors: &[Mailbox]) -> Option<Reply> {
        let account = self.account.as_ref().filter(|_| self.policy.own_from && self.policy.role == Role::Submission)?;
        let owns = |author: &Mailbox| self.policy.directory.owns(account, author, self.link.local);
        (!authors.iter().any(owns)).then(|| reply::not_your_name(account))
    }

    /// The envelope so far.
    pub(crate) fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_ref()
    }

    /// The envelope of the message that has come; the session is ready for the next.
    pub(crate) fn take_transaction(&mut self) -> Option<Transaction> {
        self.transaction.take()
    }

    /// What the client called itself.
    pub(crate) fn hello(&self) -> &str {
        self.hello.as_ref().map_or("unknown", |hello| &hello.name)
    }

    /// How the client speaks, for the trace field.
    pub(crate) fn with(&self) -> With {
        let utf8 = self.transaction.as_ref().is_some_and(|transaction| transaction.parameters.smtputf8);
        With { extended: self.is_extended(), tls: self.link.tls, authenticated: self.account.is_some(), utf8 }
    }

    fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.extended)
    }

    fn has_recipient(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| !transaction.recipients.is_empty())
    }

    /// Counts mistakes; one too many ends the session.
    fn count(&mut self, reply: Reply) -> Reply {
        self.counts.mistakes += u32::from(reply.is_protocol_error());
        if self.counts.mistakes > MAX_MISTAKES { reply::too_many_mistakes(self.policy.directory.name()) } else { reply }
    }

    /// HELP, with and without a verb.
    fn help(&self, row: Option<&'static Row>) -> Reply {
        match row {
            Some(row) => {
                let meaning = explain::TABLE.iter().find(|explained| explained.term == row.word);
                let meaning = meaning.map(|explained| format!("{} ({})", explained.sentence, explained.source));
                reply::help(std::iter::once(row.syntax.to_owned()).chain(meaning).collect())
            }
            None => {
                let words: Vec<_> = VERBS.iter().filter(|row| self.offers(row.verb)).map(|row| row.word).collect();
                reply::help(vec![words.join(" "), "HELP with a verb tells its syntax".to_owned()])
            }
        }
    }

    /// Whether a verb is offered to this client at all.
    fn offers(&self, verb: Verb) -> bool {
        verb != Verb::Expn || self.policy.expn && self.is_trusted()
    }
}
