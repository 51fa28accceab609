//! What can be asked of a running server: reload, the queue, its log.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    portico,
    support::{Dialogue, Family, Lab, Server, until},
};

fn hang_up(server: &Server) {
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
}

fn login(server: &Server, name: &str, password: &str) -> String {
    let mut pop3 = Dialogue::with(server.at("pop3", Family::V4));
    pop3.hear("+OK");
    pop3.say(&format!("USER {name}")).hear("+OK");
    pop3.say(&format!("PASS {password}")).try_line().unwrap_or_default()
}

#[test]
fn a_hangup_takes_new_accounts_and_drops_no_connection() {
    let lab = Lab::new();
    let server = lab.start(&["--only", "pop3,https,proxy"]);
    let mut before = Dialogue::with(server.at("pop3", Family::V4));
    before.hear("+OK");
    let settings = lab.data().join("portico.toml");
    fs::write(&settings, "port-offset = 1\n[accounts.carol]\npassword = \"sesame\"\n").unwrap();
    hang_up(&server);
    until("the log tells of it", || server.log().contains("these changes want a restart: port-offset").then_some(()));
    assert!(!server.log().contains("port-offset, "), "nothing else has changed: {}", server.log());
    assert!(login(&server, "carol", "sesame").starts_with("+OK"));
    before.say("QUIT").hear("+OK");
    // What makes no sense is not taken, not even in part.
    fs::write(&settings, "[accounts.carol]\npasword = \"other\"\n").unwrap();
    hang_up(&server);
    until("the log tells of it", || server.log().contains("everything stays as it was").then_some(()));
    assert!(login(&server, "carol", "sesame").starts_with("+OK"));
    server.stop();
}

#[test]
fn the_queue_is_looked_after_with_and_without_a_server() {
    let lab = Lab::new();
    let data = lab.data();
    let queue = |words: &[&str]| portico(&lab.path(""), &[&["--data", data.to_str().unwrap(), "queue"], words].concat());
    // Nobody listens at port 1: the mail stays.
    let server = lab.start(&["--only", "submission", "--set", "smtp.routes.\"remote.example\"=127.0.0.1:1"]);
    let mut smtp = Dialogue::with(server.at("submission", Family::V4));
    smtp.hear("220");
    smtp.say("EHLO lab").hear_until("250 HELP");
    smtp.say("AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=").hear("235");
    smtp.say("MAIL FROM:<alice@portico.test>").hear("250");
    smtp.say("RCPT TO:<carol@remote.example>").hear("250");
    smtp.say("DATA").hear("354");
    smtp.say("Subject: later").say("").say("Hello").say(".").hear("250");
    let listed = until("it waits", || {
        let listed = queue(&["list"]).fine();
        listed.contains("carol@remote.example").then_some(listed)
    });
    let id = listed.lines().nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(queue(&["hold", id]).fine(), format!("{id}: held\n"));
    assert!(queue(&["list", "--json"]).fine().contains("\"held\":true"));
    assert!(queue(&["show", id]).fine().contains("\nSubject: later\n"));
    server.stop();
    assert!(queue(&["list"]).fine().contains("held"));
    assert_eq!(queue(&["release", id]).fine(), format!("{id}: released\n"));
    assert_eq!(queue(&["remove", "all"]).fine(), format!("{id}: removed\n"));
    assert_eq!(queue(&["list"]).fine(), "the queue is empty\n");
}

#[test]
fn nothing_that_a_peer_sends_acts_on_whoever_reads_the_log() {
    for format in ["pretty", "json"] {
        let lab = Lab::new();
        let server = lab.start(&["--only", "pop3,smtp", "-vv", "--log-format", format]);
        login(&server, "bob\x1b[2J\u{9b}31m\u{202e}", "x\x07");
        let mut smtp = Dialogue::with(server.at("smtp", Family::V4));
        smtp.hear("220");
        smtp.say("HELO \x1b]0;title\x07").try_line();
        smtp.say("MAIL FROM:<a\x1b[2Jb@\u{202e}>").try_line();
        drop(smtp);
        until("the log tells of it", || server.log().contains("login failed").then_some(()));
        let log = server.log();
        server.stop();
        assert!(!log.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{log:?}");
        if format == "json" {
            let lines = log.lines().filter(|line| line.starts_with('{'));
            assert!(lines.clone().count() > 2 && lines.clone().all(|line| line.ends_with('}') && line.contains("\"level\":")), "{log}");
        }
    }
}
