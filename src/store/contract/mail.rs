use std::{
    io::Read,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::prelude::*;

use crate::store::{
    StoreError,
    disk_mail::DiskMail,
    envelope::{MailParameters, Notify, Progress, RcptParameters, Report},
    mail::{Envelope, Forward, LocalDelivery, MailStore, Maildrop, Parcel, Queue, Recipient, RecipientState},
    memory::MemoryMail,
};

/// What is both: mail store and queue over the same place.
pub(super) trait Mail: MailStore + Queue {}
impl<T: MailStore + Queue> Mail for T {}

/// Runs `check` against new mail stores of every kind.
fn every_mail(check: impl Fn(&dyn Mail)) {
    check(&MemoryMail::new());
    let folder = tempfile::tempdir().unwrap();
    check(&DiskMail::open(&folder.path().join("maildir"), &folder.path().join("var")).unwrap());
}

fn parcel(mail: &dyn Mail, message: &[u8], accounts: &[&str], relay: Option<&str>) -> Parcel {
    let mut spool = mail.spool().unwrap();
    for piece in message.chunks(50_000) {
        spool.write(piece).unwrap();
    }
    assert_eq!(spool.octets(), message.len() as u64);
    let local = accounts.iter().map(|&account| LocalDelivery { account: account.into(), prefix: b"Return-Path: <>\r\n".to_vec() });
    Parcel { message: spool, local: local.collect(), relay: relay.map(envelope), forwards: Vec::new() }
}

fn envelope(id: &str) -> Envelope {
    Envelope {
        id: id.into(),
        sender: "alice@portico.test".into(),
        recipients: vec![Recipient {
            address: "bob@remote.example".into(),
            state: RecipientState::Waiting { last_reply: None },
            parameters: RcptParameters { notify: Some(Notify { success: true, ..Notify::default() }), orcpt: None },
            report: None,
            progress: Progress::default(),
        }],
        eight_bit: false,
        arrived: UNIX_EPOCH + Duration::from_secs(784_111_777),
        attempts: 0,
        next_attempt: UNIX_EPOCH,
        held: false,
        parameters: MailParameters { envid: Some("QQ314159".into()), priority: Some(-3), ..MailParameters::default() },
    }
}

fn read(maildrop: &dyn Maildrop, index: usize) -> Result<Vec<u8>, StoreError> {
    let mut octets = Vec::new();
    maildrop.read(index)?.read_to_end(&mut octets)?;
    assert_eq!(octets.len() as u64, maildrop.messages()[index].octets, "the count is what is sent");
    Ok(octets)
}

#[test]
fn a_maildrop_has_room_up_to_its_quota() {
    every_mail(|mail| {
        assert!(mail.has_room("bob", 100, 100).unwrap() && !mail.has_room("bob", 101, 100).unwrap());
        mail.accept(parcel(mail, b"Subject: one\r\n\r\nketchup\r\n", &["bob"], None)).unwrap();
        let there = mail.browse("bob").unwrap().messages()[0].octets;
        assert!(mail.has_room("bob", 100 - there, 100).unwrap() && !mail.has_room("bob", 101 - there, 100).unwrap());
        mail.open_maildrop("bob").unwrap().remove(&[0]).unwrap();
        assert!(mail.has_room("bob", 100, 100).unwrap());
    });
}

#[test]
fn what_is_forwarded_has_an_entry_of_its_own() {
    every_mail(|mail| {
        let mut parcel = parcel(mail, b"Subject: one\r\n\r\nketchup\r\n", &[], Some("1"));
        parcel.forwards = vec![Forward { envelope: envelope("1-f1"), prefix: b"Delivered-To: bob@portico.test\r\n".to_vec() }];
        mail.accept(parcel).unwrap();
        let text = |id: &str| {
            let (mut message, mut text) = (mail.message(id).unwrap().0, String::new());
            message.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(text("1"), "Subject: one\r\n\r\nketchup\r\n");
        assert_eq!(text("1-f1"), "Delivered-To: bob@portico.test\r\nSubject: one\r\n\r\nketchup\r\n");
    });
}

#[test]
fn a_message_meant_for_one_maildrop_may_go_elsewhere_as_well() {
    // So long that it does not stay in memory, cut within line ends, and last a CR by itself.
    let message = [&b"Subject: long\r\n\r\n"[..], &b"0123456789\r\n".repeat(60_000), b".\r"].concat();
    let delivery = || LocalDelivery { account: "bob".into(), prefix: b"Return-Path: <>\r\n".to_vec() };
    every_mail(|mail| {
        // The second delivery finds the folders there.
        for (number, relay) in [None, None, Some(envelope("1")), Some(envelope("2"))].into_iter().enumerate() {
            let mut spool = mail.spool_for(delivery()).unwrap();
            message.chunks(50_003).for_each(|piece| spool.write(piece).unwrap());
            assert_eq!(spool.octets(), message.len() as u64);
            let goes_on = relay.is_some();
            mail.accept(Parcel { message: spool, local: vec![delivery()], relay, forwards: Vec::new() }).unwrap();
            let bob = mail.open_maildrop("bob").unwrap();
            let delivered = read(&*bob, number).unwrap();
            assert_eq!(delivered, [b"Return-Path: <>\r\n", &message[..], b"\r\n"].concat());
            if goes_on {
                let mut queued = Vec::new();
                mail.message(&(number - 1).to_string()).unwrap().0.read_to_end(&mut queued).unwrap();
                assert!(queued.starts_with(&message), "{} octets", queued.len());
            }
        }
    });
}

#[test]
fn looking_needs_no_lock_and_changes_nothing() {
    every_mail(|mail| {
        mail.accept(parcel(mail, b"Subject: one\r\n\r\nketchup\r\n", &["bob"], None)).unwrap();
        let session = mail.open_maildrop("bob").unwrap();
        let looked = mail.browse("bob").unwrap();
        assert_eq!(looked.messages(), session.messages());
        assert_eq!(read(&*looked, 0).unwrap(), read(&*session, 0).unwrap());
        drop(looked);
        assert!(matches!(mail.open_maildrop("bob"), Err(StoreError::Busy)));
    });
}

#[test]
fn a_message_arrives_in_every_mailbox_and_in_order() {
    every_mail(|mail| {
        mail.accept(parcel(mail, b"Subject: one\r\n\r\nketchup\r\n", &["alice", "bob"], None)).unwrap();
        mail.accept(parcel(mail, b"Subject: two\r\n\r\npickles\r\n", &["bob"], None)).unwrap();
        let bob = mail.open_maildrop("bob").unwrap();
        assert_eq!(bob.messages().len(), 2);
        assert_eq!(read(&*bob, 0).unwrap(), b"Return-Path: <>\r\nSubject: one\r\n\r\nketchup\r\n");
        assert_eq!(read(&*bob, 1).unwrap(), b"Return-Path: <>\r\nSubject: two\r\n\r\npickles\r\n");
        assert_ne!(bob.messages()[0].uid, bob.messages()[1].uid);
        assert!(matches!(read(&*mail.open_maildrop("alice").unwrap(), 1), Err(StoreError::NotFound)));
        assert!(mail.open_maildrop("carol").unwrap().messages().is_empty());
        assert_eq!(mail.list().unwrap(), []);
    });
}

#[test]
fn large_messages_go_through_a_file() {
    every_mail(|mail| {
        let message: Vec<u8> = (0..20_000).flat_map(|n| format!("line {n} of a large message\r\n").into_bytes()).collect();
        assert!(message.len() > 512 << 10);
        mail.accept(parcel(mail, &message, &["alice", "bob"], Some("Q1"))).unwrap();
        for account in ["alice", "bob"] {
            let maildrop = mail.open_maildrop(account).unwrap();
            assert!(read(&*maildrop, 0).unwrap().ends_with(&message));
        }
        let (mut queued, octets) = mail.message("Q1").unwrap();
        let mut found = Vec::new();
        queued.read_to_end(&mut found).unwrap();
        assert!(found == message && octets == message.len() as u64);
    });
}

#[test]
fn one_session_at_a_time_has_a_maildrop() {
    every_mail(|mail| {
        let first = mail.open_maildrop("bob").unwrap();
        assert!(matches!(mail.open_maildrop("bob"), Err(StoreError::Busy)));
        assert!(matches!(mail.open_maildrop("BOB"), Err(StoreError::Busy)));
        let _other = mail.open_maildrop("alice").unwrap();
        drop(first);
        mail.open_maildrop("bob").unwrap();
    });
}

#[test]
fn a_session_sees_what_was_there_when_it_began() {
    every_mail(|mail| {
        mail.accept(parcel(mail, b"old\r\n", &["bob"], None)).unwrap();
        let mut session = mail.open_maildrop("bob").unwrap();
        mail.accept(parcel(mail, b"new\r\n", &["bob"], None)).unwrap();
        assert_eq!(session.messages().len(), 1);
        session.remove(&[0]).unwrap();
        assert!(matches!(session.read(0), Err(StoreError::NotFound)));
        drop(session);
        let later = mail.open_maildrop("bob").unwrap();
        assert_eq!(later.messages().len(), 1);
        assert!(read(&*later, 0).unwrap().ends_with(b"new\r\n"));
    });
}

#[test]
fn removal_takes_what_was_named_and_uids_stay() {
    every_mail(|mail| {
        for n in 0..5 {
            mail.accept(parcel(mail, format!("message {n}\r\n").as_bytes(), &["bob"], None)).unwrap();
        }
        let mut session = mail.open_maildrop("bob").unwrap();
        let uids: Vec<String> = session.messages().iter().map(|facts| facts.uid.clone()).collect();
        session.remove(&[]).unwrap();
        session.remove(&[3, 0, 3]).unwrap();
        session.remove(&[0]).unwrap();
        drop(session);
        let session = mail.open_maildrop("bob").unwrap();
        let left: Vec<String> = session.messages().iter().map(|facts| facts.uid.clone()).collect();
        assert_eq!(left, [&*uids[1], &uids[2], &uids[4]]);
        assert!(read(&*session, 2).unwrap().ends_with(b"message 4\r\n"));
    });
}

#[test]
fn the_queue_keeps_entries_and_their_changes() {
    every_mail(|mail| {
        mail.accept(parcel(mail, b"Subject: x\n\r\nas it came", &[], Some("Q2"))).unwrap();
        mail.accept(parcel(mail, b"second", &["alice"], Some("Q1"))).unwrap();
        assert_eq!(mail.list().unwrap().iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["Q1", "Q2"]);
        assert_eq!(mail.envelope("Q2").unwrap(), envelope("Q2"));
        let mut found = Vec::new();
        mail.message("Q2").unwrap().0.read_to_end(&mut found).unwrap();
        assert_eq!(found, b"Subject: x\n\r\nas it came", "octets as they came");

        let later = UNIX_EPOCH + Duration::from_secs(784_111_999);
        let changed = mail.change("Q2", &mut |entry| {
            entry.recipients[0].progress = Progress { attempts: 3, next_attempt: Some(later), ..Progress::default() }
        });
        let changed = changed.unwrap();
        assert_eq!((changed.attempts, changed.next_attempt), (3, later), "the envelope follows its recipients");
        assert_eq!(mail.envelope("Q2").unwrap(), changed);
        let mut due = Vec::new();
        mail.scan(&mut |facts| due.extend(facts.parts.iter().map(|part| (facts.id.to_string(), part.domain.to_string(), part.due))));
        due.sort();
        let domain = "remote.example".to_owned();
        assert_eq!(due, [("Q1".into(), domain.clone(), UNIX_EPOCH), ("Q2".into(), domain, later)]);

        Queue::remove(mail, "Q2").unwrap();
        assert!(matches!(mail.envelope("Q2"), Err(StoreError::NotFound)));
        assert!(matches!(mail.message("Q2"), Err(StoreError::NotFound)));
        assert!(matches!(mail.change("Q2", &mut |_| ()), Err(StoreError::NotFound)), "nothing is revived");
        assert!(matches!(Queue::remove(mail, "Q2"), Err(StoreError::NotFound)));
        assert_eq!(mail.list().unwrap().len(), 1);
    });
}

#[test]
fn an_entry_goes_when_nobody_waits_and_no_report_is_due() {
    every_mail(|mail| {
        mail.accept(parcel(mail, b"first\r\n", &[], Some("Q1"))).unwrap();
        let failed = mail.change("Q1", &mut |entry| {
            entry.recipients[0].state = RecipientState::Failed("550 no such user".into());
            entry.recipients[0].report = Some(Report::Failed);
        });
        assert!(!failed.unwrap().is_settled());
        let mut parts = Vec::new();
        mail.scan(&mut |facts| parts.extend(facts.parts.iter().map(|part| part.domain.to_string())));
        assert_eq!(parts, [""], "only the sender waits");

        let report = || vec![parcel(mail, b"Subject: returned\r\n", &["alice"], Some("R1"))];
        mail.settle("Q1", &mut |entry| entry.recipients[0].report = None, report()).unwrap();
        assert_eq!(mail.list().unwrap().iter().map(|entry| entry.id.clone()).collect::<Vec<_>>(), ["R1"]);
        assert!(matches!(mail.message("Q1"), Err(StoreError::NotFound)));
        assert_eq!(mail.open_maildrop("alice").unwrap().messages().len(), 1);
        assert!(mail.settle("Q1", &mut |_| (), report()).is_err(), "and no report comes without its entry");
        assert_eq!(mail.open_maildrop("alice").unwrap().messages().len(), 1);
    });
}

#[test]
fn a_parcel_is_taken_whole_or_not_at_all() {
    every_mail(|mail| {
        mail.accept(parcel(mail, b"first\r\n", &[], Some("Q1"))).unwrap();
        assert!(mail.accept(parcel(mail, b"second\r\n", &["bob", "alice"], Some("Q1"))).is_err(), "the id is taken");
        assert!(mail.open_maildrop("bob").unwrap().messages().is_empty());
        assert!(mail.open_maildrop("alice").unwrap().messages().is_empty());
        let mut kept = Vec::new();
        mail.message("Q1").unwrap().0.read_to_end(&mut kept).unwrap();
        assert_eq!(kept, b"first\r\n");
    });
}

#[test]
fn many_senders_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mail = Arc::new(DiskMail::open(&folder.path().join("maildir"), &folder.path().join("var")).unwrap());
    let senders: Vec<_> = (0..12)
        .map(|sender| {
            let mail = mail.clone();
            std::thread::spawn(move || {
                for n in 0..10 {
                    let id = format!("{sender}-{n}");
                    mail.accept(parcel(&*mail, id.as_bytes(), &["alice", "bob"], Some(&id))).unwrap();
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(mail.open_maildrop("alice").unwrap().messages().len(), 120);
    assert_eq!(mail.open_maildrop("bob").unwrap().messages().len(), 120);
    assert_eq!(mail.list().unwrap().len(), 120);
    drop(mail);
    let again = DiskMail::open(&folder.path().join("maildir"), &folder.path().join("var")).unwrap();
    assert_eq!(again.list().unwrap().len(), 120);
    assert!(again.list().unwrap().iter().all(|entry| entry.next_attempt < SystemTime::now()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn counts_are_exact_for_any_octets(messages in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..60), 1..4)) {
        every_mail(|mail| {
            for message in &messages {
                mail.accept(parcel(mail, message, &["bob"], None)).unwrap();
            }
            let bob = mail.open_maildrop("bob").unwrap();
            assert_eq!(bob.messages().len(), messages.len());
            for index in 0..messages.len() {
                let wire = read(&*bob, index).unwrap();
                assert!(wire.ends_with(b"\r\n"));
            }
        });
    }
}
