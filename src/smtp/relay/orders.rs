//! What an administrator may do to an entry of the queue. The runner respects each at its next look.

use super::Wake;
use crate::{
    clock::Clock,
    store::{
        StoreError,
        mail::{Envelope, Queue},
    },
};

/// No more attempts until it is released.
pub(crate) fn hold(queue: &dyn Queue, id: &str) -> Result<(), StoreError> {
    change(queue, id, |entry| entry.held = true)
}

/// Ends a hold.
pub(crate) fn release(queue: &dyn Queue, id: &str, wake: &Wake) -> Result<(), StoreError> {
    change(queue, id, |entry| entry.held = false)?;
    wake.insist();
    Ok(())
}

/// Tries it now, for all who wait.
pub(crate) fn retry_now(queue: &dyn Queue, id: &str, clock: &Clock, wake: &Wake) -> Result<(), StoreError> {
    let now = clock.now();
    change(queue, id, |entry| {
        entry.next_attempt = now;
        entry.recipients.iter_mut().for_each(|recipient| recipient.progress.next_attempt = None);
    })?;
    wake.insist();
    Ok(())
}

fn change(queue: &dyn Queue, id: &str, change: impl Fn(&mut Envelope)) -> Result<(), StoreError> {
    queue.change(id, &mut |entry| change(entry)).map(drop)
}
