//! Rounds of `kill -9`: load, kill at a random moment, start again, look what is there.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    load::{self, Known, Written, content, try_fetch_all},
    support::{Dialogue, Family, Lab, Server, until},
};

/// What is acknowledged is there, whole; nothing is torn; no lock and no temporary is left.
pub fn nothing_acknowledged_is_lost() {
    let rounds = std::env::var("PORTICO_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10_u32);
    let lab = Lab::new();
    let mut server = lab.start(&[]);
    fs::create_dir(lab.data().join("www/load")).expect("the tree is writable");
    let (mut mails, mut files) = (0, 0);
    for round in 1..=rounds {
        let known = kill_under_load(server, &format!("r{round}"));
        server = lab.start(&[]);
        nothing_is_left_over(&lab.data());
        mails += check_mails(&server, &known);
        files += check_files(&lab.data().join("www/load"), &known.files);
    }
    println!("{rounds} rounds: {mails} mails and {files} uploads were acknowledged, and are there");
    server.stop();
}

/// Waits until every client has got something through, and then a random time more.
fn kill_under_load(server: Server, round: &str) -> Known {
    let (known, clients) = load::clients(&server, round);
    until("all clients write", || {
        let known = known.lock().expect("no client panics while it notes something");
        let writes = |name: &str| {
            known.files.iter().any(|file| file.name.contains(name) && file.acknowledged > 0)
                || known.mails.iter().any(|mail| mail.id.contains(name) && mail.acknowledged)
        };
        let stuck = clients.iter().any(std::thread::JoinHandle::is_finished);
        let removes = known.removed.values().any(|acknowledged| *acknowledged);
        (stuck || removes && ["mail0", "mail1", "ftp0", "ftp1", "http0", "http1"].into_iter().all(writes)).then_some(())
    });
    let moment = Instant::now() + Duration::from_micros(rand::random_range(0..200_000));
    until("the moment has come", || (Instant::now() >= moment).then_some(()));
    server.kill();
    for client in clients {
        client.join().expect("the clients' own checks hold");
    }
    std::mem::take(&mut *known.lock().expect("all clients are done"))
}

/// No file under a temporary name, anywhere.
pub fn nothing_is_left_over(folder: &Path) {
    for entry in fs::read_dir(folder).expect("the data folder is readable").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with(".portico-") || path.is_dir(), "left over: {}", path.display());
        if path.is_dir() {
            nothing_is_left_over(&path);
        }
        if name == "tmp" && folder.parent().is_some_and(|above| above.ends_with("maildir")) {
            let left: Vec<_> = fs::read_dir(&path).expect("tmp is readable").flatten().map(|entry| entry.path()).collect();
            assert!(left.is_empty(), "left over: {left:?}");
        }
    }
}

/// Fetches all mail, compares, and deletes it: what is seen again in a later round was revived.
fn check_mails(server: &Server, known: &Known) -> usize {
    let mut found = drain(server, "alice", "wonderland");
    found.extend(drain(server, "bob", "hungry"));
    for mail in &known.mails {
        let removed = known.removed.get(&mail.id);
        match found.remove(&mail.id) {
            Some(_) if removed == Some(&true) => panic!("revived: {}", mail.id),
            Some(text) => assert!(text == content(&mail.id, 1), "torn: {}: {text}", mail.id),
            None => assert!(!mail.acknowledged || removed.is_some(), "lost: {}", mail.id),
        }
    }
    assert!(found.is_empty(), "revived: {:?}", found.keys());
    known.mails.iter().filter(|mail| mail.acknowledged).count()
}

/// Takes everything out of a maildrop: bodies by subject.
fn drain(server: &Server, account: &str, password: &str) -> BTreeMap<String, String> {
    let mut pop3 = Dialogue::with(server.at("pop3", Family::V4));
    pop3.hear("+OK");
    pop3.say(&format!("USER {account}")).hear("+OK");
    pop3.say(&format!("PASS {password}")).hear("+OK user successfully logged on");
    let messages = try_fetch_all(&mut pop3).expect("the server runs");
    (1..=messages.len()).for_each(|number| drop(pop3.say(&format!("DELE {number}")).hear("+OK")));
    pop3.say("QUIT").hear("+OK");
    let count = messages.len();
    let found: BTreeMap<_, _> = messages.into_iter().collect();
    assert_eq!(found.len(), count, "some are there twice: {:?}", found.keys());
    found
}

/// Each file holds one whole version: the one acknowledged last, or the one begun after it.
fn check_files(folder: &Path, written: &[Written]) -> usize {
    let mut acknowledged = 0;
    for file in written {
        acknowledged += file.acknowledged as usize;
        let Ok(text) = fs::read_to_string(folder.join(&file.name)) else {
            assert_eq!(file.acknowledged, 0, "lost: {}", file.name);
            continue;
        };
        let version = (1..=file.begun).find(|version| text == content(&file.name, *version));
        let version = version.unwrap_or_else(|| panic!("torn: {} begun {} acknowledged {}", file.name, file.begun, file.acknowledged));
        assert!(version >= file.acknowledged, "lost: version {} of {}, there is {version}", file.acknowledged, file.name);
    }
    acknowledged
}
