//! Sends a message to the client: whole (RETR) or its beginning (TOP), in constant memory.

use std::io::{self, Read};

use crate::{
    mail::dots::Stuffer,
    net::{Conn, Ended},
    store::blocking,
};

/// How much of a message is in memory at a time, in octets. A message that is not longer is read
/// on the spot; the others where reading may take its time.
const PIECE_OCTETS: u64 = 64 * 1024;

/// A message on its way out.
pub(crate) struct Outgoing {
    source: Box<dyn Read + Send>,
    cut: Cut,
    /// `None` once the end has been made.
    stuffer: Option<Stuffer>,
    raw: Vec<u8>,
    wire: Vec<u8>,
    brief: bool,
}

impl Outgoing {
    /// Prepares a message of `octets` octets, and of its body only the first `lines` lines if
    /// given.
    pub(crate) fn new(source: Box<dyn Read + Send>, octets: u64, lines: Option<u64>) -> Outgoing {
        Outgoing {
            source,
            cut: Cut::after(lines),
            stuffer: Some(Stuffer::new()),
            raw: Vec::new(),
            wire: Vec::new(),
            brief: octets <= PIECE_OCTETS,
        }
    }

    /// Reads the next piece. The first one is read before the client hears `+OK`, since after
    /// that there is no way left to say that it can't be read.
    pub(crate) async fn next(mut self) -> io::Result<Outgoing> {
        if self.brief {
            self.fill()?;
            return Ok(self);
        }
        blocking(move || {
            self.fill()?;
            Ok(self)
        })
        .await
    }

    /// Sends the piece at hand and all others.
    pub(crate) async fn send(mut self, conn: &mut Conn) -> Result<(), Ended> {
        loop {
            conn.push(&self.wire);
            if self.stuffer.is_none() {
                return Ok(());
            }
            conn.flush_if_large().await?;
            self = self.next().await.map_err(Ended::Io)?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.raw.clear();
        self.wire.clear();
        self.source.by_ref().take(PIECE_OCTETS).read_to_end(&mut self.raw)?;
        let keep = self.cut.feed(&self.raw);
        let Some(stuffer) = &mut self.stuffer else { return Ok(()) };
        stuffer.feed(&self.raw[..keep], &mut self.wire);
        // A piece shorter than asked for is the last one.
        let is_last = keep < self.raw.len() || (self.raw.len() as u64) < PIECE_OCTETS;
        if is_last && let Some(stuffer) = self.stuffer.take() {
            stuffer.finish(&mut self.wire);
        }
        Ok(())
    }
}

/// Finds where TOP ends: after the header, the empty line and so many lines (RFC 1939, 7).
#[derive(Debug)]
enum Cut {
    Never,
    /// In the header; whether the line so far is empty (but for a CR).
    Header {
        empty_line: bool,
        lines: u64,
    },
    /// So many lines of the body are still to come.
    Body(u64),
}

impl Cut {
    fn after(lines: Option<u64>) -> Cut {
        lines.map_or(Cut::Never, |lines| Cut::Header { empty_line: true, lines })
    }

    /// How many octets of the next chunk are still to be sent.
    fn feed(&mut self, chunk: &[u8]) -> usize {
        if matches!(self, Cut::Never) {
            return chunk.len();
        }
        for (at, octet) in chunk.iter().enumerate() {
            match (&mut *self, octet) {
                (Cut::Body(0), _) => return at,
                (Cut::Body(left), b'\n') => *left -= 1,
                (Cut::Header { empty_line: true, lines }, b'\n') => *self = Cut::Body(*lines),
                (Cut::Header { empty_line, .. }, b'\n') => *empty_line = true,
                (_, b'\r') => {}
                (Cut::Header { empty_line, .. }, _) => *empty_line = false,
                _ => {}
            }
        }
        chunk.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(message: &[u8], lines: Option<u64>) -> Vec<u8> {
        let mut outgoing = Outgoing::new(Box::new(io::Cursor::new(message.to_vec())), message.len() as u64, lines);
        let mut sent = Vec::new();
        while outgoing.stuffer.is_some() {
            outgoing.fill().unwrap();
            sent.extend_from_slice(&outgoing.wire);
        }
        sent
    }

    #[test]
    fn top_ends_after_so_many_lines_of_the_body() {
        let message = b"A: 1\r\nB: 2\r\n\r\none\r\n.two\r\nthree\r\n";
        for (lines, end) in [
            (Some(0), "A: 1\r\nB: 2\r\n\r\n.\r\n"),
            (Some(1), "A: 1\r\nB: 2\r\n\r\none\r\n.\r\n"),
            (Some(2), "A: 1\r\nB: 2\r\n\r\none\r\n..two\r\n.\r\n"),
            (Some(u64::MAX), "A: 1\r\nB: 2\r\n\r\none\r\n..two\r\nthree\r\n.\r\n"),
            (None, "A: 1\r\nB: 2\r\n\r\none\r\n..two\r\nthree\r\n.\r\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&sent(message, lines)), end, "{lines:?}");
        }
        assert_eq!(sent(b"\r\nbody\r\n", Some(0)), b"\r\n.\r\n", "no header at all");
        assert_eq!(sent(b"A: 1\r\n", Some(0)), b"A: 1\r\n.\r\n", "no body at all");
        assert_eq!(sent(b"", None), b".\r\n");
    }

    #[test]
    fn a_message_of_exactly_a_piece_ends_once() {
        for octets in [PIECE_OCTETS - 1, PIECE_OCTETS, PIECE_OCTETS + 1, 3 * PIECE_OCTETS] {
            let message = [vec![b'a'; octets as usize - 2], b"\r\n".to_vec()].concat();
            assert_eq!(sent(&message, None), [&message[..], b".\r\n"].concat(), "{octets}");
        }
    }

    proptest! {
        #[test]
        fn where_top_ends_does_not_depend_on_the_chunks(
            message in proptest::collection::vec(proptest::sample::select(vec![b'a', b'\r', b'\n', b'.']), 0..40),
            at in 0_usize..40,
            lines in 0_u64..4,
        ) {
            let mut whole = Cut::after(Some(lines));
            let expected = whole.feed(&message);
            let (first, second) = message.split_at(at.min(message.len()));
            let mut cut = Cut::after(Some(lines));
            let mut kept = cut.feed(first);
            if kept == first.len() {
                kept += cut.feed(second);
            }
            prop_assert_eq!(kept, expected);
        }
    }
}
