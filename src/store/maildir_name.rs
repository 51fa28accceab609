//! The names of files in a Maildir, as other Maildir programs read and write them. Pure.
//!
//! `<secs>.<unique>.<host>,S=<octets on disk>,W=<octets on the wire>:2,<flags>`: everything but the
//! seconds may be missing or different in files that others wrote.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

use super::mail::Flag;

/// The longest unique id that POP3 carries (RFC 1939, 7).
const UID_OCTETS: usize = 70;
/// Sizes beyond this are lies: they would let sums overflow.
const CREDIBLE_OCTETS: u64 = 1 << 48;

/// A file name taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaildirName<'a> {
    /// Without flags: the same wherever other programs move the file to.
    pub identity: &'a [u8],
    /// Also without sizes.
    pub base: &'a [u8],
    /// `W=`, the size with CR LF line ends.
    pub wire_octets: Option<u64>,
    /// Seconds at the beginning of the name.
    pub arrived_secs: Option<u64>,
}

impl<'a> MaildirName<'a> {
    /// `None` for names that are not messages.
    pub(crate) fn parse(name: &'a OsStr) -> Option<MaildirName<'a>> {
        let name = name.as_bytes();
        let identity = name.split(|&octet| octet == b':').next().unwrap_or(name);
        if identity.is_empty() || identity.starts_with(b".") {
            return None;
        }
        let mut parts = identity.split(|&octet| octet == b',').peekable();
        let mut base_octets = parts.next().map_or(0, <[u8]>::len);
        let mut wire_octets = None;
        let mut in_base = true;
        for part in parts {
            in_base &= !part.starts_with(b"S=") && !part.starts_with(b"W=");
            if in_base {
                base_octets += 1 + part.len();
            }
            wire_octets = wire_octets.or(part.strip_prefix(b"W=").and_then(number).filter(|&octets| octets < CREDIBLE_OCTETS));
        }
        let base = identity.get(..base_octets).unwrap_or(identity);
        let arrived_secs = base.split(|&octet| octet == b'.').next().and_then(number);
        Some(MaildirName { identity, base, wire_octets, arrived_secs })
    }

    /// The unique id: the base itself where it is fit for POP3, else a digest of it.
    pub(crate) fn uid(&self) -> String {
        match std::str::from_utf8(self.base) {
            Ok(text) if (1..=UID_OCTETS).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic()) => text.to_owned(),
            _ => digest(self.base),
        }
    }

    /// A unique id for the second of two files with the same base.
    pub(crate) fn uid_of_double(&self) -> String {
        digest(self.identity)
    }
}

fn digest(octets: &[u8]) -> String {
    Sha256::digest(octets).iter().take(20).map(|octet| format!("{octet:02x}")).collect()
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) { None } else { std::str::from_utf8(text).ok()?.parse().ok() }
}

/// A base name that no other file has, in this process or another: time, process, count, host and
/// chance. Names sort by arrival.
pub(crate) fn fresh_base(now: SystemTime) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}.M{:06}P{}Q{count}R{:08x}.{}", since.as_secs(), since.subsec_micros(), std::process::id(), rand::random::<u32>(), host())
}

/// The final name, once the sizes are known.
pub(crate) fn with_sizes(base: &str, disk_octets: u64, wire_octets: u64) -> String {
    format!("{base},S={disk_octets},W={wire_octets}")
}

/// The host's name as far as it is fit for a file name, and short.
fn host() -> &'static str {
    static HOST: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    HOST.get_or_init(|| {
        let uname = rustix::system::uname();
        let name = uname.nodename().to_string_lossy();
        let fit: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(16).collect();
        if fit.is_empty() { "localhost".into() } else { fit }
    })
}

/// What the name of a message tells of its flags (`:2,FRS`).
pub(crate) fn flags(is_new: bool, name: &OsStr) -> Vec<Flag> {
    let name = name.as_bytes();
    let letters = memchr::memmem::rfind(name, b":2,").and_then(|at| name.get(at + 3..)).unwrap_or_default();
    let flag = |letter: &u8| match letter {
        b'P' => Some(Flag::Passed),
        b'R' => Some(Flag::Replied),
        b'S' => Some(Flag::Seen),
        b'T' => Some(Flag::Trashed),
        b'D' => Some(Flag::Draft),
        b'F' => Some(Flag::Flagged),
        _ => None,
    };
    is_new.then_some(Flag::New).into_iter().chain(letters.iter().filter_map(flag)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(name: &str) -> MaildirName<'_> {
        MaildirName::parse(OsStr::new(name)).unwrap()
    }

    #[test]
    fn names_of_this_and_other_programs_are_read() {
        for (name, uid, wire, secs) in [
            ("1700000000.M1P2Q3.host,S=10,W=12", "1700000000.M1P2Q3.host", Some(12), Some(1_700_000_000)),
            ("1700000000.M1P2Q3.host,S=10,W=12:2,FRS", "1700000000.M1P2Q3.host", Some(12), Some(1_700_000_000)),
            ("1700000000.M1P2Q3.host,W=12,S=10:2,", "1700000000.M1P2Q3.host", Some(12), Some(1_700_000_000)),
            ("1700000000.1.host,S=10", "1700000000.1.host", None, Some(1_700_000_000)),
            ("1700000000.1.host,W=x", "1700000000.1.host", None, Some(1_700_000_000)),
            ("1700000000.1.host,W=99999999999999999999", "1700000000.1.host", None, Some(1_700_000_000)),
            ("a,b,S=1,W=2,c", "a,b", Some(2), None),
            ("hello:2,S", "hello", None, None),
        ] {
            let parsed = parse(name);
            assert_eq!((parsed.uid().as_str(), parsed.wire_octets, parsed.arrived_secs), (uid, wire, secs), "{name}");
        }
        for name in ["", ".hidden", ":2,S", ".portico-x"] {
            assert_eq!(MaildirName::parse(OsStr::new(name)), None);
        }
    }

    #[test]
    fn a_name_of_sizes_alone_has_a_unique_id() {
        assert_eq!(parse(",S=1,W=2").uid().len(), 40);
    }

    #[test]
    fn flags_are_read_from_the_name_and_the_folder() {
        assert_eq!(flags(true, OsStr::new("1.a.host,S=1")), [Flag::New]);
        assert_eq!(flags(false, OsStr::new("1.a.host:2,FRSx")), [Flag::Flagged, Flag::Replied, Flag::Seen]);
        assert_eq!(flags(false, OsStr::new("1.a:1,S")), []);
    }

    #[test]
    fn our_own_names_are_unique_and_fit_for_pop3() {
        let (one, two) = (fresh_base(UNIX_EPOCH), fresh_base(UNIX_EPOCH));
        assert_ne!(one, two);
        let name = with_sizes(&fresh_base(SystemTime::now()), 5, 7);
        assert_eq!(parse(&name).wire_octets, Some(7));
        assert!(name.starts_with(&parse(&name).uid()), "{name}");
    }

    proptest! {
        #[test]
        fn uids_are_fit_and_do_not_change_with_flags(name in proptest::collection::vec(1u8..=255, 1..90), flags in "[A-Z]{0,4}") {
            let name: Vec<u8> = name.into_iter().filter(|octet| *octet != b':' && *octet != b'/').collect();
            let flagged = [&name[..], b":2,", flags.as_bytes()].concat();
            match (MaildirName::parse(OsStr::from_bytes(&name)), MaildirName::parse(OsStr::from_bytes(&flagged))) {
                (Some(plain), Some(flagged)) => {
                    prop_assert_eq!(plain, flagged);
                    for uid in [plain.uid(), plain.uid_of_double()] {
                        prop_assert!(!uid.is_empty() && uid.len() <= 70 && uid.bytes().all(|octet| octet.is_ascii_graphic()));
                    }
                }
                (plain, flagged) => prop_assert!(plain.is_none() && flagged.is_none()),
            }
        }
    }
}
