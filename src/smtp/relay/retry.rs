//! When mail in the queue is tried again. Pure.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, SystemTime},
};

use super::settings::Retry;

/// A wait is longer by up to this part of it, so that a thousand messages that failed together do
/// not all come back together.
const JITTER: u32 = 8;

/// When to try again after so many attempts. The wait doubles each time; there is an attempt when
/// the sender is to be warned, and a last one when the time is up.
pub(super) fn next_attempt((id, attempts): (&str, u32), arrived: SystemTime, retry: &Retry, now: SystemTime) -> SystemTime {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
    let wait = retry.first.0.saturating_mul(doubled).min(retry.most.0).max(Duration::from_millis(1));
    let next = now + wait + jitter(id, attempts, wait);
    let ends = [warning_at(arrived, retry), Some(arrived + retry.give_up.0)];
    ends.into_iter().flatten().filter(|end| now < *end).fold(next, SystemTime::min)
}

/// Different for each message and attempt, and the same whenever it is asked.
fn jitter(id: &str, attempts: u32, wait: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (id, attempts).hash(&mut hasher);
    let share = u32::from(hasher.finish() as u16);
    wait / JITTER * share / u32::from(u16::MAX)
}

/// Whether its time is up: what fails now has failed for good.
pub(super) fn is_over(arrived: SystemTime, retry: &Retry, now: SystemTime) -> bool {
    now >= arrived + retry.give_up.0
}

/// When the sender is to hear that it is late, if at all.
pub(super) fn warning_at(arrived: SystemTime, retry: &Retry) -> Option<SystemTime> {
    (!retry.warn_after.0.is_zero()).then(|| arrived + retry.warn_after.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    fn retry(warn_secs: u64) -> Retry {
        Retry { first: Span::secs(10), most: Span::secs(60), warn_after: Span::secs(warn_secs), give_up: Span::secs(300) }
    }

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_the_last_attempt_is_at_the_end() {
        for (attempts, now, wait) in [(1, 0, 10), (2, 10, 20), (3, 30, 40), (4, 70, 60), (90, 130, 60), (7, 301, 60)] {
            let next = next_attempt(("1", attempts), at(0), &retry(0), at(now));
            let waited = next.duration_since(at(now)).unwrap().as_secs_f64();
            let wait = f64::from(wait);
            assert!((wait..=wait * 1.125).contains(&waited), "attempt {attempts} at {now}: {waited}");
        }
        for (attempts, now) in [(5, 250), (6, 299)] {
            assert_eq!(next_attempt(("1", attempts), at(0), &retry(0), at(now)), at(300));
        }
        assert!(!is_over(at(0), &retry(0), at(299)) && is_over(at(0), &retry(0), at(300)));
    }

    #[test]
    fn there_is_an_attempt_when_the_sender_is_to_be_warned() {
        assert_eq!(next_attempt(("1", 4), at(0), &retry(100), at(70)), at(100));
        assert!(next_attempt(("1", 5), at(0), &retry(100), at(100)) > at(150));
        assert_eq!(warning_at(at(0), &retry(0)), None);
    }

    #[test]
    fn messages_that_failed_together_come_back_apart() {
        let nexts: std::collections::BTreeSet<_> = (0..50).map(|n| next_attempt((&n.to_string(), 3), at(0), &retry(0), at(30))).collect();
        assert!(nexts.len() > 40);
        assert_eq!(next_attempt(("x", 3), at(0), &retry(0), at(30)), next_attempt(("x", 3), at(0), &retry(0), at(30)));
    }
}
