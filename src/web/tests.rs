//! The origin server as a whole, in memory: what no transcript can say in few lines.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Deps, Shared, Web, access::AccessLog, settings::Settings};
use crate::{
    clock::Clock,
    http::{
        Method,
        framing::{self, Framing},
        parse::{self, LineEnds},
    },
    net::{
        Entry, Protocol,
        limits::Limits,
        network::Network,
        stop::{Stopper, stop},
        testing::{self, pair},
    },
    store::{
        Account, Accounts, StoreError, VirtualPath,
        memory::{MemoryMail, MemoryTree},
        tree::{Author, Condition, FileFacts, OpenFile, Receive, Tree, TreeEntry, Upload},
        visitors::VisitorBook,
    },
};

fn web(tree: Arc<dyn Tree>, clock: Clock) -> Web {
    web_with(tree, clock, Settings::default(), None)
}

pub(super) fn web_with(tree: Arc<dyn Tree>, clock: Clock, settings: Settings, log: Option<AccessLog>) -> Web {
    let mail = MemoryMail::new();
    mail.fill(true);
    Web::new(Deps {
        service: "http",
        tree,
        accounts: Arc::new(Accounts::new(&BTreeMap::new(), true).unwrap()),
        visitors: Arc::new(VisitorBook::in_memory().unwrap()),
        mail: Arc::new(mail),
        turns: Default::default(),
        clock,
        shared: Arc::new(Shared::new(&settings, log)),
        settings,
        domains: vec!["portico.test".into()],
        plain_passwords: false,
    })
}

/// A server on its own network, for as long as the stopper lives.
pub(super) async fn server(tree: Arc<dyn Tree>, clock: Clock) -> (Network, SocketAddr, Stopper) {
    let limits = Limits { connections: 2, ..Limits::default() };
    let network = Network::memory();
    let (stopper, stop) = stop();
    let at = testing::serve(&network, Arc::new(web(tree, clock)), limits, stop);
    (network, at, stopper)
}

/// Sends the pieces one after another, each read before the next, and returns all that comes back.
pub(super) async fn converse(network: &Network, at: SocketAddr, pieces: &[&[u8]]) -> String {
    let (mut wire, _) = network.dial(at, None).await.unwrap();
    for piece in pieces {
        wire.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut all = Vec::new();
    let _end_or_reset = wire.read_to_end(&mut all).await;
    String::from_utf8(all).unwrap()
}

pub(super) fn hello(clock: &Clock) -> Arc<dyn Tree> {
    Arc::new(MemoryTree::new(clock.clone()).with("/hello.txt", "Hello!\n"))
}

#[tokio::test(start_paused = true)]
async fn input_may_be_split_at_every_octet() {
    let conversation = b"\r\nPOST /lab/form HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n4;x=y\r\n&c=d\r\n0\r\nX: y\r\n\r\n\
        GET /hello.txt HTTP/1.1\nHost: a\nConnection: close\n\n";
    let clock = Clock::starting_at(std::time::SystemTime::UNIX_EPOCH);
    let (network, at, _stopper) = server(hello(&clock), clock).await;
    for split in 0..conversation.len() {
        let (first, second) = conversation.split_at(split);
        let answers = converse(&network, at, &[first, second]).await;
        assert!(answers.contains("\r\n\r\na = b\nc = d\nHTTP/1.1 200 OK\r\n"), "split at {split}: {answers}");
        assert!(answers.ends_with("\r\nConnection: close\r\n\r\nHello!\n"), "split at {split}: {answers}");
    }
    let single: Vec<&[u8]> = conversation.chunks(1).collect();
    assert!(converse(&network, at, &single).await.ends_with("Hello!\n"));
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_pipelined_requests_are_answered_in_order() {
    let clock = Clock::textbook();
    let (network, at, _stopper) = server(hello(&clock), clock).await;
    let mut requests: String = (0..500).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    requests.push_str("GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answers = converse(&network, at, &[requests.as_bytes()]).await;
    let named: Vec<&str> = answers.split("There is no /").skip(1).filter_map(|rest| rest.split(' ').next()).collect();
    assert_eq!(named, (0..500).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(answers.ends_with("Hello!\n"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_above_the_limit_gets_503() {
    let clock = Clock::textbook();
    let (network, at, _stopper) = server(hello(&clock), clock).await;
    let _first = network.dial(at, None).await.unwrap();
    let _second = network.dial(at, None).await.unwrap();
    let answer = converse(&network, at, &[b""]).await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && answer.contains("\r\nRetry-After: "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_shrinks_while_it_is_sent_cuts_the_connection() {
    let clock = Clock::textbook();
    let tree: Arc<dyn Tree> = Arc::new(Shrinking(MemoryTree::new(clock.clone()).with("/hello.txt", "Hello!\n")));
    let (network, at, _stopper) = server(tree, clock).await;
    let answer = converse(&network, at, &[b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"]).await;
    assert!(!answer.contains("Hello!"), "a part must not pass for the whole: {answer}");
}

#[tokio::test(start_paused = true)]
async fn every_request_is_logged_with_what_became_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let clock = Clock::textbook();
    let web = Arc::new(web_with(hello(&clock), clock.clone(), Settings::default(), Some(AccessLog::open(&file).unwrap())));
    let network = Network::memory();
    let (_stopper, stop) = stop();
    let at = testing::serve(&network, web.clone(), Limits::default(), stop);
    let requests = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWxpY2U6eA==\r\nReferer: http://b/\r\n\r\n\
        HEAD /hello.txt HTTP/1.1\r\nHost: a\r\nUser-Agent: \"me\"\r\n\r\n\
        GET /\x01 HTTP/1.1\r\n\r\n";
    converse(&network, at, &[requests]).await;
    web.shared.log().unwrap().flush();
    let written = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    let start = "127.0.0.1 - alice [06/Nov/1994:08:49:37 +0000] \"GET /hello.txt HTTP/1.1\" 200 7 \"http://b/\" \"-\"";
    assert_eq!(lines[0], start);
    assert!(lines[1].ends_with("\"HEAD /hello.txt HTTP/1.1\" 200 0 \"-\" \"\\x22me\\x22\""), "{written}");
    assert!(lines[2].contains("\"GET /\\x01 HTTP/1.1\" 400 "), "{written}");
    assert_eq!(lines.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_counts_as_far_as_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let clock = Clock::textbook();
    let tree: Arc<dyn Tree> = Arc::new(Shrinking(MemoryTree::new(clock.clone()).with("/hello.txt", "Hello!\n")));
    let web = Arc::new(web_with(tree, clock, Settings::default(), Some(AccessLog::open(&file).unwrap())));
    let network = Network::memory();
    let (_stopper, stop) = stop();
    let at = testing::serve(&network, web.clone(), Limits::default(), stop);
    converse(&network, at, &[b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"]).await;
    web.shared.log().unwrap().flush();
    assert!(std::fs::read_to_string(&file).unwrap().contains("HTTP/1.1\" 200 0 "));
}

#[tokio::test(start_paused = true)]
async fn a_form_that_finds_the_disk_full_gets_507() {
    let clock = Clock::textbook();
    let (network, at, _stopper) = server(hello(&clock), clock).await;
    let form = "--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\nabc\r\n--x--";
    let head = format!(
        "POST /lab/form HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    let answer = converse(&network, at, &[head.as_bytes(), form.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 507 Insufficient Storage\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_kept_waiting_by_a_server_that_stops() {
    let clock = Clock::textbook();
    let (network, at, stopper) = server(hello(&clock), clock).await;
    let (mut wire, _) = network.dial(at, None).await.unwrap();
    wire.write_all(b"GET /lab/delay/60 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let began = tokio::time::Instant::now();
    stopper.advance();
    let mut answer = vec![0; 15];
    wire.read_exact(&mut answer).await.unwrap();
    assert_eq!((&answer[..], began.elapsed().as_secs()), (&b"HTTP/1.1 200 OK"[..], 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_is_not_waited_for() {
    let clock = Clock::textbook();
    let (network, at, _stopper) = server(hello(&clock), clock).await;
    let (mut wire, _) = network.dial(at, None).await.unwrap();
    wire.write_all(b"GET /lab/drip?duration=60&octets=61 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(wire);
    // Two connections are all that the server takes: the one that is gone must have been given back.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let _other = network.dial(at, None).await.unwrap();
    let answer = converse(&network, at, &[b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]).await;
    assert!(answer.ends_with("Hello!\n"), "{answer}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is sent, what comes back is a row of whole responses, and the connection ends.
    #[test]
    fn any_input_is_answered_in_whole_responses(parts in prop::collection::vec(prop::sample::select(PARTS), 0..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let answers = runtime.block_on(async {
            let clock = Clock::textbook();
            let (network, at, _stopper) = server(hello(&clock), clock).await;
            converse(&network, at, &[parts.concat().as_bytes()]).await
        });
        let mut rest = answers.as_bytes();
        while let Some(end) = parse::head_end(rest, 0) {
            let head = parse::response(&rest[..end], LineEnds::CrLf).unwrap();
            let Ok(Framing::Length(octets)) = framing::of_response(&Method::Get, &head) else { panic!("{head:?}") };
            rest = &rest[end + usize::try_from(octets).unwrap()..];
        }
        prop_assert!(rest.is_empty());
    }
}

/// What requests, good and bad, are made of.
const PARTS: &[&str] = &[
    "GET /hello.txt HTTP/1.1\r\n",
    "POST /lab/form HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "BREW * HTTP/1.1\r\n",
    "Host: a\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Range: bytes=1-2\r\n",
    "X: \0\r\n",
    "\r\n",
    "\n",
    "5\r\nabcde\r\n",
    "0\r\n\r\n",
    "abcde",
];

#[tokio::test]
async fn an_idle_client_costs_little() {
    let (mut conn, _client, _stopper) = pair();
    let web = web(hello(&Clock::system()), Clock::system());
    let octets = size_of_val(&web.converse(&mut conn, Entry::Greeting));
    assert!(octets <= 2048, "{octets}");
}

/// A tree whose files turn out shorter than they seemed.
struct Shrinking(MemoryTree);

impl Tree for Shrinking {
    fn open(&self, path: &VirtualPath) -> Result<OpenFile, StoreError> {
        let mut file = self.0.open(path)?;
        file.facts.octets += 1;
        Ok(file)
    }
    fn facts(&self, path: &VirtualPath) -> Result<FileFacts, StoreError> {
        self.0.facts(path)
    }
    fn list(&self, path: &VirtualPath) -> Result<Vec<TreeEntry>, StoreError> {
        self.0.list(path)
    }
    fn receive_for(&self, path: &VirtualPath, how: Receive, author: Option<&Author>) -> Result<Box<dyn Upload>, StoreError> {
        self.0.receive_for(path, how, author)
    }
    fn partial(&self, account: &str, path: &VirtualPath) -> Result<OpenFile, StoreError> {
        self.0.partial(account, path)
    }
    fn remove_if(&self, path: &VirtualPath, condition: &Condition<'_>) -> Result<(), StoreError> {
        self.0.remove_if(path, condition)
    }
    fn remove_file(&self, path: &VirtualPath) -> Result<(), StoreError> {
        self.0.remove_file(path)
    }
    fn make_folder(&self, path: &VirtualPath) -> Result<(), StoreError> {
        self.0.make_folder(path)
    }
    fn remove_folder(&self, path: &VirtualPath) -> Result<(), StoreError> {
        self.0.remove_folder(path)
    }
    fn rename(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), StoreError> {
        self.0.rename(from, to)
    }
    fn set_modified(&self, path: &VirtualPath, modified: std::time::SystemTime) -> Result<(), StoreError> {
        self.0.set_modified(path, modified)
    }
    fn set_mode(&self, path: &VirtualPath, mode: u32) -> Result<(), StoreError> {
        self.0.set_mode(path, mode)
    }
    fn available(&self, path: &VirtualPath, account: &Account) -> Result<u64, StoreError> {
        self.0.available(path, account)
    }
}
