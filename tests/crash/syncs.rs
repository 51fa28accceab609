//! The order of syncs, renames and replies, as strace sees it: `kill -9` can't show a missing
//! sync, since the page cache survives it.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
};

use crate::support::{Dialogue, Family, Lab, text, until};

const V4: Family = Family::V4;

/// Content to sync: a file's own, or its whole file system's.
const SYNCS: [&str; 3] = ["fsync(", "fdatasync(", "syncfs("];
/// A name appears.
const NAMES: [&str; 5] = ["rename(", "renameat(", "renameat2(", "link(", "linkat("];

/// What the test needs of the machine.
pub fn needs() -> &'static [&'static str] {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    match traced {
        Ok(status) if !status.success() => &["permission to trace"],
        _ => &["strace"],
    }
}

/// Mail, STOR and PUT: content synced, then named, then the folder synced, then the reply.
pub fn the_syncs_come_before_the_replies() {
    let lab = Lab::new();
    let traced = lab.path("strace");
    let file = text(&traced);
    let calls = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,write,writev,sendto,sendmsg";
    let server = lab.start_under(&["strace", "-D", "-f", "-s", "40", "-e", calls, "-o", file], &[]);
    mail(server.at("smtp", V4));
    store(server.at("ftp", V4));
    put(server.at("http", V4));
    server.stop();
    let trace = until("strace has written everything", || {
        fs::read_to_string(&traced).ok().filter(|trace| trace.lines().any(|line| line.contains("+++ exited")))
    });
    let calls = completed(&trace);
    // The reply before the file went out, and the one after it.
    synced_between(&calls, "\"354 ", "\"250 ");
    synced_between(&calls, "\"229 ", "\"226 ");
    synced_between(&calls, "\"226 ", "\"HTTP/1.1 201");
}

fn mail(at: SocketAddr) {
    let mut smtp = Dialogue::with(at);
    smtp.hear("220 ");
    smtp.say("HELO lab").hear("250 ");
    smtp.say("MAIL FROM:<alice@portico.test>").hear("250 ");
    smtp.say("RCPT TO:<bob@portico.test>").hear("250 ");
    smtp.say("DATA").hear("354 ");
    smtp.say("Subject: x").say("").say("Text").say(".").hear("250 ");
}

fn store(at: SocketAddr) {
    let mut ftp = Dialogue::with(at);
    ftp.hear("220");
    ftp.say("USER alice").hear("331");
    ftp.say("PASS wonderland").hear("230");
    let reply = ftp.say("EPSV").hear("229");
    let port = reply.split('|').nth(3).and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {reply:?}"));
    let mut data = Dialogue::with((at.ip(), port).into());
    ftp.say("STOR /stored.txt").hear("1");
    data.say("Text");
    drop(data);
    ftp.hear("226");
}

fn put(at: SocketAddr) {
    let mut http = Dialogue::with(at);
    for line in ["PUT /put.txt HTTP/1.1", "Host: localhost", "Authorization: Basic YWxpY2U6d29uZGVybGFuZA==", "Content-Length: 4", "", "Te"]
    {
        http.say(line);
    }
    http.hear("HTTP/1.1 201");
}

/// The calls in the order of their ends; a call that was interrupted in the trace is put together.
fn completed(trace: &str) -> Vec<String> {
    let mut begun: Vec<(&str, &str)> = Vec::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix("<unfinished ...>") {
            // A sync counts at its end, a reply at its beginning.
            match SYNCS.iter().chain(&NAMES).any(|name| call.starts_with(name)) {
                true => begun.push((process, start)),
                false => calls.push(start.to_owned()),
            }
        } else if call.starts_with("<...") {
            if let Some(at) = begun.iter().position(|(other, _)| *other == process) {
                calls.push(begun.remove(at).1.to_owned());
            }
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

/// Between these two replies there is a sync, then a name, then a sync.
fn synced_between(calls: &[String], from: &str, to: &str) {
    let position = |text: &str, start: usize| calls[start..].iter().position(|call| call.contains(text)).map(|at| start + at);
    let start = position(from, 0).unwrap_or_else(|| panic!("no reply {from}:\n{}", calls.join("\n")));
    let end = position(to, start + 1).unwrap_or_else(|| panic!("no reply {to}:\n{}", calls.join("\n")));
    let mut expected = [&SYNCS[..], &NAMES[..], &SYNCS[..]].into_iter().peekable();
    for call in &calls[start..end] {
        if expected.peek().is_some_and(|names| names.iter().any(|name| call.starts_with(name))) {
            expected.next();
        }
    }
    assert!(expected.peek().is_none(), "not sync, name, sync between {from} and {to}:\n{}", calls[start..=end].join("\n"));
}
