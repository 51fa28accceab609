//! Clients that write as fast as they can, and remember what was acknowledged to them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use crate::support::{Dialogue, Family, Server};

/// Each file is written so often before the next one begins: first anew, then over itself.
const VERSIONS: u32 = 3;

/// What the clients of one round know.
#[derive(Default)]
pub struct Known {
    pub mails: Vec<Sent>,
    /// By their ids, mails whose removal was begun by QUIT; whether it got its +OK.
    pub removed: BTreeMap<String, bool>,
    pub files: Vec<Written>,
}

/// A mail that was begun; whether it got its 250.
pub struct Sent {
    pub id: String,
    pub acknowledged: bool,
}

/// A file: the version that was begun last, and the one that was acknowledged last (0: none).
pub struct Written {
    pub name: String,
    pub begun: u32,
    pub acknowledged: u32,
}

/// Lines that tell what they belong to, so many that a file is now short, now long.
pub fn content(id: &str, version: u32) -> String {
    let weight = id.bytes().map(u64::from).sum::<u64>() * 7 + u64::from(version) * 31;
    let lines = 1 + weight % 97 * (weight % 13);
    (0..lines).map(|line| format!("{id} version {version} line {line}\r\n")).collect()
}

/// Writes by SMTP, FTP and HTTP, and removes by POP3, until the server is gone. The name of
/// everything begins with `round`.
pub fn clients(server: &Server, round: &str) -> (Arc<Mutex<Known>>, Vec<std::thread::JoinHandle<Option<()>>>) {
    let known = Arc::new(Mutex::new(Known::default()));
    let at = |service| server.at(service, Family::V4);
    let (smtp, pop3, ftp, http) = (at("smtp"), at("pop3"), at("ftp"), at("http"));
    let seen = known.clone();
    let mut threads = vec![std::thread::spawn(move || remove_mails(pop3, "alice", "wonderland", &seen))];
    for (client, recipient) in ["alice", "bob"].into_iter().enumerate() {
        let (name, seen) = (format!("{round}-mail{client}"), known.clone());
        threads.push(std::thread::spawn(move || send_mails(smtp, recipient, &name, &seen)));
        let (name, seen) = (format!("{round}-ftp{client}"), known.clone());
        threads.push(std::thread::spawn(move || store_by_ftp(ftp, &name, &seen)));
        let (name, seen) = (format!("{round}-http{client}"), known.clone());
        threads.push(std::thread::spawn(move || put_by_http(http, &name, &seen)));
    }
    (known, threads)
}

fn lock(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    known.lock().expect("no client panics while it notes something")
}

fn send_mails(at: SocketAddr, recipient: &str, name: &str, known: &Mutex<Known>) -> Option<()> {
    let mut smtp = Dialogue::try_with(at)?;
    smtp.try_reply("220")?;
    smtp.try_ask("HELO lab", "250")?;
    for number in 0.. {
        let id = format!("{name}-{number}");
        smtp.try_ask("MAIL FROM:<lab@portico.test>", "250")?;
        smtp.try_ask(&format!("RCPT TO:<{recipient}@portico.test>"), "250")?;
        smtp.try_ask("DATA", "354")?;
        let index = {
            let mut known = lock(known);
            known.mails.push(Sent { id: id.clone(), acknowledged: false });
            known.mails.len() - 1
        };
        smtp.try_send(format!("Subject: {id}\r\n\r\n{}.\r\n", content(&id, 1)).as_bytes())?;
        smtp.try_reply("250")?;
        lock(known).mails[index].acknowledged = true;
    }
    None
}

/// Fetches and deletes whatever has come for an account, in one short session after another.
fn remove_mails(at: SocketAddr, account: &str, password: &str, known: &Mutex<Known>) -> Option<()> {
    loop {
        let mut pop3 = Dialogue::try_with(at)?;
        pop3.try_reply("+OK")?;
        pop3.try_ask(&format!("USER {account}"), "+OK")?;
        pop3.try_ask(&format!("PASS {password}"), "+OK")?;
        let mut removed = Vec::new();
        for (number, (id, _)) in (1..).zip(try_fetch_all(&mut pop3)?) {
            pop3.try_ask(&format!("DELE {number}"), "+OK")?;
            lock(known).removed.insert(id.clone(), false);
            removed.push(id);
        }
        pop3.try_ask("QUIT", "+OK")?;
        let mut known = lock(known);
        known.removed.extend(removed.into_iter().map(|id| (id, true)));
    }
}

/// Subjects and bodies of all messages of the session's maildrop, in their order.
pub fn try_fetch_all(pop3: &mut Dialogue) -> Option<Vec<(String, String)>> {
    pop3.try_send(b"STAT\r\n")?;
    let count = pop3.try_reply("+OK")?;
    let count: usize = count.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("STAT: {count}"));
    let mut messages = Vec::new();
    for number in 1..=count {
        pop3.try_ask(&format!("RETR {number}"), "+OK")?;
        let (mut subject, mut body, mut in_body) = (None, String::new(), false);
        loop {
            match pop3.try_line()?.as_str() {
                "." => break,
                line if in_body => body += &format!("{line}\r\n"),
                "" => in_body = true,
                line => subject = subject.or(line.strip_prefix("Subject: ").map(str::to_owned)),
            }
        }
        messages.push((subject.unwrap_or_else(|| panic!("message {number} has no subject: {body}")), body));
    }
    Some(messages)
}

/// Writes files by `write(name, content, version)` until it fails.
fn write_files(name: &str, known: &Mutex<Known>, mut write: impl FnMut(&str, &str, u32) -> Option<()>) -> Option<()> {
    for number in 0.. {
        let name = format!("{name}-{number}");
        let index = {
            let mut known = lock(known);
            known.files.push(Written { name: name.clone(), begun: 0, acknowledged: 0 });
            known.files.len() - 1
        };
        for version in 1..=VERSIONS {
            lock(known).files[index].begun = version;
            write(&name, &content(&name, version), version)?;
            lock(known).files[index].acknowledged = version;
        }
    }
    None
}

fn store_by_ftp(at: SocketAddr, name: &str, known: &Mutex<Known>) -> Option<()> {
    let mut ftp = Dialogue::try_with(at)?;
    ftp.try_reply("220")?;
    ftp.try_ask("USER alice", "331")?;
    ftp.try_ask("PASS wonderland", "230")?;
    ftp.try_ask("TYPE I", "200")?;
    ftp.try_ask("CWD /load", "250")?;
    write_files(name, known, |name, content, _| {
        ftp.try_send(b"EPSV\r\n")?;
        let reply = ftp.try_reply("229")?;
        let port = reply.split('|').nth(3).and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {reply:?}"));
        let mut data = Dialogue::try_with((at.ip(), port).into())?;
        ftp.try_ask(&format!("STOR {name}"), "1")?;
        data.try_send(content.as_bytes())?;
        drop(data);
        ftp.try_reply("226").map(|_| ())
    })
}

fn put_by_http(at: SocketAddr, name: &str, known: &Mutex<Known>) -> Option<()> {
    let mut http = Dialogue::try_with(at)?;
    write_files(name, known, |name, content, version| {
        let head = format!(
            "PUT /load/{name} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        http.try_send(&[head.as_bytes(), content.as_bytes()].concat())?;
        let status = http.try_line()?;
        let expected = if version == 1 { "HTTP/1.1 201" } else { "HTTP/1.1 204" };
        assert!(status.starts_with(expected), "expected {expected}, got {status}");
        skip_answer(&mut http)
    })
}

/// The rest of the head, and the body.
fn skip_answer(http: &mut Dialogue) -> Option<()> {
    let mut octets = 0;
    loop {
        let line = http.try_line()?.to_ascii_lowercase();
        if let Some(length) = line.strip_prefix("content-length:") {
            octets = length.trim().parse().unwrap_or_else(|_| panic!("a length: {line:?}"));
        }
        if line.is_empty() {
            return http.try_octets(octets).map(|_| ());
        }
    }
}
