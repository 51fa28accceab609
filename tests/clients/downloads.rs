//! The web as people fetch it: what changed, what was broken off, in fewer octets, whole sites.

use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};

use crate::support::{Family, Lab, Server, attempt, python, run, text};

const QUIET: [&str; 7] = ["--disable", "--silent", "--show-error", "--max-time", "20", "--write-out", "%{http_code}"];

/// The status, where curl saves the body to a file.
fn curl(arguments: &[&str]) -> String {
    run("curl", &[&QUIET, arguments].concat())
}

fn wget(folder: &str, arguments: &[&str]) {
    run("wget", &[&["--no-config", "--no-verbose", "--tries=1", "--timeout=20", "--directory-prefix", folder], arguments].concat());
}

/// A lab with a file of some length, and where it is to be had.
fn lab_with(content: &[u8]) -> (Lab, Server, String) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    fs::write(lab.data().join("www/long.bin"), content).expect("the lab is writable");
    let url = format!("http://{}/long.bin", server.at("http", Family::V4));
    (lab, server, url)
}

/// Octets that differ everywhere and don't compress.
fn long_content() -> Vec<u8> {
    (0u32..100_000).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// `-z` and `--etag-compare`: 304 and nothing, until the file changes.
pub fn curl_asks_for_changes_only() {
    let (lab, _server, url) = lab_with(b"one");
    let (file, tag) = (lab.path("file"), lab.path("tag"));
    assert_eq!(curl(&["--output", text(&file), "--remote-time", "--etag-save", text(&tag), &url]), "200");
    let again = ["--output", text(&file), "--etag-compare", text(&tag), &url];
    assert_eq!(curl(&again), "304");
    assert_eq!(curl(&["--output", text(&lab.path("other")), "--time-cond", text(&file), &url]), "304");
    assert!(!lab.path("other").exists(), "with 304 comes no content");
    fs::write(lab.data().join("www/long.bin"), "two").expect("the lab is writable");
    assert_eq!(curl(&again), "200", "of the same length, within the same second");
    assert_eq!(fs::read(&file).expect("curl has saved it"), b"two");
}

/// `-C -` and `wget -c` fetch what is missing, and nothing where all is there.
pub fn downloads_go_on_where_they_broke_off() {
    let content = long_content();
    let (lab, _server, url) = lab_with(&content);
    for (name, octets, status) in [("part", 150_000, "206"), ("all", content.len(), "416")] {
        let file = lab.write(name, &content[..octets]);
        let output = attempt("curl", &[&QUIET[..], &["--continue-at", "-", "--output", text(&file), &url]].concat(), b"");
        assert_eq!(String::from_utf8_lossy(&output.stdout), status);
        assert!(fs::read(&file).expect("curl has saved it") == content, "{name}");
    }
    for octets in [150_000, content.len()] {
        lab.write("long.bin", &content[..octets]);
        wget(text(&lab.path("")), &["--continue", &url]);
        assert!(fs::read(lab.path("long.bin")).expect("wget has saved it") == content, "{octets}");
    }
}

/// `-T` from a file, from a pipe (chunked), in HTTP/1.0, and with a password that is tried only
/// when it is asked for.
pub fn curl_uploads_in_every_way() {
    let content = long_content();
    let (lab, server, _) = lab_with(&content);
    let file = lab.write("upload", &content);
    let account = ["--user", "alice:wonderland"];
    for (name, source, more) in [
        ("file.bin", text(&file), &[][..]),
        ("pipe.bin", "-", &[]),
        ("old.bin", text(&file), &["--http1.0"]),
        ("asked.bin", text(&file), &["--anyauth"]),
        ("expected.bin", text(&file), &["--header", "Expect: 100-continue"]),
    ] {
        let url = format!("http://{}/{name}", server.at("http", Family::V4));
        let words = [&QUIET[..], &account, more, &["--output", "/dev/null", "--upload-file", source, &url]].concat();
        let output = attempt("curl", &words, &content);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "201", "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(fs::read(lab.data().join("www").join(name)).expect("it was put") == content, "{name}");
    }
}

/// `wget -N` fetches what is newer, `wget -r` a whole site with its pictures and style.
pub fn wget_keeps_a_copy_of_the_site() {
    let (lab, server, url) = lab_with(b"one");
    let (copy, place) = (lab.path("copy"), lab.data().join("www/long.bin"));
    // Dates have whole seconds: a change within the same one would not show.
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(&place).and_then(|file| file.set_modified(hour_ago)).expect("the lab is writable");
    wget(text(&copy), &["--timestamping", &url]);
    wget(text(&copy), &["--timestamping", &url]);
    fs::write(&place, "three").expect("the lab is writable");
    wget(text(&copy), &["--timestamping", &url]);
    assert_eq!(fs::read(copy.join("long.bin")).expect("wget has saved it"), b"three");

    let site = format!("http://{}/", server.at("http", Family::V4));
    // It fails on what the sample page points to and does not exist.
    let words =
        ["--no-config", "--no-verbose", "--recursive", "--level=2", "--no-host-directories", "--directory-prefix", text(&copy), &site];
    attempt("wget", &words, b"");
    for name in ["index.html", "hello.txt", "portico.css", "pictures/portico01.jpg"] {
        let original = fs::read(lab.data().join("www").join(name)).expect("it is among the samples");
        assert!(fs::read(copy.join(name)).expect("wget has saved it") == original, "{name}");
    }
}

/// lftp lists a folder over HTTP and fetches one file in four pieces at once.
pub fn lftp_fetches_in_pieces() {
    let content = long_content();
    let (lab, server, _) = lab_with(&content);
    let file = lab.path("pieces");
    let at = server.at("http", Family::V4);
    let commands =
        format!("set net:timeout 15; set net:max-retries 1; open http://{at}; cls /files/; pget -n 4 /long.bin -o {}", text(&file));
    let listed = run("lftp", &["--norc", "-c", &commands]);
    assert!(listed.contains("fox.txt"), "{listed}");
    assert!(fs::read(&file).expect("lftp has saved it") == content);
}

/// Python's `http.client`: one connection for many requests, whatever kind the one before was.
pub fn python_keeps_one_connection() {
    let (_lab, server, _) = lab_with(b"0123456789");
    python("one_connection.py", &[&server.at("http", Family::V4).port().to_string()]);
}
