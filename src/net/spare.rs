//! Buffers that connections lend one another: whoever waits for its peer holds none, so that an
//! idle connection is small, and whoever reads or writes takes one that is warm.

use std::cell::RefCell;

use bytes::BytesMut;

/// The least that a buffer holds, in octets: a head or a batch of them.
const LEAST_OCTETS: usize = 4 * 1024;
/// Larger buffers are given back to the system, in octets.
const MAX_OCTETS: usize = 128 * 1024;
/// How many are kept per thread.
const KEPT: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(super) fn take() -> BytesMut {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(LEAST_OCTETS))
}

/// Takes back a buffer that is not needed for now, with whatever is in it.
pub(super) fn give(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 && buffer.is_empty() {
        return;
    }
    let mut buffer = std::mem::take(buffer);
    buffer.clear();
    // Fails where somebody still holds a part of it.
    if buffer.try_reclaim(LEAST_OCTETS) && buffer.capacity() <= MAX_OCTETS {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_whole() {
        let mut buffer = take();
        buffer.extend_from_slice(&[1; 5000]);
        let capacity = buffer.capacity();
        let _taken = bytes::Buf::copy_to_bytes(&mut buffer, 100);
        give(&mut buffer);
        assert_eq!(buffer.capacity(), 0);
        let again = take();
        assert!(again.is_empty() && again.capacity() >= LEAST_OCTETS.min(capacity));
    }

    #[test]
    fn a_buffer_that_somebody_reads_is_not_lent_again() {
        let mut buffer = BytesMut::from(&b"head and rest"[..]);
        let head = buffer.split_to(4).freeze();
        give(&mut buffer);
        take().extend_from_slice(b"XXXXXXXXXXXXXX");
        assert_eq!(head, &b"head"[..]);
    }
}
