//! When each command may come and what is to be done then (RFC 1939, 3 to 6). Pure: no disk, no
//! clock, no network.
//!
//! ```text
//!                 USER, PASS or APOP or AUTH
//!  Authorization ---------------------------> Transaction ----> Update (the end)
//!    |    ^  USER, CAPA, LANG, UTF8             |      ^   QUIT
//!    |    |  a failed login                     |      |  STAT LIST UIDL RETR TOP
//!    |    +--+                                  +------+  DELE RSET NOOP CAPA
//!    +--> QUIT: the end, nothing is removed
//!    +--> STLS: everything begins anew under TLS
//! ```

use super::{
    command::{Command, Fault},
    marks::Marks,
    reply::{Code, Reply},
};
use crate::store::{
    Secret,
    mail::MessageFacts,
    sasl::{Mechanism, Offer},
};

/// What is known about the connection when the conversation begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Security {
    pub tls: bool,
    /// Whether passwords may come over this connection.
    pub passwords: bool,
    /// The SASL mechanisms.
    pub offer: Offer,
    /// What the banner gave APOP to work with; `None` where it is off.
    pub stamp: Option<String>,
    /// The least time between two logins; 0 for none.
    pub login_delay_secs: u64,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    security: Security,
    stage: Stage,
    /// The client can read UTF-8 in headers.
    utf8: bool,
    bad_commands: u32,
    max_bad_commands: u32,
}

#[derive(Debug)]
enum Stage {
    Authorization {
        /// What USER said, for the PASS that follows.
        user: Option<String>,
    },
    Transaction(Marks),
}

/// What the conversation is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Say(Reply),
    SayAndEnd(Reply),
    Capabilities,
    LogIn {
        name: String,
        password: Secret,
    },
    /// By APOP: `digest` answers the stamp of the banner.
    LogInByDigest {
        name: String,
        stamp: String,
        digest: String,
    },
    Authenticate {
        mechanism: Mechanism,
        initial: Option<Secret>,
    },
    ListMechanisms,
    ListLanguages,
    StartTls,
    /// Sizes of all messages that are left.
    ListSizes(Reply),
    /// Unique ids of all messages that are left.
    ListUids(Reply),
    /// The message with this index, all of it.
    Send(usize),
    /// Its header and so many lines of its body.
    SendTop(usize, u64),
    /// Remove these, and say goodbye.
    Update(Vec<usize>),
}

/// What LANG lists: tag and name. `i-default` is English that everybody may read (RFC 2277, 4.5).
pub(crate) const LANGUAGES: [(&str, &str); 2] = [("en", "English"), ("i-default", "English")];

/// `en`, or a variety of it (`en-GB`).
fn is_english(tag: &str) -> bool {
    tag.split('-').next().is_some_and(|language| language.eq_ignore_ascii_case("en"))
}

/// The goodbye that the textbook shows.
pub(crate) fn signing_off() -> Reply {
    Reply::ok("POP3 server signing off")
}

impl Session {
    pub(crate) fn new(security: Security, max_bad_commands: u32) -> Session {
        Session { security, stage: Stage::Authorization { user: None }, utf8: false, bad_commands: 0, max_bad_commands }
    }

    /// A login succeeded and its maildrop holds `messages`.
    pub(crate) fn enter(&mut self, messages: &[MessageFacts]) -> Reply {
        self.stage = Stage::Transaction(Marks::none(messages));
        Reply::ok("user successfully logged on")
    }

    /// A login failed: the client has to name its user again (RFC 1939, 7).
    pub(crate) fn fail_login(&mut self) -> Step {
        self.refuse(Reply::err_code(Code::Auth, "wrong user name or password"))
    }

    /// The account was logged on to a moment ago. That is no wrong command.
    pub(crate) fn delay_login(&self, wait_secs: u64) -> Step {
        Step::Say(Reply::err_code(Code::LoginDelay, format_args!("wait {wait_secs} more seconds between two logins")))
    }

    /// The ways to log in that this client was told of.
    pub(crate) fn offer(&self) -> &Offer {
        &self.security.offer
    }

    /// A SASL exchange was cancelled or could not be understood.
    pub(crate) fn fail_exchange(&mut self, why: &str) -> Step {
        self.refuse(Reply::err(why))
    }

    /// Takes a line that is no command.
    pub(crate) fn reject(&mut self, fault: Fault) -> Step {
        self.refuse(Reply::err(fault))
    }

    /// Takes the next command. `messages` are those of the maildrop; none before the login.
    pub(crate) fn step(&mut self, command: Command, messages: &[MessageFacts]) -> Step {
        match (command, &mut self.stage) {
            (Command::Capa, _) => Step::Capabilities,
            (Command::Lang(None), _) => Step::ListLanguages,
            (Command::Lang(Some(tag)), _) => self.speak(&tag),
            (Command::Quit, Stage::Authorization { .. }) => Step::SayAndEnd(signing_off()),
            (Command::Quit, Stage::Transaction(marks)) => Step::Update(marks.deleted()),
            (command, Stage::Authorization { user }) => {
                let named = user.take();
                self.authorize(command, named)
            }
            (command, Stage::Transaction(marks)) => {
                marks.step(command, messages).unwrap_or_else(|| self.refuse(Reply::err("you are logged on already")))
            }
        }
    }

    /// The indexes of the messages from `start` on that are not marked as deleted.
    pub(crate) fn remaining(&self, start: usize) -> impl Iterator<Item = usize> {
        let marks = match &self.stage {
            Stage::Transaction(marks) => Some(marks),
            Stage::Authorization { .. } => None,
        };
        marks.into_iter().flat_map(move |marks| marks.remaining(start))
    }

    /// What CAPA lists: the same before and after the login (RFC 2449, 5). STLS only where it can
    /// still come (RFC 2595, 4); USER and SASL only where passwords are taken.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let always = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER", "LANG"];
        let mut list: Vec<String> = always.map(str::to_owned).into();
        if !self.security.tls {
            list.push("STLS".into());
        }
        if self.security.passwords {
            list.extend(["USER".to_owned(), format!("SASL {}", self.security.offer.names())]);
        }
        if self.security.login_delay_secs > 0 {
            list.push(format!("LOGIN-DELAY {}", self.security.login_delay_secs));
        }
        list.push(concat!("IMPLEMENTATION Portico-", env!("CARGO_PKG_VERSION")).to_owned());
        list
    }

    /// `named` is the user that the command before has named, if it did.
    fn authorize(&mut self, command: Command, named: Option<String>) -> Step {
        match command {
            Command::User(_) | Command::Pass(_) | Command::Apop { .. } | Command::Auth { .. } if !self.security.passwords => {
                self.refuse(Reply::err("no passwords in the clear: begin TLS with STLS"))
            }
            Command::User(name) => {
                self.stage = Stage::Authorization { user: Some(name) };
                Step::Say(Reply::ok("password, please"))
            }
            Command::Pass(password) => match named {
                Some(name) => Step::LogIn { name, password },
                None => self.refuse(Reply::err("USER first")),
            },
            Command::Apop { name, digest } => match &self.security.stamp {
                Some(stamp) => Step::LogInByDigest { name, stamp: stamp.clone(), digest },
                None => self.refuse(Reply::err("APOP is not on offer: the banner has no stamp")),
            },
            Command::Auth { mechanism: None, .. } => Step::ListMechanisms,
            Command::Auth { mechanism: Some(name), initial } => match self.security.offer.find(&name) {
                Some(mechanism) => Step::Authenticate { mechanism, initial },
                None => self.refuse(Reply::err(format_args!("unknown mechanism: {} are on offer", self.security.offer.names()))),
            },
            Command::Stls if self.security.tls => self.refuse(Reply::err("TLS is active already")),
            // RFC 6856, 2.1: the change to UTF-8 comes after the change to TLS.
            Command::Stls if self.utf8 => self.refuse(Reply::err("STLS comes before UTF8")),
            Command::Stls => Step::StartTls,
            Command::Utf8 => {
                self.utf8 = true;
                Step::Say(Reply::ok("UTF-8 from here on"))
            }
            _ => self.refuse(Reply::err("log on first: USER, then PASS")),
        }
    }

    /// LANG (RFC 6856, 3): there is one language, which also is the default.
    fn speak(&mut self, tag: &str) -> Step {
        let is_known = tag == "*" || LANGUAGES.iter().any(|(known, _)| tag.eq_ignore_ascii_case(known)) || is_english(tag);
        match is_known {
            true => Step::Say(Reply::ok(format_args!("{} English it is", if tag == "*" { "i-default" } else { tag }))),
            false => self.refuse(Reply::err(format_args!("no replies in {tag}: LANG alone lists the languages"))),
        }
    }

    /// Counts a wrong command, and ends the session at one too many.
    fn refuse(&mut self, reply: Reply) -> Step {
        self.bad_commands += 1;
        if self.bad_commands < self.max_bad_commands {
            return Step::Say(reply);
        }
        Step::SayAndEnd(Reply::err("too many wrong commands, goodbye"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maildrop(sizes: &[u64]) -> Vec<MessageFacts> {
        sizes.iter().enumerate().map(|(index, octets)| MessageFacts { uid: format!("u{index}"), octets: *octets }).collect()
    }

    fn security(tls: bool, passwords: bool) -> Security {
        Security { tls, passwords, ..Security::default() }
    }

    fn logged_on(messages: &[MessageFacts]) -> Session {
        let mut session = Session::new(security(false, true), 20);
        session.enter(messages);
        session
    }

    /// The reply to a line, or the step's name.
    fn ask(session: &mut Session, line: &str, messages: &[MessageFacts]) -> String {
        let step = Command::parse(line.as_bytes()).map(|command| session.step(command, messages));
        match step.unwrap_or_else(|fault| session.reject(fault)) {
            Step::Say(reply) | Step::ListSizes(reply) | Step::ListUids(reply) | Step::SayAndEnd(reply) => {
                String::from_utf8_lossy(reply.as_ref()).trim_end().to_owned()
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn before_the_login_only_its_commands_are_taken() {
        let mut session = Session::new(security(false, true), 20);
        for line in ["STAT", "LIST", "UIDL", "RETR 1", "TOP 1 1", "DELE 1", "RSET", "NOOP"] {
            assert_eq!(ask(&mut session, line, &[]), "-ERR log on first: USER, then PASS", "{line}");
        }
        assert_eq!(ask(&mut session, "PASS hungry", &[]), "-ERR USER first");
        assert_eq!(ask(&mut session, "USER bob", &[]), "+OK password, please");
        let step = session.step(Command::Pass(Secret("hungry".into())), &[]);
        assert_eq!(step, Step::LogIn { name: "bob".into(), password: Secret("hungry".into()) });
        assert_eq!(ask(&mut session, "PASS hungry", &[]), "-ERR USER first", "a name is good for one password");
    }

    #[test]
    fn after_the_login_its_commands_are_refused() {
        let mut session = logged_on(&[]);
        for line in ["USER bob", "PASS x", "AUTH PLAIN", "STLS"] {
            assert_eq!(ask(&mut session, line, &[]), "-ERR you are logged on already", "{line}");
        }
    }

    #[test]
    fn passwords_are_refused_in_the_clear_before_they_are_typed() {
        let mut session = Session::new(security(false, false), 20);
        for line in ["USER bob", "PASS x", "AUTH PLAIN"] {
            assert_eq!(ask(&mut session, line, &[]), "-ERR no passwords in the clear: begin TLS with STLS", "{line}");
        }
        assert_eq!(session.step(Command::Stls, &[]), Step::StartTls);
    }

    #[test]
    fn stls_and_passwords_are_on_offer_only_where_they_work() {
        let list = |tls, passwords| Session::new(security(tls, passwords), 20).capabilities();
        let has = |tls, passwords, capability: &str| list(tls, passwords).iter().any(|it| it == capability);
        assert!(has(false, false, "STLS") && !has(false, false, "USER"));
        assert!(has(false, true, "USER") && has(false, true, "SASL PLAIN LOGIN"));
        assert!(!has(true, true, "STLS"));
        let mut secured = Session::new(security(true, true), 20);
        assert_eq!(ask(&mut secured, "STLS", &[]), "-ERR TLS is active already");
    }

    #[test]
    fn message_numbers_are_checked() {
        let messages = maildrop(&[120, 200]);
        let mut session = logged_on(&messages);
        for verb in ["LIST", "UIDL", "RETR", "DELE"] {
            for number in ["0", "3", "18446744073709551616", "4294967297"] {
                let reply = ask(&mut session, &format!("{verb} {number}"), &messages);
                assert_eq!(reply, "-ERR no such message, only 2 messages in maildrop", "{verb} {number}");
            }
            assert_eq!(ask(&mut session, &format!("{verb} -1"), &messages), "-ERR that is not a number");
        }
        assert_eq!(ask(&mut session, "DELE 1", &messages), "+OK message 1 deleted");
        for line in ["LIST 1", "UIDL 1", "RETR 1", "TOP 1 0", "DELE 1"] {
            assert_eq!(ask(&mut session, line, &messages), "-ERR message 1 is deleted", "{line}");
        }
    }

    #[test]
    fn deleted_messages_are_neither_counted_nor_renumbered_and_rset_brings_them_back() {
        let messages = maildrop(&[120, 200, 300]);
        let mut session = logged_on(&messages);
        assert_eq!(ask(&mut session, "STAT", &messages), "+OK 3 620");
        ask(&mut session, "DELE 2", &messages);
        assert_eq!(ask(&mut session, "STAT", &messages), "+OK 2 420");
        assert_eq!(ask(&mut session, "LIST", &messages), "+OK 2 messages (420 octets)");
        assert_eq!(ask(&mut session, "LIST 3", &messages), "+OK 3 300");
        assert_eq!(ask(&mut session, "UIDL 3", &messages), "+OK 3 u2");
        assert_eq!(session.remaining(0).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(session.remaining(1).collect::<Vec<_>>(), [2]);
        assert_eq!(session.step(Command::Quit, &messages), Step::Update(vec![1]));
        assert_eq!(ask(&mut session, "RSET", &messages), "+OK maildrop has 3 messages (620 octets)");
        assert_eq!(session.step(Command::Quit, &messages), Step::Update(vec![]));
    }

    #[test]
    fn one_wrong_command_too_many_ends_the_session() {
        let mut session = Session::new(security(false, true), 3);
        assert!(matches!(session.reject(Fault::Unknown), Step::Say(_)));
        assert!(matches!(session.fail_login(), Step::Say(_)));
        assert!(matches!(session.step(Command::Noop, &[]), Step::SayAndEnd(_)));
    }

    #[test]
    fn a_wrong_message_number_is_no_wrong_command() {
        let mut session = Session::new(security(false, true), 2);
        session.enter(&[]);
        for _ in 0..9 {
            assert_eq!(ask(&mut session, "RETR 1", &[]), "-ERR no such message, only 0 messages in maildrop");
        }
    }
}
