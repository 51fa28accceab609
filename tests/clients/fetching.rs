//! Programs that people read their mail with, each in its own way of keeping and deleting.

use std::fs;

use crate::support::{Family, Lab, Server, attempt, python, run, text};

/// Puts messages into bob's Maildir as another program does: names that tell no size.
fn drop_in(lab: &Lab, subjects: impl IntoIterator<Item = String>) {
    for name in ["tmp", "new", "cur"] {
        fs::create_dir_all(lab.data().join("maildir/bob").join(name)).expect("the data folder is writable");
    }
    let folder = lab.data().join("maildir/bob/new");
    for (index, subject) in subjects.into_iter().enumerate() {
        let message = format!("From: alice@portico.test\nSubject: {subject}\n\n.hidden\nlast line without an end");
        fs::write(folder.join(format!("{}.{index}.other", 1_700_000_000 + index)), message).expect("the Maildir is there");
    }
}

/// How many messages are left for bob.
fn left(lab: &Lab) -> usize {
    ["new", "cur"].iter().map(|name| fs::read_dir(lab.data().join("maildir/bob").join(name)).expect("a folder").count()).sum()
}

fn lab() -> (Lab, Server, usize) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    drop_in(&lab, ["one", "two"].map(str::to_owned));
    let all = left(&lab);
    (lab, server, all)
}

/// getmail keeps, sees nothing new, then deletes; over implicit TLS.
pub fn getmail_keeps_and_deletes() {
    let (lab, server, all) = lab();
    let mbox = lab.write("mbox", "");
    let settings = format!(
        "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = 127.0.0.1\nport = {}\nusername = bob\npassword = hungry\nca_certs = {}\n\
         [destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"-c\", \"cat >> {}\")\nallow_root_commands = true\n\
         [options]\nread_all = false\n",
        server.at("pop3s", Family::V4).port(),
        text(&server.ca),
        text(&mbox)
    );
    let settings = lab.write("getmailrc", settings);
    let home = settings.parent().expect("it lies in a folder").to_owned();
    let fetch = |more: &[&str]| run("getmail", &[&["--getmaildir", text(&home), "--rcfile", "getmailrc"], more].concat());
    let fetched = || fs::read_to_string(&mbox).unwrap_or_default().matches("Subject: ").count();
    fetch(&["--dont-delete"]);
    fetch(&["--dont-delete"]);
    assert_eq!((fetched(), left(&lab)), (all, all), "kept, and nothing fetched twice");
    fetch(&["--delete", "--all"]);
    assert_eq!((fetched(), left(&lab)), (2 * all, 0));
}

/// mutt reads the maildrop as a folder, logs in by SCRAM, and deletes what was tagged.
pub fn mutt_deletes_what_was_tagged() {
    let (lab, server, _) = lab();
    let maildrop = format!("pops://bob:hungry@127.0.0.1:{}", server.at("pop3s", Family::V4).port());
    let settings = lab.write("muttrc", format!("set ssl_ca_certificates_file={}\nset delete=yes\nset quit=yes\n", text(&server.ca)));
    let keys = "push '<tag-pattern>~s two<enter><tag-prefix><delete-message><quit>'";
    // It wants a terminal: script gives it one.
    let mutt = format!("env TERM=xterm mutt -n -F {} -f {maildrop} -e \"{keys}\"", text(&settings));
    let before = left(&lab);
    let output = attempt("script", &["--quiet", "--return", "--command", &mutt, "/dev/null"], b"");
    assert_eq!(left(&lab), before - 1, "{}\n{}", String::from_utf8_lossy(&output.stdout), server.log());
    server.stop();
}

/// Two thousand messages by poplib: every size as announced, every id another, all of them deleted.
pub fn two_thousand_messages_by_poplib() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    drop_in(&lab, (0..2000).map(|number| format!("number {number}")));
    let all = left(&lab);
    let told = python("drain_maildrop.py", &["127.0.0.1", &server.at("pop3", Family::V4).port().to_string(), "bob", "hungry"]);
    assert_eq!((told.trim(), left(&lab)), (format!("{all} messages").as_str(), 0));
}
