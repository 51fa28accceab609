//! What became of a recipient, and what follows for the queue's entry. Pure.

use std::{fmt, time::SystemTime};

use super::{answer::Answer, retry, settings::Retry};
use crate::store::envelope::{Envelope, Notify, Recipient, RecipientState, Report};

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next hop has it. `reports` says that it will tell the sender of success itself.
    Delivered { reports: bool, remote: Option<String> },
    /// Not now.
    Later(Reason),
    /// Never.
    Failed(Reason),
}

/// For the log.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Delivered { remote: Some(remote), .. } => write!(f, "delivered to {remote}"),
            Verdict::Delivered { .. } => f.write_str("delivered"),
            Verdict::Later(reason) => write!(f, "later: {}", reason.text),
            Verdict::Failed(reason) => write!(f, "failed: {}", reason.text),
        }
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// The reply of the other server, or a sentence of ours.
    pub text: String,
    /// Who replied, if somebody did.
    pub remote: Option<String>,
}

impl Reason {
    /// It is we who say so.
    pub(super) fn here(text: String) -> Reason {
        Reason { text, remote: None }
    }
}

impl Verdict {
    /// What an answer that is not positive means for a recipient.
    pub(super) fn of(answer: &Answer, remote: &str) -> Verdict {
        let reason = Reason { text: answer.to_string(), remote: Some(remote.to_owned()) };
        if answer.code >= 500 { Verdict::Failed(reason) } else { Verdict::Later(reason) }
    }
}

/// Notes verdicts in the entry: who is done, when the others are tried again, and what the sender
/// is to hear of it.
pub(super) fn settle(envelope: &mut Envelope, verdicts: &[(String, Verdict)], retry: &Retry, now: SystemTime) {
    let terms = Terms {
        id: envelope.id.clone(),
        arrived: envelope.arrived,
        // To nobody nothing is said: two servers would else report to each other for ever.
        is_told: !envelope.sender.is_empty(),
        retry,
        now,
    };
    for recipient in envelope.recipients.iter_mut().filter(|recipient| recipient.is_waiting()) {
        let verdict = verdicts.iter().find(|(address, _)| *address == recipient.address);
        if let Some((_, verdict)) = verdict {
            terms.apply(recipient, verdict);
        }
    }
}

struct Terms<'a> {
    id: String,
    arrived: SystemTime,
    is_told: bool,
    retry: &'a Retry,
    now: SystemTime,
}

impl Terms<'_> {
    fn apply(&self, recipient: &mut Recipient, verdict: &Verdict) {
        recipient.progress.attempts += 1;
        recipient.progress.last_attempt = Some(self.now);
        let is_over = retry::is_over(self.arrived, self.retry, self.now);
        match verdict {
            Verdict::Delivered { reports, remote } => {
                recipient.progress.remote = remote.clone();
                recipient.state = RecipientState::Delivered;
                recipient.report = (self.wants(recipient, |notify| notify.success, false) && !reports).then_some(Report::Relayed);
            }
            Verdict::Later(reason) if !is_over => self.put_off(recipient, reason),
            Verdict::Later(reason) | Verdict::Failed(reason) => {
                recipient.progress.remote = reason.remote.clone();
                recipient.state = RecipientState::Failed(reason.text.clone());
                recipient.report = self.wants(recipient, |notify| notify.failure, true).then_some(Report::Failed);
            }
        }
    }

    fn put_off(&self, recipient: &mut Recipient, reason: &Reason) {
        let progress = &mut recipient.progress;
        progress.remote = reason.remote.clone();
        progress.next_attempt = Some(retry::next_attempt((&self.id, progress.attempts), self.arrived, self.retry, self.now));
        recipient.state = RecipientState::Waiting { last_reply: Some(reason.text.clone()) };
        let is_late = retry::warning_at(self.arrived, self.retry).is_some_and(|at| self.now >= at);
        if is_late && !recipient.progress.warned {
            recipient.progress.warned = true;
            recipient.report = self.wants(recipient, |notify| notify.delay, true).then_some(Report::Delayed);
        }
    }

    /// Whether the sender is to hear of something: as NOTIFY says, else `by_default`
    /// (RFC 3461, 4.1).
    fn wants(&self, recipient: &Recipient, of: impl Fn(Notify) -> bool, by_default: bool) -> bool {
        self.is_told && recipient.parameters.notify.map_or(by_default, of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::envelope::{MailParameters, Progress, RcptParameters},
        units::Span,
    };
    use std::time::Duration;

    const NEVER: Notify = Notify { success: false, failure: false, delay: false };
    const ALL: Notify = Notify { success: true, failure: true, delay: true };

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn settled(sender: &str, notify: Option<Notify>, verdict: Verdict, now: u64) -> Recipient {
        let address = "bob@remote.example".to_owned();
        let recipient = Recipient {
            address: address.clone(),
            state: RecipientState::Waiting { last_reply: None },
            parameters: RcptParameters { notify, orcpt: None },
            report: None,
            progress: Progress::default(),
        };
        let mut envelope = Envelope {
            id: "1".into(),
            sender: sender.into(),
            recipients: vec![recipient],
            eight_bit: false,
            arrived: at(0),
            attempts: 0,
            next_attempt: at(0),
            held: false,
            parameters: MailParameters::default(),
        };
        let retry = Retry { first: Span::secs(10), most: Span::secs(60), warn_after: Span::secs(100), give_up: Span::secs(300) };
        settle(&mut envelope, &[(address, verdict)], &retry, at(now));
        envelope.recipients.remove(0)
    }

    fn later() -> Verdict {
        Verdict::Later(Reason::here("refused".into()))
    }

    #[test]
    fn the_sender_hears_what_was_asked_for() {
        let delivered = |reports| Verdict::Delivered { reports, remote: None };
        let failed = || Verdict::Failed(Reason::here("550 no".into()));
        for (sender, notify, verdict, now, report) in [
            ("a@b", None, delivered(false), 0, None),
            ("a@b", Some(ALL), delivered(false), 0, Some(Report::Relayed)),
            ("a@b", Some(ALL), delivered(true), 0, None),
            ("a@b", None, failed(), 0, Some(Report::Failed)),
            ("a@b", Some(ALL), failed(), 0, Some(Report::Failed)),
            ("a@b", Some(NEVER), failed(), 0, None),
            ("", None, failed(), 0, None),
            ("", Some(ALL), delivered(false), 0, None),
            ("a@b", None, later(), 99, None),
            ("a@b", None, later(), 100, Some(Report::Delayed)),
            ("a@b", Some(NEVER), later(), 100, None),
            ("a@b", Some(Notify { delay: false, ..ALL }), later(), 100, None),
            ("a@b", None, later(), 300, Some(Report::Failed)),
        ] {
            let case = format!("{sender:?} {notify:?} {verdict:?} at {now}");
            assert_eq!(settled(sender, notify, verdict, now).report, report, "{case}");
        }
    }

    #[test]
    fn what_failed_for_now_waits_until_its_time_is_up() {
        let recipient = settled("a@b", None, later(), 0);
        assert_eq!(recipient.state, RecipientState::Waiting { last_reply: Some("refused".into()) });
        assert!(recipient.progress.next_attempt >= Some(at(10)) && recipient.progress.attempts == 1);
        assert!(settled("a@b", None, later(), 100).progress.warned);
        assert_eq!(settled("a@b", None, later(), 300).state, RecipientState::Failed("refused".into()));
    }
}
