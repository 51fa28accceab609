//! Every suite against every broken server: each must notice what it is there for.

use std::collections::BTreeMap;

use super::*;
use crate::{
    config::{self, Settings},
    net::network::Network,
    play::{ANY_TIME, Play, STEP_TIME, Stage, Targets, suites},
    testing,
};

/// How a suite does against a broken server: whether it noticed, and what it said first.
async fn play(suite: &str, broken: &'static Broken, service: &'static str) -> Option<String> {
    let network = Network::memory();
    let mut play = Play::suite(suite).unwrap();
    play.listen(&network).unwrap();
    let (file, sets) = testing::split_settings(play.settings().unwrap());
    let settings: Settings = config::read::merge(("portico.toml", &file), std::iter::empty(), &sets).unwrap().settings;
    let at = "127.0.0.1:7777".parse().unwrap();
    let prepare = [Play::suite(suite)
        .map(|mut play| {
            play.define_defaults();
            play
        })
        .unwrap()];
    let running = serve::open(broken, service, at, &network, settings, &prepare).unwrap();
    let targets = Targets::Named(BTreeMap::from([(service.to_owned(), running.at)]));
    let stage = Stage { network, targets, tls: testing::memory_tls().unwrap(), step_time: STEP_TIME, script_time: ANY_TIME };
    play.run(&stage).await.err().map(|failure| failure.to_string())
}

/// THE MATRIX: every suite for a service notices each broken server that concerns it, and lets the
/// others pass.
#[tokio::test(start_paused = true)]
async fn each_suite_catches_each_broken_server_that_concerns_it() {
    let mut wrong = Vec::new();
    for broken in BROKEN {
        for service in broken.services {
            for (suite, _, _) in suites::all().filter(|(_, _, play)| play.services().contains(*service)) {
                let noticed = play(suite, broken, service).await;
                match (&noticed, broken.is_caught_by(suite)) {
                    (None, true) => wrong.push(format!("{suite} lets {} ({service}) pass", broken.name)),
                    (Some(difference), false) => {
                        wrong.push(format!("{suite} catches {} ({service}), which the table does not say: {difference}", broken.name))
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_names_services_and_suites_that_exist() {
    for broken in BROKEN {
        assert!(broken.services.iter().all(|service| crate::services::row(service).is_some()), "{}", broken.name);
        let known = |suite: &&str| *suite == "*" || suites::names().any(|name| name == *suite);
        assert!(!broken.caught_by.is_empty() && broken.caught_by.iter().all(known), "{}", broken.name);
    }
    assert!(named("bare-lff").err().unwrap().contains("did you mean bare-lf"));
    assert_eq!(named("bare-lf").unwrap().service(Some("pop3")), Ok("pop3"));
    assert!(named("open-relay").unwrap().service(Some("pop3")).is_err());
}

/// What a hostile server does costs its time, and no more: on a clock that jumps this shows that
/// there is an end.
#[tokio::test(start_paused = true)]
async fn a_sound_server_behind_the_layer_passes() {
    static SOUND: Broken = broken(
        "sound",
        &["smtp", "pop3", "ftp", "http", "https", "proxy", "capital-tcp", "submission"],
        "is sound",
        ALL,
        Fault::Lines(as_it_is, as_it_is),
    );
    for service in SOUND.services {
        for (suite, _, _) in suites::all().filter(|(_, _, play)| play.services().contains(*service)) {
            assert_eq!(play(suite, &SOUND, service).await, None, "{suite}");
        }
    }
}

/// What there is stands in the documentation, under its name.
#[test]
fn the_documentation_names_every_suite_and_every_broken_server() {
    let page = include_str!("../../../docs/transcripts.md");
    let names = BROKEN.iter().map(|broken| broken.name).chain(suites::names());
    let missing: Vec<_> = names.filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/transcripts.md: {missing:?}");
}

/// Suites are exported into one folder: a file that two of them want must be the same.
#[test]
fn suites_agree_on_the_files_that_they_share() {
    let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (suite, _, mut play) in suites::all() {
        play.define_defaults();
        for file in play.files().unwrap() {
            let there = seen.entry(file.place.clone()).or_insert_with(|| file.content.clone());
            assert!(*there == file.content, "{suite}: {}", file.place);
        }
    }
}
