//! What the cache has saved: counts, octets and delays, for people and for the arithmetic of an
//! access link (hit rate, octets that did not cross it, mean delay with and without the cache).

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Out of the cache, without asking.
    Hit,
    /// Out of the cache, after the origin had said that it is still good.
    Validated,
    /// With what another request had gone to fetch.
    Collapsed,
    /// Out of the cache, although stale, since the origin failed.
    StoodIn,
    /// By the origin.
    Miss,
}

/// Counts since the start, or since they were last set to zero.
#[derive(Default)]
pub(crate) struct Counters {
    hit: Tally,
    validated: Tally,
    collapsed: Tally,
    stood_in: Tally,
    miss: Tally,
    /// Octets of bodies.
    from_cache: AtomicU64,
    from_origin: AtomicU64,
}

/// Requests and the time that they took together.
#[derive(Default)]
struct Tally {
    requests: AtomicU64,
    micros: AtomicU64,
}

/// The counters as they stand.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Figures {
    pub requests: u64,
    pub hits: u64,
    pub validated: u64,
    pub collapsed: u64,
    pub stood_in: u64,
    pub misses: u64,
    /// The share of requests that did not fetch a body from the origin, 0 to 1.
    pub hit_rate: f64,
    pub octets_from_cache: u64,
    pub octets_from_origin: u64,
    /// Means over all requests of the kind, from the request's head to the end of the answer.
    pub hit_millis: f64,
    pub validated_millis: f64,
    pub miss_millis: f64,
}

impl Counters {
    pub(super) fn count(&self, outcome: Outcome, took: Duration) {
        let tally = match outcome {
            Outcome::Hit => &self.hit,
            Outcome::Validated => &self.validated,
            Outcome::Collapsed => &self.collapsed,
            Outcome::StoodIn => &self.stood_in,
            Outcome::Miss => &self.miss,
        };
        tally.requests.fetch_add(1, Ordering::Relaxed);
        tally.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn sent_from_cache(&self, octets: u64) {
        self.from_cache.fetch_add(octets, Ordering::Relaxed);
    }

    pub(super) fn came_from_origin(&self, octets: u64) {
        self.from_origin.fetch_add(octets, Ordering::Relaxed);
    }

    pub(crate) fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [hits, validated, collapsed, stood_in, misses] =
            [&self.hit, &self.validated, &self.collapsed, &self.stood_in, &self.miss].map(|tally| read(&tally.requests));
        let requests = hits + validated + collapsed + stood_in + misses;
        let spared = requests - misses;
        Figures {
            requests,
            hits,
            validated,
            collapsed,
            stood_in,
            misses,
            hit_rate: if requests == 0 { 0.0 } else { spared as f64 / requests as f64 },
            octets_from_cache: read(&self.from_cache),
            octets_from_origin: read(&self.from_origin),
            hit_millis: self.hit.mean_millis(),
            validated_millis: self.validated.mean_millis(),
            miss_millis: self.miss.mean_millis(),
        }
    }

    /// Begins anew.
    pub(crate) fn reset(&self) {
        for tally in [&self.hit, &self.validated, &self.collapsed, &self.stood_in, &self.miss] {
            tally.requests.store(0, Ordering::Relaxed);
            tally.micros.store(0, Ordering::Relaxed);
        }
        self.from_cache.store(0, Ordering::Relaxed);
        self.from_origin.store(0, Ordering::Relaxed);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "requests           {:>12}", self.requests)?;
        writeln!(f, "  hits             {:>12}  {:.3} ms each", self.hits, self.hit_millis)?;
        writeln!(f, "  validated        {:>12}  {:.3} ms each", self.validated, self.validated_millis)?;
        writeln!(f, "  collapsed        {:>12}", self.collapsed)?;
        writeln!(f, "  stood in         {:>12}", self.stood_in)?;
        writeln!(f, "  misses           {:>12}  {:.3} ms each", self.misses, self.miss_millis)?;
        writeln!(f, "hit rate           {:>12.3}", self.hit_rate)?;
        writeln!(f, "octets from cache  {:>12}", self.octets_from_cache)?;
        writeln!(f, "octets from origin {:>12}", self.octets_from_origin)
    }
}

impl Tally {
    fn mean_millis(&self) -> f64 {
        match self.requests.load(Ordering::Relaxed) {
            0 => 0.0,
            requests => self.micros.load(Ordering::Relaxed) as f64 / requests as f64 / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_means() {
        let counters = Counters::default();
        assert_eq!(counters.figures(), Figures::default());
        counters.count(Outcome::Hit, Duration::from_millis(1));
        counters.count(Outcome::Hit, Duration::from_millis(2));
        counters.count(Outcome::Validated, Duration::from_millis(30));
        counters.count(Outcome::Miss, Duration::from_millis(100));
        let figures = counters.figures();
        assert_eq!((figures.requests, figures.hit_rate, figures.hit_millis, figures.miss_millis), (4, 0.75, 1.5, 100.0));
        counters.reset();
        assert_eq!(counters.figures(), Figures::default());
    }
}
