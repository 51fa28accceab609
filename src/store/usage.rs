//! How much lies below the folders that an account may write in, for its quota.
//!
//! Counted once, when the account first writes, and kept true by every change that goes through
//! the tree. What comes and goes by other ways (a shell on the machine) shows at the next count:
//! nobody is refused on the word of an old one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{StoreError, VirtualPath, accounts::Account};

/// A count is good for a refusal for so long; so someone who keeps on trying costs one walk
/// through the folders in this time, and who has made room waits no longer.
const FRESH: Duration = Duration::from_secs(5);

/// The accounts that have a quota and write.
#[derive(Default)]
pub(super) struct Usage {
    tallies: Mutex<BTreeMap<String, Tally>>,
}

struct Tally {
    folders: Vec<VirtualPath>,
    used: u64,
    /// By uploads under way.
    reserved: u64,
    counted: Option<Instant>,
}

/// Walks through folders and answers how many octets the files below them have.
pub(super) type Count<'a> = dyn Fn(&[VirtualPath]) -> u64 + 'a;

/// Room that an upload has taken; given back when dropped.
pub(super) struct Reservation {
    usage: Arc<Usage>,
    account: String,
    quota: u64,
    /// What the upload replaces goes when it comes.
    replaced: u64,
    written: u64,
}

impl Usage {
    /// For an upload of an account that has a quota.
    pub(super) fn reservation(self: &Arc<Usage>, account: &Account, replaced: u64) -> Option<Reservation> {
        let quota = account.www_quota?;
        let mut tallies = self.lock();
        let tally =
            tallies.entry(account.name.clone()).or_insert_with(|| Tally { folders: Vec::new(), used: 0, reserved: 0, counted: None });
        if tally.folders != account.write {
            (tally.folders, tally.counted) = (account.write.clone(), None);
        }
        drop(tallies);
        Some(Reservation { usage: self.clone(), account: account.name.clone(), quota, replaced, written: 0 })
    }

    /// A file at `path` has become longer or shorter, has come or gone.
    pub(super) fn changed(&self, path: &VirtualPath, before: u64, after: u64) {
        for tally in self.lock().values_mut().filter(|tally| tally.covers(path)) {
            tally.used = tally.used.saturating_sub(before).saturating_add(after);
        }
    }

    /// Something has moved; a folder with everything in it, or a file of so many octets.
    pub(super) fn moved(&self, from: &VirtualPath, to: &VirtualPath, octets: Option<u64>) {
        for tally in self.lock().values_mut().filter(|tally| tally.covers(from) != tally.covers(to)) {
            match octets {
                None => tally.counted = None,
                Some(octets) if tally.covers(from) => tally.used = tally.used.saturating_sub(octets),
                Some(octets) => tally.used = tally.used.saturating_add(octets),
            }
        }
    }

    /// Octets of partials that an account has kept more or fewer of.
    pub(super) fn kept(&self, account: &str, before: u64, after: u64) {
        if let Some(tally) = self.lock().get_mut(account) {
            tally.used = tally.used.saturating_sub(before).saturating_add(after);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Tally>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn covers(&self, path: &VirtualPath) -> bool {
        self.folders.iter().any(|folder| path.is_within(folder))
    }
}

impl Reservation {
    /// Takes room for so many octets more.
    ///
    /// # Errors
    /// [`StoreError::OverQuota`].
    pub(super) fn take(&mut self, octets: u64, count: &Count<'_>) -> Result<(), StoreError> {
        let more = self.net(self.written.saturating_add(octets)) - self.net(self.written);
        self.take_room(more, count)?;
        self.written = self.written.saturating_add(octets);
        Ok(())
    }

    /// How much more may be written.
    pub(super) fn room(&self, count: &Count<'_>) -> u64 {
        let counted = |tally: &Tally| self.quota.saturating_sub(tally.used).saturating_sub(tally.reserved);
        self.with_tally(count, |tally| (counted(tally), true)).saturating_add(self.replaced)
    }

    fn take_room(&self, more: u64, count: &Count<'_>) -> Result<(), StoreError> {
        self.with_tally(count, |tally| {
            let is_enough = tally.used.saturating_add(tally.reserved).saturating_add(more) <= self.quota;
            if is_enough || more == 0 {
                tally.reserved = tally.reserved.saturating_add(more);
                return (Ok(()), true);
            }
            (Err(StoreError::OverQuota), false)
        })
    }

    /// Asks the tally; once more after a new count where the answer is not good.
    fn with_tally<T>(&self, count: &Count<'_>, ask: impl Fn(&mut Tally) -> (T, bool)) -> T {
        let mut tallies = self.usage.lock();
        let mut none = Tally { folders: Vec::new(), used: 0, reserved: 0, counted: None };
        let tally = tallies.get_mut(&self.account).unwrap_or(&mut none);
        if tally.counted.is_none() {
            (tally.used, tally.counted) = (count(&tally.folders), Some(Instant::now()));
        }
        let (answer, is_good) = ask(tally);
        if is_good || tally.counted.is_some_and(|last| last.elapsed() < FRESH) {
            return answer;
        }
        (tally.used, tally.counted) = (count(&tally.folders), Some(Instant::now()));
        ask(tally).0
    }

    /// What an upload of so many octets adds to what is there.
    fn net(&self, written: u64) -> u64 {
        written.saturating_sub(self.replaced)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(tally) = self.usage.lock().get_mut(&self.account) {
            tally.reserved = tally.reserved.saturating_sub(self.net(self.written));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(quota: u64) -> Account {
        let home = VirtualPath::parse("/~bob").unwrap();
        Account { name: "bob".into(), home: home.clone(), write: vec![home], www_quota: Some(quota), adds_only: false }
    }

    fn path(text: &str) -> VirtualPath {
        VirtualPath::parse(text).unwrap()
    }

    #[test]
    fn room_is_taken_while_writing_and_given_back() {
        let usage = Arc::new(Usage::default());
        let count = |folders: &[VirtualPath]| if folders == [path("/~bob")] { 60 } else { 0 };
        let mut first = usage.reservation(&account(100), 0).unwrap();
        first.take(30, &count).unwrap();
        let mut second = usage.reservation(&account(100), 0).unwrap();
        assert_eq!(second.room(&count), 10);
        second.take(10, &count).unwrap();
        assert!(matches!(second.take(1, &count), Err(StoreError::OverQuota)));
        drop(first);
        second.take(30, &count).unwrap();
        drop(second);
        let mut replacing = usage.reservation(&account(100), 50).unwrap();
        replacing.take(90, &count).unwrap();
        assert!(matches!(replacing.take(1, &count), Err(StoreError::OverQuota)), "the limit and one past it");
    }

    #[test]
    fn changes_are_followed_where_they_count() {
        let usage = Arc::new(Usage::default());
        let count = |_: &[VirtualPath]| 60;
        let asked = usage.reservation(&account(100), 0).unwrap();
        assert_eq!(asked.room(&count), 40);
        usage.changed(&path("/~bob/a"), 10, 30);
        usage.changed(&path("/elsewhere"), 0, 30);
        assert_eq!(asked.room(&count), 20);
        usage.moved(&path("/~bob/a"), &path("/b"), Some(30));
        usage.moved(&path("/~bob/b"), &path("/~bob/c"), Some(30));
        usage.kept("bob", 0, 5);
        assert_eq!(asked.room(&count), 45);
        usage.moved(&path("/~bob/folder"), &path("/folder"), None);
        assert_eq!(asked.room(&count), 40, "counted anew");
    }

    #[test]
    fn no_quota_no_reservation() {
        assert!(Arc::new(Usage::default()).reservation(&Account { www_quota: None, ..account(0) }, 0).is_none());
    }
}
