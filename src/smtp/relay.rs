//! The queue runner: takes mail for elsewhere from the queue to its next hop.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes the queue runner: new mail is in the queue, or somebody wants it tried now. Cheap to
/// clone; everybody who holds one shares the same runner.
#[derive(Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Resolves at the next wake, or at once if one came since the last.
    pub(crate) async fn woken(&self) {
        self.0.notified().await;
    }
}
