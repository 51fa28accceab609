//! One way of one connection: what waits for the bottleneck, and what is under way behind it.
//!
//! Time comes in as an argument; nothing in here waits.

use std::{collections::VecDeque, io, sync::PoisonError, time::Duration};

use bytes::{Buf, Bytes, BytesMut};

use super::{Way, bottleneck::Admission};

/// What waits before it gets its place in the queue, in octets: like a socket's buffer.
pub(super) const BOX_OCTETS: usize = 16 * 1024;
/// What is under way at most, in octets: a gigabit per second for 30 ms.
const FLIGHT_OCTETS: usize = 4 * 1024 * 1024;
/// The most packets under way: one of a single octet takes room for its times too.
const FLIGHTS: usize = 8192;
/// What has arrived and is not taken, in octets; then the sender's window is shut.
const WINDOW_OCTETS: usize = 64 * 1024;
/// Timers have ticks of a millisecond and go off late. What is due within half of one is taken as
/// arrived, so that times are right on average.
const HALF_TICK: Duration = Duration::from_micros(500);

/// One way of one connection.
pub(super) struct Lane {
    way: Way,
    number: u64,
    /// Nothing starts before that.
    opens: Duration,
    /// Before the bottleneck.
    pub waiting: BytesMut,
    /// How the stream ends, once what waits is under way.
    pub end: Option<End>,
    has_end_left: bool,
    flights: VecDeque<Flight>,
    flying_octets: usize,
    /// Octets arrive in their order, however they were drawn.
    last: Duration,
}

struct Flight {
    arrives: Duration,
    load: Load,
}

/// What is under way.
pub(super) enum Load {
    Octets(Bytes),
    End(End),
}

/// How a stream ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    Clean,
    Broken(io::ErrorKind),
}

impl Lane {
    pub(super) fn new(way: Way, number: u64, opens: Duration) -> Lane {
        Lane {
            way,
            number,
            opens,
            waiting: BytesMut::new(),
            end: None,
            has_end_left: false,
            flights: VecDeque::new(),
            flying_octets: 0,
            last: Duration::ZERO,
        }
    }

    /// How much more may wait, in octets.
    pub(super) fn room(&self) -> usize {
        BOX_OCTETS.saturating_sub(self.waiting.len())
    }

    pub(super) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Sends what waits, as far as the queue has room; answers when to try again.
    pub(super) fn advance(&mut self, now: Duration) -> Option<Duration> {
        let has_something = !self.waiting.is_empty() || (self.end.is_some() && !self.has_end_left);
        if !has_something {
            return None;
        }
        if now + HALF_TICK < self.opens {
            return Some(self.opens);
        }
        let way = self.way.clone();
        let mut way = way.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.waiting.is_empty() {
            if !self.has_window(now) {
                // Whoever takes what has arrived calls again.
                way.leave(self.number);
                return None;
            }
            let octets = self.waiting.len().min(way.portion());
            match way.send(self.number, octets, now) {
                Admission::Full(until) => return Some(until),
                Admission::Arrives(at) => {
                    // Copied, so that a packet of an octet does not hold a whole buffer for the RTT.
                    let packet = Bytes::copy_from_slice(self.waiting.get(..octets).unwrap_or_default());
                    self.waiting.advance(octets);
                    self.flying_octets += packet.len();
                    self.start(at, Load::Octets(packet));
                }
            }
        }
        if let (Some(end), false) = (self.end, self.has_end_left) {
            self.has_end_left = true;
            self.start(way.pass(now), Load::End(end));
        }
        None
    }

    fn start(&mut self, arrives: Duration, load: Load) {
        self.last = self.last.max(arrives);
        self.flights.push_back(Flight { arrives: self.last, load });
    }

    fn has_window(&self, now: Duration) -> bool {
        let limit = if self.arrived(now).is_some() { WINDOW_OCTETS } else { FLIGHT_OCTETS };
        self.flying_octets < limit && self.flights.len() < FLIGHTS
    }

    /// The next of what has arrived.
    pub(super) fn arrived(&self, now: Duration) -> Option<&Load> {
        self.flights.front().filter(|flight| flight.arrives <= now + HALF_TICK).map(|flight| &flight.load)
    }

    /// When the next of what is under way can be taken as arrived.
    pub(super) fn next_arrival(&self) -> Option<Duration> {
        self.flights.front().map(|flight| flight.arrives.saturating_sub(HALF_TICK))
    }

    /// The first octets of what has arrived are taken.
    pub(super) fn take(&mut self, count: usize) {
        let Some(Flight { load: Load::Octets(octets), .. }) = self.flights.front_mut() else { return };
        octets.advance(count.min(octets.len()));
        self.flying_octets = self.flying_octets.saturating_sub(count);
        if octets.is_empty() {
            self.flights.pop_front();
        }
    }

    /// The end that has arrived is taken.
    pub(super) fn take_end(&mut self) {
        self.flights.clear();
    }

    /// Nothing more can be delivered.
    pub(super) fn break_off(&mut self, kind: io::ErrorKind) {
        self.flights.clear();
        self.waiting.clear();
        (self.flying_octets, self.has_end_left, self.end) = (0, true, Some(End::Broken(kind)));
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.way.lock().unwrap_or_else(PoisonError::into_inner).leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{super::bottleneck::Bottleneck, *};

    /// A peer that sends octet after octet over a long link fills a bounded room and no more.
    #[test]
    fn packets_of_an_octet_hold_an_octet_and_their_number_is_bounded() {
        let spec = "rtt:1h".parse().unwrap();
        let mut lane = Lane::new(Arc::new(Mutex::new(Bottleneck::new(&spec, None, 1))), 1, Duration::ZERO);
        for _ in 0..2 * FLIGHTS {
            lane.waiting.reserve(BOX_OCTETS);
            if lane.has_room() {
                lane.waiting.extend_from_slice(b"x");
            }
            let _later = lane.advance(Duration::ZERO);
        }
        assert_eq!(lane.flights.len(), FLIGHTS);
        assert_eq!(lane.waiting.len(), FLIGHTS, "the rest waits, up to the box");
        assert!(lane.waiting.capacity() <= 2 * BOX_OCTETS, "nobody else holds the buffer");
    }
}
