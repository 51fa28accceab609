//! The client side: brings one message to its next hop (RFC 5321, 3.3; RFC 2920 for sending ahead).
//!
//! Results are per recipient. What the other server says with 4xx, or does not say at all, is
//! [`Verdict::Later`]; what it says with 5xx is [`Verdict::Failed`]. A message that can't be read to
//! its end is never ended with a dot: the connection is dropped, and the other side drops the rest.

use std::io::{Cursor, Read};

use super::{answer::Answer, route::Hop};
use crate::{
    mail::{convert, dots::Stuffer},
    net::{
        Conn, Received,
        dial::{Dialer, Gate},
        tls::TlsClient,
    },
    store,
};

/// The longest line of an answer that is read, in octets: four times what RFC 5321 allows.
const LINE_OCTETS: usize = 2048;
/// Lines of one answer.
const ANSWER_LINES: usize = 100;
/// Commands sent ahead of their answers: both sides' buffers must hold them (RFC 2920, 3.1).
const AHEAD: usize = 100;
/// The largest message that is converted for the next hop, in octets: it is held in memory.
const CONVERT_OCTETS: u64 = 32 * 1024 * 1024;
/// How much of a message is read at once, in octets.
const CHUNK_OCTETS: usize = 32 * 1024;

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Delivered,
    Later(String),
    Failed(String),
}

/// A message to be sent.
pub(super) struct Letter<'a> {
    /// Empty for `<>`.
    pub sender: &'a str,
    pub recipients: &'a [String],
    pub eight_bit: bool,
    pub octets: u64,
    pub text: Box<dyn Read + Send>,
}

impl Letter<'_> {
    /// RFC 6152, 3: where the next hop takes no 8-bit text it is converted, or returned; octets
    /// with the high bit cut off help nobody.
    async fn into_seven_bit(self) -> Result<Self, Verdict> {
        if !self.eight_bit {
            return Ok(self);
        }
        let Letter { octets, text, .. } = self;
        let converted = store::blocking(move || {
            let mut message = Vec::new();
            text.take(CONVERT_OCTETS).read_to_end(&mut message).map_err(unread)?;
            let whole = message.len() as u64 == octets;
            let converted = convert::to_seven_bit(&message).filter(|_| whole);
            converted.ok_or_else(|| Verdict::Failed("554 5.6.3 the next hop takes no 8-bit text, and this can't be converted".into()))
        });
        let converted = converted.await?;
        Ok(Letter { octets: converted.len() as u64, text: Box::new(Cursor::new(converted)), eight_bit: false, ..self })
    }
}

/// How to reach other servers.
#[derive(Clone)]
pub(super) struct Caller {
    pub dialer: Dialer,
    pub tls: Option<TlsClient>,
    /// Our name.
    pub name: String,
}

/// A conversation with a next hop that has greeted us.
pub(super) struct Session {
    conn: Conn,
    extensions: Vec<String>,
}

impl Caller {
    /// Sends a letter; answers one verdict per recipient, and the session where it still stands.
    pub(super) async fn send(&self, hop: &Hop, letter: Letter<'_>) -> (Vec<Verdict>, Option<Session>) {
        let all = letter.recipients.len();
        let mut session = match self.open(hop).await {
            Ok(session) => session,
            Err(verdict) => return (vec![verdict; all], None),
        };
        match session.transact(letter).await {
            Ok(verdicts) => (verdicts, Some(session)),
            Err(verdict) => (vec![verdict; all], None),
        }
    }

    /// Connects and says EHLO; with TLS where the other side offers it. TLS here is opportunistic
    /// (RFC 7435): where the handshake fails, mail goes in the clear, as it would have without.
    async fn open(&self, hop: &Hop) -> Result<Session, Verdict> {
        let session = self.greet(self.connect(hop).await?).await?;
        let Some(tls) = self.tls.as_ref().filter(|_| session.offers("STARTTLS").is_some()) else { return Ok(session) };
        match self.secure(session, tls, hop).await {
            Ok(session) => Ok(session),
            Err(Verdict::Later(reason)) => {
                tracing::info!(%hop, "no TLS, going on in the clear: {reason}");
                self.greet(self.connect(hop).await?).await
            }
            Err(verdict) => Err(verdict),
        }
    }

    async fn connect(&self, hop: &Hop) -> Result<Conn, Verdict> {
        // The settings name the hop, so the gate is open.
        let connected = self.dialer.connect((&hop.host, hop.port), Gate::Open, "relay", None).await;
        connected.map_err(|error| Verdict::Later(format!("connecting to {hop}: {error}")))
    }

    async fn greet(&self, conn: Conn) -> Result<Session, Verdict> {
        let mut session = Session { conn, extensions: Vec::new() };
        let greeting = session.answer().await?;
        if !greeting.is_positive() {
            // RFC 5321, 3.1: 554 means no service here, which may be so for now only.
            return Err(Verdict::Later(format!("greeting: {greeting}")));
        }
        self.hello(session).await
    }

    /// EHLO, or HELO where the other side does not know it (RFC 5321, 3.2).
    async fn hello(&self, mut session: Session) -> Result<Session, Verdict> {
        let answer = session.ask(&format!("EHLO {}", self.name)).await?;
        if answer.is_positive() {
            session.extensions = answer.lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
            return Ok(session);
        }
        match session.ask(&format!("HELO {}", self.name)).await? {
            answer if answer.is_positive() => Ok(session),
            answer => Err(answer.verdict()),
        }
    }

    async fn secure(&self, mut session: Session, tls: &TlsClient, hop: &Hop) -> Result<Session, Verdict> {
        let answer = session.ask("STARTTLS").await?;
        if !answer.is_positive() {
            return Err(Verdict::Later(format!("STARTTLS: {answer}")));
        }
        let conn = session.conn.secure(tls, &hop.host).await.map_err(|ended| Verdict::Later(ended.to_string()))?;
        self.hello(Session { conn, extensions: Vec::new() }).await
    }
}

impl Session {
    /// One mail transaction. An `Err` is for all recipients alike, and the session is no more.
    async fn transact(&mut self, letter: Letter<'_>) -> Result<Vec<Verdict>, Verdict> {
        let recipients = letter.recipients.len();
        let letter = if self.offers("8BITMIME").is_none() { letter.into_seven_bit().await } else { Ok(letter) };
        let (letter, sender) = match letter.and_then(|letter| self.sender_command(&letter).map(|sender| (letter, sender))) {
            Ok(both) => both,
            Err(verdict) => return Ok(vec![verdict; recipients]),
        };
        let mut verdicts = self.address(sender, letter.recipients).await?;
        if !verdicts.contains(&Verdict::Delivered) {
            return Ok(verdicts);
        }
        let go_ahead = self.ask("DATA").await?;
        let end = if go_ahead.code == 354 { self.transfer(letter.text).await? } else { go_ahead };
        if !end.is_positive() {
            // It holds for those who were accepted; the others have their own verdict already.
            let accepted = verdicts.iter_mut().filter(|verdict| **verdict == Verdict::Delivered);
            accepted.for_each(|verdict| *verdict = end.verdict());
        }
        Ok(verdicts)
    }

    /// MAIL with the parameters that the other side knows, unless we know that it will refuse.
    fn sender_command(&self, letter: &Letter<'_>) -> Result<String, Verdict> {
        let mut command = format!("MAIL FROM:<{}>", letter.sender);
        if let Some(limit) = self.offers("SIZE") {
            let limit: u64 = limit.trim().parse().unwrap_or(0);
            if limit > 0 && letter.octets > limit {
                let reason = format!("552 5.3.4 message of {} octets, the next hop takes {limit}", letter.octets);
                return Err(Verdict::Failed(reason));
            }
            command.push_str(&format!(" SIZE={}", letter.octets));
        }
        if letter.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        Ok(command)
    }

    /// MAIL and all RCPT; several at once where the other side allows it. `Delivered` stands for
    /// recipients that were accepted.
    async fn address(&mut self, sender: String, recipients: &[String]) -> Result<Vec<Verdict>, Verdict> {
        let mut commands = vec![sender];
        commands.extend(recipients.iter().map(|recipient| format!("RCPT TO:<{recipient}>")));
        let at_once = if self.offers("PIPELINING").is_some() { AHEAD } else { 1 };
        let mut verdicts = Vec::new();
        for commands in commands.chunks(at_once) {
            commands.iter().for_each(|command| self.conn.say(format!("{command}\r\n")));
            for _ in commands {
                let answer = self.answer().await?;
                verdicts.push(if answer.is_positive() { Verdict::Delivered } else { answer.verdict() });
            }
            // Without a sender nothing that follows counts.
            if verdicts[0] != Verdict::Delivered {
                return Ok(vec![verdicts.swap_remove(0); recipients.len()]);
            }
        }
        Ok(verdicts.split_off(1))
    }

    /// The message, and the answer to its dot.
    async fn transfer(&mut self, mut text: Box<dyn Read + Send>) -> Result<Answer, Verdict> {
        let mut stuffer = Stuffer::new();
        let mut chunk = vec![0; CHUNK_OCTETS];
        let mut stuffed = Vec::new();
        loop {
            let octets = text.read(&mut chunk).map_err(unread)?;
            stuffed.clear();
            if octets == 0 {
                break;
            }
            stuffer.feed(&chunk[..octets], &mut stuffed);
            self.conn.push(&stuffed);
            self.conn.flush_if_large().await.map_err(lost)?;
        }
        stuffer.finish(&mut stuffed);
        self.conn.push(&stuffed);
        self.answer().await
    }

    /// Says goodbye. Its answer changes nothing.
    pub(super) async fn quit(mut self) {
        self.conn.say("QUIT\r\n");
        self.conn.close().await;
    }

    /// The parameter of an extension, if it is offered.
    fn offers(&self, keyword: &str) -> Option<&str> {
        self.extensions.iter().find_map(|line| {
            let rest = line.strip_prefix(keyword)?;
            (rest.is_empty() || rest.starts_with([' ', '='])).then_some(rest)
        })
    }

    async fn ask(&mut self, command: &str) -> Result<Answer, Verdict> {
        self.conn.say(format!("{command}\r\n"));
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer, Verdict> {
        let mut answer = Answer { code: 0, lines: Vec::new() };
        while answer.lines.len() < ANSWER_LINES {
            let line = match self.conn.more(LINE_OCTETS, |_| None).await.map_err(lost)? {
                Received::Whole(line) => line.text,
                Received::TooLong => return Err(Verdict::Later("the next hop answered a line too long".into())),
            };
            match answer.add(&line) {
                Some(true) => return Ok(answer),
                Some(false) => {}
                None => return Err(Verdict::Later("the next hop answered nonsense".into())),
            }
        }
        Err(Verdict::Later("the next hop answered without end".into()))
    }
}

fn unread(error: std::io::Error) -> Verdict {
    Verdict::Later(format!("reading the queue: {error}"))
}

fn lost(ended: crate::net::Ended) -> Verdict {
    Verdict::Later(format!("connection to the next hop: {ended}"))
}
