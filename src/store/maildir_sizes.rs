//! Sizes of messages whose names don't tell them, since other programs put them there.
//!
//! Each is measured once, and kept in a small file in the Maildir: `<octets> <name>` a line, for the
//! messages that are there. It may be deleted at any time and is made again.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
};

use super::{
    commit::{Change, Committer, RealDisk, RealFolder, Spot, Taken, Temporary},
    lines::wire_octets,
    maildir::{FILE_MODE, Folders},
    maildir_name::MaildirName,
};

const INDEX: &str = "portico.sizes";
/// A larger index is not read: some 500,000 messages.
const INDEX_OCTETS: u64 = 64 << 20;

/// The sizes for one listing.
pub(super) struct Sizes<'h> {
    home: &'h RealFolder,
    /// By identity; read at the first need.
    known: Option<HashMap<Vec<u8>, u64>>,
    /// Those that were asked for.
    asked: Vec<u8>,
    has_measured: bool,
}

impl Sizes<'_> {
    pub(super) fn kept_in(home: &RealFolder) -> Sizes<'_> {
        Sizes { home, known: None, asked: Vec::new(), has_measured: false }
    }

    /// The octets of a message on the wire; `open` is called where nobody knows them yet.
    pub(super) fn of(&mut self, name: &MaildirName<'_>, open: impl FnOnce() -> io::Result<File>) -> io::Result<u64> {
        if let Some(octets) = name.wire_octets {
            return Ok(octets);
        }
        let known = self.known.get_or_insert_with(|| read(self.home).unwrap_or_default());
        let octets = match known.get(name.identity) {
            Some(octets) => *octets,
            None => {
                self.has_measured = true;
                wire_octets(open()?, u64::MAX)?
            }
        };
        // A line end in a name would make two lines of it: such a message is measured each time.
        if !name.identity.contains(&b'\n') {
            self.asked.extend_from_slice(format!("{octets} ").as_bytes());
            self.asked.extend_from_slice(name.identity);
            self.asked.push(b'\n');
        }
        Ok(octets)
    }

    /// Writes the index anew if something was measured.
    pub(super) fn keep(self, folders: &Folders<RealDisk>, commits: &Committer<RealDisk>) -> io::Result<()> {
        if !self.has_measured {
            return Ok(());
        }
        let mut temporary = Temporary::beside(&RealDisk, &folders.tmp, FILE_MODE)?;
        temporary.write_all(&self.asked)?;
        commits.commit(vec![Change::Place { temporary, to: Spot::new(self.home, INDEX), taken: Taken::Replace }]).map(drop)
    }
}

fn read(home: &RealFolder) -> io::Result<HashMap<Vec<u8>, u64>> {
    let mut text = Vec::new();
    home.read(&INDEX.into())?.take(INDEX_OCTETS).read_to_end(&mut text)?;
    Ok(text.split(|octet| *octet == b'\n').filter_map(entry).collect())
}

/// `None` for a line that makes no sense.
fn entry(line: &[u8]) -> Option<(Vec<u8>, u64)> {
    let blank = line.iter().position(|octet| *octet == b' ')?;
    let octets = std::str::from_utf8(line.get(..blank)?).ok()?.parse().ok()?;
    Some((line.get(blank + 1..)?.to_vec(), octets))
}
