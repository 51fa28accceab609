//! Files: put by FTP, fetched over HTTP and HTTPS, kept by the proxy.

use std::{fs, net::SocketAddr};

use crate::{
    Security,
    support::{Family, Lab, Server, attempt, python, run, text},
};

const QUIET: [&str; 5] = ["--disable", "--silent", "--show-error", "--max-time", "20"];

/// Runs curl quietly.
fn curl(arguments: &[&str]) -> String {
    run("curl", &[&QUIET, arguments].concat())
}

/// Runs lftp, which must trust our certificate and not be patient.
fn lftp(server: &Server, commands: &str) -> String {
    let settings = format!(
        "set cmd:fail-exit yes; set net:timeout 15; set net:max-retries 1; set ssl:ca-file {}; set ssl:check-hostname no; ",
        text(&server.ca)
    );
    run("lftp", &["--norc", "-c", &(settings + commands)])
}

fn ftp_at(server: &Server, security: Security, family: Family) -> SocketAddr {
    server.at(if security == Security::Implicit { "ftps" } else { "ftp" }, family)
}

/// Puts a file into the tree as alice, each kind of security by another client.
fn put_by_ftp(lab: &Lab, server: &Server, security: Security, family: Family, content: &str) {
    let at = ftp_at(server, security, family);
    let file = lab.write("upload", content);
    let (host, port) = (at.ip().to_string(), at.port().to_string());
    match security {
        Security::Plain | Security::Upgraded => {
            let session = [&host, &port, security.name(), text(&server.ca), "alice", "wonderland", text(&file), "story.txt"];
            python("ftp_put.py", &session);
        }
        Security::Implicit => {
            lftp(server, &format!("open -u alice,wonderland ftps://{at}; put {} -o /story.txt; cls /", text(&file)));
        }
    }
}

/// The same by curl.
fn change_by_ftp(lab: &Lab, server: &Server, security: Security, family: Family, content: &str) {
    let at = ftp_at(server, security, family);
    let file = lab.write("upload", content);
    let scheme = if security == Security::Implicit { "ftps" } else { "ftp" };
    let url = format!("{scheme}://{at}/story.txt");
    let mut arguments = vec!["--user", "alice:wonderland", "--cacert", text(&server.ca), "--upload-file", text(&file), &url];
    if security == Security::Upgraded {
        arguments.push("--ssl-reqd");
    }
    curl(&arguments);
}

/// Head and body of what the proxy answers for a URL.
fn through_proxy(proxy: &str, url: &str, more: &[&str]) -> (String, String) {
    let answer = curl(&[&["--include", "--proxy", proxy, url][..], more].concat());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    (head.to_lowercase(), body.to_owned())
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A file put by FTP is on the web at once; the proxy misses, hits, and notices the change.
pub fn from_ftp_to_web_and_cache(security: Security, family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    put_by_ftp(&lab, &server, security, family, "the first text\n");
    let (http, https) = (server.at("http", family), server.at("https", family));
    let url = format!("http://{http}/story.txt");
    assert_eq!(curl(&[&url]), "the first text\n");
    assert_eq!(curl(&["--cacert", text(&server.ca), &format!("https://{https}/story.txt")]), "the first text\n");

    let proxy = format!("http://{}", server.at("proxy", family));
    let (miss, body) = through_proxy(&proxy, &url, &[]);
    assert_eq!(body, "the first text\n");
    let status = field(&miss, "cache-status").unwrap_or_else(|| panic!("no Cache-Status in {miss}"));
    assert!(status.contains("fwd=") && !status.contains("hit"), "a miss: {status}");
    let (hit, body) = through_proxy(&proxy, &url, &[]);
    assert_eq!(body, "the first text\n");
    assert!(field(&hit, "cache-status").is_some_and(|status| status.contains("hit")), "a hit: {hit}");
    assert!(field(&hit, "age").is_some(), "an age: {hit}");

    let tunnelled = curl(&["--proxy", &proxy, "--cacert", text(&server.ca), &format!("https://{https}/story.txt")]);
    assert_eq!(tunnelled, "the first text\n", "through a tunnel to our own https, whatever its port");

    change_by_ftp(&lab, &server, security, family, "the second text, which is longer\n");
    assert_eq!(curl(&[&url]), "the second text, which is longer\n");
    let old = format!("If-None-Match: {}", field(&miss, "etag").expect("an entity tag"));
    let (changed, body) = through_proxy(&proxy, &url, &["--header", &old]);
    assert_eq!(body, "the second text, which is longer\n", "who asks for changes gets them: {changed}");
    let (fresh, body) = through_proxy(&proxy, &url, &["--header", "Cache-Control: no-cache"]);
    assert_eq!(body, "the second text, which is longer\n", "{fresh}");
    conditional_get_through(&proxy, &url, field(&miss, "etag"), field(&fresh, "etag"));
    server.stop();
}

/// With the validator of the old content comes the new one, with its own 304 and nothing.
fn conditional_get_through(proxy: &str, url: &str, old: Option<&str>, new: Option<&str>) {
    let (old, new) = (old.expect("an entity tag"), new.expect("an entity tag"));
    assert_ne!(old, new);
    let (head, body) = through_proxy(proxy, url, &["--header", &format!("If-None-Match: {old}")]);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "the second text, which is longer\n");
    let (head, body) = through_proxy(proxy, url, &["--header", &format!("If-None-Match: {new}")]);
    assert!(head.starts_with("http/1.1 304"), "{head}");
    assert_eq!(body, "");
}

/// lftp takes a folder up and down again, names with blanks and all.
pub fn lftp_mirrors() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let files = [("a.txt", "a"), ("deep/er/b c.txt", "b\r\n"), ("deep/blåbær.txt", "\0\n"), ("empty", "")];
    for (name, content) in files {
        let path = lab.path("up").join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the lab is writable");
        fs::write(path, content).expect("the lab is writable");
    }
    let at = server.at("ftp", Family::V4);
    let (up, down) = (lab.path("up"), lab.path("down"));
    let session = format!("open -u alice,wonderland ftp://{at}; mirror -R {} /mirrored; mirror /mirrored {}", text(&up), text(&down));
    lftp(&server, &format!("set ftp:ssl-force yes; {session}"));
    for (name, content) in files {
        assert_eq!(fs::read(down.join(name)).ok().as_deref(), Some(content.as_bytes()), "{name}");
        assert_eq!(fs::read(lab.data().join("www/mirrored").join(name)).ok().as_deref(), Some(content.as_bytes()), "{name}");
    }
}

/// PUT and DELETE with a password, and their refusal without.
pub fn curl_puts_and_deletes() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let url = format!("http://{}/~bob/note.txt", server.at("http", Family::V4));
    let file = lab.write("upload", "a note\n");
    let status = ["--write-out", "%{http_code}", "--output", "/dev/null"];
    let put = ["--upload-file", text(&file), &url];
    assert_eq!(curl(&[&status[..], &put].concat()), "401");
    assert_eq!(curl(&[&status[..], &["--user", "bob:hungry"], &put].concat()), "201");
    assert_eq!(curl(&[&url]), "a note\n");
    assert_eq!(curl(&[&status[..], &["--user", "bob:hungry", "--request", "DELETE", &url]].concat()), "204");
    assert_eq!(curl(&[&status[..], &[&url]].concat()), "404");
    let refused = attempt("curl", &[&QUIET[..], &["--fail", "--user", "bob:wrong"], &put].concat(), b"");
    assert!(!refused.status.success());
}
