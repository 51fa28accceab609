//! The conversation with one client: read a command, ask the rules, do the one thing they said.

use std::{net::IpAddr, ops::Range, sync::Arc, time::Duration};

use super::{
    Deps,
    command::{self, AUTH_LINE_OCTETS, Command},
    directory::Directory,
    login,
    question::Answerers,
    receive::Chunked,
    relay::Wake,
    reply::{self, Reply},
    rules::{Link, Policy, Session, Step},
};
use crate::{
    clock::Clock,
    net::{Conn, Ended, Entry, Exit, Farewell, LineEnding, Protocol, Received},
    store::{
        Accounts, Secret,
        intake::Intake,
        mail::MailStore,
        sasl::{Binding, Exchange, Mechanism, Offer},
    },
};

/// SMTP on one port.
pub(crate) struct Smtp {
    pub(super) service: &'static str,
    pub(super) policy: Arc<Policy>,
    accounts: Arc<Accounts>,
    pub(super) mail: Arc<dyn MailStore>,
    pub(super) intake: Intake,
    pub(super) answerers: Answerers,
    pub(super) clock: Clock,
    pub(super) wake: Wake,
    greeting_delay: Duration,
    no_mail: bool,
    plain_passwords: bool,
    cram_md5: bool,
    scram_plus: bool,
}

/// One client, while it is connected.
pub(super) struct Client<'a> {
    pub(super) smtp: &'a Smtp,
    pub(super) conn: &'a mut Conn,
    pub(super) session: Session,
    /// Every line so far ended in a bare LF: somebody types into a telnet or `nc`.
    pub(super) people: bool,
    /// A message that comes by BDAT, as far as it has come.
    pub(super) chunked: Option<Box<Chunked>>,
}

impl Smtp {
    /// # Errors
    /// A sentence about the settings; see [`super::settings::Settings::check`].
    pub(crate) fn new(deps: Deps) -> Result<Smtp, String> {
        let people = Box::new(deps.accounts.clone());
        let policy = Policy::new(deps.role, Directory::new(&deps.settings, &deps.domains, people)?, &deps.settings);
        let answerers = Answerers::new(deps.mail.clone(), policy.unwritable.clone(), &deps.settings, deps.resolver);
        Ok(Smtp {
            service: deps.service,
            policy: Arc::new(policy),
            accounts: deps.accounts,
            intake: Intake::new(deps.mail.clone()),
            answerers,
            mail: deps.mail,
            clock: deps.clock,
            wake: deps.wake,
            greeting_delay: deps.settings.greeting_delay.0,
            no_mail: deps.settings.no_mail,
            plain_passwords: deps.plain_passwords,
            cram_md5: deps.settings.cram_md5,
            scram_plus: deps.settings.scram_plus,
        })
    }

    pub(super) fn name(&self) -> &str {
        self.policy.directory.name()
    }

    fn link(&self, conn: &Conn) -> Link {
        let (peer, tls) = (conn.peer().ip(), conn.tls().is_some());
        let passwords = tls || self.plain_passwords || peer.to_canonical().is_loopback();
        let binding = self.scram_plus.then(|| conn.exporter()).flatten().map(Binding::exporter);
        let offer = Offer::new(&self.accounts, self.cram_md5, binding);
        Link { peer, local: conn.local().ip(), tls, passwords, offer }
    }
}

impl Protocol for Smtp {
    fn name(&self) -> &str {
        self.service
    }

    async fn converse(&self, conn: &mut Conn, entry: Entry) -> Result<Exit, Ended> {
        let session = Session::new(self.policy.clone(), self.link(conn));
        let mut client = Client { smtp: self, conn, session, people: true, chunked: None };
        if entry == Entry::Greeting && !client.greet().await? {
            return Ok(Exit::Done);
        }
        client.converse().await
    }

    fn farewell(&self, ended: &Ended) -> Option<Farewell> {
        let name = Smtp::name(self);
        let reply = match ended {
            Ended::Shutdown => reply::shutting_down(name),
            Ended::Idle | Ended::Slow(_) => reply::too_slow(name),
            Ended::Abuse(what) => reply::abuse(name, what),
            Ended::Panicked => reply::own_fault(name),
            Ended::Closed | Ended::Truncated | Ended::Tls(_) | Ended::Io(_) => return None,
        };
        Some(reply.to_string().into_bytes().into())
    }

    fn busy(&self, _peer: IpAddr) -> Option<Farewell> {
        Some(reply::too_busy(Smtp::name(self)).to_string().into_bytes().into())
    }
}

impl Client<'_> {
    /// Says the first word; answers whether the client may go on.
    async fn greet(&mut self) -> Result<bool, Ended> {
        let name = Smtp::name(self.smtp);
        // RFC 5321, 4.3.1: the client waits for the greeting. Who does not is a program that sends
        // its commands blindly; it hears 554, and nothing that it has sent ahead counts.
        let talks = !self.smtp.greeting_delay.is_zero() && !Box::pin(self.conn.is_quiet_for(self.smtp.greeting_delay)).await?;
        let reply = match (self.smtp.no_mail, talks) {
            (true, _) => reply::no_mail_here(name),
            (false, true) => reply::talks_too_early(name),
            (false, false) => reply::greeting(name),
        };
        self.say(&reply);
        Ok(reply.code() == 220)
    }

    async fn converse(mut self) -> Result<Exit, Ended> {
        loop {
            let step = match self.conn.command(AUTH_LINE_OCTETS, credentials_in).await {
                Ok(Received::Whole(line)) => {
                    self.people &= line.ending == LineEnding::Lf;
                    if line.is_http_request() {
                        // A browser was tricked into talking to us: not a word of it counts.
                        self.say(&reply::no_web_server());
                        return Ok(Exit::Done);
                    }
                    let command = command::parse(&line.text);
                    if matches!(command, Ok(Command::Mail { .. })) {
                        // Where nobody can tell, writing will show.
                        self.session.note_free_octets(self.smtp.mail.free_octets().ok());
                    }
                    self.session.step(command)
                }
                Ok(Received::TooLong) => self.session.step(Err(reply::line_too_long())),
                Err(Ended::Closed) => return Ok(Exit::Done),
                Err(ended) => return Err(ended),
            };
            if let Some(exit) = self.perform(step).await? {
                return Ok(exit);
            }
            if !self.session.is_chunking() {
                // RSET, EHLO or a chunk that failed: what has come so far goes.
                self.chunked = None;
            }
        }
    }

    /// Does what the rules said; answers how the conversation ends, if it does.
    async fn perform(&mut self, mut step: Step) -> Result<Option<Exit>, Ended> {
        while let Step::Wait { time, then } = step {
            Box::pin(self.conn.pause(time)).await?;
            step = *then;
        }
        let reply = match step {
            Step::Say(reply) => Some(reply),
            Step::Receive(go_ahead) => Box::pin(self.receive(&go_ahead)).await?,
            Step::Chunk { octets, last } => Box::pin(self.take_chunk(octets, last)).await?,
            Step::Swallow { octets, reply } => {
                Box::pin(self.swallow(octets)).await?;
                Some(reply)
            }
            Step::Ask(question) => {
                let objection = Box::pin(self.smtp.answerers.objection(question)).await;
                Some(self.session.answered(objection))
            }
            Step::Wait { .. } | Step::Drop => None,
            Step::LogIn { mechanism, initial } => Some(Box::pin(self.log_in(mechanism, initial)).await?),
            Step::StartTls(reply) => {
                self.say(&reply);
                return Ok(Some(Exit::StartTls));
            }
        };
        // No reply at all: an address of the lab asked us to hang up.
        let Some(reply) = reply else { return Ok(Some(Exit::Done)) };
        self.say(&reply);
        Ok(reply.closes().then_some(Exit::Done))
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        if reply.code() >= 400 {
            tracing::debug!(service = self.smtp.service, conn = self.conn.id(), "said {}", reply.to_string().trim_end());
        }
        self.conn.say(reply.to_string());
    }

    async fn log_in(&mut self, mechanism: Mechanism, initial: Option<String>) -> Result<Reply, Ended> {
        let from = self.conn.peer().ip();
        let client = &mut login::Prover(self.conn);
        let exchange = Exchange { accounts: &self.smtp.accounts, offer: self.session.offer(), from, client };
        Ok(match exchange.run(mechanism, initial.map(Secret)).await? {
            Ok(account) => {
                self.conn.identify(&account.name);
                self.session.logged_in(&account.name)
            }
            Err(refusal) => self.session.not_logged_in(login::refusal(refusal)),
        })
    }
}

/// The initial response in an AUTH line, which transcripts must not show.
fn credentials_in(line: &[u8]) -> Option<Range<usize>> {
    let arguments = line.get(..5).filter(|verb| verb.eq_ignore_ascii_case(b"AUTH ")).map(|_| &line[5..])?;
    let response = memchr::memchr(b' ', arguments)?;
    Some(5 + response + 1..line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_credentials_are_masked() {
        assert_eq!(credentials_in(b"auth PLAIN AGJvYgBodW5ncnk="), Some(11..27));
        for line in [&b"AUTH LOGIN"[..], b"AUTH", b"NOOP a b", b""] {
            assert_eq!(credentials_in(line), None);
        }
    }
}
