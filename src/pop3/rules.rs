//! When each command may come and what is to be done then (RFC 1939, 3 to 6). Pure: no disk, no
//! clock, no network.
//!
//! ```text
//!                     USER, PASS or AUTH
//!  Authorization ---------------------------> Transaction ----> Update (the end)
//!    |    ^  USER, CAPA,                        |      ^   QUIT
//!    |    |  a failed login                     |      |  STAT LIST UIDL RETR TOP
//!    |    +--+                                  +------+  DELE RSET NOOP CAPA
//!    +--> QUIT: the end, nothing is removed
//!    +--> STLS: everything begins anew under TLS
//! ```

use super::{
    command::{Command, Fault, Mechanism, Number},
    reply::{Code, Reply},
};
use crate::store::{Secret, mail::MessageFacts};

/// What is known about the connection when the conversation begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Security {
    pub tls: bool,
    /// Whether passwords may come over this connection.
    pub passwords: bool,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    security: Security,
    stage: Stage,
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

/// Which messages are marked as deleted, and the sum of the others.
#[derive(Debug)]
struct Marks {
    deleted: Vec<bool>,
    messages: usize,
    octets: u64,
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
    Authenticate {
        mechanism: Mechanism,
        initial: Option<Secret>,
    },
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

/// The goodbye that the textbook shows.
pub(crate) fn signing_off() -> Reply {
    Reply::ok("POP3 server signing off")
}

impl Session {
    pub(crate) fn new(security: Security, max_bad_commands: u32) -> Session {
        Session { security, stage: Stage::Authorization { user: None }, bad_commands: 0, max_bad_commands }
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
        let deleted: &[bool] = match &self.stage {
            Stage::Transaction(marks) => &marks.deleted,
            Stage::Authorization { .. } => &[],
        };
        deleted.iter().enumerate().skip(start).filter(|(_, deleted)| !**deleted).map(|(index, _)| index)
    }

    /// What CAPA lists: the same before and after the login (RFC 2449, 5). STLS only where it can
    /// still come (RFC 2595, 4); USER and SASL only where passwords are taken.
    pub(crate) fn capabilities(&self) -> Vec<&'static str> {
        let mut list = vec!["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"];
        if !self.security.tls {
            list.push("STLS");
        }
        if self.security.passwords {
            list.extend(["USER", "SASL PLAIN LOGIN"]);
        }
        list.push(concat!("IMPLEMENTATION Portico-", env!("CARGO_PKG_VERSION")));
        list
    }

    /// `named` is the user that the command before has named, if it did.
    fn authorize(&mut self, command: Command, named: Option<String>) -> Step {
        match command {
            Command::User(_) | Command::Pass(_) | Command::Auth { .. } if !self.security.passwords => {
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
            Command::Auth { mechanism, initial } => Step::Authenticate { mechanism, initial },
            Command::Stls if self.security.tls => self.refuse(Reply::err("TLS is active already")),
            Command::Stls => Step::StartTls,
            _ => self.refuse(Reply::err("log on first: USER, then PASS")),
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

impl Marks {
    fn none(messages: &[MessageFacts]) -> Marks {
        let octets = messages.iter().map(|message| message.octets).sum();
        Marks { deleted: vec![false; messages.len()], messages: messages.len(), octets }
    }

    fn deleted(&self) -> Vec<usize> {
        self.deleted.iter().enumerate().filter(|(_, deleted)| **deleted).map(|(index, _)| index).collect()
    }

    /// What to do for a command of the transaction state; `None` for others.
    fn step(&mut self, command: Command, messages: &[MessageFacts]) -> Option<Step> {
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
            Command::User(_) | Command::Pass(_) | Command::Auth { .. } | Command::Stls | Command::Capa | Command::Quit => return None,
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

    fn count(&self) -> String {
        format!("{} ({} octets)", plural(self.messages), self.octets)
    }
}

fn plural(messages: usize) -> String {
    if messages == 1 { "1 message".into() } else { format!("{messages} messages") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maildrop(sizes: &[u64]) -> Vec<MessageFacts> {
        sizes.iter().enumerate().map(|(index, octets)| MessageFacts { uid: format!("u{index}"), octets: *octets }).collect()
    }

    fn security(tls: bool, passwords: bool) -> Security {
        Security { tls, passwords }
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
        assert!(list(false, false).contains(&"STLS") && !list(false, false).contains(&"USER"));
        assert!(list(false, true).contains(&"USER") && list(false, true).contains(&"SASL PLAIN LOGIN"));
        assert!(!list(true, true).contains(&"STLS"));
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
