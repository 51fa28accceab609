//! The rules of the session (RFC 5321, 4.1.4): what a command means now, and the reply to it.
//!
//! ```text
//! connected --HELO/EHLO--> ready --MAIL--> sender --RCPT--> recipients --DATA--> ready
//!                            ^----- RSET, HELO, EHLO, the end of DATA -----'
//! ```
//! Pure: [`Session::step`] takes a command and says what to do; `conversation` does it.

use std::{net::IpAddr, sync::Arc};

use super::{
    command::{Command, MailParameters, Need, Row, VERBS, Verb},
    directory::{Directory, Found, Target, add},
    reply::{self, Reply},
};
use crate::{
    mail::{address::Path, message::With},
    store::sasl::{Mechanism, Offer},
};

/// After so many commands that made no sense the client is hung up on: it guesses passwords, or
/// it is no mail client at all.
const MAX_MISTAKES: u32 = 20;

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
    pub own_sender: bool,
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
    mistakes: u32,
}

struct Hello {
    name: String,
    extended: bool,
}

/// An envelope in the making.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub sender: Path,
    /// As the client named them, each once.
    pub recipients: Vec<Path>,
    /// The copies that this comes to.
    pub targets: Vec<Target>,
    refused: bool,
}

/// What to do about a command.
#[derive(Debug)]
pub(crate) enum Step {
    Say(Reply),
    /// Say this, then take the message.
    Receive(Reply),
    /// Say this, then shake hands.
    StartTls(Reply),
    /// Ask for the rest of the credentials and check them.
    LogIn {
        mechanism: Mechanism,
        initial: Option<String>,
    },
}

impl Session {
    pub(crate) fn new(policy: Arc<Policy>, link: Link) -> Session {
        Session { policy, link, hello: None, account: None, transaction: None, mistakes: 0 }
    }

    /// What to do about a command, or about a line that is none.
    pub(crate) fn step(&mut self, parsed: Result<Command, Reply>) -> Step {
        let step = match parsed {
            Err(reply) => Step::Say(reply),
            Ok(command) => match self.objection(command.verb().row()) {
                Some(reply) => Step::Say(reply),
                None => self.obey(command),
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
                Need::NoTransaction if row.verb == Verb::Mail => (self.transaction.is_none(), reply::sender_given_already),
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
            Command::Mail { sender, parameters } => Step::Say(self.begin(sender, parameters)),
            Command::Rcpt(recipient) => Step::Say(self.add_recipient(recipient)),
            Command::Data => Step::Receive(reply::enter_mail()),
            Command::Rset => {
                self.transaction = None;
                Step::Say(reply::reset())
            }
            Command::Noop => Step::Say(reply::noop()),
            Command::Quit => Step::Say(reply::goodbye(self.policy.directory.name())),
            Command::Vrfy => Step::Say(reply::cannot_verify()),
            Command::Help(row) => Step::Say(help(row)),
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
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        if !self.link.tls {
            keywords.push("STARTTLS".into());
        }
        if self.link.passwords && self.account.is_none() {
            keywords.push(format!("AUTH {}", self.link.offer.names()));
        }
        keywords.push("HELP".into());
        keywords
    }

    fn begin(&mut self, sender: Path, parameters: MailParameters) -> Reply {
        if parameters.size.is_some_and(|size| size > self.policy.max_message_octets) {
            return reply::message_too_big(self.policy.max_message_octets);
        }
        if let (true, Some(account), Path::Mailbox(mailbox)) = (self.policy.own_sender, &self.account, &sender)
            && !self.policy.directory.owns(account, mailbox, self.link.local)
        {
            return reply::not_your_address(&sender, account);
        }
        let reply = reply::sender_ok(&sender);
        let (recipients, targets) = Default::default();
        self.transaction = Some(Transaction { sender, recipients, targets, refused: false });
        reply
    }

    fn add_recipient(&mut self, recipient: Path) -> Reply {
        let Some(transaction) = &mut self.transaction else { return reply::sender_first() };
        if transaction.recipients.contains(&recipient) {
            // One copy, however often somebody is named.
            return reply::recipient_ok(&recipient);
        }
        if transaction.recipients.len() >= self.policy.max_recipients {
            return reply::too_many_recipients();
        }
        let directory = &self.policy.directory;
        let targets = match directory.find(&recipient, self.link.local) {
            Found::Here(targets) => Ok(targets),
            Found::Unknown => Err(reply::user_unknown(&recipient)),
            // Whether there is a route is told only to those who may use it.
            Found::Elsewhere(_) if self.account.is_none() && !directory.relays_for(self.link.peer) => {
                Err(reply::relaying_denied(&recipient))
            }
            Found::Elsewhere(mailbox) if directory.routes.hop(mailbox.host()).is_none() => Err(reply::no_route(mailbox.host())),
            Found::Elsewhere(mailbox) => Ok(vec![Target::Remote(mailbox)]),
        };
        match targets {
            Ok(targets) => {
                targets.into_iter().for_each(|target| add(&mut transaction.targets, target));
                let reply = reply::recipient_ok(&recipient);
                transaction.recipients.push(recipient);
                reply
            }
            Err(reply) => {
                transaction.refused = true;
                reply
            }
        }
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

    /// They were not, or there were none: `reply` says which.
    pub(crate) fn not_logged_in(&mut self, reply: Reply) -> Reply {
        self.count(reply)
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
        With { extended: self.is_extended(), tls: self.link.tls, authenticated: self.account.is_some() }
    }

    fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.extended)
    }

    fn has_recipient(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| !transaction.recipients.is_empty())
    }

    /// Counts mistakes; one too many ends the session.
    fn count(&mut self, reply: Reply) -> Reply {
        self.mistakes += u32::from(reply.is_protocol_error());
        if self.mistakes > MAX_MISTAKES { reply::too_many_mistakes(self.policy.directory.name()) } else { reply }
    }
}

/// HELP, with and without a verb.
fn help(row: Option<&'static Row>) -> Reply {
    match row {
        Some(row) => reply::help(vec![row.syntax.to_owned()]),
        None => {
            let words: Vec<_> = VERBS.iter().map(|row| row.word).collect();
            reply::help(vec![words.join(" "), "HELP with a verb tells its syntax".to_owned()])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::{command::parse, directory_tests::directory, settings::Settings};

    fn session(role: Role, link: impl FnOnce(&mut Link), settings: &Settings) -> Session {
        let policy = Policy {
            role,
            directory: directory(settings),
            max_message_octets: 1000,
            max_recipients: settings.max_recipients,
            own_sender: settings.own_sender,
        };
        let ip = "127.0.0.1".parse().unwrap();
        let mut of = Link { peer: ip, local: ip, tls: false, passwords: true, offer: Offer::default() };
        link(&mut of);
        Session::new(Arc::new(policy), of)
    }

    /// The reply to the last of some lines.
    fn said(session: &mut Session, lines: &[&str]) -> String {
        let mut last = String::new();
        for line in lines {
            last = match session.step(parse(line.as_bytes())) {
                Step::Say(reply) | Step::Receive(reply) | Step::StartTls(reply) => reply.to_string(),
                Step::LogIn { mechanism, .. } => format!("log in by {mechanism:?}"),
            };
        }
        last
    }

    fn codes(role: Role, lines: &[&str]) -> String {
        said(&mut session(role, |_| {}, &Settings::default()), lines)[..3].to_owned()
    }

    #[test]
    fn commands_out_of_order_are_refused() {
        for (lines, code) in [
            (&["MAIL FROM:<a@b>"][..], "503"),
            (&["RCPT TO:<bob@portico.test>"], "503"),
            (&["DATA"], "503"),
            (&["HELO x", "RCPT TO:<bob@portico.test>"], "503"),
            (&["HELO x", "DATA"], "503"),
            (&["HELO x", "MAIL FROM:<a@b>", "DATA"], "503"),
            (&["HELO x", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>"], "503"),
            (&["HELO x", "MAIL FROM:<a@b>", "RCPT TO:<x@portico.test>", "DATA"], "554"),
            (&["HELO x", "MAIL FROM:<a@b>", "RCPT TO:<bob@portico.test>", "DATA"], "354"),
            (&["HELO x", "MAIL FROM:<a@b>", "RSET", "RCPT TO:<bob@portico.test>"], "503"),
            (&["HELO x", "MAIL FROM:<a@b>", "EHLO x", "RCPT TO:<bob@portico.test>"], "503"),
            (&["HELO x", "STARTTLS"], "503"),
            (&["EHLO x", "STARTTLS"], "220"),
            (&["EHLO x", "MAIL FROM:<a@b>", "STARTTLS"], "503"),
            (&["EHLO x", "MAIL FROM:<a@b>", "AUTH PLAIN"], "503"),
            (&["NOOP"], "250"),
            (&["RSET"], "250"),
            (&["HELP"], "214"),
            (&["VRFY bob"], "252"),
            (&["QUIT"], "221"),
        ] {
            assert_eq!(codes(Role::Mx, lines), code, "{lines:?}");
        }
    }

    #[test]
    fn submission_wants_a_login_first() {
        assert_eq!(codes(Role::Submission, &["EHLO x", "MAIL FROM:<a@b>"]), "530");
        let mut session = session(Role::Submission, |_| {}, &Settings::default());
        said(&mut session, &["EHLO x"]);
        session.logged_in("alice");
        assert!(said(&mut session, &["MAIL FROM:<a@b>"]).starts_with("250"));
        assert!(said(&mut session, &["RSET", "AUTH PLAIN"]).starts_with("503"), "not twice");
    }

    #[test]
    fn relaying_is_refused_to_strangers_in_every_spelling() {
        let settings = Settings { routes: [("*".into(), "127.0.0.1".into())].into(), ..Settings::default() };
        let mut stranger = session(Role::Mx, |_| {}, &settings);
        said(&mut stranger, &["HELO x", "MAIL FROM:<a@b>"]);
        for (recipient, code) in [
            ("<u@remote.example>", "550 5.7.1"),
            ("<@portico.test:u@remote.example>", "550 5.7.1"),
            ("<\"u@portico.test\"@remote.example>", "550 5.7.1"),
            ("<u%remote.example@portico.test>", "550 5.1.1"),
            ("<\"u@remote.example\"@portico.test>", "550 5.1.1"),
            ("<remote.example!u@portico.test>", "550 5.1.1"),
            ("<remote.example!u>", "501 5.1.3"),
        ] {
            assert!(said(&mut stranger, &[&format!("RCPT TO:{recipient}")]).starts_with(code), "{recipient}");
        }
    }

    #[test]
    fn those_who_may_relay_are_told_whether_there_is_a_route() {
        let settings = Settings { routes: [("remote.example".into(), "127.0.0.1".into())].into(), ..Settings::default() };
        let mut session = session(Role::Mx, |_| {}, &settings);
        session.logged_in("bob");
        said(&mut session, &["EHLO x", "MAIL FROM:<bob@portico.test>"]);
        assert!(said(&mut session, &["RCPT TO:<u@remote.example>"]).starts_with("250 2.1.5"));
        assert!(said(&mut session, &["RCPT TO:<u@other.example>"]).starts_with("550 5.1.2"));
    }

    #[test]
    fn limits_hold_and_one_past_them_is_refused() {
        let settings = Settings { max_recipients: 2, ..Settings::default() };
        let mut session = session(Role::Mx, |_| {}, &settings);
        assert!(said(&mut session, &["EHLO x", "MAIL FROM:<a@b> SIZE=1001"]).starts_with("552 5.3.4"));
        assert!(said(&mut session, &["MAIL FROM:<a@b> SIZE=1000"]).starts_with("250"));
        assert!(said(&mut session, &["RCPT TO:<bob@portico.test>", "RCPT TO:<alice@portico.test>"]).starts_with("250"));
        assert!(said(&mut session, &["RCPT TO:<bob+x@portico.test>"]).starts_with("452 4.5.3"));
        assert!(said(&mut session, &["RCPT TO:<bob@portico.test>"]).starts_with("250"), "named again, not added again");
        assert_eq!(session.take_transaction().unwrap().targets.len(), 2);
    }

    #[test]
    fn one_mistake_too_many_ends_the_session() {
        let mut session = session(Role::Mx, |_| {}, &Settings::default());
        let nonsense = vec!["XYZZY"; MAX_MISTAKES as usize];
        assert!(said(&mut session, &nonsense).starts_with("500"));
        assert!(said(&mut session, &["XYZZY"]).starts_with("421"));
    }

    #[test]
    fn passwords_are_not_asked_for_where_they_could_be_read() {
        let mut session = session(Role::Mx, |link| link.passwords = false, &Settings::default());
        assert!(!said(&mut session, &["EHLO x"]).contains("AUTH"));
        assert!(said(&mut session, &["AUTH PLAIN"]).starts_with("538"));
    }

    #[test]
    fn with_own_sender_nobody_writes_in_anothers_name() {
        let settings = Settings { own_sender: true, ..Settings::default() };
        let mut session = session(Role::Submission, |_| {}, &settings);
        session.logged_in("bob");
        assert!(said(&mut session, &["EHLO x", "MAIL FROM:<alice@portico.test>"]).starts_with("553"));
        assert!(said(&mut session, &["MAIL FROM:<bob+x@portico.test>"]).starts_with("250"));
    }
}
