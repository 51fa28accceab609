//! The one timer of a connection.
//!
//! A deadline is set for nearly every wait and hardly ever reached. Arming a timer of the runtime
//! and disarming it again would cost more than the wait itself, so one stays armed for the life of
//! the connection: when it goes off too early it is armed anew for the deadline of that moment.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is cheap to put off.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `due` has passed; before that it sees to it that the task is woken in time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_the_deadline_of_the_moment() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        for secs in [10, 5, 60, 61] {
            let due = start + Duration::from_secs(secs);
            poll_fn(|cx| alarm.poll(cx, due)).await;
            assert_eq!(Instant::now(), due.max(Instant::now()), "not before {secs} s");
        }
        assert_eq!(start.elapsed(), Duration::from_secs(61));
    }
}
