//! The names of undo records. Pure.
//!
//! A record is a second name (a hard link) of the file that is being added to: so it needs no path,
//! survives every rename, and making it is one step that is there or is not. What it has to say,
//! how long the file was and when it had been changed, is the name itself:
//! `<octets>-<seconds>-<nanoseconds>-<random>`.

use std::{
    ffi::{OsStr, OsString},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::Standing;

/// How a file stood before it was added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub before: Standing,
    /// Tells records of files with the same length and time apart.
    random: u64,
}

impl Record {
    pub(super) fn of(before: Standing) -> Record {
        Record { before, random: rand::random() }
    }

    /// A time before 1970 is written as 1970: it is only for show, and the length is what counts.
    pub(crate) fn print(&self) -> OsString {
        let age = self.before.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{}-{}-{:09}-{:016x}", self.before.octets, age.as_secs(), age.subsec_nanos(), self.random).into()
    }

    /// `None` for everything that [`Record::print`] does not write: a file is only cut where
    /// there is no doubt.
    pub(crate) fn parse(name: &OsStr) -> Option<Record> {
        let fields: Vec<&str> = name.to_str()?.split('-').collect();
        let [octets, secs, nanos, random] = fields[..] else { return None };
        let nanos: u32 = nanos.parse().ok().filter(|nanos| *nanos < 1_000_000_000)?;
        let modified: SystemTime = UNIX_EPOCH.checked_add(Duration::new(secs.parse().ok()?, nanos))?;
        let before = Standing { octets: octets.parse().ok()?, modified };
        let record = Record { before, random: u64::from_str_radix(random, 16).ok()? };
        (record.print() == name).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        for (octets, nanos) in [(0, 0), (5 << 30, 999_999_999), (u64::MAX, 1)] {
            let record = Record::of(Standing { octets, modified: UNIX_EPOCH + Duration::new(784_111_777, nanos) });
            assert_eq!(Record::parse(&record.print()), Some(record));
        }
        for name in
            ["", "1", "1-2-3-4", "+1-2-000000003-0000000000000004", "1-2-1000000000-0000000000000004", "1-2-000000003-4", ".portico-1"]
        {
            assert_eq!(Record::parse(name.as_ref()), None, "{name}");
        }
        assert!(Record::parse("1-2-000000003-0000000000000004".as_ref()).is_some());
    }
}
