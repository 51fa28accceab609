//! The signal that the server is to stop, as every conversation hears it.

use tokio::sync::watch;

/// How far the stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Running,
    /// No new connections; conversations end at their next idle point.
    Draining,
    /// Everything ends at once.
    Halted,
}

/// Tells everybody to stop; held by whoever hears the signals.
pub(crate) struct Stopper(watch::Sender<Stage>);

/// Hears it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<Stage>);

/// A fresh pair.
pub(crate) fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(Stage::Running);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Moves on to the next stage and tells which it is.
    pub(crate) fn advance(&self) -> Stage {
        let next = if *self.0.borrow() == Stage::Running { Stage::Draining } else { Stage::Halted };
        self.0.send_replace(next);
        next
    }
}

impl Stop {
    pub(crate) fn is_draining(&self) -> bool {
        *self.0.borrow() >= Stage::Draining
    }

    /// Resolves once the server drains; never, should the stopper be gone.
    pub(crate) async fn draining(&mut self) {
        self.reached(Stage::Draining).await;
    }

    /// Resolves once the server halts.
    pub(crate) async fn halted(&mut self) {
        self.reached(Stage::Halted).await;
    }

    async fn reached(&mut self, stage: Stage) {
        if self.0.wait_for(|now| *now >= stage).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
