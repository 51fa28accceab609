//! The test messages of two mail libraries, odd ones most of them: carried octet for octet, here and
//! through the relay, and shown without a crash.
//!
//! They are looked for on the machine: CPython's come with Python, mail-parser's lie in cargo's
//! registry. What is not there is not tried.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::support::{Family, Lab, attempt, python, run, text, until};

/// The longest that showing one of them may take.
const SHOWING: Duration = Duration::from_secs(10);

/// All files, in the order of their paths.
pub fn messages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let python = attempt("python3", &["-c", "import test.test_email as it; print(it.__path__[0])"], b"");
    find(&Path::new(String::from_utf8_lossy(&python.stdout).trim()).join("data"), "txt", &mut found);
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    for registry in names(&cargo.unwrap_or_default().join("registry/src")) {
        for source in names(&registry).iter().filter(|path| path.to_string_lossy().contains("/mail-parser-0.11")) {
            find(&source.join("resources/eml"), "eml", &mut found);
        }
    }
    found.sort();
    found
}

fn names(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect()).unwrap_or_default()
}

fn find(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for path in names(folder) {
        if path.is_dir() {
            find(&path, extension, found);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
}

/// As it lies in a Maildir; `None` where it holds a CR by itself, which no server takes.
fn expected(file: &Path) -> Option<Vec<u8>> {
    let content = fs::read(file).expect("it was found a moment ago");
    let is_kept = |at: usize| content[at] != b'\r' || content.get(at + 1) != Some(&b'\n');
    let mut content: Vec<u8> = (0..content.len()).filter(|at| is_kept(*at)).map(|at| content[at]).collect();
    if !content.ends_with(b"\n") {
        content.push(b'\n');
    }
    (!content.contains(&b'\r')).then_some(content)
}

/// What lies in a mailbox, without what servers have put in front.
fn carried(maildir: &Path, servers: usize) -> Vec<Vec<u8>> {
    let mut all: Vec<_> =
        names(&maildir.join("new")).iter().map(|path| without_trace(&fs::read(path).expect("it was delivered"), servers)).collect();
    all.sort();
    all
}

/// Takes away Return-Path, Delivered-To and one Received field for each server.
fn without_trace(message: &[u8], servers: usize) -> Vec<u8> {
    let mut rest = message;
    let mut fields = 2 + servers;
    loop {
        let end = rest.iter().position(|octet| *octet == b'\n').expect("trace fields end") + 1;
        let is_folded = matches!(rest.first(), Some(b' ' | b'\t'));
        if fields == 0 && !is_folded {
            return rest.to_vec();
        }
        fields -= usize::from(!is_folded);
        rest = &rest[end..];
    }
}

pub fn odd_messages_are_carried_as_they_are_and_shown() {
    let (near, far) = (Lab::new(), Lab::new());
    let hop = far.start(&["--set", "domains=[\"two.example\"]"]);
    let route = format!("smtp.routes.\"two.example\"=\"{}\"", hop.at("smtp", Family::V4));
    let server = near.start(&["--set", "smtp.relay-loopback=true", "--set", &route]);
    let at = server.at("smtp", Family::V4);
    let files = messages();
    let paths: Vec<&str> = files.iter().map(|path| text(path)).collect();
    let (host, port) = (at.ip().to_string(), at.port().to_string());
    let envelope = [host.as_str(), &port, "alice@portico.test", "bob@portico.test,bob@two.example"];
    let replies = python("send_corpus.py", &[&envelope[..], &paths].concat());

    let mut sent = Vec::new();
    for (file, reply) in files.iter().zip(replies.lines()) {
        match expected(file) {
            Some(content) => {
                assert!(reply.starts_with("250 "), "{}: {reply}", file.display());
                sent.push(content);
            }
            None => assert!(reply.starts_with("550 5.6.0"), "{}: {reply}", file.display()),
        }
    }
    sent.sort();
    let arrived = until("the relay has sent all", || {
        let arrived = carried(&far.data().join("maildir/bob"), 2);
        (arrived.len() >= sent.len()).then_some(arrived)
    });
    compare(&sent, &carried(&near.data().join("maildir/bob"), 1));
    compare(&sent, &arrived);
    show_all(&near, sent.len());
    server.stop();
    hop.stop();
}

/// The only change there may be: an empty line in front of text that begins without one.
fn compare(sent: &[Vec<u8>], carried: &[Vec<u8>]) {
    assert_eq!(sent.len(), carried.len());
    let changed: Vec<_> = sent.iter().filter(|message| carried.binary_search(message).is_err()).collect();
    for message in changed {
        let is_repaired = |carried: &Vec<u8>| {
            let at = (0..carried.len()).find(|at| carried.get(*at) != message.get(*at)).unwrap_or_default();
            carried.len() == message.len() + 1 && carried[at] == b'\n' && carried[at + 1..] == message[at..]
        };
        assert!(carried.iter().any(is_repaired), "changed on its way: {}", message[..message.len().min(300)].escape_ascii());
    }
}

fn show_all(lab: &Lab, count: usize) {
    for number in (1..=count).map(|number| number.to_string()) {
        for view in ["--json", "--tree"] {
            let begun = Instant::now();
            let shown = run(env!("CARGO_BIN_EXE_portico"), &["mail", "show", "bob", &number, view, "--data", text(&lab.data())]);
            assert!(!shown.is_empty() && begun.elapsed() < SHOWING, "message {number} {view}: {:?}", begun.elapsed());
        }
    }
}
