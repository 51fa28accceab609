//! Commands that came while another one is carried out: they wait and are answered afterwards, in
//! order.
//!
//! The control connection is read to the end of every transfer, so that an ABOR is heard however
//! much stands before it. That makes the wait a thing that a stranger can grow; who fills it is no
//! client that anybody knows, and is hung up on.

use std::collections::VecDeque;

use crate::net::{Ended, Line, Received};

/// How many octets of commands may wait: sixteen of the longest ones, a thousand short ones.
const MAX_OCTETS: usize = 64 * 1024;
/// What a line takes beside its text, so that empty ones count too.
const LINE_OCTETS: usize = 64;

#[derive(Default)]
pub(super) struct Waiting {
    lines: VecDeque<Received<Line>>,
    octets: usize,
}

impl Waiting {
    pub(super) fn pop(&mut self) -> Option<Received<Line>> {
        let next = self.lines.pop_front()?;
        self.octets = self.octets.saturating_sub(cost(&next));
        Some(next)
    }

    /// # Errors
    /// [`Ended::Abuse`] where too much waits already.
    pub(super) fn push(&mut self, received: Received<Line>) -> Result<(), Ended> {
        if !self.has_room() {
            return Err(Ended::Abuse("Too many commands during a transfer: closing the control connection"));
        }
        self.octets += cost(&received);
        self.lines.push_back(received);
        Ok(())
    }

    /// This one is answered next (ABOR).
    pub(super) fn push_first(&mut self, received: Received<Line>) {
        self.octets += cost(&received);
        self.lines.push_front(received);
    }

    pub(super) fn has_room(&self) -> bool {
        self.octets < MAX_OCTETS
    }

    /// After QUIT nothing more is to come, not even the end of the control connection.
    pub(super) fn ends_with_quit(&self) -> bool {
        self.lines.back().is_some_and(|last| matches!(last, Received::Whole(line) if line.text.eq_ignore_ascii_case(b"QUIT")))
    }
}

fn cost(received: &Received<Line>) -> usize {
    match received {
        Received::Whole(line) => line.text.len() + LINE_OCTETS,
        Received::TooLong => LINE_OCTETS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::LineEnding;

    fn line(octets: usize) -> Received<Line> {
        Received::Whole(Line { text: vec![b'x'; octets], ending: LineEnding::CrLf })
    }

    #[test]
    fn so_much_waits_and_no_more() {
        for octets in [0, 4096] {
            let mut waiting = Waiting::default();
            let mut count = 0;
            while waiting.push(line(octets)).is_ok() {
                count += 1;
            }
            assert_eq!(count, MAX_OCTETS.div_ceil(octets + LINE_OCTETS));
            assert!(waiting.pop().is_some() && waiting.push(line(octets)).is_ok() && waiting.push(line(octets)).is_err());
            waiting.push_first(Received::TooLong);
            assert!(matches!(waiting.pop(), Some(Received::TooLong)));
            while waiting.pop().is_some() {}
            assert_eq!(waiting.octets, 0);
        }
    }
}
