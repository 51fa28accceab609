//! What everybody relies on about accounts; the clock is paused.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use super::{
    VirtualPath,
    accounts::{AccountSettings, Accounts, Secret},
};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn secret(text: &str) -> Secret {
    Secret(text.into())
}

fn settings(entries: &[(&str, AccountSettings)]) -> BTreeMap<String, AccountSettings> {
    entries.iter().map(|(name, setting)| ((*name).to_owned(), setting.clone())).collect()
}

fn clear(password: &str) -> AccountSettings {
    AccountSettings { password: Some(password.into()), ..AccountSettings::default() }
}

#[tokio::test(start_paused = true)]
async fn the_samples_are_those_of_the_textbook() {
    let accounts = Accounts::new(&BTreeMap::new(), true).unwrap();
    assert_eq!(accounts.names(), ["alice", "bob"]);
    assert_eq!(accounts.with_sample_passwords(), ["alice", "bob"]);
    let alice = accounts.login(HERE, "alice", &secret("wonderland")).await.unwrap();
    assert_eq!(alice.home, VirtualPath::root());
    assert!(alice.may_write(&VirtualPath::parse("/index.html").unwrap()));
    let bob = accounts.login(HERE, "BOB", &secret("hungry")).await.unwrap();
    assert_eq!((bob.name.as_str(), bob.home.as_str()), ("bob", "/~bob"));
    assert!(bob.may_write(&VirtualPath::parse("/~bob/x").unwrap()));
    assert!(!bob.may_write(&VirtualPath::parse("/~bobby/x").unwrap()));
    assert!(accounts.login(HERE, "bob", &secret("Hungry")).await.is_none());
    assert!(accounts.login(HERE, "bob", &secret("")).await.is_none());
    assert!(accounts.login(HERE, "nobody", &secret("hungry")).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn settings_override_and_remove_samples() {
    let off = AccountSettings { enabled: Some(false), ..AccountSettings::default() };
    let accounts = Accounts::new(&settings(&[("alice", off), ("bob", clear("thirsty"))]), true).unwrap();
    assert!(!accounts.exists("alice"));
    assert!(accounts.with_sample_passwords().is_empty());
    assert!(accounts.login(HERE, "bob", &secret("hungry")).await.is_none());
    assert!(accounts.login(HERE, "bob", &secret("thirsty")).await.unwrap().may_write(&VirtualPath::parse("/~bob/x").unwrap()));
    assert!(Accounts::new(&BTreeMap::new(), false).unwrap().names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn hashed_passwords_work_and_reload_forgets_them() {
    let hashed = |password: &str| AccountSettings {
        password_hash: Some(Accounts::hash_password(&secret(password)).unwrap()),
        ..AccountSettings::default()
    };
    let accounts = Accounts::new(&settings(&[("carol", hashed("secret"))]), false).unwrap();
    for _ in 0..2 {
        assert!(accounts.login(HERE, "carol", &secret("secret")).await.is_some());
        assert!(accounts.login(HERE, "carol", &secret("wrong")).await.is_none());
        assert!(accounts.login(HERE, "mallory", &secret("secret")).await.is_none());
    }
    accounts.replace(&settings(&[("carol", hashed("new"))]), false).unwrap();
    assert!(accounts.login(HERE, "carol", &secret("secret")).await.is_none());
    assert!(accounts.login(HERE, "carol", &secret("new")).await.is_some());
    assert!(accounts.replace(&settings(&[("carol", AccountSettings::default())]), false).is_err());
    assert!(accounts.login(HERE, "carol", &secret("new")).await.is_some(), "the old settings stay");
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_later_and_later_and_a_right_password_at_once() {
    let accounts = Accounts::new(&BTreeMap::new(), true).unwrap();
    let mut waited = Duration::ZERO;
    for _ in 0..8 {
        let before = Instant::now();
        assert!(accounts.login(HERE, "bob", &secret("guess")).await.is_none());
        assert!(before.elapsed() >= waited && before.elapsed() >= Duration::from_millis(250));
        waited = before.elapsed();
    }
    assert_eq!(waited.as_secs(), 8, "the delay has an end");
    let before = Instant::now();
    assert!(accounts.login(HERE, "alice", &secret("guess")).await.is_none());
    assert!(before.elapsed() < Duration::from_secs(1), "another account starts anew");
    let before = Instant::now();
    assert!(accounts.login(HERE, "bob", &secret("hungry")).await.is_some());
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[test]
fn mistakes_in_the_settings_are_named() {
    let long = "x".repeat(65);
    for (name, setting) in [
        ("Carol", clear("x")),
        ("../carol", clear("x")),
        (".carol", clear("x")),
        ("", clear("x")),
        (long.as_str(), clear("x")),
        ("carol", clear("")),
        ("carol", AccountSettings::default()),
        ("carol", AccountSettings { password_hash: Some("$1$x".into()), ..AccountSettings::default() }),
        ("carol", AccountSettings { write: vec!["~carol".into()], ..clear("x") }),
        ("carol", AccountSettings { password_hash: Some("x".into()), ..clear("x") }),
    ] {
        let error = Accounts::new(&settings(&[(name, setting)]), true).err().expect("refused");
        assert!(error.starts_with("[accounts."), "{error}");
    }
}
