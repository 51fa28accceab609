//! Connecting to a server with several addresses: "happy eyeballs" (RFC 8305).
//!
//! The addresses are tried in the resolver's order, its two families taking turns. The next
//! attempt begins when the one before has failed, or has not succeeded for a quarter of a second;
//! the first connection that stands is taken and the other attempts are given up. So a broken
//! IPv6 route costs a blink and not a minute.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::timeout};

use super::{dial::DialError, network::Network, wire::Plain};

/// "Connection Attempt Delay" (RFC 8305, 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses tried for one connection: a name with a thousand addresses must not make one request
/// knock at a thousand doors.
const MAX_ADDRESSES: usize = 8;

/// An address, the connection to it and our own end's address.
type Won = (SocketAddr, Plain, SocketAddr);

/// Connects to the first of `addresses` that answers; each attempt may take `attempt_time`.
pub(super) async fn connect(network: &Network, addresses: Vec<SocketAddr>, attempt_time: Duration) -> Result<Won, DialError> {
    if let [only] = addresses[..] {
        return attempt(network.clone(), only, attempt_time).await;
    }
    let mut waiting = take_turns(addresses).into_iter().take(MAX_ADDRESSES);
    let mut running = JoinSet::new();
    let mut last = DialError::Unknown(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    loop {
        match waiting.next() {
            Some(to) => drop(running.spawn(attempt(network.clone(), to, attempt_time))),
            None if running.is_empty() => return Err(last),
            None => {}
        }
        let patience = if waiting.len() > 0 { ATTEMPT_DELAY } else { attempt_time };
        match timeout(patience, running.join_next()).await {
            Ok(Some(Ok(Ok(won)))) => return Ok(won),
            Ok(Some(Ok(Err(error)))) => last = error,
            // Too slow: the next one begins. (The attempts have their own time limit.)
            Ok(Some(Err(_)) | None) | Err(_) => {}
        }
    }
}

async fn attempt(network: Network, to: SocketAddr, attempt_time: Duration) -> Result<Won, DialError> {
    let dialled = timeout(attempt_time, network.dial(to, None)).await;
    let (plain, local) = dialled.map_err(|_| DialError::TimedOut)?.map_err(DialError::Failed)?;
    Ok((to, plain, local))
}

/// The families take turns, that of the first address beginning; within a family the order stays
/// (RFC 8305, 4).
fn take_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|to| to.is_ipv6() == is_first_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const ATTEMPT: Duration = Duration::from_secs(10);

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns() {
        let addresses = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"].map(at);
        assert_eq!(take_turns(addresses.to_vec()), ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"].map(at));
        assert_eq!(take_turns(Vec::new()), []);
    }

    /// A listener whose queue is full: attempts to connect to it hang.
    async fn hanging(network: &Network, to: SocketAddr) -> super::super::network::Listener {
        let listener = network.listen(to).unwrap();
        for _ in 0..128 {
            drop(network.dial(to, None).await.unwrap());
        }
        listener
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_quarter_of_a_second() {
        let network = Network::memory();
        let (silent, good) = (at("[::1]:80"), at("127.0.0.1:80"));
        let _silent = hanging(&network, silent).await;
        let _good = network.listen(good).unwrap();
        let begun = Instant::now();
        assert_eq!(connect(&network, vec![silent, good], ATTEMPT).await.unwrap().0, good);
        assert_eq!(begun.elapsed().as_millis(), ATTEMPT_DELAY.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_makes_the_next_one_begin_at_once() {
        let network = Network::memory();
        let good = at("127.0.0.1:80");
        let _good = network.listen(good).unwrap();
        let begun = Instant::now();
        assert_eq!(connect(&network, vec![at("[::1]:80"), at("[::2]:80"), good], ATTEMPT).await.unwrap().0, good);
        assert!(begun.elapsed() < ATTEMPT_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_last_failure_is_told() {
        let network = Network::memory();
        let silent = at("[::1]:80");
        let _silent = hanging(&network, silent).await;
        let begun = Instant::now();
        let failed = connect(&network, vec![at("127.0.0.1:80"), silent], ATTEMPT).await;
        assert!(matches!(failed, Err(DialError::TimedOut)));
        assert!(begun.elapsed() <= ATTEMPT + ATTEMPT_DELAY);
        assert!(matches!(connect(&network, Vec::new(), ATTEMPT).await, Err(DialError::Unknown(_))));
    }
}
