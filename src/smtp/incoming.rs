//! A message on its way in: end-of-data machine, header section, spool, one behind the other.
//!
//! Octets go to the spool as they come, so a message of any size passes in constant memory. What
//! is wrong with it is remembered: after DATA it is said after the dot, since the client listens no
//! earlier; after BDAT at the end of the chunk.

use super::{
    reply::{self, Reply},
    settings::BareNewlines,
};
use crate::{
    mail::{
        dots::{Ends, Fed, Unstuffer},
        head::{Head, HeadFault},
    },
    store::mail::Spool,
};

/// How far beyond the largest message we read on, in octets, before we hang up: the client may
/// not know SIZE and hears our 552 only after its dot.
pub(super) const PATIENCE_OCTETS: u64 = 64 * 1024 * 1024;

pub(crate) struct Incoming {
    unstuffer: Unstuffer,
    head: Head,
    spool: Box<dyn Spool>,
    max_octets: u64,
    bare_newlines: BareNewlines,
    /// The text as the client sent it, so far.
    octets: u64,
    eight_bit: bool,
    /// Why it will be refused.
    trouble: Option<Reply>,
    unstuffed: Vec<u8>,
    passed: Vec<u8>,
}

/// How the message comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// DATA: up to a dot on a line by itself.
    Dot,
    /// BDAT: in chunks of known length.
    Chunks,
}

/// A whole message.
pub(crate) struct Arrived {
    pub spool: Box<dyn Spool>,
    /// It has octets beyond ASCII.
    pub eight_bit: bool,
    /// Its From and Sender fields, where they were to be kept.
    pub authors: Option<Vec<u8>>,
}

impl Incoming {
    /// `people` as [`Unstuffer::new`] has it.
    pub(crate) fn new(
        (framing, people): (Framing, bool),
        head: Head,
        spool: Box<dyn Spool>,
        max_octets: u64,
        bare_newlines: BareNewlines,
    ) -> Incoming {
        let unstuffer = match framing {
            Framing::Dot => Unstuffer::new(people),
            Framing::Chunks => Unstuffer::chunked(people),
        };
        let unstuffer = if bare_newlines == BareNewlines::Normalise { unstuffer.normalising() } else { unstuffer };
        let (unstuffed, passed) = Default::default();
        Incoming { unstuffer, head, spool, max_octets, bare_newlines, octets: 0, eight_bit: false, trouble: None, unstuffed, passed }
    }

    /// Takes octets from the wire; says how many are the message's, and whether it is over.
    pub(crate) fn feed(&mut self, wire: &[u8]) -> Fed {
        self.unstuffed.clear();
        let fed = self.unstuffer.feed(wire, &mut self.unstuffed);
        self.take(fed != Fed::More);
        fed
    }

    /// The last chunk has come.
    fn end_chunks(&mut self) {
        self.unstuffed.clear();
        self.unstuffer.finish(&mut self.unstuffed);
        self.take(true);
    }

    fn take(&mut self, over: bool) {
        self.octets += self.unstuffed.len() as u64;
        self.eight_bit |= !self.unstuffed.is_ascii();
        if self.octets > self.max_octets {
            self.trouble.get_or_insert_with(|| reply::message_too_big(self.max_octets));
        }
        if self.bare_newlines == BareNewlines::Refuse && self.unstuffer.is_mixed() {
            self.trouble.get_or_insert_with(reply::bare_line_end);
        }
        if self.trouble.is_none()
            && let Err(reply) = self.store(over)
        {
            self.trouble = Some(reply);
        }
    }

    fn store(&mut self, over: bool) -> Result<(), Reply> {
        let octets = if self.head.has_passed() {
            &self.unstuffed
        } else {
            self.passed.clear();
            self.head.feed(&self.unstuffed, &mut self.passed).map_err(head_refused)?;
            if over {
                self.head.finish(&mut self.passed).map_err(head_refused)?;
            }
            &self.passed
        };
        self.spool.write(octets).map_err(|error| {
            tracing::warn!("a message could not be spooled: {error}");
            reply::storage(&error)
        })
    }

    /// Whether it has gone so far beyond the limit that it isn't worth reading to its end.
    pub(crate) fn is_endless(&self) -> bool {
        self.octets > self.max_octets.saturating_add(PATIENCE_OCTETS)
    }

    /// Whether its lines ended in bare LF.
    pub(crate) fn ends_in_bare_lf(&self) -> bool {
        self.unstuffer.ends() == Ends::Lf
    }

    /// Why what has come so far will not do.
    pub(crate) fn trouble(&self) -> Option<&Reply> {
        self.trouble.as_ref()
    }

    /// The whole message, or why it is refused.
    pub(crate) fn finish(mut self, framing: Framing) -> Result<Arrived, Reply> {
        if framing == Framing::Chunks {
            self.end_chunks();
        }
        match self.trouble {
            Some(reply) => Err(reply),
            None => Ok(Arrived { spool: self.spool, eight_bit: self.eight_bit, authors: self.head.authors().map(<[u8]>::to_vec) }),
        }
    }
}

fn head_refused(fault: HeadFault) -> Reply {
    match fault {
        HeadFault::Loop => reply::loop_detected(),
        HeadFault::TooLong => reply::header_too_big(),
    }
}
