//! The proxy's cache under `kill -9`: whatever it serves afterwards is right.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    load::content,
    rounds::nothing_is_left_over,
    support::{Dialogue, Family, Lab, Server, until},
};

/// Addresses that are asked for; every tenth has a long body.
const PAGES: usize = 60;

/// Rounds of killing while responses are stored: what is served then, from disk or anew, is whole
/// and the right one, and much of it comes from disk.
pub fn a_cache_serves_nothing_torn() {
    let rounds = std::env::var("PORTICO_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10_u32);
    let lab = Lab::new();
    let origin = origin();
    let options = ["--only", "proxy", "--set", "proxy.max-memory-object=100KB", "--set", "proxy.cache-disk=40MB"];
    let mut server = lab.start(&options);
    let mut hits = 0;
    for round in 0..rounds {
        let fetched = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..4).map(|client| fetch_until_gone(&server, origin, client, fetched.clone())).collect();
        let moment = Instant::now() + Duration::from_micros(rand::random_range(0..200_000));
        until("something is fetched", || (fetched.load(Ordering::Relaxed) > 10 && Instant::now() >= moment).then_some(()));
        server.kill();
        clients.into_iter().for_each(|client| client.join().expect("no client saw anything wrong"));
        server = lab.start(&options);
        nothing_is_left_over(&lab.data());
        for page in 0..PAGES {
            hits += usize::from(fetch(&server, origin, page).expect("the server runs"));
        }
        assert!(round == 0 || hits > 0, "nothing survives");
    }
    println!("{rounds} rounds: {hits} hits after the restarts, all right");
    server.stop();
}

/// What the origin has under a number.
fn page(number: usize) -> Vec<u8> {
    let text = content(&format!("page{number}"), 1);
    let times = if number.is_multiple_of(10) { 1 + 300_000 / text.len() } else { 1 };
    text.repeat(times).into_bytes()
}

/// A server whose responses stay fresh for an hour.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a loopback");
    let at = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    at
}

/// Answers until the other side goes.
fn serve(mut stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    loop {
        let first = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let number = first.split(' ').nth(1)?.trim_start_matches('/').parse().ok()?;
        let body = page(number);
        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}

fn fetch_until_gone(server: &Server, origin: SocketAddr, client: usize, fetched: Arc<AtomicUsize>) -> std::thread::JoinHandle<()> {
    let at = server.at("proxy", Family::V4);
    std::thread::spawn(move || {
        for number in 0.. {
            if fetch_at(at, origin, (number * 7 + client * 13) % PAGES).is_none() {
                return;
            }
            fetched.fetch_add(1, Ordering::Relaxed);
        }
    })
}

fn fetch(server: &Server, origin: SocketAddr, number: usize) -> Option<bool> {
    fetch_at(server.at("proxy", Family::V4), origin, number)
}

/// Fetches a page and compares it; tells whether it was a hit. `None` where the server is gone.
fn fetch_at(proxy: SocketAddr, origin: SocketAddr, number: usize) -> Option<bool> {
    let mut dialogue = Dialogue::try_with(proxy)?;
    dialogue.try_send(format!("GET http://{origin}/{number} HTTP/1.1\r\nHost: {origin}\r\n\r\n").as_bytes())?;
    let (mut octets, mut is_hit) = (0, false);
    let status = dialogue.try_line()?;
    assert_eq!(status, "HTTP/1.1 200 OK");
    loop {
        let line = dialogue.try_line()?;
        if let Some(length) = line.strip_prefix("Content-Length: ") {
            octets = length.parse().unwrap_or_else(|_| panic!("a length: {line:?}"));
        }
        is_hit |= line.starts_with("Cache-Status: Portico; hit");
        if line.is_empty() {
            break;
        }
    }
    let body = dialogue.try_octets(octets)?;
    assert!(body == page(number), "page {number} is not what the origin has ({} octets, hit: {is_hit})", body.len());
    Some(is_hit)
}

/// `portico cache` through the running server and on the files, and a hundred clients at once that
/// make one request to the origin.
pub fn the_cache_is_looked_after() {
    let lab = Lab::new();
    let origin = origin();
    let server = lab.start(&["--only", "proxy"]);
    let at = server.at("proxy", Family::V4);
    let crowd: Vec<_> = (0..100).map(|_| std::thread::spawn(move || fetch_at(at, origin, 0))).collect();
    crowd.into_iter().for_each(|client| assert!(client.join().expect("the page is right").is_some()));
    fetch_at(at, origin, 1);
    let figures: serde_json::Value = serde_json::from_str(&lab.portico(&["cache", "stats", "--json"])).expect("it is JSON");
    assert_eq!((&figures["requests"], &figures["misses"]), (&101.into(), &2.into()), "{figures}");
    assert!(figures["octets-from-origin"] == page(0).len() + page(1).len(), "{figures}");
    assert!(figures["octets-from-cache"] == 99 * page(0).len(), "{figures}");
    let address = format!("http://{origin}/");
    assert!(lab.portico(&["cache", "show", &format!("{address}1")]).contains("Cache-Control: max-age=3600"));
    server.stop();
    for is_running in [false, true] {
        let server = is_running.then(|| lab.start(&["--only", "proxy"]));
        let listed = lab.portico(&["cache", "list", &format!("{address}*")]);
        assert_eq!(listed.matches(&address).count(), if is_running { 1 } else { 2 }, "{listed}");
        let purged = lab.portico(&["cache", "purge", &format!("{address}{}", u8::from(is_running))]);
        assert!(purged.ends_with(": forgotten\n"), "{purged}");
        drop(server);
    }
    assert_eq!(lab.portico(&["cache", "list"]), "nothing is stored\n");
}
