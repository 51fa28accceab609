//! One writer at a time for each name of the tree.
//!
//! Whoever wants to change what stands at a name only if it is in a certain state ("If-Match")
//! must look and change with nobody in between, whatever protocol the others come by. So every
//! change holds its names from the look to the end of the commit. Different names don't wait for
//! one another: their commits share the waiting for the disk as ever.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// The names that somebody is changing.
#[derive(Debug)]
pub(super) struct Places<K> {
    held: Mutex<BTreeSet<K>>,
    freed: Condvar,
}

impl<K> Default for Places<K> {
    fn default() -> Places<K> {
        Places { held: Mutex::default(), freed: Condvar::default() }
    }
}

/// Names held until this is dropped.
#[must_use]
pub(super) struct Held<'a, K: Ord> {
    places: &'a Places<K>,
    keys: Vec<K>,
}

impl<K: Ord + Clone> Places<K> {
    /// Waits until nobody else holds any of them, and takes them all at once: those who need two
    /// can't wait for each other in a circle. Blocks.
    pub(super) fn hold(&self, keys: impl IntoIterator<Item = K>) -> Held<'_, K> {
        let keys: Vec<K> = keys.into_iter().collect();
        let mut held = self.lock();
        while keys.iter().any(|key| held.contains(key)) {
            held = self.freed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        held.extend(keys.iter().cloned());
        Held { places: self, keys }
    }
}

impl<K> Places<K> {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord> Drop for Held<'_, K> {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        for key in &self.keys {
            held.remove(key);
        }
        drop(held);
        self.places.freed.notify_all();
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
        let _elsewhere = places.hold([9]);
        thread::scope(|scope| {
            for thread in 0..8 {
                let (places, inside, most) = (&places, &inside, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let other = 1 + (thread + round) % 3;
                        let _held = if round % 2 == 0 { places.hold([0, other]) } else { places.hold([other, 0]) };
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }
}
