//! `config`, `check`, `explain` and the sources of settings.

use std::fs;

use crate::{empty, portico, portico_with};

#[test]
fn what_config_prints_is_a_settings_file() {
    let folder = empty();
    let printed = portico(folder.path(), &["config", "--set", "smtp.retry.first=4s", "--set", "hosts.\"a.test\"=127.0.0.1"]).fine();
    assert!(printed.contains("first = \"4s\"") && printed.contains("\"a.test\" = \"127.0.0.1\""), "{printed}");
    fs::write(folder.path().join("portico.toml"), &printed).unwrap();
    assert_eq!(portico(folder.path(), &["config"]).fine(), printed);
    portico(folder.path(), &["check"]).fine();
}

#[test]
fn flags_go_before_sets_before_the_environment_before_the_file() {
    let folder = empty();
    fs::write(folder.path().join("portico.toml"), "port-offset = 1000\n").unwrap();
    let offset = |arguments: &[&str], environment: &[(&str, &str)]| {
        let printed = portico_with(folder.path(), &[&["config"], arguments].concat(), "", environment).fine();
        printed.lines().find(|line| line.starts_with("port-offset")).unwrap().to_owned()
    };
    assert_eq!(offset(&[], &[]), "port-offset = 1000");
    assert_eq!(offset(&[], &[("PORTICO_PORT_OFFSET", "2000")]), "port-offset = 2000");
    assert_eq!(offset(&["--set", "port-offset=3000"], &[("PORTICO_PORT_OFFSET", "2000")]), "port-offset = 3000");
    assert_eq!(offset(&["--port-offset", "4000", "--set", "port-offset=3000"], &[]), "port-offset = 4000");
}

#[test]
fn check_warns_of_a_misspelt_variable() {
    let folder = empty();
    let said = portico_with(folder.path(), &["check"], "", &[("PORTICO_PORT_OFSET", "2000")]);
    assert!(said.code == Some(0) && said.err.contains("PORTICO_PORT_OFSET"), "{said:?}");
}

#[test]
fn codes_are_explained_with_their_source() {
    let folder = empty();
    let said = portico(folder.path(), &["explain", "smtp", "354"]).fine();
    assert!(said.contains("354") && said.contains("RFC 5321"), "{said}");
    let said = portico(folder.path(), &["explain", "pop3", "retr", "--json"]).fine();
    assert!(said.starts_with("[{") && said.contains("RFC 1939"), "{said}");
    assert!(portico(folder.path(), &["explain", "HTTP", "if-none-match"]).fine().contains("If-None-Match"));
    portico(folder.path(), &["explain", "smtp", "999"]).failed(&["smtp", "`999`"]);
    portico(folder.path(), &["explain", "gopher", "1"]).refused(&["gopher"]);
}

#[test]
fn completions_and_the_manual_page_are_made() {
    let folder = empty();
    for shell in ["bash", "zsh", "fish"] {
        assert!(portico(folder.path(), &["completions", shell]).fine().contains("portico"), "{shell}");
    }
    assert!(portico(folder.path(), &["man"]).fine().contains(".TH portico"));
}

#[test]
fn an_empty_queue_is_told_as_such() {
    let folder = empty();
    assert_eq!(portico(folder.path(), &["queue", "list"]).fine(), "the queue is empty\n");
    assert_eq!(portico(folder.path(), &["queue", "list", "--json"]).fine(), "[]\n");
    portico(folder.path(), &["queue", "retry", "nothing"]).failed(&["`nothing`", "portico queue list"]);
}
