//! What a fault does to a connection; which one strikes is decided in [`super::fault`].
//!
//! Each is noted in the transcript, so that nobody takes it for the service's own doing.

use std::{borrow::Cow, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{
    conn::Conn,
    ended::Ended,
    fault::{Act, Faults, Moment, Strike, Whom},
    receive::{Filled, Patience},
};

/// How many letters of a line are made others.
const GARBLED_LETTERS: usize = 4;
/// Letters that they become: the printable ones of ASCII, from `!` to `~`.
const LETTERS: u8 = 94;
/// How long a connection that has stalled is kept: longer than any client waits.
const STALL: Duration = Duration::from_secs(3600);

/// The faults as the connections of one service meet them.
pub(crate) struct Point {
    pub faults: Arc<Faults>,
    pub service: &'static str,
    /// A reply of this protocol with the text that was ordered.
    pub reply: fn(&str) -> FaultReply,
}

/// What is said in place of the service.
pub(crate) struct FaultReply {
    pub octets: Vec<u8>,
    /// The connection can't go on behind it.
    pub is_last: bool,
}

impl FaultReply {
    /// A line, for protocols of lines.
    pub(crate) fn line(text: &str) -> FaultReply {
        FaultReply { octets: format!("{text}\r\n").into_bytes(), is_last: false }
    }

    /// A response of HTTP/1.1. The connection ends behind it: a body may follow that nobody reads.
    pub(crate) fn response(text: &str) -> FaultReply {
        let body = if text.starts_with("204") || text.starts_with("304") { String::new() } else { format!("{text}\n") };
        // 204 and 304 have no body, 204 no length either (RFC 9110, 8.6).
        let about = if body.is_empty() { String::new() } else { format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", body.len()) };
        FaultReply { octets: format!("HTTP/1.1 {text}\r\n{about}Connection: close\r\n\r\n{body}").into_bytes(), is_last: true }
    }
}

/// What a connection keeps for faults; few connections have one.
#[derive(Default)]
pub(super) struct Suffering {
    account: Option<String>,
    /// The next line to the peer has letters changed, drawn from this.
    garble: Option<u64>,
    cut: Option<Cut>,
    /// The connection breaks off as soon as what was said has gone out.
    is_broken: bool,
}

struct Cut {
    left_octets: u64,
    /// The body comes behind a head.
    is_in_head: bool,
    /// Ordered before the first command, so that this one doesn't end it.
    is_early: bool,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suffered {
    /// The service gets it.
    Passed,
    /// It has been answered.
    Answered,
}

impl Conn {
    /// Tells whose connection it is from now on: those who watch, and faults that are set for one
    /// account.
    pub(crate) fn identify(&mut self, account: &str) {
        self.tap.login(account);
        if self.faults.is_some() {
            self.suffering.get_or_insert_default().account = Some(account.to_owned());
        }
    }

    /// Whether a fault may strike at the command that is here now. The answer to the one before has
    /// been given: what a fault did to it is over.
    pub(super) fn may_fail(&mut self) -> bool {
        if let Some(suffering) = &mut self.suffering {
            suffering.recover();
        }
        self.faults.as_ref().is_some_and(|point| point.faults.is_armed())
    }

    /// Lets the fault strike that is set for this moment, if any.
    pub(super) async fn suffer(&mut self, moment: Moment<'_>) -> Result<Suffered, Ended> {
        let Some(point) = self.faults.clone() else { return Ok(Suffered::Passed) };
        let account = self.suffering.as_ref().and_then(|suffering| suffering.account.as_deref());
        let whom = Whom { service: point.service, account, peer: self.peer.ip(), conn: self.id };
        match point.faults.strike(&whom, &moment) {
            Some(strike) => self.suffer_strike(strike, &point, matches!(moment, Moment::Connect)).await,
            None => Ok(Suffered::Passed),
        }
    }

    async fn suffer_strike(&mut self, strike: Strike, point: &Point, is_early: bool) -> Result<Suffered, Ended> {
        self.tap.event(format_args!("fault: {} (number {})", strike.act, strike.id));
        tracing::info!(service = point.service, id = self.id, fault = strike.id, "{}", strike.act);
        match strike.act {
            Act::Answer(text) => {
                let reply = (point.reply)(&text);
                self.say(&reply.octets);
                return if reply.is_last { Err(Ended::Closed) } else { Ok(Suffered::Answered) };
            }
            Act::Delay(span) => self.pause(span.0).await?,
            Act::Drop => {
                self.flush().await?;
                self.abort();
                return Err(Ended::Truncated);
            }
            Act::Stall => return Err(self.stall().await),
            Act::Garble => self.suffering.get_or_insert_default().garble = Some(strike.seed),
            Act::Cut(size) => {
                let is_in_head = (point.reply)("").is_last;
                self.suffering.get_or_insert_default().cut = Some(Cut { left_octets: size.0, is_in_head, is_early });
                point.faults.order_data(self.id, Act::Cut(size));
            }
            Act::RefuseData => point.faults.order_data(self.id, Act::RefuseData),
        }
        Ok(Suffered::Passed)
    }

    /// A data connection that is to be cut.
    pub(super) fn cut_after(&mut self, octets: u64) {
        self.tap.event(format_args!("fault: cut {octets}B"));
        self.suffering.get_or_insert_default().cut = Some(Cut { left_octets: octets, is_in_head: false, is_early: true });
    }

    /// Says nothing more, until the peer has had enough.
    async fn stall(&mut self) -> Ended {
        let until = tokio::time::Instant::now() + STALL;
        let mut stop = self.stop();
        loop {
            self.input.clear();
            let filled = tokio::select! {
                () = stop.draining() => return Ended::Shutdown,
                filled = self.fill(4096, until, Patience::Within) => filled,
            };
            match filled {
                Ok(Filled::Octets(_)) => {}
                Ok(Filled::End | Filled::TooLate) => return Ended::Truncated,
                Err(ended) => return ended,
            }
        }
    }

    /// What a fault leaves of octets that are to be said.
    pub(super) fn spoil<'a>(&mut self, octets: &'a [u8], is_body: bool) -> Cow<'a, [u8]> {
        let Some(suffering) = &mut self.suffering else { return Cow::Borrowed(octets) };
        let octets = octets.get(..suffering.curb(octets, is_body)).unwrap_or_default();
        match suffering.garble.take() {
            Some(seed) => Cow::Owned(garbled(octets, seed)),
            None => Cow::Borrowed(octets),
        }
    }

    /// How many octets of a file a fault lets go out.
    pub(super) fn curbed(&mut self, octets: u64) -> u64 {
        self.suffering.as_mut().map_or(octets, |suffering| suffering.curb_body(octets))
    }

    /// Breaks off where a body was cut: what was let through has gone out.
    pub(super) fn break_off_if_cut(&mut self) -> Result<(), Ended> {
        if self.suffering.as_ref().is_some_and(|suffering| suffering.is_broken) {
            self.abort();
            return Err(Ended::Truncated);
        }
        Ok(())
    }
}

impl Suffering {
    /// A command is here: a cut that was ordered for the one before has nothing left to cut.
    fn recover(&mut self) {
        self.cut.take_if(|cut| !std::mem::take(&mut cut.is_early));
    }

    /// How many of these octets may go out.
    fn curb(&mut self, octets: &[u8], is_body: bool) -> usize {
        let Some(cut) = &mut self.cut else { return octets.len() };
        let is_interim = octets.starts_with(b"HTTP/1.1 1");
        let head = match (cut.is_in_head, memchr::memmem::find(octets, b"\r\n\r\n")) {
            // The body is that of the final response (RFC 9110, 15.2).
            (true, Some(_)) if is_interim => return octets.len(),
            (true, Some(end)) => end + 4,
            (true, None) => return octets.len(),
            (false, _) if is_body => 0,
            (false, _) => return octets.len(),
        };
        cut.is_in_head = false;
        let body = self.curb_body((octets.len() - head) as u64);
        head + usize::try_from(body).unwrap_or(usize::MAX)
    }

    fn curb_body(&mut self, octets: u64) -> u64 {
        let Some(cut) = &mut self.cut else { return octets };
        let passed = octets.min(cut.left_octets);
        cut.left_octets -= passed;
        self.is_broken |= passed < octets;
        passed
    }
}

/// The octets with some letters of their first line changed.
fn garbled(octets: &[u8], seed: u64) -> Vec<u8> {
    let mut garbled = octets.to_vec();
    let line = memchr::memchr(b'\r', octets).unwrap_or(octets.len());
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(seed);
    for at in rand::seq::index::sample(&mut draws, line, GARBLED_LETTERS.min(line)) {
        // Up to 93 further in the circle of 94: always another one.
        let shift = draws.random_range(1..LETTERS);
        let letter = garbled[at].wrapping_sub(b'!') % LETTERS;
        garbled[at] = b'!' + (letter + shift) % LETTERS;
    }
    garbled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_letters_of_the_first_line_are_others() {
        for seed in 0..200 {
            let said = b"250-portico.test\r\n250 SIZE\r\n";
            let garbled = garbled(said, seed);
            let differ: Vec<_> = (0..said.len()).filter(|at| said[*at] != garbled[*at]).collect();
            assert_eq!(differ.len(), GARBLED_LETTERS, "{seed}");
            assert!(differ.iter().all(|at| *at < 16 && garbled[*at].is_ascii_graphic()), "{seed}");
            assert_eq!(garbled, super::garbled(said, seed), "the same seed, the same letters");
        }
        assert_eq!(garbled(b"", 1), b"");
        assert_ne!(garbled(b"ok\r\n", 1), b"ok\r\n");
        assert!(garbled(b"ok\r\n", 1).ends_with(b"\r\n"));
    }

    #[test]
    fn a_cut_is_for_the_answer_that_it_was_ordered_for() {
        let cut = |is_early| Suffering { cut: Some(Cut { left_octets: 3, is_in_head: true, is_early }), ..Suffering::default() };
        let mut suffering = cut(false);
        suffering.recover();
        assert_eq!(suffering.curb(b"HTTP/1.1 200 OK\r\n\r\nwhole", false), 24, "the next answer");
        let mut suffering = cut(true);
        suffering.recover();
        assert_eq!(suffering.curb(b"HTTP/1.1 100 Continue\r\n\r\n", false), 25, "no body yet");
        assert_eq!(suffering.curb(b"HTTP/1.1 200 OK\r\n\r\nwhole", false), 22);
        assert!(suffering.is_broken);
    }

    #[test]
    fn ordered_responses_have_a_body_where_there_may_be_one() {
        let octets = |text: &str| String::from_utf8(FaultReply::response(text).octets).unwrap();
        assert!(octets("503 Busy").ends_with("Content-Length: 9\r\nConnection: close\r\n\r\n503 Busy\n"));
        assert_eq!(octets("204 No Content"), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert!(octets("304 Not Modified").ends_with("close\r\n\r\n"));
    }
}
