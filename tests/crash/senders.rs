//! Twenty connections that send mail as fast as they can, and `kill -9`. What got its 250 is there
//! whole. What did not is sent again, as mail programs do, and may then be there twice
//! (RFC 5321, 4.5.3.2.6): such doubles are counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::{
    load::content,
    rounds::nothing_is_left_over,
    support::{Dialogue, Family, Lab, Server, until},
};

const SENDERS: usize = 20;

/// Nothing is tried again while the test runs.
const SETTINGS: &str = "[smtp]\nrelay-loopback = true\n[smtp.retry]\nfirst = \"1h\"\n[smtp.routes]\n\"elsewhere.test\" = \"127.0.0.1:1\"\n";

/// The folders of the data folder where a sender's mail belongs, and who gets it.
fn places(sender: usize) -> &'static [(&'static str, &'static str)] {
    match sender % 5 {
        0 => &[("maildir/alice", "alice@portico.test"), ("maildir/bob", "bob@portico.test")],
        1 => &[("var/queue", "eve@elsewhere.test")],
        2 => &[("maildir/bob", "bob@portico.test"), ("var/queue", "eve@elsewhere.test")],
        3 => &[("maildir/alice", "alice@portico.test")],
        _ => &[("maildir/bob", "bob@portico.test")],
    }
}

/// One message, as its sender knows it.
#[derive(Clone, Copy)]
struct Sent {
    sender: usize,
    times: usize,
    acknowledged: bool,
}

#[derive(Default)]
struct Ledger {
    messages: BTreeMap<String, Sent>,
    /// What each sender has to send again first.
    unsettled: BTreeMap<usize, String>,
}

/// What has been found, in all rounds.
#[derive(Default)]
struct Found {
    /// How often a message is in a place.
    copies: BTreeMap<(&'static str, String), usize>,
    read: BTreeSet<PathBuf>,
}

pub fn nothing_that_got_its_250_is_lost() {
    let rounds = std::env::var("PORTICO_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10_u32);
    let lab = Lab::new();
    fs::write(lab.data().join("portico.toml"), SETTINGS).expect("the lab is writable");
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut found = Found::default();
    let mut server = lab.start(&["--only", "smtp"]);
    for round in 1..=rounds {
        kill_under_load(server, round, &ledger);
        server = lab.start(&["--only", "smtp"]);
        // In the queue the relay is at work by now.
        nothing_is_left_over(&lab.data().join("maildir"));
        found.look(&lab.data());
        found.check(&lock(&ledger));
    }
    server.stop();
    nothing_is_left_over(&lab.data());
    nothing_is_gone(&lab.data(), &found.read);
    let ledger = lock(&ledger);
    let acknowledged = ledger.messages.values().filter(|sent| sent.acknowledged).count();
    let again = ledger.messages.values().filter(|sent| sent.times > 1).count();
    let doubles: usize = found.copies.values().map(|copies| copies - 1).sum();
    println!("{rounds} rounds: {acknowledged} messages got their 250 and are there; {again} were sent again, {doubles} copies are double");
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().expect("no sender panics while it notes something")
}

/// Waits until every sender has got something through, and then a random time more.
fn kill_under_load(server: Server, round: u32, ledger: &Arc<Mutex<Ledger>>) {
    let at = server.at("smtp", Family::V4);
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let ledger = ledger.clone();
            std::thread::spawn(move || send(at, sender, round, &ledger))
        })
        .collect();
    until("all senders have sent", || {
        let ledger = lock(ledger);
        let sent = |sender: usize| ledger.messages.get(&id(round, sender, 0)).is_some_and(|sent| sent.acknowledged);
        (senders.iter().any(std::thread::JoinHandle::is_finished) || (0..SENDERS).all(sent)).then_some(())
    });
    let moment = Instant::now() + Duration::from_micros(rand::random_range(0..50_000));
    until("the moment has come", || (Instant::now() >= moment).then_some(()));
    server.kill();
    for sender in senders {
        sender.join().expect("the senders' own checks hold");
    }
}

fn id(round: u32, sender: usize, number: usize) -> String {
    format!("r{round}-s{sender}-m{number}")
}

/// Sends until the server is gone.
fn send(at: SocketAddr, sender: usize, round: u32, ledger: &Mutex<Ledger>) -> Option<()> {
    let mut smtp = Dialogue::try_with(at)?;
    smtp.try_reply("220")?;
    smtp.try_ask("HELO lab", "250")?;
    let mut number = 0;
    loop {
        let again = lock(ledger).unsettled.remove(&sender);
        let id = again.unwrap_or_else(|| {
            number += 1;
            id(round, sender, number - 1)
        });
        smtp.try_ask("MAIL FROM:<lab@portico.test>", "250")?;
        for (_, recipient) in places(sender) {
            smtp.try_ask(&format!("RCPT TO:<{recipient}>"), "250")?;
        }
        smtp.try_ask("DATA", "354")?;
        {
            let mut ledger = lock(ledger);
            ledger.messages.entry(id.clone()).or_insert(Sent { sender, times: 0, acknowledged: false }).times += 1;
            ledger.unsettled.insert(sender, id.clone());
        }
        smtp.try_send(format!("Subject: {id}\r\n\r\n{}.\r\n", content(&id, 1)).as_bytes())?;
        smtp.try_reply("250")?;
        let mut ledger = lock(ledger);
        ledger.messages.entry(id).and_modify(|sent| sent.acknowledged = true);
        ledger.unsettled.remove(&sender);
    }
}

impl Found {
    /// Reads what is new in the maildrops and in the queue.
    fn look(&mut self, data: &Path) {
        for place in ["maildir/alice", "maildir/bob", "var/queue"] {
            for path in files(&data.join(place)) {
                if self.read.contains(&path) {
                    continue;
                }
                // The queue's temporaries come and go.
                let Ok(text) = fs::read_to_string(&path) else { continue };
                let text = text.replace("\r\n", "\n");
                let Some(id) = text.lines().find_map(|line| line.strip_prefix("Subject: ")) else { continue };
                let body = content(id, 1).replace("\r\n", "\n");
                assert!(text.contains(&format!("Subject: {id}\n\n{body}")), "torn: {}:\n{text}", path.display());
                *self.copies.entry((place, id.to_owned())).or_default() += 1;
                self.read.insert(path);
            }
        }
    }

    fn check(&self, ledger: &Ledger) {
        for (id, sent) in ledger.messages.iter().filter(|(_, sent)| sent.acknowledged) {
            for (place, _) in places(sent.sender) {
                assert!(self.copies.contains_key(&(*place, id.clone())), "lost: {id} of {place}");
            }
        }
        for ((place, id), copies) in &self.copies {
            let sent = ledger.messages.get(id).unwrap_or_else(|| panic!("nobody has sent {id}"));
            assert!(*copies <= sent.times, "{copies} copies of {id} in {place}, sent {} times", sent.times);
        }
    }
}

/// What a crash has left stays through those that follow.
fn nothing_is_gone(data: &Path, read: &BTreeSet<PathBuf>) {
    let there: BTreeSet<PathBuf> = ["maildir", "var/queue"].iter().flat_map(|place| files(&data.join(place))).collect();
    let gone: Vec<_> = read.difference(&there).collect();
    assert!(gone.is_empty(), "lost in a later round: {gone:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
