//! Collapsing: of many requests for the same response that come while it is fetched, one goes to
//! the origin, the leader; the others follow and get what it brings (RFC 9111, 4).
//!
//! ```text
//! board --nobody flies there--> Leader --land--> Coming | Erred | Failed | Alone
//!   |                              \--dropped--> Deserted: the followers look again
//!   +--somebody does--> Follower --landing--> one of these
//!   +--it was found not to be sharable a moment ago--> Alone
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::{sync::watch, time::Instant};

use super::{entry::Stored, pages::Failure};

/// For so long requests for an address whose response could not be shared don't wait for one
/// another: else they would come to the origin one by one.
const ALONE_TIME: Duration = Duration::from_secs(120);
/// So many such addresses are remembered.
const MAX_ALONE: usize = 4096;

/// What became of a fetch, as far as it concerns those who followed.
#[derive(Clone, Debug)]
pub(crate) enum Landing {
    /// A response that may be used for others too, perhaps with its body still on the way; and
    /// what the origin answered.
    Coming(Arc<Stored>, u16),
    /// The origin answered with this error, and something stored stood in for it.
    Erred(u16),
    /// There was no response.
    Failed(Arc<Failure>),
    /// The response is for the leader only: each asks for itself.
    Alone,
    /// The leader is gone and has brought nothing.
    Deserted,
}

type Flown = watch::Sender<Option<Landing>>;

/// All fetches in flight that can be followed.
#[derive(Clone)]
pub(crate) struct Flights(Arc<Known>);

struct Known {
    flying: Mutex<HashMap<String, Arc<Flown>>>,
    alone: Cache<String, Instant>,
}

/// How a request gets its response.
pub(crate) enum Boarding {
    Lead(Leader),
    Follow(Follower),
    /// It neither leads nor follows.
    Alone,
}

/// The right and duty to fetch for all. The flight goes with it.
pub(crate) struct Leader {
    flights: Flights,
    key: String,
    flown: Arc<Flown>,
}

/// A request that waits for another one's response.
pub(crate) struct Follower(watch::Receiver<Option<Landing>>);

impl Default for Flights {
    fn default() -> Flights {
        Flights(Arc::new(Known { flying: Mutex::default(), alone: Cache::new(MAX_ALONE) }))
    }
}

impl Flights {
    /// Leads a flight to `key`, or follows the one that there is. Who can't lead can still follow.
    pub(crate) fn board(&self, key: &str, can_lead: bool) -> Boarding {
        let mut flying = self.lock();
        if let Some(flown) = flying.get(key) {
            return Boarding::Follow(Follower(flown.subscribe()));
        }
        if !can_lead || self.0.alone.get(key).is_some_and(|since| since.elapsed() < ALONE_TIME) {
            return Boarding::Alone;
        }
        let flown = Arc::new(Flown::new(None));
        flying.insert(key.to_owned(), flown.clone());
        drop(flying);
        Boarding::Lead(Leader { flights: self.clone(), key: key.to_owned(), flown })
    }

    /// Leads where nobody does: for fetches in the background, of which one is enough.
    pub(crate) fn lead(&self, key: &str) -> Option<Leader> {
        match self.board(key, true) {
            Boarding::Lead(leader) => Some(leader),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Flown>>> {
        self.0.flying.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Leader {
    /// Tells the followers. Those that come later hear it too, for as long as the leader lives.
    pub(crate) fn land(&self, landing: Landing) {
        match landing {
            Landing::Alone => self.flights.0.alone.insert(self.key.clone(), Instant::now()),
            _ => drop(self.flights.0.alone.remove(&self.key)),
        }
        self.flown.send_replace(Some(landing));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut flying = self.flights.lock();
        if flying.get(&self.key).is_some_and(|flown| Arc::ptr_eq(flown, &self.flown)) {
            flying.remove(&self.key);
        }
        drop(flying);
        self.flown.send_if_modified(|landing| landing.is_none().then(|| *landing = Some(Landing::Deserted)).is_some());
    }
}

impl Follower {
    /// Waits for what the leader brings.
    pub(crate) async fn landing(mut self) -> Landing {
        match self.0.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Landing::Deserted),
            Err(_gone) => Landing::Deserted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_leads_and_the_others_hear_what_became_of_it() {
        let flights = Flights::default();
        let Boarding::Lead(leader) = flights.board("k", true) else { panic!("nobody flies yet") };
        let Boarding::Follow(early) = flights.board("k", true) else { panic!("somebody flies") };
        assert!(matches!(flights.board("other", false), Boarding::Alone));
        leader.land(Landing::Erred(503));
        let Boarding::Follow(late) = flights.board("k", false) else { panic!("somebody still flies") };
        assert!(matches!(early.landing().await, Landing::Erred(503)));
        assert!(matches!(late.landing().await, Landing::Erred(503)));
        drop(leader);
        assert!(matches!(flights.board("k", true), Boarding::Lead(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_goes_leaves_its_place_to_others() {
        let flights = Flights::default();
        let leader = flights.lead("k").unwrap();
        assert!(flights.lead("k").is_none());
        let Boarding::Follow(follower) = flights.board("k", true) else { panic!("somebody flies") };
        drop(leader);
        assert!(matches!(follower.landing().await, Landing::Deserted));
        assert!(flights.lead("k").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_shared_is_not_waited_for_again_for_a_while() {
        let flights = Flights::default();
        flights.lead("k").unwrap().land(Landing::Alone);
        assert!(matches!(flights.board("k", true), Boarding::Alone));
        tokio::time::advance(ALONE_TIME).await;
        assert!(flights.lead("k").is_some());
    }
}
