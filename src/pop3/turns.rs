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

use tokio::{sync::OwnedMutexGuard, time::timeout};

/// How long a session waits for the one before it: shorter than any client's patience.
const WAIT: Duration = Duration::from_secs(2);

/// The turns of all maildrops, one entry for each account that ever logged in. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>);

/// The right to open a maildrop; the next in line gets it when it is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// The turn at the maildrop of `account`; `None` where the session before does not end.
    pub(super) async fn take(&self, account: &str) -> Option<Turn> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(account.to_owned()).or_default().clone()
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
}
