//! The web server with curl and wget: compression, resumption, logs.

use std::{fs, path::Path};

use crate::support::{Family, Lab, run, text, until};

const QUIET: [&str; 5] = ["--disable", "--silent", "--show-error", "--max-time", "20"];

fn curl(arguments: &[&str]) -> String {
    run("curl", &[&QUIET, arguments].concat())
}

/// What comes compressed is the file all the same, whole or resumed.
pub fn compressed_for_curl_and_wget() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let long: String = (0..20_000).map(|number| format!("line {number} of a long text\n")).collect();
    fs::write(lab.data().join("www/long.txt"), &long).expect("the lab is writable");
    let url = format!("http://{}/long.txt", server.at("http", Family::V4));
    let size = ["--write-out", "%{size_download}", "--output", "/dev/null"];
    for coding in ["gzip", "br", "zstd"] {
        let header = format!("Accept-Encoding: {coding}");
        let octets: usize = curl(&[&size[..], &["--header", &header, &url]].concat()).parse().expect("a size");
        assert!(octets * 4 < long.len(), "{coding}: {octets}");
    }
    assert!(curl(&["--compressed", &url]) == long);

    let (fetched, part) = (lab.path("fetched"), lab.path("part"));
    run("wget", &["--no-config", "--quiet", "--timeout=20", "--tries=1", "--compression=auto", "-O", text(&fetched), &url]);
    assert!(fs::read_to_string(&fetched).is_ok_and(|fetched| fetched == long));
    curl(&["--compressed", "--range", "0-9999", "--output", text(&part), &url]);
    curl(&["--compressed", "--continue-at", "-", "--output", text(&part), &url]);
    assert!(fs::read_to_string(&part).is_ok_and(|part| part == long), "resumed where the first part ended");
}

/// `mv` and SIGHUP rotate the access log, and not a line is lost.
pub fn the_access_log_is_rotated() {
    let lab = Lab::new();
    let server = lab.start(&["--set", "http.access-log=var/access.log"]);
    let url = format!("http://{}/hello.txt", server.at("http", Family::V4));
    let (log, old) = (lab.data().join("var/access.log"), lab.data().join("var/access.log.1"));
    let has = |file: &Path, line: &str| fs::read_to_string(file).is_ok_and(|log| log.contains(line)).then_some(());
    curl(&["--user-agent", "before", &url]);
    until("the first line", || has(&log, "\"before\""));
    fs::rename(&log, &old).expect("the log can be moved");
    curl(&["--user-agent", "between", &url]);
    until("the line in the file that was moved", || has(&old, "\"between\""));
    run("kill", &["-HUP", &server.id().to_string()]);
    until("the new file", || log.exists().then_some(()));
    curl(&["--user-agent", "after", &url]);
    until("the line in the new file", || has(&log, "\"after\""));
    server.stop();
    assert_eq!((fs::read_to_string(&old).map_or(0, |log| log.lines().count())), 2);
}
