//! The buffer of an upload: what is written at once.
//!
//! A large write costs much less per octet than many small ones, above all where it goes past the
//! system's cache. But a stranger must not take large buffers for uploads that drip: a batch begins
//! small, grows once the client has filled it, and only so many are large at a time.

use tokio::sync::{Semaphore, SemaphorePermit};

/// What a client is given without having sent anything, in octets.
const SMALL_OCTETS: usize = 64 * 1024;
/// In octets, what a client that has filled a small batch gets.
const LARGE_OCTETS: usize = 1024 * 1024;
/// How many large batches there may be: 64 MiB of them.
const MAX_LARGE: usize = 64;
/// The disk takes memory at such boundaries without copying it, in octets.
const ALIGNMENT: usize = 4096;

static LARGE: Semaphore = Semaphore::const_new(MAX_LARGE);

/// Octets on their way to the disk. They begin at a page boundary of memory.
#[derive(Default)]
pub(super) struct Batch {
    /// With room before the first octet, to have it at the boundary.
    memory: Vec<u8>,
    begin: usize,
    end: usize,
    permit: Option<SemaphorePermit<'static>>,
}

impl Batch {
    /// Where the next octets go; empty once it is full.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.memory.is_empty() {
            self.allocate(SMALL_OCTETS);
        }
        let limit = self.begin + self.size();
        self.memory.get_mut(self.end..limit).unwrap_or_default()
    }

    /// So many octets have been put into the room.
    pub(super) fn filled(&mut self, octets: usize) {
        self.end += octets;
    }

    /// Copies as many of `octets` as there is room for, and tells how many.
    pub(super) fn push(&mut self, octets: &[u8]) -> usize {
        let room = self.room();
        let count = room.len().min(octets.len());
        room[..count].copy_from_slice(&octets[..count]);
        self.end += count;
        count
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.memory.get(self.begin..self.end).unwrap_or_default()
    }

    /// All of it is written. One that was full may be larger from now on.
    pub(super) fn empty(&mut self) {
        let was_full = self.octets().len() == self.size();
        self.end = self.begin;
        if was_full && self.permit.is_none() {
            self.permit = LARGE.try_acquire().ok();
            if self.permit.is_some() {
                self.allocate(LARGE_OCTETS);
            }
        }
    }

    fn size(&self) -> usize {
        if self.permit.is_some() { LARGE_OCTETS } else { SMALL_OCTETS }
    }

    fn allocate(&mut self, octets: usize) {
        self.memory = vec![0; octets + ALIGNMENT];
        self.begin = self.memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        self.end = self.begin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(batch: &mut Batch) -> usize {
        let mut count = 0;
        while !batch.room().is_empty() {
            count += batch.push(&[7; 10_000]);
        }
        count
    }

    #[test]
    fn it_grows_once_it_was_full_if_not_too_many_have() {
        let mut batch = Batch::default();
        assert_eq!(batch.push(b"a few"), 5);
        assert_eq!(batch.octets(), b"a few");
        batch.empty();
        assert_eq!(fill(&mut batch), SMALL_OCTETS, "it was not full, so it stays small");
        batch.empty();
        assert_eq!(batch.octets(), b"");
        assert_eq!(fill(&mut batch), LARGE_OCTETS);
        assert_eq!(batch.octets().as_ptr().align_offset(ALIGNMENT), 0);
        batch.empty();
        assert_eq!(fill(&mut batch), LARGE_OCTETS);
        assert!(batch.octets().iter().all(|octet| *octet == 7));

        let mut batches: Vec<_> = (0..MAX_LARGE + 3).map(|_| Batch::default()).collect();
        for batch in &mut batches {
            fill(batch);
            batch.empty();
        }
        let sizes: Vec<_> = batches.iter_mut().map(fill).collect();
        assert!(sizes.iter().filter(|size| **size == LARGE_OCTETS).count() < MAX_LARGE, "there is one already");
        assert!(sizes.contains(&SMALL_OCTETS), "the last go on with small ones");
    }
}
