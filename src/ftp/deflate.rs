//! MODE Z (draft-preston-ftpext-deflate): each transfer is one zlib stream (RFC 1950) of what
//! MODE S would send. Pure machines that are fed pieces cut anywhere.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Made at once of what is received, in octets: a few of them may stand for a thousand times as
/// many, and memory must not depend on how many.
const PIECE_OCTETS: usize = 256 * 1024;
/// Room that a coder is given to write to, in octets.
const ROOM_OCTETS: usize = 32 * 1024;

/// Deflates what is sent.
pub(crate) struct Deflater(Compress);

impl Deflater {
    /// `level` is 1 to 9.
    pub(crate) fn new(level: u32) -> Deflater {
        Deflater(Compress::new(Compression::new(level.clamp(1, 9)), true))
    }

    pub(crate) fn push(&mut self, mut octets: &[u8], wire: &mut Vec<u8>) {
        while !octets.is_empty() {
            let before = self.0.total_in();
            self.step(octets, wire, FlushCompress::None);
            octets = octets.get(count(before, self.0.total_in())..).unwrap_or_default();
        }
    }

    /// The end of the stream.
    pub(crate) fn finish(&mut self, wire: &mut Vec<u8>) {
        while self.step(&[], wire, FlushCompress::Finish) != Status::StreamEnd {}
    }

    fn step(&mut self, octets: &[u8], wire: &mut Vec<u8>, flush: FlushCompress) -> Status {
        wire.reserve(ROOM_OCTETS);
        self.0.compress_vec(octets, wire, flush).expect("a deflater takes all octets while it is given room")
    }
}

/// The octets received are no zlib stream, or there are more behind its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Inflates what is received.
pub(crate) struct Inflater {
    machine: Decompress,
    is_over: bool,
}

impl Inflater {
    pub(crate) fn new() -> Inflater {
        Inflater { machine: Decompress::new(true), is_over: false }
    }

    /// Makes a piece of `file` of the first octets of `wire`, and tells of how many. To be called
    /// until all are used up.
    pub(crate) fn pull(&mut self, wire: &[u8], file: &mut Vec<u8>) -> Result<usize, Broken> {
        let begun = self.machine.total_in();
        let most = file.len() + PIECE_OCTETS;
        while file.len() < most {
            let used = count(begun, self.machine.total_in());
            let rest = wire.get(used..).unwrap_or_default();
            if self.is_over && !rest.is_empty() {
                return Err(Broken);
            }
            let (before, held) = (self.machine.total_in(), file.len());
            file.reserve(ROOM_OCTETS);
            let status = self.machine.decompress_vec(rest, file, FlushDecompress::None).map_err(|_| Broken)?;
            self.is_over = status == Status::StreamEnd;
            if self.is_over && rest.len() == count(before, self.machine.total_in()) {
                break;
            }
            if before == self.machine.total_in() && held == file.len() {
                break;
            }
        }
        Ok(count(begun, self.machine.total_in()))
    }

    /// Whether the end of the stream has come: without it, what came was cut.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }
}

fn count(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deflate(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut machine, mut wire) = (Deflater::new(4), Vec::new());
        pieces.iter().for_each(|piece| machine.push(piece, &mut wire));
        machine.finish(&mut wire);
        wire
    }

    fn inflate(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), Broken> {
        let (mut machine, mut file) = (Inflater::new(), Vec::new());
        for piece in pieces {
            let mut used = 0;
            while used < piece.len() {
                used += machine.pull(&piece[used..], &mut file)?;
            }
        }
        // What a piece had no room for is still inside.
        while !machine.is_over() {
            let before = file.len();
            machine.pull(&[], &mut file)?;
            if file.len() == before {
                break;
            }
        }
        Ok((file, machine.is_over()))
    }

    #[test]
    fn the_stream_has_the_header_of_zlib_and_an_end() {
        let wire = deflate(&[b"abc"]);
        assert_eq!(wire[0], 0x78);
        assert_eq!(inflate(&[&wire]), Ok((b"abc".to_vec(), true)));
        assert!(!inflate(&[&wire[..wire.len() - 1]]).unwrap().1, "cut");
        assert_eq!(inflate(&[&wire, b"x"]), Err(Broken), "more behind the end");
        assert_eq!(inflate(&[b"not zlib"]), Err(Broken));
        assert_eq!(inflate(&[&deflate(&[])]), Ok((Vec::new(), true)));
    }

    #[test]
    fn a_piece_stays_small_however_much_it_stands_for() {
        let wire = deflate(&[&vec![0; 50_000_000]]);
        assert!(wire.len() < 100_000);
        let (mut machine, mut file) = (Inflater::new(), Vec::new());
        machine.pull(&wire, &mut file).unwrap();
        assert!(file.len() <= PIECE_OCTETS + ROOM_OCTETS * 2, "{}", file.len());
    }

    proptest! {
        #[test]
        fn there_and_back_cut_anywhere(octets in proptest::collection::vec(any::<u8>(), 0..2000), cut in 0usize..2000) {
            let cut = cut.min(octets.len());
            let wire = deflate(&[&octets[..cut], &octets[cut..]]);
            let cut = cut.min(wire.len());
            prop_assert_eq!(inflate(&[&wire[..cut], &wire[cut..]]), Ok((octets, true)));
        }

        #[test]
        fn arbitrary_octets_do_not_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _inflated = inflate(&[&octets]);
        }
    }
}
