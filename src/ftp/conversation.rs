//! The control connection: reads a command, asks the rules, does the one thing they said.
//!
//! During a transfer the control connection is still read: ABOR stops the transfer, STAT is
//! answered, everything else waits its turn and is answered afterwards in order.

use std::{borrow::Cow, future::Future, net::IpAddr, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Deps, address,
    command::{self, ByteRange, Command, Digest, Protection},
    data::{DataPort, Parent},
    digest,
    files::{self, refuse},
    listing::Viewer,
    reply::{Purpose, Reply},
    rules::{Circumstances, Passive, Question, Session, Step},
    tickets::Tickets,
    transfer::{Abort, Failure},
    waiting::Waiting,
};
use crate::{
    net::{Conn, Ended, Entry, Exit, Farewell, Line, Protocol, Received},
    store::{Account, Secret, VirtualPath},
    units::Span,
};

/// How soon the runtime is told of what the system knows already.
const NEWS_TIME: Duration = Duration::from_millis(1);

/// SITE IDLE sets no less, in seconds: a person reads a reply and answers.
const LEAST_IDLE_SECS: u64 = 10;
/// The longest command line that is taken, in octets with its end: a path of 4096 and a verb.
const LINE_OCTETS: usize = 4096 + 64;

/// The server of one FTP service.
pub(crate) struct Ftp {
    deps: Deps,
}

impl Ftp {
    pub(crate) fn new(deps: Deps) -> Ftp {
        Ftp { deps }
    }
}

impl Protocol for Ftp {
    fn name(&self) -> &str {
        self.deps.service
    }

    async fn converse(&self, conn: &mut Conn, entry: Entry) -> Result<Exit, Ended> {
        conn.take_urgent_inline();
        let mut visit = Visit::new(&self.deps, conn);
        if entry == Entry::Greeting {
            conn.say(visit.session.greeting().print());
        }
        loop {
            let received = match visit.waiting.pop() {
                Some(received) => received,
                None => match conn.command(LINE_OCTETS, command::mask).await {
                    Err(Ended::Closed) => return Ok(Exit::Done),
                    received => received?,
                },
            };
            if let Some(exit) = visit.take(conn, received).await? {
                return Ok(exit);
            }
        }
    }

    fn farewell(&self, ended: &Ended) -> Option<Farewell> {
        let text = match ended {
            Ended::Closed => return None,
            Ended::Idle => "Idle for too long: closing the control connection",
            Ended::Shutdown => "The server is stopping",
            Ended::Slow(_) => "Too slow: closing the control connection",
            Ended::Abuse(why) => why,
            _ => "Service not available, closing the control connection",
        };
        Some(farewell(text))
    }

    fn busy(&self, _peer: IpAddr) -> Option<Farewell> {
        Some(farewell("Too many connections, try again later"))
    }
}

fn farewell(text: &str) -> Farewell {
    Cow::Owned(Reply::new(421, text).print().into_bytes())
}

/// One client's session with what belongs to it.
pub(super) struct Visit<'f> {
    pub(super) deps: &'f Deps,
    pub(super) session: Session,
    pub(super) port: DataPort,
    at: Circumstances,
    most_idle: Duration,
    tickets: Tickets,
    /// Lines that came during a transfer.
    waiting: Waiting,
    /// The command that is being answered.
    row: Option<&'static command::Row>,
}

impl Visit<'_> {
    fn new<'f>(deps: &'f Deps, conn: &Conn) -> Visit<'f> {
        let secured = conn.tls().is_some();
        let server_name = conn.tls().and_then(|facts| facts.server_name.clone());
        let at = Circumstances {
            local: conn.local().ip(),
            peer: conn.peer().ip(),
            secured,
            server_name,
            offers_tls: deps.tls.is_some(),
            passwords: secured || deps.plain_passwords || conn.peer().ip().to_canonical().is_loopback(),
            hosts: deps.hosts.clone(),
            settings: deps.settings.clone(),
        };
        let session = Session::new(at.clone());
        Visit {
            deps,
            session,
            port: DataPort::Unset,
            at,
            most_idle: conn.limits().idle.0,
            tickets: Tickets::of_control_connection(),
            waiting: Waiting::default(),
            row: None,
        }
    }

    /// Answers one line. Tells how the conversation ends, if it does.
    async fn take(&mut self, conn: &mut Conn, received: Received<Line>) -> Result<Option<Exit>, Ended> {
        let parsed = match &received {
            Received::TooLong => command::too_long(),
            // Hung up on before a line of the request's body can pass for a command.
            Received::Whole(line) if line.is_http_request() => return Err(Ended::Abuse("This is FTP, not HTTP")),
            Received::Whole(line) => command::parse(&line.text),
        };
        self.row = Some(parsed.row);
        let step = self.session.step(parsed);
        self.carry_out(conn, step).await
    }

    async fn carry_out(&mut self, conn: &mut Conn, step: Step) -> Result<Option<Exit>, Ended> {
        let reply = match step {
            Step::Say(reply) => reply,
            Step::Close(reply) => {
                self.say(conn, &reply);
                return Ok(Some(Exit::Done));
            }
            Step::StartTls(reply) => {
                self.say(conn, &reply);
                return Ok(Some(Exit::StartTls));
            }
            Step::Reinitialise => {
                (self.session, self.port) = (Session::new(self.at.clone()), DataPort::Unset);
                self.session.greeting()
            }
            Step::LogIn(name, password) => {
                let step = Box::pin(self.log_in(name, password)).await;
                if let Some(account) = self.session.account() {
                    conn.identify(&account.name);
                }
                return Box::pin(self.carry_out(conn, step)).await;
            }
            Step::Enter(path) => match files::folder(&self.deps.tree, &path).await {
                Ok(()) => self.session.enter(path),
                Err(error) => refuse(&error, Purpose::Find, &path),
            },
            Step::RenameFrom { path, is_folder } => match files::to_rename(&self.deps.tree, &path, is_folder).await {
                Ok(()) => self.session.rename_from(path),
                Err(error) => refuse(&error, Purpose::Find, &path),
            },
            Step::Change(change) => files::change(&self.deps.tree, self.viewer_account(), change).await,
            Step::Ask(question) => self.answer(question).await,
            Step::Hash { path, digest, range, named } => Box::pin(self.digest(conn, path, (digest, range), named)).await?,
            Step::Idle(secs) => self.idle(conn, secs),
            Step::Listen(passive) => self.listen(passive),
            Step::Aim(address, reply) => {
                self.port = DataPort::Active(address);
                reply
            }
            Step::HangUp(reply) => {
                self.port = DataPort::Unset;
                reply
            }
            Step::Transfer(transfer) => Box::pin(self.transfer(conn, transfer)).await?,
            Step::Status => self.session.status(None),
        };
        self.say(conn, &reply);
        Ok(None)
    }

    pub(super) fn say(&self, conn: &mut Conn, reply: &Reply) {
        debug_assert!(
            self.row.is_none_or(|row| row.allows(reply.code())),
            "{:?} may not be answered with {}",
            self.row.map(|row| row.verb),
            reply.code()
        );
        conn.say(reply.print());
    }

    async fn log_in(&mut self, name: String, password: Secret) -> Step {
        let Some(account) = self.deps.accounts.login(self.at.peer, &name, &password).await else {
            tracing::info!(peer = %self.at.peer, "ftp: log-in failed for {}", crate::net::escape::escape(&name));
            return self.session.logged_in(None);
        };
        let home = account.home.clone();
        let home = files::folder(&self.deps.tree, &home).await.is_ok().then_some(home);
        self.session.logged_in(Some((account, home)))
    }

    async fn answer(&self, question: Question) -> Reply {
        match self.session.account() {
            Some(account) => {
                let viewer = Viewer { account: account.clone(), now: self.deps.clock.now() };
                files::answer(&self.deps.tree, &viewer, question).await
            }
            None => Reply::new(530, "Not logged in"),
        }
    }

    /// HASH and its kin: the file may be large, so the control connection is heard meanwhile.
    async fn digest(
        &mut self,
        conn: &mut Conn,
        path: VirtualPath,
        (digest, range): (Digest, ByteRange),
        named: bool,
    ) -> Result<Reply, Ended> {
        let (tree, abort) = (self.deps.tree.clone(), Abort::default());
        let work = digest::of_file(&tree, &path, (digest, range), &abort);
        let made = self.meanwhile(conn, &format!("digesting {path}"), &abort, work).await?;
        Ok(match made {
            Ok((end, _)) if end < range.from => Reply::new(550, "The range is beyond the end of the file"),
            Ok((end, hexadecimal)) if named => Reply::new(213, format!("{} {}-{end} {hexadecimal} {path}", digest.name(), range.from)),
            Ok((_, hexadecimal)) => Reply::new(250, hexadecimal),
            Err(Failure::Store(error)) => refuse(&error, Purpose::Find, &path),
            Err(_) => Reply::new(451, "Requested action aborted"),
        })
    }

    /// SITE IDLE, as Pure-FTPd has it: a session may wait shorter than the server lets it, not longer.
    fn idle(&self, conn: &mut Conn, secs: Option<u64>) -> Reply {
        let most = self.most_idle.as_secs();
        match secs {
            None => Reply::new(200, format!("The idle time is {} seconds, {most} at most", conn.limits().idle.0.as_secs())),
            Some(secs) if (LEAST_IDLE_SECS..=most).contains(&secs) => {
                conn.set_idle(Span(Duration::from_secs(secs)));
                Reply::new(200, format!("The idle time is {secs} seconds"))
            }
            Some(_) => Reply::new(501, format!("The idle time is between {LEAST_IDLE_SECS} and {most} seconds")),
        }
    }

    /// Awaits a data connection from now on; the listener of an earlier command is closed first.
    fn listen(&mut self, passive: Passive) -> Reply {
        self.port = DataPort::Unset;
        let settings = &self.deps.settings;
        let listening = DataPort::listen(&self.deps.dialer.network, self.at.local, &settings.passive_ports.0);
        let port = match listening {
            Ok((listening, port)) => {
                self.port = listening;
                port
            }
            Err(error) => {
                tracing::warn!("ftp: no passive port: {error}");
                return Reply::new(425, "Can't open data connection: no port is free");
            }
        };
        // Who sits on this machine does not come through the NAT that the setting is about.
        let outside = settings.passive_address.0.filter(|_| !self.at.peer.to_canonical().is_loopback());
        match (passive, outside, self.at.local.to_canonical()) {
            (Passive::Pasv, Some(ip), _) | (Passive::Pasv, None, IpAddr::V4(ip)) => {
                Reply::new(227, format!("Entering Passive Mode ({})", address::print_port(ip, port)))
            }
            _ => Reply::new(229, format!("Entering Extended Passive Mode (|||{port}|)")),
        }
    }

    /// What the next data connection has to know of this one.
    pub(super) fn parent(&self, conn: &Conn) -> Parent {
        Parent {
            id: conn.id(),
            local: conn.local(),
            peer: self.at.peer,
            tls: self.deps.tls.clone().filter(|_| self.session.protection() == Protection::Private),
            require_tls_reuse: self.deps.settings.require_tls_reuse,
            tickets: self.tickets.clone(),
            lenient_tls_close: self.deps.settings.lenient_tls_close,
            deflate_level: self.session.deflate_level(),
            dialer: self.deps.dialer.within(conn.limits()),
            tap: conn.tap().clone(),
        }
    }

    /// Runs a transfer to its end while the control connection is heard.
    ///
    /// # Errors
    /// When the control connection is lost meanwhile; the transfer has been aborted then.
    pub(super) async fn meanwhile<T>(
        &mut self,
        conn: &mut Conn,
        what: &str,
        abort: &Abort,
        work: impl Future<Output = T>,
    ) -> Result<T, Ended> {
        let (done, lost) = self.meanwhile_to_the_end(conn, what, abort, work).await;
        lost.map_or(Ok(done), Err)
    }

    /// Like [`Visit::meanwhile`], for work whose outcome matters also when the control connection
    /// was lost.
    pub(super) async fn meanwhile_to_the_end<T>(
        &mut self,
        conn: &mut Conn,
        what: &str,
        abort: &Abort,
        work: impl Future<Output = T>,
    ) -> (T, Option<Ended>) {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return (done, None),
                received = conn.command_meanwhile(LINE_OCTETS, command::mask), if !self.waiting.ends_with_quit() => {
                    if let Err(ended) = received.and_then(|received| self.hear(conn, what, abort, received)) {
                        abort.signal();
                        return (work.await, Some(ended));
                    }
                }
            }
        }
    }

    fn hear(&mut self, conn: &mut Conn, what: &str, abort: &Abort, received: Received<Line>) -> Result<(), Ended> {
        let command = match &received {
            Received::Whole(line) => command::parse(&line.text).command.ok(),
            Received::TooLong => None,
        };
        match command {
            Some(Command::Abor) => {
                abort.signal();
                self.waiting.push_first(received);
            }
            Some(Command::Stat(None)) => conn.say(self.session.status(Some(what)).print()),
            _ => self.waiting.push(received)?,
        }
        Ok(())
    }

    /// A client that was killed in mid-upload closes both connections, and on the data connection
    /// that looks like the end of the file: so look whether the client is still there.
    pub(super) async fn check_presence(&mut self, conn: &mut Conn) -> Result<(), Ended> {
        while self.waiting.has_room() && !self.waiting.ends_with_quit() && conn.has_news() {
            match timeout(NEWS_TIME, conn.command_meanwhile(LINE_OCTETS, command::mask)).await {
                Ok(received) => self.waiting.push(received?)?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    pub(super) fn viewer_account(&self) -> Option<Arc<Account>> {
        self.session.account().cloned()
    }

    /// A name that nobody has, for STOU.
    pub(super) fn unique_name(&self, folder: &VirtualPath) -> VirtualPath {
        let name = format!("upload-{:016x}", rand::random::<u64>());
        folder.join(&name).unwrap_or_else(|_| folder.clone())
    }
}
