//! One connection's task: it takes what is due for its destination, brings it there, and writes down
//! what came of it before it takes the next.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    Shared,
    board::{Job, Seat},
    letter::Letter,
    reporter,
    session::{Sent, Session},
    verdict::{self, Reason, Verdict},
};
use crate::{
    smtp::route::Destination,
    store::{
        self, StoreError,
        envelope::{Envelope, Recipient},
    },
};

/// How long a connection with nothing to do is kept: mail comes in bursts, and to greet again takes
/// longer than the message.
const LINGER: Duration = Duration::from_millis(250);
/// How long goodbye may take.
const QUIT: Duration = Duration::from_secs(5);

pub(super) struct Courier {
    shared: Arc<Shared>,
    seat: Seat,
    session: Option<Session>,
}

impl Courier {
    /// For a destination that the board has named.
    pub(super) fn new(shared: Arc<Shared>, to: Destination) -> Courier {
        Courier { seat: Seat::new(shared.clone(), to), shared, session: None }
    }

    pub(super) async fn run(mut self) {
        while !self.shared.caller.dialer.stop.is_draining() {
            if let Some(job) = self.seat.take() {
                let next = match self.seat.to {
                    Destination::Sender => reporter::report(&self.shared, &job.id).await,
                    _ => self.deliver(&job).await,
                };
                self.seat.done(&job, next);
            } else if self.session.is_none() || timeout(LINGER, self.seat.more()).await.is_err() {
                break;
            }
        }
        drop(self.seat);
        if let Some(session) = self.session {
            let _answered_or_not = timeout(QUIT, session.quit()).await;
        }
    }

    /// Brings an entry to the recipients that are due at this destination. Answers when it is due
    /// here again, if at all.
    async fn deliver(&mut self, job: &Job) -> Option<SystemTime> {
        let (queue, id, now) = (self.shared.queue.clone(), job.id.clone(), self.shared.clock.now());
        let envelope = match store::blocking(move || queue.envelope(&id)).await {
            // Held or removed by an administrator since it was due.
            Ok(entry) if entry.held => return None,
            Err(StoreError::NotFound) => return None,
            Ok(entry) => entry,
            Err(error) => {
                tracing::error!(id = &*job.id, "the queue entry can't be read: {error}");
                return Some(now + self.shared.retry.first.0);
            }
        };
        let mut waiting = self.recipients(&envelope, |recipient| envelope.due(recipient) <= now);
        let mut settled = None;
        while !waiting.is_empty() {
            let verdicts = self.attempt(&envelope, &mut waiting).await;
            settled = self.settle(&envelope, verdicts).await.or(settled);
        }
        let settled = settled?;
        self.recipients(&settled, |_| true).iter().map(|recipient| settled.due(recipient)).min()
    }

    /// Those of an entry that wait for this destination.
    fn recipients(&self, envelope: &Envelope, which: impl Fn(&Recipient) -> bool) -> Vec<Recipient> {
        let here = |recipient: &&Recipient| self.shared.directory.destination(&recipient.domain()) == self.seat.to;
        envelope.recipients.iter().filter(|recipient| recipient.is_waiting() && which(recipient)).filter(here).cloned().collect()
    }

    /// One transaction for as many of those who wait as it may have; they are taken from the list.
    async fn attempt(&mut self, envelope: &Envelope, waiting: &mut Vec<Recipient>) -> Vec<(String, Verdict)> {
        let all = |waiting: &mut Vec<Recipient>, verdict: &Verdict| {
            waiting.drain(..).map(|recipient| (recipient.address, verdict.clone())).collect()
        };
        if let Err(verdict) = self.open().await {
            return all(waiting, &verdict);
        }
        let Some(session) = &mut self.session else { return all(waiting, &Verdict::Later(Reason::here("no connection".into()))) };
        let (queue, id) = (self.shared.queue.clone(), envelope.id.clone());
        let message = match store::blocking(move || queue.message(&id)).await {
            Ok(message) => message,
            Err(error) => return all(waiting, &Verdict::Later(Reason::here(format!("reading the queue: {error}")))),
        };
        let mut now: Vec<_> = waiting.drain(..waiting.len().min(session.recipients())).collect();
        let sent = session.transact(Letter::new(envelope, &now, message)).await;
        let is_usable = session.is_usable();
        let verdicts = match sent {
            Sent::Verdicts(verdicts) => verdicts,
            Sent::Stale => vec![None; now.len()],
        };
        if !is_usable && let Some(session) = self.session.take() {
            // It is closed, or has had its share; nobody need wait for the goodbye.
            tokio::spawn(async move { timeout(QUIT, session.quit()).await });
        }
        let mut settled = Vec::new();
        for (recipient, verdict) in now.drain(..).zip(verdicts) {
            match verdict {
                Some(verdict) => settled.push((recipient.address, verdict)),
                None => waiting.push(recipient),
            }
        }
        settled
    }

    /// Sees to it that there is a session, unless the destination is known to be down.
    async fn open(&mut self) -> Result<(), Verdict> {
        if self.session.is_some() {
            return Ok(());
        }
        let (to, board) = (&self.seat.to, &self.shared.board);
        if let Some(reason) = board.lock().why_down(to, Instant::now()) {
            return Err(Verdict::Later(reason));
        }
        match self.shared.caller.open(to).await {
            Ok(session) => {
                board.lock().mark_up(to);
                self.session = Some(session);
                Ok(())
            }
            Err(verdict) => {
                if let Verdict::Later(reason) = &verdict {
                    // Not longer than a new message would wait: it is to find the door open again.
                    let until = Instant::now() + self.shared.retry.first.0 / 2;
                    board.lock().mark_down(to, until, reason.clone());
                }
                Err(verdict)
            }
        }
    }

    /// Notes verdicts durably; answers the entry as it is then.
    async fn settle(&self, envelope: &Envelope, verdicts: Vec<(String, Verdict)>) -> Option<Envelope> {
        if verdicts.is_empty() {
            return None;
        }
        for (to, verdict) in &verdicts {
            tracing::info!(id = envelope.id, to, via = %self.seat.to, "{verdict}");
        }
        let verdicts = Arc::new(verdicts);
        loop {
            let (queue, retry, now) = (self.shared.queue.clone(), self.shared.retry.clone(), self.shared.clock.now());
            let (id, noted) = (envelope.id.clone(), verdicts.clone());
            let settled = move || queue.change(&id, &mut |entry| verdict::settle(entry, &noted, &retry, now));
            match store::blocking(settled).await {
                Ok(entry) => {
                    if entry.recipients.iter().any(|recipient| recipient.report.is_some()) {
                        self.shared.wake.wake();
                    }
                    return Some(entry);
                }
                // Removed by an administrator meanwhile.
                Err(StoreError::NotFound) => return None,
                Err(error) => tracing::error!(id = envelope.id, "the queue entry could not be settled: {error}"),
            }
            // Until it is noted the message must not be sent again: a full disk would else have us
            // deliver it for ever.
            if self.shared.caller.dialer.stop.is_draining() {
                return None;
            }
            sleep(self.shared.retry.first.0).await;
        }
    }
}
