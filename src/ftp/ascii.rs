//! Line ends of TYPE A: CR LF on the wire (RFC 959, 3.1.1.1), LF in the tree. Pure machines that
//! are fed pieces cut anywhere.

/// From the tree to the wire: LF becomes CR LF. A CR LF that a file holds already stays one line
/// end, and a lone CR stays as it is.
#[derive(Default)]
pub(crate) struct ToWire {
    after_cr: bool,
}

impl ToWire {
    pub(crate) fn convert(&mut self, octets: &[u8], wire: &mut Vec<u8>) {
        wire.reserve(octets.len() + octets.len() / 32);
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else {
                wire.extend_from_slice(line);
                self.after_cr = line.last() == Some(&b'\r');
                continue;
            };
            let ends_with_cr = text.last().map_or(self.after_cr, |last| *last == b'\r');
            wire.extend_from_slice(text);
            wire.extend_from_slice(if ends_with_cr { b"\n" } else { b"\r\n" });
            self.after_cr = false;
        }
    }

    /// How many octets `octets` become.
    pub(crate) fn count(&mut self, octets: &[u8]) -> u64 {
        let mut count = octets.len() as u64;
        for octet in octets {
            count += u64::from(*octet == b'\n' && !self.after_cr);
            self.after_cr = *octet == b'\r';
        }
        count
    }
}

/// From the wire to the tree: CR LF becomes LF; a lone LF and a lone CR stay as they are.
#[derive(Default)]
pub(crate) struct FromWire {
    /// A CR at the end of the last piece, which is not known yet to be half a line end.
    held_cr: bool,
}

impl FromWire {
    pub(crate) fn convert(&mut self, mut octets: &[u8], file: &mut Vec<u8>) {
        file.reserve(octets.len() + 1);
        while let Some(first) = octets.first() {
            if std::mem::take(&mut self.held_cr) && *first != b'\n' {
                file.push(b'\r');
            }
            let end = memchr::memchr(b'\r', octets);
            let (text, rest) = octets.split_at(end.unwrap_or(octets.len()));
            file.extend_from_slice(text);
            self.held_cr = end.is_some();
            octets = rest.get(1..).unwrap_or_default();
        }
    }

    /// The end has come: a CR that was held back was a lone one.
    pub(crate) fn finish(&mut self, file: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            file.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to_wire(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut machine, mut wire) = (ToWire::default(), Vec::new());
        pieces.iter().for_each(|piece| machine.convert(piece, &mut wire));
        wire
    }

    fn from_wire(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut machine, mut file) = (FromWire::default(), Vec::new());
        pieces.iter().for_each(|piece| machine.convert(piece, &mut file));
        machine.finish(&mut file);
        file
    }

    #[test]
    fn line_ends_in_both_directions() {
        for (file, wire) in
            [("", ""), ("a\nb", "a\r\nb"), ("\n\n", "\r\n\r\n"), ("a\r\nb", "a\r\nb"), ("a\rb\r", "a\rb\r"), ("\r\r\n", "\r\r\n")]
        {
            assert_eq!(to_wire(&[file.as_bytes()]), wire.as_bytes(), "{file:?}");
        }
        for (wire, file) in [("a\r\nb", "a\nb"), ("a\nb", "a\nb"), ("a\rb", "a\rb"), ("\r\r\n\r", "\r\n\r"), ("\r", "\r")] {
            assert_eq!(from_wire(&[wire.as_bytes()]), file.as_bytes(), "{wire:?}");
        }
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(text in "[a\r\n]{0,24}", cuts in proptest::collection::vec(0..25_usize, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut start = 0;
            let pieces: Vec<&[u8]> = cuts.iter().map(|cut| {
                let piece = &text.as_bytes()[start..*cut];
                start = *cut;
                piece
            }).collect();
            prop_assert_eq!(to_wire(&pieces), to_wire(&[text.as_bytes()]));
            prop_assert_eq!(from_wire(&pieces), from_wire(&[text.as_bytes()]));
            let mut counter = ToWire::default();
            let counted: u64 = pieces.iter().map(|piece| counter.count(piece)).sum();
            prop_assert_eq!(counted, to_wire(&pieces).len() as u64);
        }

        #[test]
        fn text_with_lf_survives_the_round_trip(text in "[a\n ]{0,40}") {
            prop_assert_eq!(from_wire(&[&to_wire(&[text.as_bytes()])]), text.as_bytes());
        }
    }
}
