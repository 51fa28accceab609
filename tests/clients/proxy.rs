//! Through the proxy with curl: logins, FTP addresses, uploads, tunnels.

use crate::support::{Family, Lab, attempt, run, text};

const QUIET: [&str; 5] = ["--disable", "--silent", "--show-error", "--max-time", "20"];
const STATUS: [&str; 4] = ["--write-out", "%{http_code}", "--output", "/dev/null"];

fn curl(arguments: &[&str]) -> String {
    run("curl", &[&QUIET, arguments].concat())
}

/// Nothing without a login, everything with one, and the password goes no further.
pub fn curl_logs_in_to_the_proxy() {
    let lab = Lab::new();
    let server = lab.start(&["--set", "proxy.require-login=true"]);
    let at = |service| server.at(service, Family::V4);
    let (proxy, http, https) = (format!("http://{}", at("proxy")), format!("http://{}/", at("http")), format!("https://{}/", at("https")));
    let through = ["--proxy", &proxy, "--cacert", text(&server.ca)];
    assert_eq!(curl(&[&through[..], &STATUS, &[&http]].concat()), "407");
    let refused = attempt("curl", &[&QUIET[..], &through, &[&https]].concat(), b"");
    assert!(!refused.status.success(), "no tunnel without a login");
    let wrong = ["--proxy-user", "bob:wrong"];
    assert_eq!(curl(&[&through[..], &STATUS, &wrong, &[&http]].concat()), "407");
    let right = ["--proxy-user", "bob:hungry"];
    assert_eq!(curl(&[&through[..], &STATUS, &right, &[&http]].concat()), "200");
    assert_eq!(curl(&[&through[..], &STATUS, &right, &[&https]].concat()), "200");
    assert_eq!(curl(&[&STATUS[..], &[&format!("{proxy}/proxy.pac")]].concat()), "200", "browsers find it before they log in");
    server.stop();
}

/// An `ftp://` address through the proxy: a file, a listing, a login, and what is not there.
pub fn curl_fetches_ftp_through_the_proxy() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let file = lab.write("upload", "a note\n");
    let ftp = server.at("ftp", Family::V4);
    curl(&["--user", "alice:wonderland", "--upload-file", text(&file), &format!("ftp://{ftp}/story.txt")]);

    let proxy = format!("http://{}", server.at("proxy", Family::V4));
    let through = ["--proxy", proxy.as_str()];
    assert_eq!(curl(&[&through[..], &[&format!("ftp://{ftp}/story.txt")]].concat()), "a note\n");
    assert_eq!(curl(&[&through[..], &[&format!("ftp://alice:wonderland@{ftp}/story.txt")]].concat()), "a note\n");
    assert_eq!(curl(&[&through[..], &STATUS, &[&format!("ftp://alice:wrong@{ftp}/story.txt")]].concat()), "401");
    assert_eq!(curl(&[&through[..], &STATUS, &[&format!("ftp://{ftp}/none.txt")]].concat()), "404");
    let listing = curl(&[&through[..], &["--header", "Accept: application/json", &format!("ftp://{ftp}/")]].concat());
    assert!(listing.contains(r#""name":"story.txt","type":"file","size":7"#), "{listing}");
    server.stop();
}

/// What the proxy compresses on the way is what the origin has, as it comes and from the cache.
pub fn curl_gets_compressed_responses_from_the_proxy() {
    let lab = Lab::new();
    let server = lab.start(&["--set", "proxy.compress=true", "--set", "http.codings=[]"]);
    let (proxy, http) = (format!("http://{}", server.at("proxy", Family::V4)), server.at("http", Family::V4));
    let words: String = (0..300_000).map(|number| format!("{number} bottles\n")).collect();
    let (file, url) = (lab.write("upload", &words), format!("http://{http}/~bob/bottles.txt"));
    curl(&["--user", "bob:hungry", "--upload-file", text(&file), &url]);

    let through = ["--proxy", proxy.as_str(), "--compressed"];
    for version in ["--http1.1", "--http1.1", "--http1.0"] {
        assert!(curl(&[&through[..], &[version, &url]].concat()) == words, "{version}");
        let octets = curl(&[&through[..], &["--write-out", "%{size_download}", "--output", "/dev/null", version, &url]].concat());
        assert!(octets.parse::<usize>().is_ok_and(|octets| octets < words.len() / 2), "{octets} octets of {}", words.len());
    }
    server.stop();
}

/// PUT and DELETE through the proxy, with a length, in chunks, and refused before it has all come.
pub fn curl_uploads_through_the_proxy() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let (proxy, http) = (format!("http://{}", server.at("proxy", Family::V4)), server.at("http", Family::V4));
    let url = format!("http://{http}/~bob/note.txt");
    let file = lab.write("upload", "x".repeat(3_000_000));
    let bob = ["--proxy", &proxy, "--user", "bob:hungry"];
    assert_eq!(curl(&[&bob[..], &STATUS, &["--upload-file", text(&file), &url]].concat()), "201");
    assert_eq!(curl(&[&bob[..], &[&url]].concat()).len(), 3_000_000);
    let chunked = ["--header", "Transfer-Encoding: chunked", "--upload-file", text(&file)];
    assert_eq!(curl(&[&bob[..], &STATUS, &chunked, &[&url]].concat()), "204");
    let nobody = ["--proxy", proxy.as_str(), "--upload-file", text(&file)];
    assert_eq!(curl(&[&nobody[..], &STATUS, &[&url]].concat()), "401", "refused before the upload is over");
    assert_eq!(curl(&[&bob[..], &STATUS, &["--request", "DELETE", &url]].concat()), "204");
    assert_eq!(curl(&[&bob[..], &STATUS, &[&url]].concat()), "404", "what was stored is forgotten");
    server.stop();
}
