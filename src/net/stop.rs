//! The signal that the server is to stop, as every conversation hears it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

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
pub(crate) struct Stop {
    stage: watch::Receiver<Stage>,
    hearing: Option<Hearing>,
}

/// A task that has put its name down once and need not do so at every wait.
struct Hearing {
    /// Keeps the name on the list.
    _draining: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    waker: Waker,
}

impl Clone for Stop {
    fn clone(&self) -> Stop {
        Stop { stage: self.stage.clone(), hearing: None }
    }
}

/// A fresh pair.
pub(crate) fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(Stage::Running);
    (Stopper(sender), Stop { stage: receiver, hearing: None })
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
        *self.stage.borrow() >= Stage::Draining
    }

    /// Resolves once the server drains; never, should the stopper be gone.
    pub(crate) async fn draining(&mut self) {
        self.reached(Stage::Draining).await;
    }

    /// Like [`Stop::draining`], for a task that asks again and again: all but the first time it
    /// costs a look at a counter.
    pub(super) fn poll_draining(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_heard = self.hearing.as_ref().is_some_and(|hearing| hearing.waker.will_wake(cx.waker()));
        if is_heard && !self.stage.has_changed().unwrap_or(false) {
            return Poll::Pending;
        }
        let mut stop = self.clone();
        let mut draining: Pin<Box<dyn Future<Output = ()> + Send + Sync>> = Box::pin(async move { stop.draining().await });
        let poll = draining.as_mut().poll(cx);
        self.hearing = Some(Hearing { _draining: draining, waker: cx.waker().clone() });
        poll
    }

    /// Resolves once the server halts.
    pub(crate) async fn halted(&mut self) {
        self.reached(Stage::Halted).await;
    }

    async fn reached(&mut self, stage: Stage) {
        if self.stage.wait_for(|now| *now >= stage).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
