//! How many TLS tickets a client is given, so that it never runs out of them where its data
//! connections must resume the session of the control connection.
//!
//! A ticket serves as often as it is shown, and most clients show the same one again. Those that
//! follow RFC 8446, C.4 to the letter use each once. They get a new one with each download; but on
//! an upload a client may say all it has to say and close without reading a word, and tickets would
//! be answered with a reset then, which takes away what was said before. So there they are sent only
//! to a client that has used up what it had, which therefore reads them.
//!
//! In TLS 1.2 a ticket is part of the handshake, and none of this matters.

use std::sync::{Arc, Mutex, PoisonError};

use super::data::Way;

/// Sent on a control connection: with the third data connection it must have shown whether
/// the client shows tickets again.
pub(crate) const CONTROL_TICKETS: usize = 3;

/// What one client has left of its tickets.
#[derive(Clone, Debug)]
pub(super) struct Tickets(Arc<Mutex<Ledger>>);

#[derive(Debug)]
struct Ledger {
    left: usize,
    last: Option<u64>,
    shows_again: bool,
}

impl Tickets {
    pub(super) fn of_control_connection() -> Tickets {
        Tickets(Arc::new(Mutex::new(Ledger { left: CONTROL_TICKETS, last: None, shows_again: false })))
    }

    /// How many to send with a data connection.
    pub(super) fn to_send(&self, way: Way, must_resume: bool) -> usize {
        let ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match way {
            Way::Out => 1,
            Way::In => usize::from(must_resume && !ledger.shows_again && ledger.left <= 1),
        }
    }

    /// A data connection has come about with this ticket, if with any.
    pub(super) fn note(&self, shown: Option<u64>, sent: usize) {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_some() {
            ledger.shows_again |= shown == ledger.last;
            ledger.left = ledger.left.saturating_sub(1);
            ledger.last = shown;
        }
        ledger.left = ledger.left.saturating_add(sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many tickets a client gets with so many uploads.
    fn uploads(mut shown: impl FnMut(u64) -> u64) -> Vec<usize> {
        let tickets = Tickets::of_control_connection();
        let sent = (0..6).map(|number| {
            let sent = tickets.to_send(Way::In, true);
            tickets.note(Some(shown(number)), sent);
            sent
        });
        sent.collect()
    }

    #[test]
    fn who_uses_tickets_up_gets_more_and_nobody_else_does() {
        assert_eq!(uploads(|number| number), [0, 0, 1, 1, 1, 1]);
        assert_eq!(uploads(|_| 7), [0; 6], "always the same one");
        let tickets = Tickets::of_control_connection();
        assert_eq!((tickets.to_send(Way::Out, false), tickets.to_send(Way::In, false)), (1, 0));
    }
}
