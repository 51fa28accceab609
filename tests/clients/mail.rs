//! Mail: submitted by one program, fetched by another.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::{
    Security,
    support::{Dialogue, Family, Lab, Server, attempt, python, run, run_with, text},
};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/porch.jpg");

/// alice submits a picture, bob fetches it, and not an octet has changed.
pub fn a_picture_by_mail(security: Security, family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let submission = server.at(if security == Security::Implicit { "smtps" } else { "submission" }, family);
    let pop3 = server.at(if security == Security::Implicit { "pop3s" } else { "pop3" }, family);
    let (host, ca) = (family.loopback().to_string(), text(&server.ca));
    let letter = ["alice", "wonderland", "alice@portico.test", "bob@portico.test", PICTURE];
    python("send_picture.py", &[&[&host, &submission.port().to_string(), security.name(), ca][..], &letter].concat());

    let arrived = lab.path("arrived.jpg");
    let told = python("fetch_picture.py", &[&host, &pop3.port().to_string(), security.name(), ca, "bob", "hungry", text(&arrived)]);
    assert!(
        fs::read(&arrived).expect("the picture was saved") == fs::read(PICTURE).expect("the picture is there"),
        "the picture has changed"
    );
    // RFC 3848: A for authenticated, S for TLS.
    let with = if security == Security::Plain { "with ESMTPA " } else { "with ESMTPSA " };
    assert!(told.contains(with), "no {with:?} in:\n{told}");
    assert!(told.contains("Return-Path: <alice@portico.test>"), "{told}");
    server.stop();
}

/// Puts messages with these subjects into bob's maildrop.
fn deliver(server: &Server, subjects: &[&str]) {
    let mut smtp = Dialogue::with(server.at("smtp", Family::V4));
    smtp.hear("220 ");
    smtp.say("HELO lab").hear("250 ");
    for subject in subjects {
        smtp.say("MAIL FROM:<alice@portico.test>").hear("250 ");
        smtp.say("RCPT TO:<bob@portico.test>").hear("250 ");
        smtp.say("DATA").hear("354 ");
        smtp.say("From: alice@portico.test").say(&format!("Subject: {subject}")).say("").say("..hidden").say(".").hear("250 ");
    }
    smtp.say("QUIT").hear("221 ");
}

/// How many messages bob has.
fn count(server: &Server) -> usize {
    let mut pop3 = Dialogue::with(server.at("pop3", Family::V4));
    pop3.hear("+OK");
    pop3.say("USER bob").hear("+OK");
    pop3.say("PASS hungry").hear("+OK");
    let count = pop3.say("STAT").hear("+OK ");
    pop3.say("QUIT").hear("+OK");
    count.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("STAT: {count}"))
}

/// curl lists, fetches and deletes.
pub fn curl_fetches_mail(security: Security, family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    deliver(&server, &["one", "two"]);
    let scheme = if security == Security::Implicit { "pop3s" } else { "pop3" };
    let url = |message: &str| format!("{scheme}://{}/{message}", server.at(scheme, family));
    let curl = |message: &str, more: &[&str]| {
        let url = url(message);
        let mut arguments = vec!["--silent", "--show-error", "--max-time", "20", "--user", "bob:hungry", "--cacert", text(&server.ca)];
        if security == Security::Upgraded {
            arguments.push("--ssl-reqd");
        }
        arguments.extend(more);
        arguments.push(&url);
        run("curl", &arguments)
    };
    assert_eq!(curl("", &[]).lines().count(), 2);
    let message = curl("2", &[]);
    assert!(message.contains("Subject: two\r\n") && message.ends_with("\r\n\r\n.hidden\r\n"), "{message:?}");
    curl("1", &["--request", "DELE", "--head"]);
    assert_eq!(count(&server), 1);
}

/// Download and keep, the same again (nothing new), then download and delete.
pub fn fetchmail_keeps_and_deletes() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    deliver(&server, &["one", "two"]);
    let (mbox, at) = (lab.path("mbox"), server.at("pop3", Family::V4));
    let settings = lab.write(
        "fetchmailrc",
        format!(
            "poll localhost protocol pop3 port {} uidl user bob password hungry sslproto tls1.2+ sslcertck sslcertfile {} mda \"cat >> {}\"\n",
            at.port(),
            text(&server.ca),
            text(&mbox)
        ),
    );
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    let seen = lab.path("seen");
    let pid = lab.path("pid");
    let fetch = |mode: &[&str]| {
        let fixed = ["-f", text(&settings), "-i", text(&seen), "--pidfile", text(&pid), "--nosyslog", "--nodetach"];
        let output = attempt("fetchmail", &[&fixed, mode].concat(), b"");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (status, told) = fetch(&["--keep"]);
    assert_eq!(status, Some(0), "{told}\n{}", server.log());
    assert_eq!((subjects(&mbox), count(&server)), (2, 2), "{told}");
    let (status, told) = fetch(&["--keep"]);
    assert_eq!((status, subjects(&mbox)), (Some(1), 2), "nothing is fetched twice: {told}");
    deliver(&server, &["three"]);
    let (status, told) = fetch(&["--nokeep"]);
    assert_eq!((status, subjects(&mbox), count(&server)), (Some(0), 3, 2), "what was new is fetched and deleted: {told}");
    let (status, told) = fetch(&["--nokeep", "--all"]);
    assert_eq!((status, subjects(&mbox), count(&server)), (Some(0), 5, 0), "{told}");
}

/// The same by mpop, over implicit TLS.
pub fn mpop_keeps_and_deletes() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    deliver(&server, &["one", "two"]);
    let mbox = lab.path("mbox");
    let port = format!("--port={}", server.at("pop3s", Family::V4).port());
    let trust = format!("--tls-trust-file={}", text(&server.ca));
    let (delivery, seen) = (format!("--delivery=mbox,{}", text(&mbox)), format!("--uidls-file={}", text(&lab.path("uidls"))));
    let fetch = |keep: &str| {
        let fixed = ["--host=127.0.0.1", "--user=bob", "--passwordeval=echo hungry", "--auth=plain", "--tls=on", "--tls-starttls=off"];
        run("mpop", &[&fixed[..], &[&port, &trust, &delivery, &seen, keep]].concat());
    };
    fetch("--keep=on");
    fetch("--keep=on");
    assert_eq!((subjects(&mbox), count(&server)), (2, 2));
    fetch("--keep=off");
    assert_eq!((subjects(&mbox), count(&server)), (2, 0));
}

fn subjects(mbox: &Path) -> usize {
    fs::read_to_string(mbox).unwrap_or_default().lines().filter(|line| line.starts_with("Subject: ")).count()
}

/// Two more programs that people send with, over STARTTLS and implicit TLS.
pub fn swaks_and_msmtp_submit() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let submission = server.at("submission", Family::V4).to_string();
    let envelope = ["--from", "alice@portico.test", "--to", "bob@portico.test", "--server", &submission];
    let login = ["--tls", "--auth", "LOGIN", "--auth-user", "alice", "--auth-password", "wonderland"];
    run("swaks", &[&envelope[..], &login].concat());
    let port = format!("--port={}", server.at("smtps", Family::V4).port());
    let trust = format!("--tls-trust-file={}", text(&server.ca));
    let fixed = ["--host=127.0.0.1", "--tls=on", "--tls-starttls=off", "--auth=plain", "--user=alice", "--passwordeval=echo wonderland"];
    let sender = ["--from=alice@portico.test", "bob@portico.test"];
    let message = b"From: alice@portico.test\nTo: bob@portico.test\nSubject: by msmtp\n\n.\nText\n";
    run_with("msmtp", &[&fixed[..], &[&port, &trust], &sender].concat(), message);
    assert_eq!(count(&server), 2);
}
