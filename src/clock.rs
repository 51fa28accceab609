//! The one source of wall-clock time. Rules never ask it: they are handed `now`.
//!
//! The started program uses the system's clock; tests in memory use one that starts at a fixed
//! date and advances with tokio's (paused) time, so that dates in transcripts are reproducible.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Tells what time it is.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub(crate) fn system() -> Clock {
        Clock(Arc::new(SystemTime::now))
    }

    /// A clock that reads `start` now and advances with tokio's time. Call inside a runtime.
    pub(crate) fn starting_at(start: SystemTime) -> Clock {
        let origin = tokio::time::Instant::now();
        Clock(Arc::new(move || start + origin.elapsed()))
    }

    /// The clock of tests in memory: it starts on Sunday, 6 November 1994, 08:49:37 GMT, the
    /// date of the examples in RFC 9110.
    pub(crate) fn textbook() -> Clock {
        Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.0)()
    }
}
