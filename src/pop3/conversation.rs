//! The conversation of POP3: reads a command, asks the rules, does the one thing they said.

use std::{
    fmt::{Display, Write},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Deps, auth,
    command::{Command, Fault, LINE_OCTETS, secret_in},
    reply::{Attempt, Code, Reply, refusal},
    rules::{LANGUAGES, Security, Session, Step, signing_off},
    transfer::Outgoing,
};
use crate::{
    net::{Conn, Ended, Entry, Exit, Farewell, Phase, Protocol, Received},
    store::{
        Account, StoreError, blocking,
        mail::{Maildrop, MessageFacts},
        sasl::{Binding, Exchange, Offer, Refusal},
        turns::Turn,
    },
};

/// The server of one POP3 service.
pub(crate) struct Pop3 {
    deps: Arc<Deps>,
}

impl Pop3 {
    pub(crate) fn new(deps: Deps) -> Pop3 {
        Pop3 { deps: Arc::new(deps) }
    }

    /// What APOP works with: another one for every connection (RFC 1939, 7), as a Message-ID.
    fn stamp(&self) -> Option<String> {
        let is_on = self.deps.settings.apop && self.deps.accounts.have_clear_passwords();
        is_on.then(|| format!("<{:032x}@portico>", rand::random::<u128>()))
    }
}

impl Protocol for Pop3 {
    fn name(&self) -> &str {
        self.deps.service
    }

    async fn converse(&self, conn: &mut Conn, entry: Entry) -> Result<Exit, Ended> {
        let stamp = (entry == Entry::Greeting).then(|| self.stamp()).flatten();
        match (entry, &stamp) {
            (Entry::Greeting, Some(stamp)) => conn.say(Reply::ok(format_args!("POP3 server ready {stamp}"))),
            (Entry::Greeting, None) => conn.say(Reply::ok("POP3 server ready")),
            _ => {}
        }
        let mut visit = Visit::new(&self.deps, conn, stamp);
        loop {
            let step = match conn.command(LINE_OCTETS, secret_in).await? {
                Received::Whole(line) if line.is_http_request() => return Err(Ended::Abuse("an HTTP request")),
                Received::Whole(line) => visit.ask_rules(Command::parse(&line.text)),
                Received::TooLong => visit.ask_rules(Err(Fault::TooLong)),
            };
            if let Some(exit) = visit.carry_out(step, conn).await? {
                return Ok(exit);
            }
        }
    }

    fn farewell(&self, ended: &Ended) -> Option<Farewell> {
        let reply = match ended {
            Ended::Shutdown => Reply::err_code(Code::SysTemp, "the server is stopping"),
            Ended::Panicked => Reply::err_code(Code::SysTemp, "internal error"),
            Ended::Slow(Phase::Line) => Reply::err("too slow"),
            // An idle client gets no answer: RFC 1939, 3. An HTTP client gets none either.
            _ => return None,
        };
        Some(reply.into_farewell())
    }

    fn busy(&self, _peer: IpAddr) -> Option<Farewell> {
        Some(Reply::err_code(Code::SysTemp, "too many connections, try again later").into_farewell())
    }
}

/// One client's session with what belongs to it. Dropping it unlocks the maildrop, and nothing is
/// deleted.
struct Visit<'p> {
    deps: &'p Arc<Deps>,
    session: Session,
    maildrop: Option<Box<dyn Maildrop>>,
    /// Given up after the maildrop, which is unlocked first.
    turn: Option<Turn>,
}

impl Visit<'_> {
    fn new<'p>(deps: &'p Arc<Deps>, conn: &Conn, stamp: Option<String>) -> Visit<'p> {
        let tls = conn.tls().is_some();
        let binding = deps.settings.scram_plus.then(|| conn.exporter()).flatten().map(Binding::exporter);
        let security = Security {
            tls,
            passwords: tls || deps.plain_passwords || conn.peer().ip().to_canonical().is_loopback(),
            offer: Offer::new(&deps.accounts, deps.settings.cram_md5, binding),
            stamp,
            login_delay_secs: deps.settings.login_delay.0.as_secs(),
        };
        let session = Session::new(security, deps.settings.max_bad_commands);
        Visit { deps, session, maildrop: None, turn: None }
    }

    fn ask_rules(&mut self, command: Result<Command, Fault>) -> Step {
        let messages = self.maildrop.as_ref().map(|maildrop| maildrop.messages()).unwrap_or_default();
        match command {
            Ok(command) => self.session.step(command, messages),
            Err(fault) => self.session.reject(fault),
        }
    }

    /// Does what the rules said. Answers how the conversation ends, if it does.
    async fn carry_out(&mut self, step: Step, conn: &mut Conn) -> Result<Option<Exit>, Ended> {
        match step {
            Step::Say(reply) => conn.say(reply),
            Step::SayAndEnd(reply) => {
                conn.say(reply);
                return Ok(Some(Exit::Done));
            }
            Step::StartTls => {
                conn.say(Reply::ok("begin TLS negotiation"));
                return Ok(Some(Exit::StartTls));
            }
            Step::Capabilities => say_list(conn, "capability list follows", self.session.capabilities()),
            Step::ListMechanisms => say_list(conn, "mechanisms follow", self.session.offer().names().split(' ')),
            Step::ListLanguages => say_list(conn, "languages follow", LANGUAGES.iter().map(|(tag, name)| format!("{tag} {name}"))),
            Step::LogIn { .. } | Step::LogInByDigest { .. } | Step::Authenticate { .. } => {
                let step = Box::pin(self.log_in(step, conn)).await?;
                return Ok(say_outcome(step, conn));
            }
            Step::ListSizes(reply) => self.list(reply, |facts| &facts.octets, conn).await?,
            Step::ListUids(reply) => self.list(reply, |facts| &facts.uid, conn).await?,
            Step::Send(index) => Box::pin(self.send(index, None, conn)).await?,
            Step::SendTop(index, lines) => Box::pin(self.send(index, Some(lines), conn)).await?,
            Step::Update(indexes) => {
                conn.say(self.update(indexes).await);
                return Ok(Some(Exit::Done));
            }
        }
        Ok(None)
    }

    /// Finds out who the client is, and opens the maildrop.
    async fn log_in(&mut self, how: Step, conn: &mut Conn) -> Result<Step, Ended> {
        let (accounts, from) = (&self.deps.accounts, conn.peer().ip());
        let proven = match how {
            Step::LogIn { name, password } => accounts.login(from, &name, &password).await.ok_or(Refusal::Wrong),
            Step::LogInByDigest { name, stamp, digest } => accounts.apop(from, &name, &stamp, &digest).await.ok_or(Refusal::Wrong),
            Step::Authenticate { mechanism, initial } => {
                let exchange = Exchange { accounts, offer: self.session.offer(), from, client: &mut auth::Client(conn) };
                exchange.run(mechanism, initial).await?
            }
            other => return Ok(other),
        };
        Ok(match proven {
            Ok(account) => {
                conn.identify(&account.name);
                self.open(&account, conn).await
            }
            Err(refusal) => {
                tracing::info!(id = conn.id(), peer = %conn.peer(), "login failed: {refusal:?}");
                match refusal {
                    Refusal::Cancelled => self.session.fail_exchange("authentication cancelled"),
                    Refusal::TooLong => self.session.fail_exchange("that is too long"),
                    Refusal::NotBase64 => self.session.fail_exchange("that is not base64"),
                    Refusal::Malformed(why) => self.session.fail_exchange(why),
                    Refusal::ForSomebodyElse => self.session.fail_exchange("you can log on as yourself only"),
                    Refusal::Wrong => self.session.fail_login(),
                }
            }
        })
    }

    async fn open(&mut self, account: &Account, conn: &Conn) -> Step {
        if let Some(wait_secs) = self.deps.turns.wait_secs(&account.name, self.deps.settings.login_delay.0) {
            return self.session.delay_login(wait_secs);
        }
        self.turn = self.deps.turns.take(&account.name).await;
        let opened = match self.turn {
            None => Err(StoreError::Busy),
            Some(_) => {
                let (deps, name) = (self.deps.clone(), account.name.clone());
                blocking(move || deps.mail.open_maildrop(&name)).await
            }
        };
        match opened {
            Ok(maildrop) => {
                let reply = self.session.enter(maildrop.messages());
                self.maildrop = Some(maildrop);
                Step::Say(reply)
            }
            Err(error) => {
                self.turn = None;
                tracing::warn!(id = conn.id(), account = account.name, "the maildrop can't be opened: {error}");
                Step::Say(refusal(Attempt::Open, &error))
            }
        }
    }

    /// Lists the messages that are left, in pieces: a maildrop may hold very many.
    async fn list(&mut self, reply: Reply, describe: fn(&MessageFacts) -> &dyn Display, conn: &mut Conn) -> Result<(), Ended> {
        const AT_ONCE: usize = 1000;
        conn.say(reply);
        let (mut next, mut lines) = (0, String::new());
        loop {
            let messages = self.maildrop.as_ref().map(|maildrop| maildrop.messages()).unwrap_or_default();
            let mut listed = self.session.remaining(next).take(AT_ONCE).peekable();
            if listed.peek().is_none() {
                break;
            }
            lines.clear();
            for (index, facts) in listed.filter_map(|index| Some((index, messages.get(index)?))) {
                let _infallible = write!(lines, "{} {}\r\n", index + 1, describe(facts));
                next = index + 1;
            }
            conn.say(&lines);
            conn.flush_if_large().await?;
        }
        conn.say(".\r\n");
        Ok(())
    }

    /// Sends a message, whole or its first lines.
    async fn send(&mut self, index: usize, lines: Option<u64>, conn: &mut Conn) -> Result<(), Ended> {
        let Some(maildrop) = &self.maildrop else { return Ok(()) };
        let octets = maildrop.messages().get(index).map_or(0, |facts| facts.octets);
        let opened = maildrop.read(index).map(|source| Outgoing::new(source, octets, lines));
        let begun = match opened {
            Ok(outgoing) => outgoing.next().await.map_err(Into::into),
            Err(error) => Err(error),
        };
        match begun {
            Ok(outgoing) => {
                conn.say(if lines.is_none() { Reply::ok(format_args!("{octets} octets")) } else { Reply::ok("top of message follows") });
                outgoing.send(conn).await
            }
            Err(error) => {
                tracing::warn!(id = conn.id(), "message {} can't be read: {error}", index + 1);
                conn.say(refusal(Attempt::Read, &error));
                Ok(())
            }
        }
    }

    /// The UPDATE state (RFC 1939, 6): removes what was marked, unlocks, and only then says how it
    /// went.
    async fn update(&mut self, indexes: Vec<usize>) -> Reply {
        let Some(mut maildrop) = self.maildrop.take() else { return signing_off() };
        if indexes.is_empty() {
            return signing_off();
        }
        let removed = blocking(move || maildrop.remove(&indexes)).await;
        match removed {
            Ok(()) => signing_off(),
            Err(error) => {
                tracing::error!("deleted messages can't be removed: {error}");
                refusal(Attempt::Remove, &error)
            }
        }
    }
}

/// Says a list, each entry on a line.
fn say_list(conn: &mut Conn, title: &str, entries: impl IntoIterator<Item = impl std::fmt::Display>) {
    conn.say(Reply::ok(title));
    for entry in entries {
        conn.say(format!("{entry}\r\n"));
    }
    conn.say(".\r\n");
}

/// Says what a login led to.
fn say_outcome(step: Step, conn: &mut Conn) -> Option<Exit> {
    match step {
        Step::SayAndEnd(reply) => {
            conn.say(reply);
            Some(Exit::Done)
        }
        Step::Say(reply) => {
            conn.say(reply);
            None
        }
        _ => None,
    }
}
