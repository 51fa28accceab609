//! Line ends of messages: CR LF on the wire, LF in a Maildir. Pure, and constant in memory.
//!
//! The two directions fit: what [`ToDisk`] counted is what [`WireReader`] yields, for any octets.
//! A message whose lines all end in CR LF comes back as it was; lone LFs come back as CR LF, and
//! a last line without an end gets one.

use std::io::{self, Read};

use memchr::{memchr, memchr2};

/// Turns CR LF into LF on the way to the disk and counts both forms.
///
/// A CR LF that follows another CR stays as it is, so that the reader can't take the lone CR for
/// a part of the line end.
#[derive(Default)]
pub(crate) struct ToDisk {
    last: Last,
    disk_octets: u64,
    wire_octets: u64,
}

/// What the octets so far ended in.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Nothing,
    LineEnd,
    /// A CR that is held back: a LF may follow.
    HeldCr,
    /// A CR that was written already, since another one came before it.
    WrittenCr,
    Other,
}

impl ToDisk {
    /// Appends the disk form of `wire` to `disk`.
    pub(crate) fn convert(&mut self, wire: &[u8], disk: &mut Vec<u8>) {
        let before = disk.len();
        let mut rest = wire;
        while let Some(&first) = rest.first() {
            let run = match (self.last, first) {
                (Last::HeldCr, b'\n') => self.end_line(disk, 1),
                (Last::WrittenCr, b'\n') => self.end_line(disk, 1),
                // A lone LF comes back as two octets.
                (_, b'\n') => self.end_line(disk, 2),
                (Last::HeldCr, _) => {
                    disk.push(b'\r');
                    self.last = Last::WrittenCr;
                    continue;
                }
                (Last::WrittenCr, b'\r') => self.copy(disk, &rest[..1], Last::WrittenCr),
                (_, b'\r') => {
                    self.wire_octets += 1;
                    self.last = Last::HeldCr;
                    1
                }
                _ => {
                    let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    let copied = self.copy(disk, &rest[..end], Last::Other);
                    if rest[end..].starts_with(b"\r\n") { copied + 1 + self.end_line(disk, 2) } else { copied }
                }
            };
            rest = &rest[run..];
        }
        self.disk_octets += (disk.len() - before) as u64;
    }

    fn end_line(&mut self, disk: &mut Vec<u8>, wire_octets: u64) -> usize {
        disk.push(b'\n');
        self.wire_octets += wire_octets;
        self.last = Last::LineEnd;
        1
    }

    fn copy(&mut self, disk: &mut Vec<u8>, octets: &[u8], last: Last) -> usize {
        disk.extend_from_slice(octets);
        self.wire_octets += octets.len() as u64;
        self.last = last;
        octets.len()
    }

    /// What came and was not appended yet.
    pub(crate) fn held(&self) -> &'static [u8] {
        if self.last == Last::HeldCr { b"\r" } else { b"" }
    }

    /// Ends the message: appends a CR that was held back, then tells the sizes (disk, wire).
    pub(crate) fn finish(mut self, disk: &mut Vec<u8>) -> (u64, u64) {
        if self.last == Last::HeldCr {
            disk.extend_from_slice(self.held());
            self.disk_octets += 1;
        }
        if !matches!(self.last, Last::Nothing | Last::LineEnd) {
            self.wire_octets += 2;
        }
        (self.disk_octets, self.wire_octets)
    }
}

/// Reads a message from a Maildir in its wire form, whatever line ends it has on disk.
pub(crate) struct WireReader<R> {
    disk: R,
    chunk: Vec<u8>,
    wire: Vec<u8>,
    /// How much of `wire` has been given out.
    given: usize,
    last: Option<u8>,
    ended: bool,
}

/// Octets read from the disk at a time.
const CHUNK_OCTETS: u64 = 32 << 10;

impl<R: Read> WireReader<R> {
    /// `octets` is about how much will come, so that a small message gets a small buffer.
    pub(crate) fn new(disk: R, octets: u64) -> WireReader<R> {
        // One more, so that the end of a small file shows with the first read.
        let chunk = vec![0; octets.clamp(512, CHUNK_OCTETS) as usize + 1];
        WireReader { disk, wire: Vec::with_capacity(chunk.len()), chunk, given: 0, last: None, ended: false }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.wire.clear();
        self.given = 0;
        let count = loop {
            match self.disk.read(&mut self.chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if count == 0 {
            self.ended = true;
            if self.last.is_some_and(|last| last != b'\n') {
                self.wire.extend_from_slice(b"\r\n");
            }
            return Ok(());
        }
        let mut rest = self.chunk.get(..count).unwrap_or_default();
        while let Some(at) = memchr(b'\n', rest) {
            let line = &rest[..at];
            self.wire.extend_from_slice(line);
            let before = line.last().copied().or(self.last);
            self.wire.extend_from_slice(if before == Some(b'\r') { b"\n" } else { b"\r\n" });
            self.last = Some(b'\n');
            rest = &rest[at + 1..];
        }
        self.wire.extend_from_slice(rest);
        self.last = rest.last().copied().or(self.last);
        Ok(())
    }
}

impl<R: Read> Read for WireReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.wire.len() && !self.ended {
            self.refill()?;
        }
        let ready = self.wire.get(self.given..).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.given += count;
        Ok(count)
    }
}

/// How many octets a reader will yield.
pub(crate) fn wire_octets(disk: impl Read, octets: u64) -> io::Result<u64> {
    io::copy(&mut WireReader::new(disk, octets), &mut io::sink())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to_disk(pieces: &[&[u8]]) -> (Vec<u8>, u64, u64) {
        let (mut lines, mut disk) = (ToDisk::default(), Vec::new());
        for piece in pieces {
            lines.convert(piece, &mut disk);
        }
        let (disk_octets, wire_octets) = lines.finish(&mut disk);
        (disk, disk_octets, wire_octets)
    }

    fn to_wire(disk: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        WireReader::new(disk, 0).read_to_end(&mut wire).unwrap();
        wire
    }

    #[test]
    fn line_ends_both_ways() {
        for (wire, disk, back) in [
            ("", "", ""),
            ("a\r\nb\r\n", "a\nb\n", "a\r\nb\r\n"),
            ("a\nb", "a\nb", "a\r\nb\r\n"),
            ("a\r\r\nb\rc\r\n", "a\r\r\nb\rc\n", "a\r\r\nb\rc\r\n"),
            ("\r\n\r\n", "\n\n", "\r\n\r\n"),
            ("a\r", "a\r", "a\r\r\n"),
            ("\n\r", "\n\r", "\r\n\r\r\n"),
        ] {
            let (found, _, octets) = to_disk(&[wire.as_bytes()]);
            assert_eq!(found, disk.as_bytes(), "{wire:?}");
            assert_eq!(to_wire(&found), back.as_bytes(), "{wire:?}");
            assert_eq!(octets, back.len() as u64, "{wire:?}");
        }
        assert_eq!(to_wire(b"a\r\nb\nc"), b"a\r\nb\r\nc\r\n", "files with CR LF are taken too");
    }

    fn messages() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), any::<u8>()], 0..200)
    }

    proptest! {
        #[test]
        fn counts_equal_what_the_reader_yields(message in messages(), cut in 0usize..200) {
            let cut = cut.min(message.len());
            let (disk, disk_octets, octets) = to_disk(&[&message[..cut], &message[cut..]]);
            prop_assert_eq!(disk_octets, disk.len() as u64);
            prop_assert_eq!(octets, to_wire(&disk).len() as u64);
            prop_assert_eq!(octets, wire_octets(&disk[..], 7).unwrap());
            prop_assert_eq!(&disk, &to_disk(&[&message]).0, "wherever it is cut");
        }

        #[test]
        fn a_message_with_proper_line_ends_comes_back_as_it_was(lines in proptest::collection::vec("[a\r.]{0,5}", 0..20)) {
            let message: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
            prop_assert_eq!(to_wire(&to_disk(&[&message]).0), message);
        }
    }
}
