//! The conversation with one client: read a command, ask the rules, do the one thing they said.

use std::{net::IpAddr, ops::Range, sync::Arc};

use super::{
    Deps,
    command::{self, AUTH_LINE_OCTETS},
    directory::{Directory, Target},
    incoming::Incoming,
    login,
    parcel::{Consignment, new_id},
    relay::Wake,
    reply::{self, Reply},
    rules::{Link, Policy, Role, Session, Step, Transaction},
};
use crate::{
    clock::Clock,
    mail::{
        address::{Mailbox, Path},
        date,
        dots::Fed,
        head::{Head, Repair},
        message,
    },
    net::{Conn, Ended, Entry, Exit, Farewell, LineEnding, Parse, Protocol, Received},
    store::{
        Accounts, Secret,
        intake::Intake,
        mail::{MailStore, Spool},
        sasl::{Binding, Exchange, Mechanism, Offer},
    },
};

/// SMTP on one port.
pub(crate) struct Smtp {
    service: &'static str,
    policy: Arc<Policy>,
    accounts: Arc<Accounts>,
    mail: Arc<dyn MailStore>,
    intake: Intake,
    clock: Clock,
    wake: Wake,
    plain_passwords: bool,
    cram_md5: bool,
    scram_plus: bool,
}

/// One client, while it is connected.
struct Client<'a> {
    smtp: &'a Smtp,
    conn: &'a mut Conn,
    session: Session,
    /// Every line so far ended in a bare LF: somebody types into a telnet or `nc`.
    people: bool,
}

impl Smtp {
    /// # Errors
    /// A sentence about the settings; see [`super::settings::Settings::check`].
    pub(crate) fn new(deps: Deps) -> Result<Smtp, String> {
        let people = Box::new(deps.accounts.clone());
        let policy = Policy {
            role: deps.role,
            directory: Directory::new(&deps.settings, &deps.domains, people)?,
            max_message_octets: deps.settings.max_message.0,
            max_recipients: deps.settings.max_recipients,
            own_sender: deps.settings.own_sender,
        };
        Ok(Smtp {
            service: deps.service,
            policy: Arc::new(policy),
            accounts: deps.accounts,
            intake: Intake::new(deps.mail.clone()),
            mail: deps.mail,
            clock: deps.clock,
            wake: deps.wake,
            plain_passwords: deps.plain_passwords,
            cram_md5: deps.settings.cram_md5,
            scram_plus: deps.settings.scram_plus,
        })
    }

    fn name(&self) -> &str {
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
        if entry == Entry::Greeting {
            conn.say(reply::greeting(Smtp::name(self)).to_string());
        }
        Client { smtp: self, conn, session, people: true }.converse().await
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
                    self.session.step(command::parse(&line.text))
                }
                Ok(Received::TooLong) => self.session.step(Err(reply::line_too_long())),
                Err(Ended::Closed) => return Ok(Exit::Done),
                Err(ended) => return Err(ended),
            };
            if let Some(exit) = self.perform(step).await? {
                return Ok(exit);
            }
        }
    }

    /// Does what the rules said; answers how the conversation ends, if it does.
    async fn perform(&mut self, step: Step) -> Result<Option<Exit>, Ended> {
        let reply = match step {
            Step::Say(reply) => reply,
            Step::Receive(go_ahead) => self.receive(&go_ahead).await?,
            Step::LogIn { mechanism, initial } => Box::pin(self.log_in(mechanism, initial)).await?,
            Step::StartTls(reply) => {
                self.say(&reply);
                return Ok(Some(Exit::StartTls));
            }
        };
        self.say(&reply);
        Ok(reply.closes().then_some(Exit::Done))
    }

    fn say(&mut self, reply: &Reply) {
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
                self.conn.tap().login(&account.name);
                self.session.logged_in(&account.name)
            }
            Err(refusal) => self.session.not_logged_in(login::refusal(refusal)),
        })
    }

    /// Takes the message after DATA and answers the reply to its last line.
    async fn receive(&mut self, go_ahead: &Reply) -> Result<Reply, Ended> {
        let Some(transaction) = self.session.take_transaction() else { return Ok(reply::sender_first()) };
        // Where there is no room we say so before the client sends, not after.
        let spool = match self.smtp.mail.spool() {
            Ok(spool) => spool,
            Err(error) => return Ok(reply::storage(&error)),
        };
        let arrived = self.smtp.clock.now();
        let id = new_id(arrived);
        let head = Head::new(self.trace(&transaction, &id), self.repair(&id));
        self.say(go_ahead);
        let incoming = Incoming::new(self.people, head, spool, self.smtp.policy.max_message_octets);
        let incoming = self.transfer(incoming).await?;
        self.people &= incoming.ends_in_bare_lf();
        match incoming.finish() {
            Err(reply) => Ok(reply),
            Ok((message, eight_bit)) => {
                let Transaction { sender, targets, .. } = transaction;
                let consignment = Consignment { id, sender, targets, eight_bit, arrived };
                Ok(self.accept(consignment, message).await)
            }
        }
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

    /// Hands the message to the store. From the 250 on it is ours: it is said when all is safe.
    async fn accept(&self, consignment: Consignment, message: Box<dyn Spool>) -> Reply {
        let octets = message.octets();
        let parcel = consignment.parcel(message);
        match self.smtp.intake.accept(parcel).await {
            Ok(()) => {
                let Consignment { id, sender, targets, .. } = &consignment;
                tracing::info!(service = self.smtp.service, conn = self.conn.id(), id, %sender, copies = targets.len(), octets, "accepted");
                if consignment.goes_elsewhere() {
                    self.smtp.wake.wake();
                }
                reply::accepted(id)
            }
            Err(error) => {
                tracing::error!(service = self.smtp.service, "a message could not be stored: {error}");
                reply::storage(&error)
            }
        }
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

/// The recipient for the trace field, where there is only one copy.
fn only_recipient(transaction: &Transaction) -> Option<&Mailbox> {
    match (transaction.recipients.as_slice(), transaction.targets.as_slice()) {
        ([Path::Mailbox(mailbox)], [Target::Account { .. } | Target::Remote(_)]) => Some(mailbox),
        _ => None,
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
