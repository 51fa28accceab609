//! Addresses, bounds and big mailboxes: what no transcript can say in few lines.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    reading::{self, Message, PAGE_MESSAGES},
    *,
};
use crate::{
    clock::Clock,
    net::{limits::Limits, network::Network, stop::stop, testing},
    store::{
        mail::{LocalDelivery, MailStore, Parcel},
        memory::{MemoryMail, MemoryTree},
    },
    web::{
        audience::Audience,
        settings::{OpenTo, Settings},
        tests::web_with,
    },
};

fn deliver(store: &MemoryMail, message: &[u8]) {
    let mut spool = store.spool().unwrap();
    spool.write(message).unwrap();
    let local = vec![LocalDelivery { account: "bob".into(), prefix: Vec::new() }];
    store.accept(Parcel { message: spool, local, relay: None, forwards: Vec::new() }).unwrap();
}

fn read(octets: &[u8]) -> Message {
    let store = MemoryMail::new();
    deliver(&store, octets);
    Message::read("bob".into(), &*store.browse("bob").unwrap(), 0).unwrap()
}

fn shown(message: &[u8], audience: Audience) -> String {
    let reply = message::show(&read(message), audience, "token");
    String::from_utf8(reply.body.octets().to_vec()).unwrap()
}

/// Over plain HTTP a password is for this machine only: nobody is asked for it elsewhere.
#[tokio::test(start_paused = true)]
async fn a_stranger_is_asked_for_no_password_in_the_clear() {
    let settings = Settings { mailbox: OpenTo::Everybody, ..Settings::default() };
    let (network, (_stopper, stop)) = (Network::memory(), stop());
    let web = web_with(Arc::new(MemoryTree::new(Clock::textbook())), Clock::textbook(), settings, None);
    let at = testing::serve(&network, Arc::new(web), Limits::default(), stop);
    for (from, status) in [("192.0.2.7:0", "403"), ("127.0.0.1:0", "401")] {
        let (mut wire, _) = network.dial(at, Some(from.parse().unwrap())).await.unwrap();
        wire.write_all(b"GET /lab/mail/ HTTP/1.0\r\n\r\n").await.unwrap();
        let mut said = String::new();
        wire.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{from}: {said}");
        assert_eq!(said.contains("WWW-Authenticate"), status == "401", "{said}");
    }
}

#[test]
fn addresses_mean_one_thing_each() {
    let part = |uid: &str, number: &str| Page::Part { uid: uid.into(), number: number.into() };
    for (path, expected) in [
        ("/lab/mail", Some(Page::Unslashed)),
        ("/lab/mail/", Some(Page::List)),
        ("/lab/mail/a%2Fb", Some(Page::Message("a/b".into()))),
        ("/lab/mail/a/source", Some(Page::Source("a".into()))),
        ("/lab/mail/a/1.2", Some(part("a", "1.2"))),
        ("/lab/mail/a/", Some(Page::Nothing)),
        ("/lab/mail/a/../b", Some(Page::Nothing)),
        ("/lab/mail/a/1/2", Some(Page::Nothing)),
        ("/lab/mailbox", None),
        ("/lab/", None),
    ] {
        assert_eq!(find(path), expected, "{path}");
    }
}

#[test]
fn a_mailbox_of_ten_thousand_comes_page_by_page() {
    let store = MemoryMail::new();
    (0..10_000).for_each(|number| deliver(&store, format!("Subject: {number}\r\n\r\n").as_bytes()));
    let page = |page| reading::list(&store, "bob", page).unwrap();
    let first = page(1).unwrap();
    assert_eq!((first.rows.len(), first.pages, first.rows[0].number), (PAGE_MESSAGES, 200, 10_000));
    assert_eq!(first.rows[0].summary.subject, "9999");
    assert_eq!(page(200).unwrap().rows.last().unwrap().number, 1);
    assert!(page(201).is_none());
    let reply = list::show(&Some(first), Audience::Browser, "token").unwrap();
    assert!(reply.body.octets().len() < 64 * 1024);
}

#[test]
fn a_page_is_bounded_whatever_it_shows() {
    let head = format!("Subject: {}\r\n", "x".repeat(200_000)) + &"X-More: y\r\n".repeat(5000);
    let parts = format!("--b\r\nContent-Type: text/html\r\n\r\n{}\r\n", "<p>text".repeat(30_000)).repeat(100);
    let message = format!("{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n");
    for audience in [Audience::Browser, Audience::Program, Audience::Anybody] {
        let octets = shown(message.as_bytes(), audience).len();
        assert!(octets < 3_000_000, "{octets} for {audience:?}");
    }
    let page = shown(message.as_bytes(), Audience::Browser);
    assert_eq!(page.matches("<iframe").count(), excerpt::SHOWN_PARTS);
}

#[test]
fn a_bomb_is_shown_as_it_is() {
    let bomb = "Content-Type: message/rfc822\r\n\r\n".repeat(100);
    let page = shown(bomb.as_bytes(), Audience::Browser);
    assert!(page.contains("It is not taken apart: its parts are nested more than 32 deep"), "{page}");
    assert!(part::reply(&read(bomb.as_bytes()), "1", Disposition::Inline).is_err());
}

#[test]
fn envelope_and_head_are_told_apart() {
    let message = read(b"Return-Path: <a@x.test>\r\nDelivered-To: bob\r\nReceived: from x\r\nFrom: b\r\nReturn-Path: <forged>\r\n\r\n");
    let names = |fields: &[(String, String)]| fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(message.envelope()), ["Return-Path", "Delivered-To"]);
    assert_eq!(message.trace().collect::<Vec<_>>(), ["from x"]);
    assert_eq!(message.head().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["b", "<forged>"]);
}

proptest! {
    #[test]
    fn an_address_leads_back_to_its_message(uid in "[!-~]{1,70}") {
        prop_assume!(uid != "." && uid != "..");
        prop_assert_eq!(find(&address::address(&uid)), Some(Page::Message(uid)));
    }
}
