//! What is in a Maildir: found by the names of its files, and remembered while its folders stay as
//! they are.
//!
//! A scan reads the two folders and nothing else: sizes and ids come from the names
//! ([`super::maildir_name`]). Only files of other programs that don't tell their size are read
//! through, once ([`super::maildir_sizes`]). Whoever adds, moves or removes a message changes the
//! times of a folder, so that the next session knows by two looks whether the last scan holds.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use quick_cache::{Weighter, unsync::Cache};

use super::{
    commit::{Committer, RealDisk, RealFolder},
    mail::MessageFacts,
    maildir::Folders,
    maildir_name::MaildirName,
    maildir_sizes::Sizes,
    tree::TICK,
};

/// Where a message lies.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub is_new: bool,
    pub name: OsString,
}

/// The messages of a maildrop at one moment, oldest first, and where each of them lay.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub messages: Vec<MessageFacts>,
    pub places: Vec<Place>,
    /// Of `new` and `cur`, before they were read; `None` where a change might go unnoticed.
    stamps: Option<[Stamp; 2]>,
}

/// By what a change of a folder shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The listings of the maildrops that were opened last.
pub(crate) struct Listings {
    /// Not the kind with shards: each of them would be too small for a large maildrop.
    known: Mutex<Cache<String, Arc<Listing>, ByMessages>>,
}

/// So many messages are remembered in all, at some 300 octets each.
const MESSAGES_KEPT: u64 = 200_000;

#[derive(Clone)]
struct ByMessages;

impl Weighter<String, Arc<Listing>> for ByMessages {
    fn weight(&self, _account: &String, listing: &Arc<Listing>) -> u64 {
        listing.messages.len() as u64 + 1
    }
}

impl Listings {
    pub(crate) fn new() -> Listings {
        // The first number is a guess that sizes tables, not a bound.
        Listings { known: Mutex::new(Cache::with_weighter(100, MESSAGES_KEPT, ByMessages)) }
    }

    /// What is in the Maildir `home` of `account`; `now` is the time.
    pub(crate) fn of(
        &self,
        (account, home): (&str, &RealFolder),
        folders: &Folders<RealDisk>,
        commits: &Committer<RealDisk>,
        now: SystemTime,
    ) -> io::Result<Arc<Listing>> {
        let stamps = [Stamp::of(folders.new.file())?, Stamp::of(folders.cur.file())?];
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listing) = known().get(account).filter(|listing| listing.stamps == Some(stamps)) {
            return Ok(listing.clone());
        }
        let mut listing = Listing::make(home, folders, commits)?;
        listing.stamps = stamps.iter().all(|stamp| stamp.has_settled(now)).then_some(stamps);
        let listing = Arc::new(listing);
        match listing.stamps {
            Some(_) => known().insert(account.to_owned(), listing.clone()),
            None => drop(known().remove(account)),
        }
        Ok(listing)
    }
}

impl Stamp {
    fn of(folder: &File) -> io::Result<Stamp> {
        let it = folder.metadata()?;
        Ok(Stamp { inode: it.ino(), modified: (it.mtime(), it.mtime_nsec()), changed: (it.ctime(), it.ctime_nsec()) })
    }

    /// Whether a change after `now` is sure to show.
    fn has_settled(&self, now: SystemTime) -> bool {
        let since = |(secs, nanos): (i64, i64)| {
            let then = Duration::new(u64::try_from(secs).ok()?, u32::try_from(nanos).ok()?);
            now.duration_since(SystemTime::UNIX_EPOCH.checked_add(then)?).ok()
        };
        [self.modified, self.changed].into_iter().all(|time| since(time).is_some_and(|age| age >= TICK))
    }
}

impl Listing {
    fn make(home: &RealFolder, folders: &Folders<RealDisk>, commits: &Committer<RealDisk>) -> io::Result<Listing> {
        let (mut found, mut sizes) = (scan(folders)?, Sizes::kept_in(home));
        let arrived = |place: &Place| MaildirName::parse(&place.name).and_then(|name| name.arrived_secs).unwrap_or(u64::MAX);
        found.sort_by_cached_key(|place| (arrived(place), place.name.clone()));
        let mut listing = Listing::default();
        for place in found {
            let Some(name) = MaildirName::parse(&place.name) else { continue };
            let Ok(octets) = sizes.of(&name, || folders.of(&place).read(&place.name)) else {
                // Gone since, or nothing that can be read: as if it had never been listed.
                continue;
            };
            listing.messages.push(MessageFacts { uid: name.uid(), octets });
            listing.places.push(place);
        }
        if let Err(error) = sizes.keep(folders, commits) {
            tracing::warn!("the sizes of messages can't be kept, they will be measured again: {error}");
        }
        listing.tell_doubles_apart();
        Ok(listing)
    }

    /// Two files may differ in what follows the base name only; the later one gets another uid.
    fn tell_doubles_apart(&mut self) {
        let mut seen = HashSet::with_capacity(self.messages.len());
        let mut doubles = Vec::new();
        for (index, facts) in self.messages.iter().enumerate() {
            if !seen.insert(facts.uid.as_str()) {
                doubles.push(index);
            }
        }
        for index in doubles {
            let uid = self.places.get(index).and_then(|place| Some(MaildirName::parse(&place.name)?.uid_of_double()));
            if let (Some(facts), Some(uid)) = (self.messages.get_mut(index), uid) {
                facts.uid = uid;
            }
        }
    }
}

/// Everything in `new` and `cur`. A message that is seen in both while another program moves it
/// counts once.
pub(crate) fn scan(folders: &Folders<RealDisk>) -> io::Result<Vec<Place>> {
    let mut found = Vec::new();
    // `new` first: what moves to `cur` meanwhile is seen twice, not missed.
    let new = folders.new.names()?;
    let cur = folders.cur.names()?;
    let seen: HashSet<&[u8]> = match new.is_empty() {
        true => HashSet::new(),
        false => cur.iter().filter_map(|name| Some(MaildirName::parse(name)?.identity)).collect(),
    };
    let new: Vec<OsString> =
        new.into_iter().filter(|name| MaildirName::parse(name).is_some_and(|name| !seen.contains(name.identity))).collect();
    for (is_new, names) in [(true, new), (false, cur)] {
        found.extend(names.into_iter().filter(|name| MaildirName::parse(name).is_some()).map(|name| Place { is_new, name }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_maildrop_is_remembered_too_and_all_together_have_a_bound() {
        let listings = Listings::new();
        let mut known = listings.known.lock().unwrap();
        for account in ["alice", "bob"] {
            let messages = vec![MessageFacts { uid: "1".into(), octets: 1 }; 150_000];
            known.insert(account.into(), Arc::new(Listing { messages, ..Listing::default() }));
            assert!(known.get(account).is_some(), "{account}");
        }
        assert!(known.get("alice").is_none());
    }
}
