//! The client side of SMTP: a conversation with one next hop, and the transactions in it (RFC 5321,
//! 3.3; RFC 2920 for sending ahead; RFC 3030 for messages in chunks).
//!
//! Nothing that the other side does may cost more than its phase's time or a bounded answer. A
//! message that can't be read to its end is never ended: the connection is dropped, and the other
//! side drops the rest.

use std::{io::Read, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    answer::Answer,
    letter::{Letter, LineEnds, Offers},
    verdict::{Reason, Verdict},
};
use crate::{
    mail::{dots::Stuffer, xtext},
    net::{Conn, Received},
    store::envelope::{Notify, Recipient, Return},
};

/// How long each phase may take: RFC 5321, 4.5.3.2.
pub(super) const GREETING: Duration = Duration::from_secs(300);
const COMMAND: Duration = Duration::from_secs(300);
const DATA_BEGIN: Duration = Duration::from_secs(120);
const DATA_BLOCK: Duration = Duration::from_secs(180);
/// Who is less patient after the dot sends the message twice.
const DATA_END: Duration = Duration::from_secs(600);

/// The longest line of an answer that is read, in octets: four times what RFC 5321 allows.
const LINE_OCTETS: usize = 2048;
/// Lines of one answer.
const ANSWER_LINES: usize = 100;
/// Commands sent ahead of their answers: both sides' buffers must hold them (RFC 2920, 3.1).
const AHEAD: usize = 100;
/// Recipients of one transaction: what every server takes (RFC 5321, 4.5.3.1.8).
const RECIPIENTS: usize = 100;
/// Transactions on one connection, and how old it may become: others want a turn, too.
const TRANSACTIONS: u32 = 100;
const AGE: Duration = Duration::from_secs(300);
/// Messages up to this many octets are sent ahead with their envelope, as one chunk.
const WITH_ENVELOPE_OCTETS: u64 = 32 * 1024;
/// The size of the chunks of larger ones: each is answered.
const CHUNK_OCTETS: usize = 1 << 20;
/// How much of a message is read at once, in octets.
const READ_OCTETS: usize = 32 * 1024;

/// A conversation with a next hop that has greeted us.
pub(super) struct Session {
    conn: Conn,
    pub offers: Offers,
    /// Whom we talk to, by the name that we looked for.
    pub remote: String,
    opened: Instant,
    transactions: u32,
    recipients: usize,
    /// A transaction was begun and not ended.
    needs_reset: bool,
    is_over: bool,
}

/// The connection is no more, or makes no sense any more.
pub(super) struct Lost(pub String);

/// What came of a transaction.
pub(super) enum Sent {
    /// For each recipient; `None`: it was one too many and is to be sent in the next one.
    Verdicts(Vec<Option<Verdict>>),
    /// The connection had gone while it lay idle; nothing was sent.
    Stale,
}

/// How far a recipient has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Unasked,
    Accepted,
    OneTooMany,
    Settled(Verdict),
}

impl Session {
    pub(super) fn new(conn: Conn, remote: &str) -> Session {
        let (offers, transactions, needs_reset, is_over) = Default::default();
        let remote = remote.to_owned();
        Session { conn, offers, remote, opened: Instant::now(), transactions, recipients: RECIPIENTS, needs_reset, is_over }
    }

    pub(super) fn conn(&self) -> &Conn {
        &self.conn
    }

    pub(super) fn into_conn(self) -> Conn {
        self.conn
    }

    /// Whether another message may go over it.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_over && self.transactions < TRANSACTIONS && self.opened.elapsed() < AGE
    }

    /// How many recipients the next transaction may have.
    pub(super) fn recipients(&self) -> usize {
        self.recipients
    }

    /// One mail transaction.
    pub(super) async fn transact(&mut self, letter: Letter<'_>) -> Sent {
        let all = letter.recipients.len();
        let letter = match letter.fit(&self.offers).await {
            Ok(letter) => letter,
            Err(reason) => return Sent::Verdicts(vec![Some(Verdict::Failed(reason)); all]),
        };
        let mut standings = vec![Standing::Unasked; all];
        let was_idle = self.transactions > 0;
        let lost = self.exchange(letter, &mut standings).await.err();
        self.transactions += 1;
        if let Some(lost) = &lost {
            self.is_over = true;
            if was_idle && standings.iter().all(|standing| *standing == Standing::Unasked) {
                tracing::debug!(to = self.remote, "a kept connection had gone: {}", lost.0);
                return Sent::Stale;
            }
        }
        let verdicts = standings.into_iter().map(|standing| match (standing, &lost) {
            (Standing::Settled(verdict), _) => Some(verdict),
            (Standing::OneTooMany, None) => None,
            (_, Some(lost)) => Some(Verdict::Later(Reason { text: lost.0.clone(), remote: Some(self.remote.clone()) })),
            // Nobody is left without a verdict where the transaction came to its end.
            (Standing::Unasked | Standing::Accepted, None) => Some(Verdict::Later(Reason::here("it was not tried".into()))),
        });
        Sent::Verdicts(verdicts.collect())
    }

    async fn exchange(&mut self, mut letter: Letter<'_>, standings: &mut [Standing]) -> Result<(), Lost> {
        let chunking = self.offers.has("CHUNKING");
        let ahead = chunking && self.offers.has("PIPELINING") && letter.octets <= WITH_ENVELOPE_OCTETS;
        let chunk = if ahead { Some(read_whole(&mut letter).await?) } else { None };
        let commands = self.envelope_commands(&letter);
        let end = self.send_envelope(commands, chunk, standings).await?;
        self.recipients = too_many(standings).unwrap_or(self.recipients);
        let end = match end {
            Some(end) => end,
            None if !standings.contains(&Standing::Accepted) => return Ok(()),
            None if chunking => self.send_chunks(letter.text).await?,
            None => self.send_text(letter.text).await?,
        };
        self.needs_reset = !end.is_positive();
        for standing in standings.iter_mut().filter(|standing| **standing == Standing::Accepted) {
            *standing = Standing::Settled(match end.is_positive() {
                true => Verdict::Delivered { reports: self.offers.has("DSN"), remote: Some(self.remote.clone()) },
                false => Verdict::of(&end, &self.remote),
            });
        }
        Ok(())
    }

    /// MAIL and all RCPT, after RSET where a transaction is open still.
    fn envelope_commands(&self, letter: &Letter<'_>) -> Vec<String> {
        let mut commands = Vec::with_capacity(letter.recipients.len() + 2);
        commands.extend(self.needs_reset.then(|| "RSET".to_owned()));
        commands.push(self.sender_command(letter));
        commands.extend(letter.recipients.iter().map(|recipient| self.recipient_command(recipient)));
        commands
    }

    /// Says these commands, several at once where the other side allows it; with them the message if
    /// it is given as a chunk, whose answer is returned.
    async fn send_envelope(
        &mut self,
        commands: Vec<String>,
        chunk: Option<Vec<u8>>,
        standings: &mut [Standing],
    ) -> Result<Option<Answer>, Lost> {
        let reset = usize::from(self.needs_reset);
        let at_once = if self.offers.has("PIPELINING") { AHEAD } else { 1 };
        let groups = commands.len().div_ceil(at_once);
        let mut refused = None;
        for (group, commands) in commands.chunks(at_once).enumerate() {
            self.check_silence()?;
            commands.iter().for_each(|command| self.conn.say(format!("{command}\r\n")));
            if let Some(chunk) = chunk.as_ref().filter(|_| group + 1 == groups) {
                self.conn.say(format!("BDAT {} LAST\r\n", chunk.len()));
                self.conn.push(chunk);
            }
            for place in group * at_once..group * at_once + commands.len() {
                let answer = self.answer(COMMAND).await?;
                match place.checked_sub(reset) {
                    None => {}
                    Some(0) if answer.is_positive() => self.needs_reset = true,
                    Some(0) => refused = Some(Verdict::of(&answer, &self.remote)),
                    Some(n) => self.note(n - 1, &answer, standings),
                }
            }
            if refused.is_some() && at_once == 1 {
                break;
            }
        }
        let end = match chunk.is_some() {
            true => Some(self.answer(DATA_END).await?),
            false => None,
        };
        if let Some(verdict) = refused {
            // Without a sender nothing that followed counts.
            self.needs_reset = false;
            standings.fill(Standing::Settled(verdict));
        }
        Ok(end)
    }

    fn note(&self, recipient: usize, answer: &Answer, standings: &mut [Standing]) {
        let some_accepted = standings.contains(&Standing::Accepted);
        let Some(standing) = standings.get_mut(recipient) else { return };
        *standing = match answer {
            answer if answer.is_positive() => Standing::Accepted,
            // With none accepted it would be one too many for ever.
            answer if some_accepted && answer.is_one_too_many() => Standing::OneTooMany,
            answer => Standing::Settled(Verdict::of(answer, &self.remote)),
        };
    }

    /// MAIL with the parameters that the other side knows.
    fn sender_command(&self, letter: &Letter<'_>) -> String {
        let asked = &letter.envelope.parameters;
        let mut command = format!("MAIL FROM:<{}>", letter.envelope.sender);
        if self.offers.has("SIZE") {
            command.push_str(&format!(" SIZE={}", letter.octets));
        }
        if letter.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        if letter.smtputf8 {
            command.push_str(" SMTPUTF8");
        }
        if self.offers.has("DSN") {
            if let Some(ret) = asked.ret {
                command.push_str(if ret == Return::Full { " RET=FULL" } else { " RET=HDRS" });
            }
            if let Some(envid) = &asked.envid {
                command.push_str(&format!(" ENVID={}", xtext::encode(envid)));
            }
        }
        if let Some(priority) = asked.priority.filter(|_| self.offers.has("MT-PRIORITY")) {
            command.push_str(&format!(" MT-PRIORITY={priority}"));
        }
        command
    }

    fn recipient_command(&self, recipient: &Recipient) -> String {
        let mut command = format!("RCPT TO:<{}>", recipient.address);
        if self.offers.has("DSN") {
            if let Some(notify) = recipient.parameters.notify {
                command.push_str(&format!(" NOTIFY={}", notify_words(notify)));
            }
            if let Some(orcpt) = &recipient.parameters.orcpt {
                let is_utf8 = orcpt.kind.eq_ignore_ascii_case("utf-8");
                let address = if is_utf8 { xtext::encode_utf8(&orcpt.address) } else { xtext::encode(&orcpt.address) };
                command.push_str(&format!(" ORCPT={};{address}", orcpt.kind));
            }
        }
        command
    }

    /// DATA, the message with its dots doubled, and the answer to its end.
    async fn send_text(&mut self, mut text: Box<dyn Read + Send>) -> Result<Answer, Lost> {
        let go_ahead = self.ask("DATA", DATA_BEGIN).await?;
        if go_ahead.code != 354 {
            // 2xx makes no sense here, and must not pass for a delivery.
            return if go_ahead.is_positive() { Err(Lost("the next hop answered nonsense to DATA".into())) } else { Ok(go_ahead) };
        }
        let (mut ends, mut stuffer) = (LineEnds::default(), Stuffer::new());
        let (mut chunk, mut clean, mut stuffed) = (vec![0; READ_OCTETS], Vec::new(), Vec::new());
        loop {
            let octets = text.read(&mut chunk).map_err(unread)?;
            clean.clear();
            stuffed.clear();
            match octets {
                0 => ends.finish(&mut clean),
                _ => ends.feed(chunk.get(..octets).unwrap_or_default(), &mut clean),
            }
            stuffer.feed(&clean, &mut stuffed);
            self.conn.push(&stuffed);
            if octets == 0 {
                break;
            }
            let flushed = timeout(DATA_BLOCK, self.conn.flush_if_large()).await;
            flushed.map_err(|_| Lost("the next hop takes no more of the message".into()))?.map_err(lost)?;
        }
        stuffed.clear();
        stuffer.finish(&mut stuffed);
        self.conn.push(&stuffed);
        self.answer(DATA_END).await
    }

    /// The message in chunks (RFC 3030, 2), and the answer to the last one or to the first that is
    /// refused.
    async fn send_chunks(&mut self, mut text: Box<dyn Read + Send>) -> Result<Answer, Lost> {
        let mut ends = LineEnds::default();
        loop {
            let (mut chunk, is_last);
            (text, ends, chunk, is_last) = crate::store::blocking(move || next_chunk(text, ends)).await.map_err(unread)?;
            if is_last && !chunk.is_empty() && !chunk.ends_with(b"\r\n") {
                chunk.extend_from_slice(b"\r\n");
            }
            self.check_silence()?;
            self.conn.say(format!("BDAT {}{}\r\n", chunk.len(), if is_last { " LAST" } else { "" }));
            let sent = timeout(DATA_BLOCK.max(DATA_END), self.conn.send_octets(&chunk)).await;
            sent.map_err(|_| Lost("the next hop takes no more of the message".into()))?.map_err(lost)?;
            let answer = self.answer(DATA_END).await?;
            if is_last || !answer.is_positive() {
                return Ok(answer);
            }
        }
    }

    /// Says goodbye. Its answer changes nothing.
    pub(super) async fn quit(mut self) {
        if !self.is_over {
            self.conn.say("QUIT\r\n");
        }
        self.conn.close().await;
    }

    pub(super) async fn ask(&mut self, command: &str, patience: Duration) -> Result<Answer, Lost> {
        self.ask_masked(command, command, patience).await
    }

    /// A command of which the transcript shows `shown` only.
    pub(super) async fn ask_masked(&mut self, command: &str, shown: &str, patience: Duration) -> Result<Answer, Lost> {
        self.check_silence()?;
        self.conn.say_masked(format!("{command}\r\n"), format!("{shown}\r\n"));
        self.answer(patience).await
    }

    /// Nobody has asked anything: what lies there already would be taken for the answer to the next
    /// command, and all answers after it for those of others.
    fn check_silence(&self) -> Result<(), Lost> {
        if self.conn.buffered().is_empty() { Ok(()) } else { Err(Lost("the next hop answers what nobody asked".into())) }
    }

    /// The next answer; 421 and nonsense end the conversation.
    pub(super) async fn answer(&mut self, patience: Duration) -> Result<Answer, Lost> {
        let answer = timeout(patience, self.whole_answer()).await;
        let answer = answer.unwrap_or_else(|_| Err(Lost("the next hop does not answer".into())))?;
        if answer.code == 421 {
            // RFC 5321, 3.8: it closes, whatever it was asked.
            return Err(Lost(answer.to_string()));
        }
        Ok(answer)
    }

    async fn whole_answer(&mut self) -> Result<Answer, Lost> {
        let mut answer = Answer::empty();
        while answer.lines.len() < ANSWER_LINES {
            let line = match self.conn.more(LINE_OCTETS, |_| None).await.map_err(lost)? {
                Received::Whole(line) => line.text,
                Received::TooLong => return Err(Lost("the next hop answered a line too long".into())),
            };
            match answer.add(&line) {
                Some(true) => return Ok(answer),
                Some(false) => {}
                None => return Err(Lost("the next hop answered nonsense".into())),
            }
        }
        Err(Lost("the next hop answered without end".into()))
    }
}

/// How many recipients a transaction may have, if there was one too many.
fn too_many(standings: &[Standing]) -> Option<usize> {
    let accepted = standings.iter().filter(|standing| **standing == Standing::Accepted).count();
    standings.contains(&Standing::OneTooMany).then_some(accepted.max(1))
}

fn notify_words(notify: Notify) -> String {
    let words = [("SUCCESS", notify.success), ("FAILURE", notify.failure), ("DELAY", notify.delay)];
    let asked: Vec<_> = words.iter().filter(|(_, asked)| *asked).map(|(word, _)| *word).collect();
    if asked.is_empty() { "NEVER".into() } else { asked.join(",") }
}

/// The whole of a small message.
async fn read_whole(letter: &mut Letter<'_>) -> Result<Vec<u8>, Lost> {
    let text = std::mem::replace(&mut letter.text, Box::new(std::io::empty()));
    let read = crate::store::blocking(move || next_chunk(text, LineEnds::default()));
    let (_, _, mut chunk, _) = read.await.map_err(unread)?;
    if !chunk.is_empty() && !chunk.ends_with(b"\r\n") {
        chunk.extend_from_slice(b"\r\n");
    }
    Ok(chunk)
}

type Chunk = (Box<dyn Read + Send>, LineEnds, Vec<u8>, bool);

/// The next chunk of a message, and whether it is the last one.
fn next_chunk(mut text: Box<dyn Read + Send>, mut ends: LineEnds) -> std::io::Result<Chunk> {
    let (mut piece, mut chunk) = (vec![0; READ_OCTETS], Vec::new());
    while chunk.len() < CHUNK_OCTETS {
        match text.read(&mut piece)? {
            0 => {
                ends.finish(&mut chunk);
                return Ok((text, ends, chunk, true));
            }
            octets => ends.feed(piece.get(..octets).unwrap_or_default(), &mut chunk),
        }
    }
    Ok((text, ends, chunk, false))
}

fn unread(error: std::io::Error) -> Lost {
    Lost(format!("reading the queue: {error}"))
}

fn lost(ended: crate::net::Ended) -> Lost {
    Lost(format!("connection to the next hop: {ended}"))
}
