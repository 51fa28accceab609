//! The room in memory that all bodies on their way share: a thousand slow downloads must not fill
//! the memory beside the cache.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Room for so many octets.
#[derive(Clone)]
pub(crate) struct Room {
    taken: Arc<AtomicUsize>,
    octets: usize,
}

/// Octets taken from a room; given back when this goes.
pub(crate) struct Taken {
    room: Room,
    octets: usize,
}

impl Room {
    pub(crate) fn new(octets: usize) -> Room {
        Room { taken: Arc::default(), octets }
    }

    /// Takes nothing yet.
    pub(crate) fn enter(&self) -> Taken {
        Taken { room: self.clone(), octets: 0 }
    }
}

impl Taken {
    /// Takes more; `false` where there is no room for it.
    #[must_use]
    pub(crate) fn grow(&mut self, octets: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(octets).filter(|taken| *taken <= self.room.octets);
        let has_room = self.room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if has_room {
            self.octets += octets;
        }
        has_room
    }

    /// Gives some back.
    pub(crate) fn shrink(&mut self, octets: usize) {
        let octets = octets.min(self.octets);
        self.octets -= octets;
        self.room.taken.fetch_sub(octets, Ordering::Relaxed);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.shrink(self.octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_share_the_room_and_give_it_back() {
        let room = Room::new(10);
        let (mut first, mut second) = (room.enter(), room.enter());
        assert!(first.grow(6) && !second.grow(5) && second.grow(4), "the room is taken");
        first.shrink(2);
        assert!(second.grow(2) && !second.grow(1));
        drop(second);
        assert!(first.grow(6) && !first.grow(1), "all was given back");
    }
}
