//! What is due, by destination: who may take it, and in which order. No clock, no network.
//!
//! Each destination has its own list and its own couriers, so that one which is slow or dead holds
//! up nobody else. One that can't be reached is *down* for a while: meanwhile its mail is put off
//! without a knock at its door, and after that a single courier tries it first.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::{sync::Notify, time::Instant};

use super::verdict::Reason;
use crate::{smtp::route::Destination, store::mail::Facts};

/// Conversations at a time with all destinations together: each may take a file and a connection.
const COURIERS: usize = 500;

/// An entry of the queue that is due for some destination. The order is that in which jobs are
/// done: the most urgent first, then the oldest (RFC 6710, 5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    urgency: Reverse<i8>,
    arrived: SystemTime,
    pub id: Arc<str>,
}

impl Job {
    pub(super) fn new(facts: &Facts) -> Job {
        Job { urgency: Reverse(facts.priority), arrived: facts.arrived, id: facts.id.clone() }
    }
}

/// The list of one destination.
#[derive(Default)]
struct Site {
    ready: BTreeSet<Job>,
    /// Conversations that are under way or being begun, and those of them that wait for work.
    couriers: usize,
    idle: usize,
    down: Option<Down>,
    /// It stands in the line of those that may need a courier.
    in_line: bool,
    more: Arc<Notify>,
}

struct Down {
    until: Instant,
    reason: Reason,
}

pub(super) struct Board {
    sites: HashMap<Destination, Site>,
    /// Destinations that may need a courier: they take turns.
    line: VecDeque<Destination>,
    /// All entries on the board or in a courier's hands, with the destinations that have them.
    known: HashMap<Arc<str>, Vec<Destination>>,
    couriers: usize,
    per_destination: usize,
    /// The earliest time at which something that was done is due again.
    next: Option<SystemTime>,
}

impl Board {
    pub(super) fn new(per_destination: usize) -> Board {
        Board { sites: HashMap::new(), line: VecDeque::new(), known: HashMap::new(), couriers: 0, per_destination, next: None }
    }

    pub(super) fn knows(&self, id: &str, to: &Destination) -> bool {
        self.known.get(id).is_some_and(|having| having.contains(to))
    }

    /// Puts a job on the list of its destination, unless it is in work already.
    pub(super) fn offer(&mut self, to: Destination, job: Job) {
        if self.knows(&job.id, &to) {
            return;
        }
        self.known.entry(job.id.clone()).or_default().push(to.clone());
        let site = self.sites.entry(to.clone()).or_default();
        site.ready.insert(job);
        site.more.notify_one();
        self.stand_in_line(&to);
    }

    fn stand_in_line(&mut self, to: &Destination) {
        if let Some(site) = self.sites.get_mut(to).filter(|site| !site.in_line && !site.ready.is_empty()) {
            site.in_line = true;
            self.line.push_back(to.clone());
        }
    }

    /// A destination that needs one courier more. It counts as hired.
    pub(super) fn hire(&mut self) -> Option<Destination> {
        if self.couriers >= COURIERS {
            return None;
        }
        while let Some(to) = self.line.pop_front() {
            let Some(site) = self.sites.get_mut(&to) else { continue };
            site.in_line = false;
            // While nobody knows whether it is back, one goes and looks.
            let most = if site.down.is_some() { 1 } else { self.per_destination };
            // One who has nothing to do will take the next job.
            if site.ready.len() > site.idle && site.couriers < most {
                (site.couriers, site.idle, self.couriers) = (site.couriers + 1, site.idle + 1, self.couriers + 1);
                self.stand_in_line(&to);
                return Some(to);
            }
        }
        None
    }

    /// The next job for a courier of this destination, who waits otherwise.
    fn take(&mut self, to: &Destination) -> Option<Job> {
        let site = self.sites.get_mut(to)?;
        let job = site.ready.pop_first()?;
        site.idle -= 1;
        Some(job)
    }

    /// A job is done; it may be due again later.
    fn done(&mut self, to: &Destination, job: &Job, next: Option<SystemTime>) {
        if let Some(having) = self.known.get_mut(&job.id) {
            having.retain(|other| other != to);
            if having.is_empty() {
                self.known.remove(&job.id);
            }
        }
        if let Some(site) = self.sites.get_mut(to) {
            site.idle += 1;
        }
        self.next = match (self.next, next) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// A courier goes; `idle` says that it held no job.
    fn leave(&mut self, to: &Destination, idle: bool, now: Instant) {
        self.couriers -= 1;
        if let Some(site) = self.sites.get_mut(to) {
            site.couriers -= 1;
            site.idle -= usize::from(idle);
            if site.is_forgettable(now) {
                self.sites.remove(to);
            }
        }
        self.stand_in_line(to);
    }

    /// Forgets destinations that were down and that nobody writes to any more.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.sites.retain(|_, site| !site.is_forgettable(now));
    }

    /// A destination can't be reached; until then it isn't tried.
    pub(super) fn mark_down(&mut self, to: &Destination, until: Instant, reason: Reason) {
        if let Some(site) = self.sites.get_mut(to) {
            site.down = Some(Down { until, reason });
        }
    }

    pub(super) fn mark_up(&mut self, to: &Destination) {
        if let Some(site) = self.sites.get_mut(to) {
            site.down = None;
        }
        self.stand_in_line(to);
    }

    /// Somebody wants to see attempts now, wherever they go.
    pub(super) fn mark_all_up(&mut self) {
        let down: Vec<_> = self.sites.iter().filter(|(_, site)| site.down.is_some()).map(|(to, _)| to.clone()).collect();
        down.iter().for_each(|to| self.mark_up(to));
    }

    /// Why a destination isn't to be tried now.
    pub(super) fn why_down(&self, to: &Destination, now: Instant) -> Option<Reason> {
        let down = self.sites.get(to)?.down.as_ref()?;
        (now < down.until).then(|| down.reason.clone())
    }
}

impl Site {
    fn is_forgettable(&self, now: Instant) -> bool {
        self.couriers == 0 && self.ready.is_empty() && self.down.as_ref().is_none_or(|down| down.until <= now)
    }
}

/// The board as runner and couriers share it.
pub(super) struct SharedBoard {
    board: Mutex<Board>,
    settled: Notify,
}

impl SharedBoard {
    pub(super) fn new(board: Board) -> SharedBoard {
        SharedBoard { board: Mutex::new(board), settled: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when something that was done is due again some time, and tells when.
    pub(super) async fn settled(&self) -> SystemTime {
        loop {
            if let Some(next) = self.lock().next.take() {
                return next;
            }
            self.settled.notified().await;
        }
    }
}

/// A courier's place at the board; given back when it is dropped, whatever happened.
pub(super) struct Seat {
    shared: Arc<super::Shared>,
    pub to: Destination,
    busy: bool,
    more: Arc<Notify>,
}

impl Seat {
    /// For a courier that was hired.
    pub(super) fn new(shared: Arc<super::Shared>, to: Destination) -> Seat {
        let more = shared.board.lock().sites.get(&to).map(|site| site.more.clone()).unwrap_or_default();
        Seat { shared, to, busy: false, more }
    }

    pub(super) fn take(&mut self) -> Option<Job> {
        let job = self.shared.board.lock().take(&self.to);
        self.busy = job.is_some();
        job
    }

    pub(super) fn done(&mut self, job: &Job, next: Option<SystemTime>) {
        self.shared.board.lock().done(&self.to, job, next);
        self.busy = false;
        self.shared.board.settled.notify_one();
    }

    /// Resolves when there may be more to do.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.board.lock().leave(&self.to, !self.busy, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn to(name: &str) -> Destination {
        Destination::Domain(name.into())
    }

    fn job(id: &str, priority: i8, age_secs: u64) -> Job {
        Job { urgency: Reverse(priority), arrived: SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - age_secs), id: id.into() }
    }

    fn taken(board: &mut Board, from: &str) -> Vec<String> {
        std::iter::from_fn(|| {
            let job = board.take(&to(from))?;
            board.done(&to(from), &job, None);
            Some(job.id.to_string())
        })
        .collect()
    }

    #[test]
    fn the_urgent_go_first_and_then_the_oldest() {
        let mut board = Board::new(2);
        for (id, priority, age) in [("a", 0, 1), ("b", 0, 9), ("c", -4, 99), ("d", 6, 0)] {
            board.offer(to("x"), job(id, priority, age));
        }
        assert_eq!(board.hire(), Some(to("x")));
        assert_eq!(taken(&mut board, "x"), ["d", "b", "a", "c"]);
    }

    #[test]
    fn nothing_is_in_two_hands() {
        let mut board = Board::new(2);
        board.offer(to("x"), job("a", 0, 0));
        board.offer(to("x"), job("a", 0, 0));
        board.offer(to("y"), job("a", 0, 0));
        assert!(board.sites.values().all(|site| site.ready.len() == 1));
        let hired = board.hire().unwrap();
        let job = board.take(&hired).unwrap();
        board.offer(hired.clone(), job.clone());
        assert!(board.take(&hired).is_none(), "it is in work");
        board.done(&hired, &job, None);
        assert!(!board.knows("a", &hired));
    }

    #[test]
    fn each_destination_has_its_own_couriers_and_a_dead_one_a_single_one() {
        let mut board = Board::new(2);
        for n in 0..5 {
            board.offer(to("dead"), job(&format!("d{n}"), 0, 0));
        }
        let hired: Vec<_> = std::iter::from_fn(|| board.hire()).collect();
        assert_eq!(hired, [to("dead"), to("dead")]);
        board.offer(to("good"), job("g", 0, 0));
        assert_eq!(board.hire(), Some(to("good")), "nobody waits for the dead one");
        let now = Instant::now();
        let until = now + Duration::from_secs(5);
        board.mark_down(&to("dead"), until, Reason::here("refused".into()));
        assert_eq!(board.why_down(&to("dead"), now).unwrap().text, "refused");
        assert!(board.why_down(&to("dead"), until).is_none(), "then one looks");
        board.leave(&to("dead"), true, now);
        assert_eq!(board.hire(), None, "one is enough");
        board.mark_up(&to("dead"));
        assert_eq!(board.hire(), Some(to("dead")));
    }

    #[test]
    fn no_more_are_hired_than_there_is_work_for() {
        let mut board = Board::new(4);
        board.offer(to("x"), job("a", 0, 0));
        assert!(board.hire().is_some() && board.hire().is_none());
        let job_a = board.take(&to("x")).unwrap();
        board.offer(to("x"), job("b", 0, 0));
        assert!(board.hire().is_some() && board.hire().is_none());
        board.done(&to("x"), &job_a, None);
        board.leave(&to("x"), true, Instant::now());
        assert_eq!(taken(&mut board, "x"), ["b"]);
        board.leave(&to("x"), true, Instant::now());
        assert!(board.sites.is_empty() && board.known.is_empty() && board.couriers == 0);
    }
}
