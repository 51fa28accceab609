//! How much lies in each maildrop, for those that have a quota.
//!
//! A count is made from the names of the files ([`super::maildir_listing`]), which costs a scan
//! after every delivery. So it is carried on: what is delivered here is added, and the sum counts
//! for a moment. Only where it says that there is no room is counted again: nobody is refused
//! because of what was removed meanwhile.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Others may add to a maildrop, too: older sums are made anew.
const CARRIED_ON: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Usage {
    sums: Mutex<HashMap<String, Sum>>,
}

#[derive(Clone, Copy)]
struct Sum {
    octets: u64,
    counted: Instant,
}

impl Usage {
    /// Whether `octets` more keep the maildrop of `account` within `quota`; `count` adds up what is
    /// there.
    pub(super) fn has_room<E>(
        &self,
        account: &str,
        octets: u64,
        quota: u64,
        now: Instant,
        count: impl FnOnce() -> Result<u64, E>,
    ) -> Result<bool, E> {
        let fits = |there: u64| there.saturating_add(octets) <= quota;
        let known = self.sums().get(account).copied().filter(|sum| now.duration_since(sum.counted) < CARRIED_ON);
        if known.is_some_and(|sum| fits(sum.octets)) {
            return Ok(true);
        }
        let there = count()?;
        self.sums().insert(account.to_owned(), Sum { octets: there, counted: now });
        Ok(fits(there))
    }

    /// Notes a delivery. Accounts that were never asked about have no quota, and cost nothing.
    pub(super) fn delivered(&self, account: &str, octets: u64) {
        if let Some(sum) = self.sums().get_mut(account) {
            sum.octets = sum.octets.saturating_add(octets);
        }
    }

    fn sums(&self) -> MutexGuard<'_, HashMap<String, Sum>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_carried_on_and_made_anew_before_anybody_is_refused() {
        let (usage, now) = (Usage::default(), Instant::now());
        let room = |octets, now, there: Option<u64>| usage.has_room("bob", octets, 100, now, || there.ok_or("not to be counted"));
        assert_eq!(room(40, now, Some(50)), Ok(true));
        assert_eq!(room(50, now, None), Ok(true));
        usage.delivered("bob", 40);
        assert_eq!(room(10, now, None), Ok(true));
        assert_eq!(room(11, now, Some(90)), Ok(false));
        assert_eq!(room(11, now, Some(20)), Ok(true));
        assert_eq!(room(11, now + CARRIED_ON, Some(95)), Ok(false));
        usage.delivered("nobody", 1);
        assert_eq!(usage.sums().len(), 1);
    }
}
