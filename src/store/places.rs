//! One writer at a time for each name of the tree.
//!
//! Whoever wants to change what stands at a name only if it is in a certain state ("If-Match")
//! must look and change with nobody in between, whatever protocol the others come by. So every
//! change holds its names from the look to the end of the commit. Different names don't wait for
//! one another: their commits share the waiting for the disk as ever.
//!
//! Who adds to a file in place claims its name for as long as its client takes to send. Nobody can
//! be made to wait for that: whoever comes meanwhile is told that the file is in use.

use std::{
    collections::BTreeSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::StoreError;

/// The names that somebody is changing.
#[derive(Debug)]
pub(super) struct Places<K> {
    taken: Mutex<Taken<K>>,
    freed: Condvar,
}

#[derive(Debug)]
struct Taken<K> {
    /// For as long as a commit takes: others wait.
    held: BTreeSet<K>,
    /// For as long as a client takes: others are told so.
    claimed: BTreeSet<K>,
}

impl<K> Default for Places<K> {
    fn default() -> Places<K> {
        Places { taken: Mutex::new(Taken { held: BTreeSet::new(), claimed: BTreeSet::new() }), freed: Condvar::default() }
    }
}

/// Names held until this is dropped.
#[must_use]
pub(super) struct Held<'a, K: Ord> {
    places: &'a Places<K>,
    keys: Vec<K>,
}

/// A name claimed until this is dropped.
#[must_use]
pub(super) struct Claim<K: Ord> {
    places: Arc<Places<K>>,
    key: Option<K>,
}

impl<K: Ord + Clone> Places<K> {
    /// Waits until nobody else holds any of them, and takes them all at once: those who need two
    /// can't wait for each other in a circle. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where one of them is claimed: that may last.
    pub(super) fn hold(&self, keys: impl IntoIterator<Item = K>) -> Result<Held<'_, K>, StoreError> {
        let keys: Vec<K> = keys.into_iter().collect();
        let mut taken = self.lock();
        while keys.iter().any(|key| taken.held.contains(key)) {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        if keys.iter().any(|key| taken.claimed.contains(key)) {
            return Err(StoreError::Busy);
        }
        taken.held.extend(keys.iter().cloned());
        drop(taken);
        Ok(Held { places: self, keys })
    }

    /// Whether a change would be refused.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where the name is claimed.
    pub(super) fn check(&self, key: &K) -> Result<(), StoreError> {
        if self.lock().claimed.contains(key) { Err(StoreError::Busy) } else { Ok(()) }
    }

    /// Keeps everybody else off a name for as long as a client takes to send.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where somebody has claimed it already.
    pub(super) fn claim(self: &Arc<Places<K>>, key: K) -> Result<Claim<K>, StoreError> {
        let held = self.hold([key.clone()])?;
        self.lock().claimed.insert(key.clone());
        drop(held);
        Ok(Claim { places: self.clone(), key: Some(key) })
    }
}

impl<K> Places<K> {
    fn lock(&self) -> MutexGuard<'_, Taken<K>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord> Drop for Held<'_, K> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        for key in &self.keys {
            taken.held.remove(key);
        }
        drop(taken);
        self.places.freed.notify_all();
    }
}

impl<K: Ord> Claim<K> {
    /// Nobody gets this name any more while this process lives.
    pub(super) fn never_free(mut self) {
        self.key = None;
    }
}

impl<K: Ord> Drop for Claim<K> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.places.lock().claimed.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    #[test]
    fn a_name_is_held_by_one_and_names_do_not_wait_for_others() {
        let places = Places::default();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let _elsewhere = places.hold([9]).unwrap();
        thread::scope(|scope| {
            for thread in 0..8 {
                let (places, inside, most) = (&places, &inside, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let other = 1 + (thread + round) % 3;
                        let _held = if round % 2 == 0 { places.hold([0, other]) } else { places.hold([other, 0]) }.unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }

    #[test]
    fn a_claimed_name_is_refused_and_free_again_afterwards() {
        let places = Arc::new(Places::default());
        let claim = places.claim(1).unwrap();
        assert!(matches!(places.claim(1), Err(StoreError::Busy)));
        assert!(matches!(places.hold([2, 1]), Err(StoreError::Busy)));
        drop(places.hold([2]).unwrap());
        drop(claim);
        places.claim(1).unwrap().never_free();
        assert!(matches!(places.hold([1]), Err(StoreError::Busy)));
    }
}
