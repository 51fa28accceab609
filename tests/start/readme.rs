//! What the README promises works: its dialogues are played, its commands are run.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use crate::{
    portico,
    support::{Lab, Server, attempt, is_installed, text},
    with_ports_of,
};

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The contents of the fenced blocks whose opening line and first line begin so.
fn blocks(markdown: &str, fence: &str, first: &str) -> Vec<String> {
    let parts = markdown.split("\n```").skip(1).step_by(2);
    let blocks = parts.filter_map(|block| block.split_once('\n')).filter(|(opening, body)| *opening == fence && body.starts_with(first));
    blocks.map(|(_, body)| format!("{body}\n")).collect()
}

/// A lab with the sample documents and mails.
fn lab() -> (Lab, Server) {
    let lab = Lab::new();
    fs::remove_dir(lab.data().join("maildir")).unwrap();
    let server = lab.start(&[]);
    (lab, server)
}

#[test]
fn the_dialogues_can_be_typed_as_they_stand() {
    let (lab, _server) = lab();
    for (service, first) in [("smtp", "S: 220"), ("pop3", "S: +OK")] {
        let dialogue = blocks(&readme(), "", first).pop().expect("the dialogue is in the README");
        let script = format!("# README\n-- connect {service}\n{}-- closed\n", dialogue.replace("(id ...)", "(id {any})"));
        let file = lab.write("dialogue.txt", script);
        let said = portico(&lab.path(""), &["transcript", "run", text(&file), "--ready-file", text(&lab.path("ready"))]);
        assert_eq!(said.code, Some(0), "{service}: {}{}", said.out, said.err);
    }
}

#[test]
fn the_commands_can_be_copied() {
    if !["curl", "lftp"].iter().all(|program| is_installed(program)) {
        return; // .ci/run installs them.
    }
    let (lab, server) = lab();
    // A document that has not changed for long is fresh for long (RFC 9111, 4.2.2).
    let page = fs::File::options().write(true).open(lab.data().join("www/page.html")).unwrap();
    page.set_modified(SystemTime::now() - Duration::from_secs(86_400 * 30)).unwrap();
    let readme = readme();
    let (_, section) = readme.split_once("## Try each protocol").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut script = format!("set -e; cd {}\n", lab.data().display());
    for block in blocks(section, "sh", "") {
        script.push_str(&block.replace("curl ", "curl -sSf "));
    }
    script = with_ports_of(&server, &script);
    let output = attempt("sh", &["-c", &script], b"");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{out}{}", output.status, String::from_utf8_lossy(&output.stderr));
    for expected in ["Hello from the lab", "304 Not Modified", "Cache-Status: Portico; hit", "Do you like ketchup", "Hello from Portico"] {
        assert!(out.to_lowercase().contains(&expected.to_lowercase()), "`{expected}` is missing:\n{out}");
    }
}
