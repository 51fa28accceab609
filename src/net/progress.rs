//! What keeps a body or file moving.

use tokio::time::Instant;

use super::limits::Limits;

/// Sees to it that a body or file on its way keeps moving: against peers that send an octet a
/// minute to hold a connection ("slow body", "slow read"). The time runs from the first wait.
#[derive(Default)]
pub(super) struct Progress {
    since: Option<Instant>,
    octets: u64,
}

impl Progress {
    /// By when the next octets must have moved.
    pub(super) fn deadline(&mut self, limits: &Limits) -> Instant {
        *self.since.get_or_insert_with(Instant::now) + limits.stall.0
    }

    pub(super) fn moved(&mut self, octets: usize, limits: &Limits) {
        self.octets += octets as u64;
        if self.octets >= limits.stall_octets {
            *self = Progress::default();
        }
    }
}
