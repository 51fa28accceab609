//! When mail in the queue is tried again, and what its state means. Pure.

use std::time::{Duration, SystemTime};

use super::settings::Retry;
use crate::store::mail::{Envelope, RecipientState};

/// When to try again after so many attempts: the wait doubles each time, and the last attempt is
/// made when the time is up.
pub(super) fn next_attempt(envelope: &Envelope, retry: &Retry, now: SystemTime) -> SystemTime {
    let doubled = 2_u32.saturating_pow(envelope.attempts.saturating_sub(1));
    let wait = retry.first.0.saturating_mul(doubled).min(retry.most.0).max(Duration::from_millis(1));
    let last = envelope.arrived + retry.give_up.0;
    if now < last { (now + wait).min(last) } else { now + wait }
}

/// Whether its time is up: what fails now has failed for good.
pub(super) fn is_over(envelope: &Envelope, retry: &Retry, now: SystemTime) -> bool {
    now >= envelope.arrived + retry.give_up.0
}

/// The recipients that still wait.
pub(super) fn waiting(envelope: &Envelope) -> impl Iterator<Item = &str> {
    let waits = |state: &RecipientState| matches!(state, RecipientState::Waiting { .. });
    envelope.recipients.iter().filter(move |recipient| waits(&recipient.state)).map(|recipient| recipient.address.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_the_last_attempt_is_at_the_end() {
        let retry = Retry { first: Span::secs(10), most: Span::secs(60), give_up: Span::secs(300) };
        let arrived = SystemTime::UNIX_EPOCH;
        let at = |secs| arrived + Duration::from_secs(secs);
        for (attempts, now, next) in
            [(1, 0, 10), (2, 10, 30), (3, 30, 70), (4, 70, 130), (90, 130, 190), (5, 250, 300), (6, 299, 300), (7, 301, 361)]
        {
            let envelope = Envelope { attempts, ..envelope(arrived) };
            assert_eq!(next_attempt(&envelope, &retry, at(now)), at(next), "attempt {attempts} at {now}");
        }
        assert!(!is_over(&envelope(arrived), &retry, at(299)) && is_over(&envelope(arrived), &retry, at(300)));
    }

    fn envelope(arrived: SystemTime) -> Envelope {
        Envelope {
            id: "1".into(),
            sender: String::new(),
            recipients: Vec::new(),
            eight_bit: false,
            arrived,
            attempts: 0,
            next_attempt: arrived,
            held: false,
            parameters: Default::default(),
        }
    }
}
