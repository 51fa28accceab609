//! One attempt to deliver one entry of the queue: to all its next hops at once, each settled as soon
//! as its answer is there, so that a dead one delays no other.

use std::{io::Read, sync::Arc, time::SystemTime};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

use super::{
    bounce::{self, Report},
    client::{Letter, Session, Verdict},
    directory::{Found, Target},
    parcel::{Consignment, Copy, new_id},
    relay::Shared,
    retry,
    route::Hop,
};
use crate::{
    mail::address::{Mailbox, Path},
    store::{
        self, StoreError,
        envelope::MailParameters,
        mail::{Envelope, Queue, RecipientState},
    },
};

/// The recipients behind one next hop, a slot for a conversation with it if there was one free, and
/// all its slots.
type Part = (Hop, Vec<String>, Option<OwnedSemaphorePermit>, Arc<Semaphore>);
/// What became of a part, and the session to be ended politely.
type Outcome = (Vec<(String, Verdict)>, Option<Session>);

pub(super) struct Attempt {
    shared: Arc<Shared>,
    envelope: Envelope,
    parts: Vec<Part>,
}

impl Attempt {
    pub(super) fn new(shared: Arc<Shared>, envelope: Envelope, parts: Vec<Part>) -> Attempt {
        Attempt { shared, envelope, parts }
    }

    /// Tries, settles, and answers when the entry is to be tried again, if at all.
    pub(super) async fn run(mut self) -> Option<SystemTime> {
        let (queue, id) = (self.shared.queue.clone(), self.envelope.id.clone());
        match store::blocking(move || queue.envelope(&id)).await {
            Ok(entry) if !entry.held => {}
            // Held or removed by an administrator since the runner saw it.
            _ => return None,
        }
        self.envelope.attempts += 1;
        let mut sessions = Vec::new();
        let mut conversations = JoinSet::new();
        self.settle(self.unrouted()).await;
        for part in std::mem::take(&mut self.parts) {
            conversations.spawn(converse(self.shared.clone(), self.envelope.clone(), part));
        }
        while let Some(outcome) = conversations.join_next().await {
            // One that panicked has no verdicts: its recipients wait for the next attempt.
            let (verdicts, session) = outcome.unwrap_or_default();
            self.settle(verdicts).await;
            sessions.extend(session);
            if !conversations.is_empty() {
                self.write_back().await;
            }
        }
        self.envelope.next_attempt = retry::next_attempt(&self.envelope, &self.shared.retry, self.shared.clock.now());
        self.write_back().await;
        for session in sessions {
            session.quit().await;
        }
        retry::waiting(&self.envelope).next().map(|_| self.envelope.next_attempt)
    }

    /// Recipients whose route has gone since they were accepted.
    fn unrouted(&self) -> Vec<(String, Verdict)> {
        let is_routed = |address: &str| self.parts.iter().any(|(_, recipients, ..)| recipients.iter().any(|routed| routed == address));
        let unrouted = retry::waiting(&self.envelope).filter(|address| !is_routed(address));
        unrouted.map(|address| (address.to_owned(), Verdict::Later("there is no route to the domain any more".into()))).collect()
    }

    /// Notes the verdicts. The sender is told of failures first: a recipient counts as failed only
    /// once the report is safe.
    async fn settle(&mut self, verdicts: Vec<(String, Verdict)>) {
        let is_over = retry::is_over(&self.envelope, &self.shared.retry, self.shared.clock.now());
        let mut failures = Vec::new();
        for (address, verdict) in verdicts {
            tracing::info!(id = self.envelope.id, to = address, attempt = self.envelope.attempts, "{verdict:?}");
            match verdict {
                Verdict::Delivered => self.mark(&address, RecipientState::Delivered),
                Verdict::Later(reason) if !is_over => self.mark(&address, RecipientState::Waiting { last_reply: Some(reason) }),
                Verdict::Later(reason) | Verdict::Failed(reason) => failures.push((address, reason)),
            }
        }
        if failures.is_empty() {
            return;
        }
        let told = self.return_to_sender(failures.clone()).await;
        for (address, reason) in failures {
            match &told {
                Ok(()) => self.mark(&address, RecipientState::Failed(reason)),
                Err(error) => {
                    tracing::error!(id = self.envelope.id, "a report could not be stored: {error}");
                    self.mark(&address, RecipientState::Waiting { last_reply: Some(reason) });
                }
            }
        }
    }

    fn mark(&mut self, address: &str, state: RecipientState) {
        let recipients = self.envelope.recipients.iter_mut().filter(|recipient| recipient.address == address);
        recipients.for_each(|recipient| recipient.state = state.clone());
    }

    /// Replaces the entry, or removes it once nobody waits.
    async fn write_back(&self) {
        let queue = self.shared.queue.clone();
        let envelope = self.envelope.clone();
        if let Err(error) = store::blocking(move || replace(&*queue, envelope)).await {
            tracing::error!(id = self.envelope.id, "the queue entry could not be settled: {error}");
            // Else a full disk would have us deliver the same message again at once.
            tokio::time::sleep(self.shared.retry.first.0).await;
        }
    }

    /// Hands a report on the failures to the sender's server, which may be us.
    async fn return_to_sender(&self, failures: Vec<(String, String)>) -> Result<(), StoreError> {
        let id = &self.envelope.id;
        let Ok(sender) = Mailbox::parse(&self.envelope.sender) else {
            tracing::warn!(id, "mail from nobody could not be delivered; it is dropped");
            return Ok(());
        };
        let targets = self.targets(sender);
        if targets.is_empty() {
            tracing::warn!(id, to = self.envelope.sender, "a report has nowhere to go; it is dropped");
            return Ok(());
        }
        let now = self.shared.clock.now();
        let (shared, envelope) = (self.shared.clone(), self.envelope.clone());
        let consignment = Consignment {
            id: new_id(now),
            sender: Path::Null,
            parameters: MailParameters::default(),
            copies: targets.into_iter().map(Copy::from).collect(),
            reports: Vec::new(),
            eight_bit: false,
            arrived: now,
        };
        let goes_elsewhere = consignment.goes_elsewhere();
        store::blocking(move || accept_report(&shared, &envelope, &failures, consignment)).await?;
        if goes_elsewhere {
            self.shared.wake.wake();
        }
        Ok(())
    }

    /// Where a report to `sender` goes.
    fn targets(&self, sender: Mailbox) -> Vec<Target> {
        let directory = &self.shared.directory;
        match directory.find(&Path::Mailbox(sender), std::net::Ipv4Addr::LOCALHOST.into()) {
            Found::Here(targets) => targets,
            Found::Elsewhere(mailbox) if directory.routes.hop(mailbox.host()).is_some() => vec![Target::Remote(mailbox)],
            Found::Unknown | Found::Elsewhere(_) => Vec::new(),
        }
    }
}

/// One conversation with one next hop.
async fn converse(shared: Arc<Shared>, envelope: Envelope, (hop, recipients, slot, slots): Part) -> Outcome {
    let _slot = match slot {
        Some(slot) => Some(slot),
        None => slots.acquire_owned().await.ok(),
    };
    let (queue, id) = (shared.queue.clone(), envelope.id.clone());
    let (verdicts, session) = match store::blocking(move || queue.message(&id)).await {
        Ok((text, octets)) => {
            let letter = Letter { sender: &envelope.sender, recipients: &recipients, eight_bit: envelope.eight_bit, octets, text };
            shared.caller.send(&hop, letter).await
        }
        Err(error) => (vec![Verdict::Later(format!("reading the queue: {error}")); recipients.len()], None),
    };
    (recipients.into_iter().zip(verdicts).collect(), session)
}

fn replace(queue: &dyn Queue, mut envelope: Envelope) -> Result<(), StoreError> {
    // Held or removed by an administrator meanwhile: that stays.
    envelope.held = match queue.envelope(&envelope.id) {
        Ok(entry) => entry.held,
        Err(StoreError::NotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_done = retry::waiting(&envelope).next().is_none();
    if is_done { queue.remove(&envelope.id) } else { queue.update(&envelope) }
}

fn accept_report(
    shared: &Shared,
    envelope: &Envelope,
    failures: &[(String, String)],
    mut consignment: Consignment,
) -> Result<(), StoreError> {
    let mut original = Vec::new();
    let (text, _) = shared.queue.message(&envelope.id)?;
    text.take(bounce::RETURNED_OCTETS as u64).read_to_end(&mut original)?;
    let report = Report {
        name: shared.directory.name(),
        id: &consignment.id,
        sender: &envelope.sender,
        arrived: envelope.arrived,
        now: consignment.arrived,
        failures,
        original: &original,
    };
    let message = report.message();
    consignment.eight_bit = !message.is_ascii();
    let mut spool = shared.mail.spool()?;
    spool.write(&message)?;
    shared.mail.accept(consignment.parcel(spool))
}
