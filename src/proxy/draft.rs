//! Drafts: bodies on their way to clients that the cache takes once they are complete.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

/// The room that all drafts share, in octets: a thousand slow downloads must not fill the
/// memory beside the cache.
#[derive(Clone)]
pub(crate) struct Room {
    taken: Arc<AtomicUsize>,
    octets: usize,
}

/// A body as far as it has come.
pub(crate) struct Draft {
    room: Room,
    body: Vec<u8>,
    /// The most that one body may have.
    limit: usize,
}

impl Room {
    pub(crate) fn new(octets: usize) -> Room {
        Room { taken: Arc::default(), octets }
    }

    /// Begins a draft of at most `limit` octets.
    pub(crate) fn draft(&self, limit: usize) -> Draft {
        Draft { room: self.clone(), body: Vec::new(), limit }
    }

    fn take(&self, octets: usize) -> bool {
        let taken = |taken: usize| taken.checked_add(octets).filter(|taken| *taken <= self.octets);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

impl Draft {
    /// The draft with one more piece; `None` where there is no room for it.
    pub(crate) fn with(mut self, piece: &[u8]) -> Option<Draft> {
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

impl Drop for Draft {
    fn drop(&mut self) {
        // What became a body has given back already, and is empty.
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_share_the_room_and_give_it_back() {
        let room = Room::new(10);
        let first = room.draft(8).with(b"123456").unwrap();
        assert!(room.draft(8).with(b"12345").is_none(), "the room is taken");
        let second = room.draft(8).with(b"1234").unwrap();
        assert_eq!(first.into_body(), "123456");
        drop(second);
        assert!(room.draft(8).with(b"12345678").unwrap().with(b"9").is_none(), "past the limit of one body");
        assert!(room.draft(10).with(b"1234567890").is_some(), "all was given back");
    }
}
