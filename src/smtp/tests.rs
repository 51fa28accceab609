//! The server as a whole, in memory: what no transcript can say, since it needs a storage that
//! fails, a client from elsewhere, or nonsense by chance.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Deps, Role, Smtp,
    relay::Wake,
    settings::{RouteSettings, Settings},
};
use crate::{
    clock::Clock,
    net::{
        Entry, Protocol,
        limits::Limits,
        network::Network,
        resolve::Resolver,
        stop::{Stopper, stop},
        testing::{self, pair},
    },
    store::{
        Accounts, StoreError,
        mail::{MailStore, Maildrop, Parcel, Spool},
        memory::MemoryMail,
    },
};

const HERE: &str = "127.0.0.1:0";
const STRANGER: &str = "192.0.2.7:0";
const ENVELOPE: [&str; 4] = ["EHLO lab", "MAIL FROM:<a@b.example>", "RCPT TO:<bob@portico.test>", "DATA"];

/// Takes a message and fails to make it durable.
struct Failing(MemoryMail);

/// Nobody can tell what it has room for.
struct Filling(MemoryMail);

impl MailStore for Filling {
    fn spool(&self) -> Result<Box<dyn Spool>, StoreError> {
        self.0.spool()
    }
    fn accept(&self, parcel: Parcel) -> Result<(), StoreError> {
        self.0.accept(parcel)
    }
    fn open_maildrop(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
        self.0.open_maildrop(account)
    }
}

impl MailStore for Failing {
    fn spool(&self) -> Result<Box<dyn Spool>, StoreError> {
        self.0.spool()
    }
    fn accept(&self, _: Parcel) -> Result<(), StoreError> {
        Err(StoreError::Broken(io::Error::other("the sync failed")))
    }
    fn open_maildrop(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
        self.0.open_maildrop(account)
    }
}

fn smtp(mail: Arc<dyn MailStore>, settings: Settings) -> Smtp {
    let made = Smtp::new(Deps {
        service: "smtp",
        role: Role::Mx,
        settings,
        domains: vec!["portico.test".into()],
        accounts: Arc::new(Accounts::new(&BTreeMap::new(), true).unwrap()),
        mail,
        clock: Clock::textbook(),
        wake: Wake::default(),
        resolver: Resolver::default(),
        plain_passwords: false,
    });
    made.unwrap()
}

/// A server on its own network, for as long as the stopper lives.
fn server(smtp: Smtp, limits: Limits) -> (Network, SocketAddr, Stopper) {
    let network = Network::memory();
    let (stopper, stop) = stop();
    let at = testing::serve(&network, Arc::new(smtp), limits, stop);
    (network, at, stopper)
}

/// Sends these octets, ends its side, and answers everything that comes back.
async fn send(smtp: Smtp, from: &str, octets: &[u8]) -> String {
    let (network, at, _stopper) = server(smtp, Limits::default());
    let (mut wire, _) = network.dial(at, Some(from.parse().unwrap())).await.unwrap();
    let _all_or_hung_up_on = wire.write_all(octets).await;
    let _ended_or_hung_up_on = wire.shutdown().await;
    let mut all = Vec::new();
    let _end_or_reset = wire.read_to_end(&mut all).await;
    String::from_utf8(all).unwrap()
}

fn lines(lines: &[&str]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect()
}

fn last_codes(said: &str, count: usize) -> Vec<&str> {
    let replies: Vec<_> = said.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).collect();
    replies[replies.len() - count..].iter().map(|line| &line[..9]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_before_the_message_is_sent() {
    let mail = MemoryMail::new();
    mail.fill(true);
    let dialogue = lines(&["EHLO lab", "MAIL FROM:<a@b.example>", "NOOP", "QUIT"]);
    let said = send(smtp(Arc::new(mail.clone()), Settings::default()), HERE, &dialogue).await;
    assert_eq!(last_codes(&said, 3), ["452 4.3.1", "250 2.0.0", "221 2.0.0"], "{said}");
    // It was not full yet at MAIL.
    let said = send(smtp(Arc::new(Filling(mail)), Settings::default()), HERE, &lines(&[&ENVELOPE[..], &["NOOP", "QUIT"]].concat())).await;
    assert_eq!(last_codes(&said, 3), ["452 4.3.1", "250 2.0.0", "221 2.0.0"], "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_safe_gets_no_250() {
    let mail = Failing(MemoryMail::new());
    let said = send(smtp(Arc::new(mail), Settings::default()), HERE, &lines(&[&ENVELOPE[..], &["x", ".", "QUIT"]].concat())).await;
    assert_eq!(last_codes(&said, 2), ["452 4.3.0", "221 2.0.0"], "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_client_from_elsewhere_cannot_say_its_password_in_the_clear_nor_relay() {
    let settings = Settings {
        relay_loopback: true,
        relay_networks: vec!["198.51.100.0/24".into()],
        routes: [("*".to_owned(), RouteSettings::to("127.0.0.1:9"))].into(),
        ..Settings::default()
    };
    let dialogue = lines(&["EHLO lab", "AUTH PLAIN AGJvYgBodW5ncnk=", "MAIL FROM:<a@b.example>", "RCPT TO:<u@remote.example>", "QUIT"]);
    let said = send(smtp(Arc::new(MemoryMail::new()), settings.clone()), STRANGER, &dialogue).await;
    assert!(!said.contains("AUTH PLAIN"), "{said}");
    assert_eq!(last_codes(&said, 4), ["538 5.7.1", "250 2.1.0", "550 5.7.1", "221 2.0.0"], "{said}");
    let said = send(smtp(Arc::new(MemoryMail::new()), settings), "198.51.100.9:0", &dialogue).await;
    assert_eq!(last_codes(&said, 2), ["250 2.1.5", "221 2.0.0"], "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_message_far_too_big_is_not_read_to_its_end() {
    let settings = Settings { max_message: crate::units::Size(1), ..Settings::default() };
    let endless = [lines(&ENVELOPE), vec![b'x'; 66 << 20]].concat();
    let said = send(smtp(Arc::new(MemoryMail::new()), settings), HERE, &endless).await;
    assert!(said.ends_with(
        "354 Enter mail, end with \".\" on a line by itself\r\n421 4.7.0 portico.test Closing connection: the message is far too big\r\n"
    ));
}

#[tokio::test(start_paused = true)]
async fn one_connection_too_many_and_one_at_the_end_hear_why() {
    let (network, at, stopper) =
        server(smtp(Arc::new(MemoryMail::new()), Settings::default()), Limits { connections: 1, ..Limits::default() });
    let (mut first, _) = network.dial(at, None).await.unwrap();
    let mut greeting = [0; "220 portico.test ESMTP Portico\r\n".len()];
    first.read_exact(&mut greeting).await.unwrap();
    let (mut second, _) = network.dial(at, None).await.unwrap();
    let mut said = String::new();
    second.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "421 4.3.2 portico.test Too many connections, try again later\r\n");
    stopper.advance();
    said.clear();
    first.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "421 4.3.2 portico.test Service closing down, try again later\r\n");
}

#[tokio::test]
async fn an_idle_client_costs_little() {
    let (mut conn, _client, _stopper) = pair();
    let smtp = smtp(Arc::new(MemoryMail::new()), Settings::default());
    let octets = size_of_val(&smtp.converse(&mut conn, Entry::Greeting));
    assert!(octets <= 2048, "{octets}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nonsense_never_breaks_the_server(pieces in proptest::collection::vec(piece(), 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let said = runtime.block_on(async { send(smtp(Arc::new(MemoryMail::new()), Settings::default()), HERE, &pieces.concat()).await });
        prop_assert!(said.starts_with("220 "));
        prop_assert!(!said.contains("Internal error"), "{}", said);
        prop_assert!(said.lines().all(|line| line.as_bytes().iter().take(3).all(u8::is_ascii_digit)), "{}", said);
    }
}

/// Parts of dialogues, in any order and cut anywhere.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop::sample::select(vec![
        "EHLO lab\r\n",
        "MAIL FROM:<a@b.example>\r\n",
        "RCPT TO:<bob@portico.test>\r\n",
        "DATA\r\n",
        "text\r\n.\r\n",
        "AUTH LOGIN\r\n",
        "AUTH PLAIN\r\n",
        "Ym9i\r\n",
        "RSET\r\n",
        "\r\n",
        "\n.\n",
    ]);
    prop_oneof![
        4 => whole.prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}
