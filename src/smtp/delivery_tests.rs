//! Local delivery under settings of accounts: forwards, copies and quotas.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::SystemTime,
};

use super::{
    delivery::{forward, weigh},
    directory::{Directory, Found},
    parcel::{Consignment, Copy},
    settings::Settings,
};
use crate::{
    mail::address::{Mailbox, Path},
    store::{
        Accounts,
        accounts::AccountSettings,
        envelope::{MailParameters, Notify, Progress, RcptParameters, Recipient, RecipientState, Report},
        mail::{Forward, LocalDelivery, MailStore, Parcel, Spool},
        memory::MemoryMail,
    },
    units::Size,
};

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// alice, bob and carol, with settings of their own.
fn directory(settings: &[(&str, AccountSettings)]) -> Directory {
    let mut all: BTreeMap<String, AccountSettings> = BTreeMap::new();
    for name in ["alice", "bob", "carol"] {
        let own = settings.iter().find(|(other, _)| *other == name).map(|(_, own)| own.clone()).unwrap_or_default();
        all.insert(name.into(), AccountSettings { password: Some("x".into()), ..own });
    }
    let accounts = Arc::new(Accounts::new(&all, false).unwrap());
    Directory::new(&Settings::default(), &["portico.test".to_owned()], Box::new(accounts)).unwrap()
}

fn to(forward: &[&str], keep_copy: bool) -> AccountSettings {
    AccountSettings {
        forward: forward.iter().map(|to| (*to).to_owned()).collect(),
        keep_copy: Some(keep_copy),
        ..AccountSettings::default()
    }
}

fn quota(octets: u64) -> AccountSettings {
    AccountSettings { mail_quota: Some(Size(octets)), ..AccountSettings::default() }
}

fn path(address: &str) -> Path {
    Path::Mailbox(Mailbox::parse(address).unwrap())
}

fn consignment(directory: &Directory, recipients: &[&str], parameters: &RcptParameters) -> Consignment {
    let mut copies = Vec::new();
    for recipient in recipients {
        let Found::Here(targets) = directory.find(&path(recipient), OWN) else { panic!("{recipient} is nobody") };
        copies.extend(targets.into_iter().map(|target| Copy { target, parameters: parameters.clone() }));
    }
    let sender = path("eve@remote.example");
    let parameters = MailParameters::default();
    Consignment { id: "1".into(), sender, parameters, copies, reports: Vec::new(), eight_bit: false, arrived: SystemTime::UNIX_EPOCH }
}

fn message(text: &str) -> Box<dyn Spool> {
    let mut spool = MemoryMail::new().spool().unwrap();
    spool.write(text.as_bytes()).unwrap();
    spool
}

/// Who gets a copy here, and who elsewhere by whom.
fn forwarded(directory: &Directory, recipients: &[&str], text: &str) -> (Vec<String>, Vec<String>) {
    let mut consignment = consignment(directory, recipients, &RcptParameters::default());
    let forwards = forward(directory, &mut consignment, &mut *message(text), OWN).unwrap();
    let local: Vec<LocalDelivery> = consignment.parcel(message(text)).local;
    (local.into_iter().map(|local| local.account).collect(), forwards.iter().map(shown).collect())
}

fn shown(forward: &Forward) -> String {
    let to: Vec<_> = forward.envelope.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
    format!("{} {}{}", forward.envelope.id, String::from_utf8_lossy(&forward.prefix).replace("\r\n", " > "), to.join(","))
}

#[test]
fn an_account_sends_on_and_may_keep_a_copy() {
    let away = ["1-f1 Delivered-To: bob@portico.test > bob@remote.example,b@two.example"];
    let directory = directory(&[("bob", to(&["bob@remote.example", "b@two.example"], false)), ("carol", to(&["alice"], true))]);
    assert_eq!(forwarded(&directory, &["bob@portico.test"], "x"), (vec![], away.map(str::to_owned).to_vec()));
    assert_eq!(forwarded(&directory, &["carol@portico.test"], "x"), (vec!["alice".into(), "carol".into()], vec![]));
    assert_eq!(forwarded(&directory, &["alice@portico.test"], "x"), (vec!["alice".into()], vec![]));
    // One copy, however many ways lead to a mailbox.
    assert_eq!(forwarded(&directory, &["alice@portico.test", "carol@portico.test"], "x").0, ["alice", "carol"]);
}

#[test]
fn nothing_goes_round_and_nothing_is_lost() {
    let circle = directory(&[("alice", to(&["bob"], false)), ("bob", to(&["alice@portico.test"], false))]);
    assert_eq!(forwarded(&circle, &["alice@portico.test"], "x"), (vec!["bob".into()], vec![]));
    let own = directory(&[("bob", to(&["bob"], false))]);
    assert_eq!(forwarded(&own, &["bob@portico.test"], "x"), (vec!["bob".into()], vec![]));
    let nowhere = directory(&[("bob", to(&["nobody"], false))]);
    assert_eq!(forwarded(&nowhere, &["bob@portico.test"], "x"), (vec!["bob".into()], vec![]));
    // It has been here before: the other server sent it back.
    let away = directory(&[("bob", to(&["bob@remote.example"], false))]);
    let text = "Received: x\r\nDelivered-To: BOB@portico.test\r\nSubject: y\r\n\r\nz\r\n";
    assert_eq!(forwarded(&away, &["bob@portico.test"], text), (vec!["bob".into()], vec![]));
    let other = "Subject: y\r\n\r\nDelivered-To: bob@portico.test\r\n";
    assert_eq!(forwarded(&away, &["bob@portico.test"], other).1.len(), 1);
}

#[test]
fn who_sends_on_passes_the_wish_for_a_report_on() {
    let directory = directory(&[("bob", to(&["bob@remote.example"], false))]);
    let original = super::super::store::envelope::OriginalRecipient { kind: "rfc822".into(), address: "bob@portico.test".into() };
    let notify = Some(Notify { failure: true, ..Notify::default() });
    let parameters = RcptParameters { notify, orcpt: Some(original) };
    let mut consignment = consignment(&directory, &["bob@portico.test"], &parameters);
    consignment.reports.push(Recipient {
        address: "bob@portico.test".into(),
        state: RecipientState::Delivered,
        parameters: parameters.clone(),
        report: Some(Report::Delivered),
        progress: Progress::default(),
    });
    let forwards = forward(&directory, &mut consignment, &mut *message("x"), OWN).unwrap();
    assert!(consignment.reports.is_empty());
    assert_eq!(forwards[0].envelope.recipients[0].parameters.notify, Some(Notify { success: true, failure: true, delay: false }));
}

fn fill(mail: &MemoryMail, account: &str, octets: usize) {
    let local = vec![LocalDelivery { account: account.into(), prefix: Vec::new() }];
    let text = "x".repeat(octets - 2) + "\r\n";
    mail.accept(Parcel { message: message(&text), local, relay: None, forwards: Vec::new() }).unwrap();
}

#[test]
fn what_fits_for_some_is_delivered_to_them_and_reported_for_the_others() {
    let (directory, mail) = (directory(&[("alice", quota(100)), ("bob", quota(100)), ("carol", quota(0))]), MemoryMail::new());
    fill(&mail, "alice", 60);
    let weighed = |recipients: &[&str], octets: u64, forwards: usize| {
        let mut consignment = consignment(&directory, recipients, &RcptParameters::default());
        let refused = weigh(&directory, &mail, &mut consignment, octets, forwards).map_err(|reply| reply.to_string());
        let kept: Vec<_> = consignment.copies.iter().map(|copy| format!("{:?}", copy.target)).collect();
        (refused, kept.len(), consignment.reports)
    };
    assert_eq!(weighed(&["alice@portico.test", "bob@portico.test"], 40, 0), (Ok(()), 2, vec![]));
    let (refused, kept, reports) = weighed(&["alice@portico.test", "bob@portico.test", "carol@portico.test"], 41, 0);
    assert_eq!((refused, kept), (Ok(()), 2));
    assert_eq!((reports[0].address.as_str(), reports[0].report), ("alice@portico.test", Some(Report::Failed)));
    assert_eq!(reports[0].state, RecipientState::Failed("552 5.2.2 Mailbox full".into()));
    assert_eq!(weighed(&["alice@portico.test"], 41, 0).0.unwrap_err(), "452 4.2.2 Mailbox full, try again later\r\n");
    assert!(weighed(&["alice@portico.test", "bob@portico.test"], 101, 0).0.unwrap_err().starts_with("552 5.2.2 "));
    assert_eq!(weighed(&["alice@portico.test"], 41, 1).1, 0);
}

#[test]
fn a_report_is_delivered_rather_than_lost() {
    let (directory, mail) = (directory(&[("alice", quota(100))]), MemoryMail::new());
    fill(&mail, "alice", 100);
    let mut consignment = consignment(&directory, &["alice@portico.test", "bob@portico.test"], &RcptParameters::default());
    consignment.sender = Path::Null;
    assert!(weigh(&directory, &mail, &mut consignment, 41, 0).is_ok());
    assert_eq!(consignment.copies.len(), 2);
}
