//! One way through a link, as arithmetic: when does what is sent now arrive?
//!
//! Packets wait in a queue, first come first served, are put on the wire at the link's rate one
//! after the other, and arrive one propagation delay later. The formula of the textbooks:
//!
//! ```text
//! arrival = max(now, when the wire is free) + octets * 8 / rate + delay
//! ```
//!
//! A lost packet shows as TCP lets it show: what follows waits for its retransmission. Time comes
//! in as an argument, counted from when the link was made; nothing in here waits.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::units::Rate;

/// The data of a full packet on Ethernet, in octets (RFC 9293, 3.7.1: 1500 less two heads of 20).
pub(super) const PACKET_OCTETS: usize = 1460;
/// The least retransmission time-out of TCP as Linux has it. (RFC 6298, 2.4 says 1 s, "SHOULD".)
const LEAST_TIMEOUT: Duration = Duration::from_millis(200);
/// A packet is not lost more often than this in a row.
const MAX_LOSSES: u32 = 6;
/// The queue holds at least what the wire carries in this time: the timers of the system are no
/// finer, and the wire must not fall idle between two of them.
const LEAST_QUEUE: Duration = Duration::from_millis(5);
/// What is sent at once where a packet takes less than a timer's tick, in octets.
const MOST_AT_ONCE: usize = 64 * 1024;
const TICK: Duration = Duration::from_millis(1);

/// One way through a link, its queue in front.
pub(super) struct Bottleneck {
    rate: Option<Rate>,
    delay: Duration,
    jitter: Duration,
    loss: f64,
    timeout: Duration,
    queue_octets: u64,
    /// When the wire has carried all that it has taken.
    free_at: Duration,
    draws: Xoshiro256PlusPlus,
    /// Who has found the queue full, by the numbers that they drew when they came; and the numbers.
    waiting: BTreeMap<u64, u64>,
    tickets: HashMap<u64, u64>,
    last_ticket: u64,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is on its way and arrives then.
    Arrives(Duration),
    /// The queue is full; try again then.
    Full(Duration),
}

impl Bottleneck {
    pub(super) fn new(spec: &super::LinkSpec, rate: Option<Rate>, seed: u64) -> Bottleneck {
        let least = rate.map_or(0, |rate| rate.octets_in(LEAST_QUEUE)).max(2 * PACKET_OCTETS as u64);
        Bottleneck {
            rate,
            delay: spec.rtt / 2,
            jitter: spec.jitter,
            loss: spec.loss,
            timeout: spec.rtt + LEAST_TIMEOUT,
            queue_octets: spec.queue.0.max(least),
            free_at: Duration::ZERO,
            draws: Xoshiro256PlusPlus::seed_from_u64(seed),
            waiting: BTreeMap::new(),
            tickets: HashMap::new(),
            last_ticket: 0,
        }
    }

    /// How much should be sent at once, in octets.
    pub(super) fn portion(&self) -> usize {
        let in_a_tick = self.rate.map_or(u64::MAX, |rate| rate.octets_in(TICK));
        usize::try_from(in_a_tick).unwrap_or(usize::MAX).clamp(PACKET_OCTETS, MOST_AT_ONCE)
    }

    /// Sends `octets` for `sender`. Those who found the queue full are let in in their order, so
    /// that one of many connections can't keep the others out.
    pub(super) fn send(&mut self, sender: u64, octets: usize, now: Duration) -> Admission {
        let room_at = self.room_at(octets as u64, now);
        let is_first = self.waiting.first_key_value().is_none_or(|(_, first)| *first == sender);
        if room_at > now || !is_first {
            return Admission::Full((room_at + self.time_ahead_of(sender)).max(now + TICK));
        }
        self.leave(sender);
        let transmission = self.rate.map_or(Duration::ZERO, |rate| rate.time_for(octets as u64));
        self.free_at = self.free_at.max(now) + transmission;
        Admission::Arrives(self.free_at + self.propagation() + self.stall(octets))
    }

    /// Sends something that has no length: an end.
    pub(super) fn pass(&mut self, now: Duration) -> Duration {
        self.free_at.max(now) + self.propagation()
    }

    /// `sender` wants to send nothing for now.
    pub(super) fn leave(&mut self, sender: u64) {
        if let Some(ticket) = self.tickets.remove(&sender) {
            self.waiting.remove(&ticket);
        }
    }

    /// Lets `sender` wait in line, and tells how long those before it take: that is how long it may
    /// sleep. A thousand that look at every tick would leave no time to carry anything. They who
    /// are before it may leave or send little, so it looks again long before the wire falls idle.
    fn time_ahead_of(&mut self, sender: u64) -> Duration {
        let ticket = *self.tickets.entry(sender).or_insert_with(|| {
            self.last_ticket += 1;
            self.last_ticket
        });
        self.waiting.insert(ticket, sender);
        let first = self.waiting.first_key_value().map_or(ticket, |(first, _)| *first);
        let Some(rate) = self.rate else { return Duration::ZERO };
        let ahead = rate.time_for((ticket - first).saturating_mul(PACKET_OCTETS as u64));
        ahead.min(rate.time_for(self.queue_octets) / 2)
    }

    /// When the queue has room for so much.
    fn room_at(&self, octets: u64, now: Duration) -> Duration {
        let Some(rate) = self.rate else { return now };
        let may_be_ahead = rate.time_for(self.queue_octets.saturating_sub(octets));
        self.free_at.saturating_sub(may_be_ahead).max(now)
    }

    /// Evenly between the delay less the jitter and the delay and the jitter.
    fn propagation(&mut self) -> Duration {
        if self.jitter.is_zero() {
            return self.delay;
        }
        self.delay.saturating_sub(self.jitter) + (self.jitter * 2).mul_f64(self.draws.random::<f64>())
    }

    /// How long retransmissions hold it up: a time-out, twice that for the next one (RFC 6298, 5.5).
    fn stall(&mut self, octets: usize) -> Duration {
        if self.loss == 0.0 {
            return Duration::ZERO;
        }
        let packets = octets.div_ceil(PACKET_OCTETS);
        let lost = 1.0 - (1.0 - self.loss).powf(packets as f64);
        let losses = (0..MAX_LOSSES).take_while(|_| self.draws.random::<f64>() < lost).count();
        (0..losses as u32).map(|nth| self.timeout * 2_u32.pow(nth)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::LinkSpec,
        Admission::{Arrives, Full},
        *,
    };

    fn way(text: &str) -> Bottleneck {
        let spec: LinkSpec = text.parse().unwrap();
        Bottleneck::new(&spec, spec.down, spec.seed)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn arrives(sent: Admission) -> Duration {
        match sent {
            Arrives(at) => at,
            Full(until) => panic!("the queue is full until {until:?}"),
        }
    }

    #[test]
    fn a_packet_takes_its_transmission_and_half_the_rtt() {
        let mut way = way("rtt:100ms,rate:1Mbps");
        assert_eq!(way.send(1, 1250, ms(0)), Arrives(ms(10 + 50)));
        assert_eq!(way.send(1, 1250, ms(0)), Arrives(ms(20 + 50)), "it waits for the one before");
        assert_eq!(way.send(1, 1250, ms(500)), Arrives(ms(510 + 50)), "the wire is idle again");
    }

    #[test]
    fn a_full_queue_lets_in_in_the_order_of_coming() {
        let mut way = way("rate:1Mbps,queue:2920B");
        assert_eq!(way.send(1, 1460, ms(0)), Arrives(Duration::from_micros(11_680)));
        assert_eq!(way.send(1, 1460, ms(0)), Arrives(Duration::from_micros(23_360)));
        let until = Duration::from_micros(11_680);
        assert_eq!(way.send(1, 1460, ms(0)), Full(until));
        assert_eq!(way.send(2, 1460, ms(0)), Full(2 * until), "one is before it");
        assert!(matches!(way.send(2, 1460, until), Full(_)), "the other one came first");
        assert_eq!(way.send(1, 1460, until), Arrives(Duration::from_micros(35_040)));
        way.leave(1);
        assert!(matches!(way.send(2, 1460, 2 * until), Arrives(_)));
    }

    #[test]
    fn who_waits_far_behind_sleeps_but_not_until_the_wire_is_idle() {
        let mut way = way("rate:10Mbps");
        while matches!(way.send(0, 1460, ms(0)), Arrives(_)) {}
        let mut sleep_of = |sender| match way.send(sender, 1460, ms(0)) {
            Full(until) => until,
            Arrives(_) => panic!("the queue is full"),
        };
        let sleeps: Vec<_> = (1..1000).map(&mut sleep_of).collect();
        assert!(sleeps.is_sorted() && sleeps[9] >= ms(10), "{:?}", sleeps[9]);
        let drained = Rate(10_000_000).time_for(64 * 1024);
        assert!(sleeps.iter().all(|until| *until < drained), "{:?} {drained:?}", sleeps.last());
    }

    #[test]
    fn without_a_rate_only_the_way_takes_time() {
        let mut way = way("rtt:30ms");
        for _ in 0..1000 {
            assert_eq!(way.send(1, 60_000, ms(7)), Arrives(ms(22)));
        }
    }

    #[test]
    fn jitter_stays_in_its_bounds_and_is_drawn_from_the_seed() {
        let draw = |text| {
            let mut way = way(text);
            (0..100).map(|_| arrives(way.send(1, 100, ms(0)))).collect::<Vec<_>>()
        };
        let some = draw("rtt:100ms,jitter:20ms,seed:5");
        assert!(some.iter().all(|at| (ms(30)..=ms(70)).contains(at)));
        assert!(some.iter().any(|at| *at < ms(35)) && some.iter().any(|at| *at > ms(65)));
        assert_eq!(some, draw("rtt:100ms,jitter:20ms,seed:5"));
        assert_ne!(some, draw("rtt:100ms,jitter:20ms,seed:6"));
    }

    #[test]
    fn a_loss_costs_a_retransmission_time_out() {
        let mut way = way("rtt:100ms,loss:10%");
        let times: Vec<_> = (0..10_000).map(|_| arrives(way.send(1, 1460, ms(0)))).collect();
        let share = |at: Duration| times.iter().filter(|time| **time == at).count() as f64 / times.len() as f64;
        assert!((share(ms(50)) - 0.9).abs() < 0.01, "{}", share(ms(50)));
        assert!((share(ms(50 + 300)) - 0.09).abs() < 0.01);
        assert!((share(ms(50 + 300 + 600)) - 0.009).abs() < 0.003);
    }
}
