//! Waiting on purpose: a server that lets its client wait holds neither a thread nor a buffer.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{
    conn::Conn,
    ended::Ended,
    receive::{Filled, Patience},
};

/// What the peer sends during a pause is kept up to this many octets; the rest waits in its kernel.
const AHEAD_OCTETS: usize = 16 * 1024;

impl Conn {
    /// Sends what was said and waits. A peer that resets the connection ends the wait at once; one
    /// that only says that no more comes (a half-close) still wants its answer. A server that is
    /// stopping waits no longer.
    pub(crate) async fn pause(&mut self, span: Duration) -> Result<(), Ended> {
        self.flush().await?;
        let until = Instant::now() + span;
        let mut stop = self.stop();
        tokio::select! {
            biased;
            () = stop.draining() => Ok(()),
            waited = self.listen_until(until) => waited,
        }
    }

    /// Waits, and answers whether the peer kept quiet so long.
    pub(crate) async fn is_quiet_for(&mut self, span: Duration) -> Result<bool, Ended> {
        if !self.input.is_empty() {
            return Ok(false);
        }
        match self.fill(4096, Instant::now() + span, Patience::Idle).await? {
            Filled::Octets(_) => Ok(false),
            Filled::End => Err(Ended::Closed),
            Filled::TooLate => Ok(true),
        }
    }

    /// Takes in what comes meanwhile, up to a bound.
    async fn listen_until(&mut self, until: Instant) -> Result<(), Ended> {
        while self.input.len() < AHEAD_OCTETS {
            match self.fill(4096, until, Patience::Within).await? {
                Filled::Octets(_) => {}
                Filled::End => break,
                Filled::TooLate => return Ok(()),
            }
        }
        sleep_until(until).await;
        Ok(())
    }
}
