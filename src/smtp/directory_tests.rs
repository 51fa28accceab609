//! Tests of the directory; its samples serve the tests of the rules, too.

use std::collections::BTreeMap;

use super::{
    directory::{Directory, Found, People, Target},
    settings::Settings,
};
use crate::mail::address::Path;

/// Alice and Bob, as in the samples.
pub(super) struct Samples;

impl People for Samples {
    fn named(&self, name: &str) -> Option<String> {
        ["alice", "bob"].into_iter().find(|known| name.eq_ignore_ascii_case(known)).map(str::to_owned)
    }
    fn postmaster(&self) -> Option<String> {
        Some("alice".into())
    }
}

pub(super) fn directory(settings: &Settings) -> Directory {
    Directory::new(settings, &["portico.test".into(), "localhost".into()], Box::new(Samples)).unwrap()
}

fn settings() -> Settings {
    let list = |members: &[&str]| members.iter().map(|member| member.to_string()).collect();
    Settings {
        aliases: BTreeMap::from([
            ("staff".into(), list(&["alice", "bob@localhost", "carol@remote.example", "bob"])),
            ("loop".into(), list(&["loop", "pool", "bob"])),
            ("pool".into(), list(&["loop"])),
            ("empty".into(), list(&["nobody"])),
            ("hostmaster".into(), list(&["postmaster"])),
        ]),
        ..Settings::default()
    }
}

fn found(settings: &Settings, recipient: &str) -> String {
    let (path, _) = Path::parse(recipient).unwrap();
    match directory(settings).find(&path, "127.0.0.1".parse().unwrap()) {
        Found::Unknown => "unknown".into(),
        Found::Elsewhere(mailbox) => format!("elsewhere {mailbox}"),
        Found::Here(targets) => targets.iter().map(show).collect::<Vec<_>>().join(" "),
    }
}

fn show(target: &Target) -> String {
    match target {
        Target::Account { account, .. } => account.clone(),
        Target::Remote(mailbox) => mailbox.to_string(),
    }
}

#[test]
fn local_names_lists_and_sub_addresses_find_their_mailboxes() {
    for (recipient, expected) in [
        ("<bob@portico.test>", "bob"),
        ("<BOB@LOCALHOST>", "bob"),
        ("<\"bob\"@portico.test>", "bob"),
        ("<bob+lists@portico.test>", "bob"),
        ("<+bob@portico.test>", "unknown"),
        ("<bob@[127.0.0.1]>", "bob"),
        ("<bob@[127.0.0.2]>", "elsewhere bob@[127.0.0.2]"),
        ("<postmaster>", "alice"),
        ("<Postmaster@localhost>", "alice"),
        ("<hostmaster@portico.test>", "alice"),
        ("<staff@portico.test>", "alice bob carol@remote.example"),
        ("<loop@portico.test>", "bob"),
        ("<empty@portico.test>", "unknown"),
        ("<carol@portico.test>", "unknown"),
        ("<bob@remote.example>", "elsewhere bob@remote.example"),
        ("<bob@portico.test.evil.example>", "elsewhere bob@portico.test.evil.example"),
    ] {
        assert_eq!(found(&settings(), recipient), expected, "{recipient}");
    }
}

#[test]
fn no_spelling_hides_a_remote_address_in_a_local_one() {
    for (recipient, expected) in [
        ("<bob%remote.example@portico.test>", "unknown"),
        ("<\"bob@remote.example\"@portico.test>", "unknown"),
        ("<\"bob@portico.test\"@remote.example>", "elsewhere \"bob@portico.test\"@remote.example"),
        ("<remote.example!bob@portico.test>", "unknown"),
        ("<@portico.test:bob@remote.example>", "elsewhere bob@remote.example"),
        ("<@portico.test,@localhost:bob@remote.example>", "elsewhere bob@remote.example"),
        ("<bob%portico.test@remote.example>", "elsewhere bob%portico.test@remote.example"),
    ] {
        assert_eq!(found(&settings(), recipient), expected, "{recipient}");
    }
}

#[test]
fn a_catch_all_takes_everything() {
    let settings = Settings { catch_all: "bob".into(), ..settings() };
    for recipient in ["<x@y.example>", "<alice@portico.test>", "<postmaster>"] {
        assert_eq!(found(&settings, recipient), "bob");
    }
}

#[test]
fn relaying_is_for_the_listed_networks() {
    let settings = Settings { relay_networks: vec!["192.0.2.0/24".into()], ..settings() };
    let directory = directory(&settings);
    assert!(directory.relays_for("192.0.2.9".parse().unwrap()));
    assert!(!directory.relays_for("127.0.0.1".parse().unwrap()), "not even ourselves, unless the setting says so");
}
