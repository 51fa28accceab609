//! The queue runner: takes mail for elsewhere from the queue to its next hop, tries again where that
//! fails, and returns it to its sender in the end.
//!
//! What is settled is settled durably before the next thing is done: a recipient that has the
//! message is marked before the others are tried again, and a report to the sender is safe before
//! the entry goes. So a crash can double a message (in the moment between the next hop's 250 and
//! our mark, RFC 5321, 4.5.3.2.6), but never lose one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    task::{self, JoinSet},
    time::timeout,
};

use super::{
    attempt::Attempt,
    client::Caller,
    directory::Directory,
    retry,
    route::Hop,
    settings::{Retry, Settings},
};
use crate::{
    clock::Clock,
    net::{dial::Dialer, stop::Stop, tls::TlsClient},
    store::{
        self, Accounts, StoreError,
        mail::{Envelope, MailStore, Queue, until},
    },
};

/// Entries that are tried at a time.
const ATTEMPTS: usize = 100;
/// Conversations with one next hop at a time.
const PER_HOP: usize = 4;
/// The queue is looked through at least so often, for entries that somebody put there by hand.
const LOOK: Duration = Duration::from_secs(60);
/// How long attempts under way may go on when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Wakes the queue runner: new mail is in the queue, or somebody wants it tried now. Cheap to
/// clone; everybody who holds one shares the same runner.
#[derive(Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Resolves at the next wake, or at once if one came since the last.
    async fn woken(&self) {
        self.0.notified().await;
    }
}

/// Everything that the runner needs.
pub(crate) struct RunnerDeps {
    pub settings: Settings,
    /// The domains whose mail is ours; the first is our name.
    pub domains: Vec<String>,
    pub accounts: Arc<Accounts>,
    pub mail: Arc<dyn MailStore>,
    pub queue: Arc<dyn Queue>,
    pub dialer: Dialer,
    pub tls: Option<TlsClient>,
    pub clock: Clock,
    pub wake: Wake,
}

/// The queue runner.
pub(crate) struct Runner {
    shared: Arc<Shared>,
    wake: Wake,
    slots: BTreeMap<Hop, Arc<Semaphore>>,
    under_way: HashMap<task::Id, String>,
    attempts: JoinSet<()>,
}

/// What the attempts use.
pub(super) struct Shared {
    pub directory: Directory,
    pub retry: Retry,
    pub mail: Arc<dyn MailStore>,
    pub queue: Arc<dyn Queue>,
    pub caller: Caller,
    pub clock: Clock,
    pub wake: Wake,
}

impl Runner {
    /// # Errors
    /// A sentence about the settings; see [`Settings::check`].
    pub(crate) fn new(deps: RunnerDeps) -> Result<Runner, String> {
        let directory = Directory::new(&deps.settings, &deps.domains, Box::new(deps.accounts))?;
        let caller = Caller { dialer: deps.dialer, tls: deps.tls, name: directory.name().to_owned() };
        let wake = deps.wake.clone();
        let RunnerDeps { settings: Settings { retry, .. }, mail, queue, clock, .. } = deps;
        let shared = Arc::new(Shared { directory, retry, mail, queue, caller, clock, wake: wake.clone() });
        let (slots, under_way, attempts) = Default::default();
        Ok(Runner { shared, wake, slots, under_way, attempts })
    }

    /// Runs the queue until the server stops.
    pub(crate) async fn run(mut self, mut stop: Stop) {
        loop {
            let wait = self.start_what_is_due().await;
            tokio::select! {
                () = self.wake.woken() => {}
                () = tokio::time::sleep(wait) => {}
                Some(ended) = self.attempts.join_next_with_id() => self.forget(ended),
                () = stop.draining() => break,
            }
        }
        // An attempt cut off here has not ended its message with the dot, unless it was about to.
        let _finished_or_not = timeout(GRACE, async { while self.attempts.join_next().await.is_some() {} }).await;
    }

    /// Begins an attempt for each entry whose time has come; answers when to look again.
    async fn start_what_is_due(&mut self) -> Duration {
        let queue = self.shared.queue.clone();
        let entries = match store::blocking(move || queue.list()).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!("the queue can't be read: {error}");
                return LOOK;
            }
        };
        let now = self.shared.clock.now();
        let mut wait = LOOK;
        for entry in entries.into_iter().filter(|entry| !entry.held) {
            if self.under_way.values().any(|id| *id == entry.id) {
                continue;
            }
            let left = until(entry.next_attempt, now);
            if left > Duration::ZERO {
                wait = wait.min(left);
            } else if self.under_way.len() < ATTEMPTS {
                self.start(entry);
            }
        }
        wait
    }

    fn start(&mut self, entry: Envelope) {
        let id = entry.id.clone();
        let mut by_hop = BTreeMap::<Hop, Vec<String>>::new();
        for address in retry::waiting(&entry) {
            if let Some(hop) = self.shared.directory.hop(address) {
                by_hop.entry(hop).or_default().push(address.to_owned());
            }
        }
        let parts = by_hop.into_iter().map(|(hop, recipients)| {
            let slots = self.slots.entry(hop.clone()).or_insert_with(|| Arc::new(Semaphore::new(PER_HOP)));
            (hop, recipients, slots.clone())
        });
        let attempt = Attempt::new(self.shared.clone(), entry, parts.collect());
        let task = self.attempts.spawn(attempt.run());
        self.under_way.insert(task.id(), id);
    }

    fn forget(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        match ended {
            Ok((task, ())) => drop(self.under_way.remove(&task)),
            // It stays among those under way, else it would be tried again at once, for ever.
            Err(error) => {
                tracing::error!(id = self.under_way.get(&error.id()), "an attempt broke off, it rests until the restart: {error}")
            }
        }
        self.slots.retain(|_, slots| Arc::strong_count(slots) > 1);
    }
}

// What an administrator may do to an entry. The runner respects each at its next look.

/// No more attempts until it is released.
pub(crate) fn hold(queue: &dyn Queue, id: &str) -> Result<(), StoreError> {
    change(queue, id, |entry| entry.held = true)
}

/// Ends a hold.
pub(crate) fn release(queue: &dyn Queue, id: &str, wake: &Wake) -> Result<(), StoreError> {
    change(queue, id, |entry| entry.held = false)?;
    wake.wake();
    Ok(())
}

/// Tries it now.
pub(crate) fn retry_now(queue: &dyn Queue, id: &str, clock: &Clock, wake: &Wake) -> Result<(), StoreError> {
    change(queue, id, |entry| entry.next_attempt = clock.now())?;
    wake.wake();
    Ok(())
}

fn change(queue: &dyn Queue, id: &str, change: impl FnOnce(&mut Envelope)) -> Result<(), StoreError> {
    let mut entry = queue.envelope(id)?;
    change(&mut entry);
    queue.update(&entry)
}
