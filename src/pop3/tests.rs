//! The server as a whole, in memory: what no transcript can say, since it needs a storage that
//! fails or a client from elsewhere.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    net::SocketAddr,
    sync::Arc,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Deps, Pop3, settings::Settings};
use crate::{
    net::{
        Entry, Protocol,
        limits::Limits,
        network::Network,
        stop::{Stopper, stop},
        testing::{self, pair},
    },
    store::{
        Accounts, StoreError,
        mail::{MailStore, Maildrop, MessageFacts, Parcel, Spool},
    },
};

const HERE: &str = "127.0.0.1:0";
const STRANGER: &str = "192.0.2.7:0";

/// A maildrop in which a storage fails in every way: message 1 is gone, 2 can't be read, 3 breaks
/// off in the middle, 4 is fine; nothing can be removed.
struct Failing;

impl MailStore for Failing {
    fn spool(&self) -> Result<Box<dyn Spool>, StoreError> {
        Err(StoreError::Full)
    }
    fn accept(&self, _: Parcel) -> Result<(), StoreError> {
        Err(StoreError::Full)
    }
    fn open_maildrop(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
        if account == "alice" {
            return Err(StoreError::Denied);
        }
        let sizes = [10, 10, 1_000_000, 7].into_iter().enumerate();
        Ok(Box::new(FailingMaildrop(sizes.map(|(index, octets)| MessageFacts { uid: format!("u{index}"), octets }).collect())))
    }
}

struct FailingMaildrop(Vec<MessageFacts>);

impl Maildrop for FailingMaildrop {
    fn messages(&self) -> &[MessageFacts] {
        &self.0
    }
    fn read(&self, index: usize) -> Result<Box<dyn Read + Send>, StoreError> {
        match index {
            0 => Err(StoreError::NotFound),
            1 => Ok(Box::new(Breaking(0))),
            2 => Ok(Box::new(Breaking(500_000))),
            _ => Ok(Box::new(&b"hello\r\n"[..])),
        }
    }
    fn remove(&mut self, _: &[usize]) -> Result<(), StoreError> {
        Err(StoreError::Broken(io::Error::other("the disk is on fire")))
    }
}

/// So many octets, and then an error.
struct Breaking(usize);

impl Read for Breaking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.0);
        self.0 -= count;
        buffer[..count].fill(b'x');
        if count == 0 { Err(io::Error::other("unreadable")) } else { Ok(count) }
    }
}

fn pop3() -> Pop3 {
    Pop3::new(Deps {
        service: "pop3",
        settings: Settings::default(),
        accounts: Arc::new(Accounts::new(&BTreeMap::new(), true).unwrap()),
        mail: Arc::new(Failing),
        turns: Default::default(),
        plain_passwords: false,
    })
}

/// A server on its own network, for as long as the stopper lives.
fn server(limits: Limits) -> (Network, SocketAddr, Stopper) {
    let network = Network::memory();
    let (stopper, stop) = stop();
    let at = testing::serve(&network, Arc::new(pop3()), limits, stop);
    (network, at, stopper)
}

/// Says these lines and answers everything that comes back.
async fn converse(from: &str, lines: &[&str]) -> String {
    let (network, at, _stopper) = server(Limits::default());
    let (mut wire, _) = network.dial(at, Some(from.parse().unwrap())).await.unwrap();
    for line in lines {
        wire.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    }
    let mut all = Vec::new();
    let _end_or_reset = wire.read_to_end(&mut all).await;
    String::from_utf8(all).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_is_refused_and_the_others_are_not() {
    let said = converse(HERE, &["USER bob", "PASS hungry", "RETR 1", "RETR 2", "TOP 1 0", "RETR 4", "QUIT"]).await;
    let replies: Vec<&str> = said.lines().skip(3).collect();
    let gone = "-ERR the message has been removed by another program";
    let unreadable = "-ERR [SYS/TEMP] the message can't be read";
    assert_eq!(replies, [gone, unreadable, gone, "+OK 7 octets", "hello", ".", "+OK POP3 server signing off"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_off_is_not_passed_off_as_whole() {
    let said = converse(HERE, &["USER bob", "PASS hungry", "RETR 3", "QUIT"]).await;
    assert!(said.contains("+OK 1000000 octets\r\nxxx"), "it began");
    assert!(!said.contains("\r\n.\r\n") && !said.contains("signing off"), "it must not end as if it were whole");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_fails_is_admitted() {
    let said = converse(HERE, &["USER bob", "PASS hungry", "DELE 4", "QUIT"]).await;
    assert!(said.ends_with("+OK message 4 deleted\r\n-ERR [SYS/TEMP] some deleted messages not removed\r\n"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_maildrop_that_cannot_be_opened_is_no_wrong_password() {
    let said = converse(HERE, &["USER alice", "PASS wonderland", "STAT", "QUIT"]).await;
    let replies: Vec<&str> = said.lines().skip(2).collect();
    let refused = "-ERR [SYS/PERM] the maildrop can't be opened";
    assert_eq!(replies, [refused, "-ERR log on first: USER, then PASS", "+OK POP3 server signing off"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_from_elsewhere_cannot_say_its_password_in_the_clear() {
    let said = converse(STRANGER, &["CAPA", "USER bob", "AUTH PLAIN AGJvYgBodW5ncnk=", "QUIT"]).await;
    assert!(said.contains("STLS\r\n") && !said.contains("SASL") && !said.contains("\nUSER\r\n"), "{said}");
    assert_eq!(said.matches("-ERR no passwords in the clear: begin TLS with STLS").count(), 2, "{said}");
}

#[tokio::test(start_paused = true)]
async fn one_connection_too_many_hears_why() {
    let (network, at, _stopper) = server(Limits { connections: 1, ..Limits::default() });
    let (mut first, _) = network.dial(at, None).await.unwrap();
    let mut greeting = [0; "+OK POP3 server ready\r\n".len()];
    first.read_exact(&mut greeting).await.unwrap();
    let (mut second, _) = network.dial(at, None).await.unwrap();
    let mut said = String::new();
    second.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "-ERR [SYS/TEMP] too many connections, try again later\r\n");
}

#[tokio::test]
async fn an_idle_client_costs_little() {
    let (mut conn, _client, _stopper) = pair();
    let octets = size_of_val(&pop3().converse(&mut conn, Entry::Greeting));
    assert!(octets <= 2048, "{octets}");
}
