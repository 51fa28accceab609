//! Copies of bodies on their way to clients, before they are complete and the cache takes them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

/// The room that all growing copies share, in octets: a thousand slow downloads must not fill the
/// memory beside the cache.
#[derive(Clone)]
pub(crate) struct Room {
    taken: Arc<AtomicUsize>,
    octets: usize,
}

/// A growing copy of one body.
pub(crate) struct Copy {
    room: Room,
    body: Vec<u8>,
    /// The most that one body may have.
    limit: usize,
}

impl Room {
    pub(crate) fn new(octets: usize) -> Room {
        Room { taken: Arc::default(), octets }
    }

    /// Begins a copy of at most `limit` octets.
    pub(crate) fn copy(&self, limit: usize) -> Copy {
        Copy { room: self.clone(), body: Vec::new(), limit }
    }

    fn take(&self, octets: usize) -> bool {
        let taken = |taken: usize| taken.checked_add(octets).filter(|taken| *taken <= self.octets);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

impl Copy {
    /// The copy with one more piece; `None` where there is no room for it.
    pub(crate) fn with(mut self, piece: &[u8]) -> Option<Copy> {
        let fits = self.body.len() + piece.len() <= self.limit && self.room.take(piece.len());
        fits.then(|| {
            self.body.extend_from_slice(piece);
            self
        })
    }

    pub(crate) fn into_body(mut self) -> Bytes {
        self.give_back();
        std::mem::take(&mut self.body).into()
    }

    fn give_back(&self) {
        self.room.taken.fetch_sub(self.body.len(), Ordering::Relaxed);
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What became a body has given back already, and is empty.
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_the_room_and_give_it_back() {
        let room = Room::new(10);
        let first = room.copy(8).with(b"123456").unwrap();
        assert!(room.copy(8).with(b"12345").is_none(), "the room is taken");
        let second = room.copy(8).with(b"1234").unwrap();
        assert_eq!(first.into_body(), "123456");
        drop(second);
        assert!(room.copy(8).with(b"12345678").unwrap().with(b"9").is_none(), "past the limit of one body");
        assert!(room.copy(10).with(b"1234567890").is_some(), "all was given back");
    }
}
