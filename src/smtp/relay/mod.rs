//! The queue runner: takes mail for elsewhere from the queue to its next hop, tries again where that
//! fails, and returns it to its sender in the end.
//!
//! The runner looks the queue through for what is due and puts it on the [`board`], by destination.
//! A [`courier`] is one connection's task: it takes what is due for its destination, the most urgent
//! first, and says QUIT when nothing is left. It asks [`mod@caller`] for a [`session`] with the next hop;
//! what came of it is a [`verdict`] for each recipient, written down before the next thing is done.
//! What senders are to hear is the [`reporter`]'s.
//!
//! So a crash can double a message (in the moment between the next hop's 250 and our note of it,
//! RFC 5321, 4.5.3.2.6), but never lose one.

mod answer;
mod board;
mod caller;
mod courier;
pub(crate) mod errand;
mod letter;
mod login;
pub(crate) mod mx;
pub(crate) mod orders;
mod report;
mod reporter;
mod retry;
mod session;
pub(crate) mod settings;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use self::{
    board::{Board, Job, SharedBoard},
    caller::Caller,
    courier::Courier,
    settings::Retry,
};
use super::{
    directory::Directory,
    route::{self, Destination},
    settings::Settings,
};
use crate::{
    clock::Clock,
    net::{
        dial::Dialer,
        dns::{Dns, Names},
        limits::Limits,
        stop::Stop,
        tls::ClientTls,
    },
    store::{
        Accounts,
        mail::{MailStore, Queue, until},
    },
    units::Span,
};

/// The queue is looked through at least so often.
const LOOK: Duration = Duration::from_secs(60);
/// How long conversations under way may go on when the server stops.
const GRACE: Duration = Duration::from_secs(5);
/// No phase of a conversation takes longer; each has its own time (see [`session`]).
const LONGEST_PHASE: Span = Span::secs(600);

/// Wakes the queue runner: new mail is in the queue, or somebody wants it tried now. Cheap to
/// clone; everybody who holds one shares the same runner.
#[derive(Clone, Default)]
pub(crate) struct Wake {
    notify: Arc<Notify>,
    insists: Arc<AtomicBool>,
}

impl Wake {
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Wakes it for somebody who wants to see an attempt, also where the last one has just failed.
    pub(crate) fn insist(&self) {
        self.insists.store(true, Relaxed);
        self.wake();
    }

    /// Resolves at the next wake, or at once if one came since the last; tells whether somebody
    /// insists.
    async fn woken(&self) -> bool {
        self.notify.notified().await;
        self.insists.swap(false, Relaxed)
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
    pub tls: Option<ClientTls>,
    pub clock: Clock,
    pub wake: Wake,
}

/// The queue runner.
pub(crate) struct Runner {
    shared: Arc<Shared>,
    couriers: JoinSet<()>,
    /// Where mail for a domain goes: asked once, since the settings stay the same.
    destinations: HashMap<Arc<str>, Destination>,
    /// Not before this is the queue looked through again.
    rested_at: Instant,
}

/// What the couriers use.
struct Shared {
    directory: Directory,
    retry: Retry,
    mail: Arc<dyn MailStore>,
    queue: Arc<dyn Queue>,
    caller: Caller,
    clock: Clock,
    wake: Wake,
    board: SharedBoard,
}

impl Runner {
    /// # Errors
    /// A sentence about the settings; see [`Settings::check`].
    pub(crate) fn new(deps: RunnerDeps) -> Result<Runner, String> {
        let directory = Directory::new(&deps.settings, &deps.domains, Box::new(deps.accounts.clone()))?;
        let caller = caller(&deps, &directory)?;
        let board = SharedBoard::new(Board::new(deps.settings.connections_per_destination));
        let RunnerDeps { settings: Settings { retry, .. }, mail, queue, clock, wake, .. } = deps;
        let shared = Arc::new(Shared { directory, retry, mail, queue, caller, clock, wake, board });
        let (couriers, destinations) = Default::default();
        Ok(Runner { shared, couriers, destinations, rested_at: Instant::now() })
    }

    /// Runs the queue until the server stops.
    pub(crate) async fn run(mut self, mut stop: Stop) {
        let shared = self.shared.clone();
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at {
                look_at = self.look().await;
            }
            self.hire();
            tokio::select! {
                insists = shared.wake.woken() => {
                    if insists {
                        shared.board.lock().mark_all_up();
                    }
                    look_at = self.rested_at.min(look_at);
                }
                () = sleep_until(look_at) => {}
                next = shared.board.settled() => look_at = self.instant(next).max(self.rested_at).min(look_at),
                Some(ended) = self.couriers.join_next() => if let Err(error) = ended {
                    // Its entry stays on the board, else it would be tried again at once, for ever.
                    tracing::error!("a conversation broke off, its entry rests until the restart: {error}");
                },
                () = stop.draining() => break,
            }
        }
        // A message cut off here has not been ended with its dot, unless it was about to.
        let _finished_or_not = timeout(GRACE, async { while self.couriers.join_next().await.is_some() {} }).await;
    }

    /// Puts what is due on the board; answers when to look again.
    async fn look(&mut self) -> Instant {
        let (begun, now) = (Instant::now(), self.shared.clock.now());
        let (mut due, mut next) = (Vec::new(), None::<SystemTime>);
        {
            let board = self.shared.board.lock();
            let (directory, destinations) = (&self.shared.directory, &mut self.destinations);
            self.shared.queue.scan(&mut |facts| {
                for part in facts.parts.iter().filter(|_| !facts.held) {
                    if part.due > now {
                        next = Some(next.map_or(part.due, |next| next.min(part.due)));
                        continue;
                    }
                    let to = destinations.entry(part.domain.clone()).or_insert_with(|| directory.destination(&part.domain));
                    if !board.knows(&facts.id, to) {
                        due.push((to.clone(), Job::new(facts)));
                    }
                }
            });
        }
        let mut board = self.shared.board.lock();
        board.tidy(begun);
        due.into_iter().for_each(|(to, job)| board.offer(to, job));
        drop(board);
        if self.destinations.len() > 10_000 {
            self.destinations.clear();
        }
        // A long queue takes a while to look through: not for each of many new messages.
        self.rested_at = Instant::now() + 4 * begun.elapsed();
        let next = next.map_or(begun + LOOK, |next| self.instant(next));
        next.min(begun + LOOK).max(self.rested_at)
    }

    /// Begins a conversation wherever something is due and no courier is free to take it.
    fn hire(&mut self) {
        loop {
            // The board is given back before the courier takes its seat at it.
            let hired = self.shared.board.lock().hire();
            let Some(to) = hired else { return };
            self.couriers.spawn(Courier::new(self.shared.clone(), to).run());
        }
    }

    fn instant(&self, at: SystemTime) -> Instant {
        Instant::now() + until(at, self.shared.clock.now())
    }
}

fn caller(deps: &RunnerDeps, directory: &Directory) -> Result<Caller, String> {
    let settings = &deps.settings;
    let limits = Limits { stall: LONGEST_PHASE, line: LONGEST_PHASE, ..(*deps.dialer.limits).clone() };
    // Without DNS everything that has a route goes on; the rest waits, and says why.
    let names = settings.mx.then(|| Dns::new(route::dns_server(settings)).map(|dns| Arc::new(dns) as Arc<dyn Names>));
    Ok(Caller {
        dialer: Dialer { limits: Arc::new(limits), ..deps.dialer.clone() },
        tls: deps.tls.clone(),
        name: directory.name().to_owned(),
        own_names: directory.domains.clone(),
        names,
        records: mx::table(settings),
        mx_port: settings.mx_port,
        mx_private: settings.mx_private,
    })
}
