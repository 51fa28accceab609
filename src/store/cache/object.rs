//! A stored response as one plain file: a head that people can read, then the body.
//!
//! ```text
//! Portico cache object 1
//! head 00001024 crc32 9f1c22aa
//! key http://www.example.org/
//! body 00000000000000005678 crc32 0badcafe
//!
//! ...the record, as the proxy wrote it, and line ends up to the length of the head...
//! ...the body...
//! ```
//!
//! The first checksum is that of all that follows its line up to the end of the head. What does
//! not fit together is no object: it was cut, or half written, and is dropped.

/// The first line; another format has another number, and is not read.
const MAGIC: &str = "Portico cache object 1\n";
/// Length of the first two lines.
const PREFIX_OCTETS: usize = MAGIC.len() + "head 00000000 crc32 00000000\n".len();
/// The longest head that is read, in octets: a request's address and a response's fields.
pub(super) const MAX_HEAD_OCTETS: usize = 512 * 1024;
/// Heads of bodies that were written before their heads end on such a boundary, with room to
/// grow by [`SLACK_OCTETS`].
const BLOCK_OCTETS: usize = 4096;
const SLACK_OCTETS: usize = 1024;

/// The head of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub key: String,
    /// What the proxy wrote.
    pub record: Vec<u8>,
    pub body_octets: u64,
    pub body_crc32: u32,
}

impl Head {
    /// The head as it stands in the file; exactly `octets` long where that is given. `None` where
    /// it does not fit.
    pub(crate) fn print(&self, octets: Option<u64>) -> Option<Vec<u8>> {
        if self.key.contains('\n') {
            return None;
        }
        let mut text = format!("key {}\nbody {:020} crc32 {:08x}\n\n", self.key, self.body_octets, self.body_crc32).into_bytes();
        text.extend_from_slice(&self.record);
        text.push(b'\n');
        let least = PREFIX_OCTETS + text.len();
        let octets = octets.map_or(Some(least), |octets| usize::try_from(octets).ok())?;
        if octets < least || octets > MAX_HEAD_OCTETS {
            return None;
        }
        text.resize(octets - PREFIX_OCTETS, b'\n');
        let prefix = format!("{MAGIC}head {octets:08} crc32 {:08x}\n", crc32fast::hash(&text));
        Some([prefix.as_bytes(), &text].concat())
    }

    /// How long the head of a body is to be that is written before it: with room for what may
    /// come to its fields.
    pub(super) fn room(key: &str, record_octets: usize) -> u64 {
        let least = PREFIX_OCTETS + key.len() + record_octets + 64;
        ((least + SLACK_OCTETS).next_multiple_of(BLOCK_OCTETS)) as u64
    }

    /// How long the head of this file is; `None` where it is no object.
    pub(crate) fn octets_of(start: &[u8]) -> Option<usize> {
        let line = start.strip_prefix(MAGIC.as_bytes())?.strip_prefix(b"head ")?.get(..8)?;
        let octets: usize = std::str::from_utf8(line).ok()?.parse().ok()?;
        (PREFIX_OCTETS..=MAX_HEAD_OCTETS).contains(&octets).then_some(octets)
    }

    /// Reads a whole head; `None` where it is damaged.
    pub(crate) fn parse(head: &[u8]) -> Option<Head> {
        let (prefix, text) = head.split_at_checked(PREFIX_OCTETS)?;
        let crc32 = std::str::from_utf8(prefix.get(prefix.len() - 9..prefix.len() - 1)?).ok()?;
        if Head::octets_of(prefix)? != head.len() || u32::from_str_radix(crc32, 16).ok()? != crc32fast::hash(text) {
            return None;
        }
        let (key, rest) = split_line(text.strip_prefix(b"key ")?)?;
        let (body, rest) = split_line(rest.strip_prefix(b"body ")?)?;
        let (octets, crc32) = std::str::from_utf8(body).ok()?.split_once(" crc32 ")?;
        let padding = rest.iter().rev().take_while(|octet| **octet == b'\n').count();
        let record = rest.strip_prefix(b"\n")?.get(..(rest.len() - 1).saturating_sub(padding)).unwrap_or_default();
        Some(Head {
            key: std::str::from_utf8(key).ok()?.to_owned(),
            record: record.to_vec(),
            body_octets: octets.parse().ok()?,
            body_crc32: u32::from_str_radix(crc32, 16).ok()?,
        })
    }
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(key: &str, record: &[u8]) -> Head {
        Head { key: key.to_owned(), record: record.to_vec(), body_octets: 5678, body_crc32: 0x0bad_cafe }
    }

    #[test]
    fn people_can_read_it() {
        let text = head("http://a.test/", b"status 200").print(Some(128)).unwrap();
        assert_eq!(text.len(), 128);
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("Portico cache object 1\nhead 00000128 crc32 "), "{text}");
        assert!(text.contains("\nkey http://a.test/\nbody 00000000000000005678 crc32 0badcafe\n\nstatus 200\n"), "{text}");
        assert!(head("http://a.test/", b"status 200").print(Some(100)).is_none(), "it does not fit");
        assert!(head("a\nb", b"").print(None).is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(key in "[!-~]{0,40}", record in "([a-z\n]{0,40}[a-z])?", room in proptest::option::of(300u64..400)) {
            let head = head(&key, record.as_bytes());
            let text = head.print(room).unwrap();
            prop_assert_eq!(Head::octets_of(&text), Some(text.len()));
            prop_assert_eq!(Head::parse(&text), Some(head));
        }

        #[test]
        fn what_is_damaged_is_no_object(at in 0usize..128, octet in 0u8.., cut in 0usize..128) {
            let head = head("http://a.test/", b"status 200");
            let whole = head.print(Some(128)).unwrap();
            prop_assert_eq!(Head::parse(&whole[..cut]), None);
            let mut damaged = whole.clone();
            damaged[at] = octet;
            // A digit of a checksum may be written in capitals.
            prop_assert!(Head::parse(&damaged).is_none_or(|read| read == head));
        }

        #[test]
        fn arbitrary_octets_are_survived(octets in proptest::collection::vec(0u8.., 0..200)) {
            let _ = Head::parse(&octets);
        }
    }
}
