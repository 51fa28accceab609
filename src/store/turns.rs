//! Whose turn it is at a maildrop.
//!
//! A maildrop belongs to one session at a time (RFC 1939, 4). Clients come back quickly, often
//! before the server has noticed that their last connection is gone; so the next session waits a
//! moment for the one before it, in the order of arrival, and only then hears that the maildrop
//! is in use. The lock itself, which holds against other processes too, is the store's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout},
};

/// How long a session waits for the one before it: shorter than any client's patience.
const WAIT: Duration = Duration::from_secs(2);

/// The turns of all maildrops, one entry for each account that ever logged in. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<String, Visits>>>);

/// What is known of one account's visits.
#[derive(Default)]
struct Visits {
    turn: Arc<tokio::sync::Mutex<()>>,
    last_login: Option<Instant>,
}

/// The right to open a maildrop; the next in line gets it when it is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// How many seconds the next login to `account` has to wait where `delay` must lie between two
    /// (RFC 2449, 6.5).
    pub(crate) fn wait_secs(&self, account: &str, delay: Duration) -> Option<u64> {
        let turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = turns.get(account)?.last_login?.elapsed();
        let left = delay.checked_sub(since).filter(|left| !left.is_zero())?;
        Some(left.as_secs() + u64::from(left.subsec_nanos() > 0))
    }

    /// The turn at the maildrop of `account` for who logs in there; `None` where the session before
    /// does not end.
    pub(crate) async fn take(&self, account: &str) -> Option<Turn> {
        self.wait(account, |visits| visits.last_login = Some(Instant::now())).await
    }

    /// The same for a change in passing, which is no login.
    pub(crate) async fn take_briefly(&self, account: &str) -> Option<Turn> {
        self.wait(account, |_| ()).await
    }

    async fn wait(&self, account: &str, note: impl FnOnce(&mut Visits)) -> Option<Turn> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let visits = turns.entry(account.to_owned()).or_default();
            note(visits);
            visits.turn.clone()
        };
        timeout(WAIT, turn.lock_owned()).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_in_line_waits_a_moment_and_no_longer() {
        let turns = Turns::default();
        let first = turns.take("bob").await.unwrap();
        assert!(turns.take("bob").await.is_none(), "the first session stays");
        assert!(turns.take("alice").await.is_some(), "another maildrop");
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take("bob").await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_logins_lies_the_delay() {
        let (turns, delay) = (Turns::default(), Duration::from_secs(10));
        assert_eq!(turns.wait_secs("bob", delay), None, "the first login");
        drop(turns.take("bob").await);
        tokio::time::advance(Duration::from_millis(2500)).await;
        assert_eq!(turns.wait_secs("bob", delay), Some(8));
        assert_eq!(turns.wait_secs("alice", delay), None);
        assert_eq!(turns.wait_secs("bob", Duration::ZERO), None);
        tokio::time::advance(Duration::from_millis(7500)).await;
        assert_eq!(turns.wait_secs("bob", delay), None);
    }
}
