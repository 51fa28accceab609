//! The queue runner: takes mail for elsewhere from the queue to its next hop, tries again where that
//! fails, and returns it to its sender in the end.
//!
//! What is settled is settled durably before the next thing is done: a recipient that has the
//! message is marked before the others are tried again, and a report to the sender is safe before
//! the entry goes. So a crash can double a message (in the moment between the next hop's 250 and
//! our mark, RFC 5321, 4.5.3.2.6), but never lose one.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, Semaphore},
    task::{self, JoinSet},
    time::{Instant, sleep_until, timeout},
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
    net::{dial::Dialer, limits::Limits, stop::Stop, tls::TlsClient},
    store::{
        self, Accounts, StoreError,
        mail::{Envelope, MailStore, Queue, until},
    },
    units::Span,
};

/// Entries that are tried at a time.
const ATTEMPTS: usize = 500;
/// Conversations with one next hop at a time.
const PER_HOP: usize = 4;
/// The queue is looked through at least so often, for entries that somebody put there by hand.
const LOOK: Duration = Duration::from_secs(60);
/// How long a next hop may take to answer. RFC 5321, 4.5.3.2.6 asks for ten minutes after the final
/// dot: who is less patient sends the message twice.
const ANSWER_SECS: u64 = 600;
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
    /// Entries whose time has come, oldest first.
    due: Vec<Envelope>,
    under_way: HashMap<task::Id, String>,
    attempts: JoinSet<Option<SystemTime>>,
    /// Not before this is the queue looked through again.
    rested_at: Instant,
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
        let limits = Limits { stall: Span::secs(ANSWER_SECS), line: Span::secs(ANSWER_SECS), ..(*deps.dialer.limits).clone() };
        let dialer = Dialer { limits: Arc::new(limits), ..deps.dialer };
        let caller = Caller { dialer, tls: deps.tls, name: directory.name().to_owned() };
        let RunnerDeps { settings: Settings { retry, .. }, mail, queue, clock, wake, .. } = deps;
        let shared = Arc::new(Shared { directory, retry, mail, queue, caller, clock, wake: wake.clone() });
        let (slots, due, under_way, attempts) = Default::default();
        Ok(Runner { shared, wake, slots, due, under_way, attempts, rested_at: Instant::now() })
    }

    /// Runs the queue until the server stops.
    pub(crate) async fn run(mut self, mut stop: Stop) {
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at {
                look_at = self.look().await;
            }
            self.start_what_can();
            tokio::select! {
                () = self.wake.woken() => look_at = self.rested_at,
                () = sleep_until(look_at) => {}
                Some(ended) = self.attempts.join_next_with_id() => {
                    let next = self.forget(ended).map(|next| self.instant(next));
                    look_at = next.map_or(look_at, |next| next.min(look_at));
                }
                () = stop.draining() => break,
            }
        }
        // An attempt cut off here has not ended its message with the dot, unless it was about to.
        let _finished_or_not = timeout(GRACE, async { while self.attempts.join_next().await.is_some() {} }).await;
    }

    /// Looks the queue through for what is due; answers when to look again.
    async fn look(&mut self) -> Instant {
        let begun = Instant::now();
        let queue = self.shared.queue.clone();
        let entries = match store::blocking(move || queue.list()).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!("the queue can't be read: {error}");
                return begun + LOOK;
            }
        };
        // A long queue takes a while to look through: not for each of many new messages.
        self.rested_at = Instant::now() + 4 * begun.elapsed();
        let now = self.shared.clock.now();
        let under_way: HashSet<_> = self.under_way.values().collect();
        let idle = entries.into_iter().filter(|entry| !entry.held && !under_way.contains(&entry.id));
        let (due, later): (Vec<_>, Vec<_>) = idle.partition(|entry| entry.next_attempt <= now);
        self.due = due;
        let next = later.iter().map(|entry| self.instant(entry.next_attempt)).min();
        next.unwrap_or(begun + LOOK).min(begun + LOOK).max(self.rested_at)
    }

    /// Begins an attempt for each entry that has a next hop with a free slot: those for a dead one
    /// wait here and hold up nobody.
    fn start_what_can(&mut self) {
        for entry in std::mem::take(&mut self.due) {
            let parts = self.parts(&entry);
            let can = parts.is_empty() || parts.iter().any(|(_, _, slots)| slots.available_permits() > 0);
            if !can || self.under_way.len() >= ATTEMPTS {
                self.due.push(entry);
                continue;
            }
            let id = entry.id.clone();
            // Taken here and not in the task, so that the next entry sees it taken.
            let parts = parts.into_iter().map(|(hop, recipients, slots)| (hop, recipients, slots.clone().try_acquire_owned().ok(), slots));
            let attempt = Attempt::new(self.shared.clone(), entry, parts.collect());
            let task = self.attempts.spawn(attempt.run());
            self.under_way.insert(task.id(), id);
        }
    }

    /// The recipients that still wait, by next hop.
    fn parts(&mut self, entry: &Envelope) -> Vec<(Hop, Vec<String>, Arc<Semaphore>)> {
        let mut by_hop = BTreeMap::<Hop, Vec<String>>::new();
        for address in retry::waiting(entry) {
            if let Some(hop) = self.shared.directory.hop(address) {
                by_hop.entry(hop).or_default().push(address.to_owned());
            }
        }
        let parts = by_hop.into_iter().map(|(hop, recipients)| {
            let slots = self.slots.entry(hop.clone()).or_insert_with(|| Arc::new(Semaphore::new(PER_HOP)));
            (hop, recipients, slots.clone())
        });
        parts.collect()
    }

    /// Takes note of an attempt's end; answers when the next one for its entry is due.
    fn forget(&mut self, ended: Result<(task::Id, Option<SystemTime>), task::JoinError>) -> Option<SystemTime> {
        self.slots.retain(|_, slots| Arc::strong_count(slots) > 1);
        match ended {
            Ok((task, next)) => {
                self.under_way.remove(&task);
                next
            }
            Err(error) => {
                // It stays among those under way, else it would be tried again at once, for ever.
                let id = self.under_way.get(&error.id());
                tracing::error!(id, "an attempt broke off, the entry rests until the restart: {error}");
                None
            }
        }
    }

    fn instant(&self, at: SystemTime) -> Instant {
        Instant::now() + until(at, self.shared.clock.now())
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
