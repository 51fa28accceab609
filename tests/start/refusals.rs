//! Wrong use is answered by one line that says what to change, and exit code 2.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use crate::{empty, portico, portico_with, support::Lab};

#[test]
fn a_foreign_folder_must_be_named() {
    let folder = empty();
    fs::write(folder.path().join("diary.txt"), "private").unwrap();
    portico(folder.path(), &[]).refused(&[folder.path().to_str().unwrap(), "--data ."]);
    portico(folder.path(), &["check"]).refused(&["--data ."]);
    assert!(!folder.path().join("www").exists(), "nothing was created");
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("smtp={}", taken.local_addr().unwrap());
    let said = portico(empty().path(), &["--only", "smtp", "--listen", &listen]);
    said.refused(&["smtp", &taken.local_addr().unwrap().to_string(), "in use", "--listen"]);
}

#[test]
fn a_data_folder_in_use_is_named_with_its_process() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let data = lab.data();
    let said = portico(lab.path("").as_path(), &["--data", data.to_str().unwrap(), "--ports", "any"]);
    said.refused(&[data.to_str().unwrap(), "in use by another Portico", &server.id().to_string(), "--data"]);
}

#[test]
fn a_lock_of_a_killed_server_is_no_hindrance() {
    let lab = Lab::new();
    lab.start(&[]).kill();
    lab.start(&[]).stop();
}

#[test]
fn names_that_do_not_exist_are_refused_with_the_nearest_one() {
    let folder = empty();
    portico(folder.path(), &["--only", "htpp"]).refused(&["unknown service `htpp`", "did you mean `http`?"]);
    portico(folder.path(), &["--without", "pop4"]).refused(&["pop3"]);
    portico(folder.path(), &["--listen", "smpt=127.0.0.1:1"]).refused(&["did you mean `smtp`"]);
    portico(folder.path(), &["--prot-offset", "1"]).refused(&["--port-offset"]);
    portico(folder.path(), &["--set", "smtp.retry.frist=1s"]).refused(&["`smtp.retry.frist`", "`smtp.retry.first`"]);
    portico(folder.path(), &["serv"]).refused(&["serve"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was created");
}

#[test]
fn rules_of_the_web_server_that_can_not_work_are_named() {
    let folder = empty();
    for (set, words) in [
        ("http.cache=[{match=\"[\",cache-control=\"no-store\"}]", &["`http.cache`", "\"[\""][..]),
        ("http.cache=[{match=\"*\",cache-control=\"max age\"}]", &["`http.cache`", "public, max-age=3600"]),
        ("http.cache=[{match=\"*\"}]", &["http.cache", "cache-control"]),
        ("http.redirect=[{from=\"/a/*\",to=\"/a/b/*\"}]", &["`http.redirect`", "for ever"]),
        ("http.redirect=[{from=\"/a\",to=\"//evil.example\"}]", &["`http.redirect`", "/new"]),
        ("http.redirect=[{from=\"/a\",to=\"/b\",status=200}]", &["`http.redirect`", "308"]),
        ("http.sites.\"a b\".root=/a", &["`http.sites.", "www.example.org"]),
        ("http.types.log=text", &["`http.types`", "text/markdown"]),
        ("http.error-pages.200=/a", &["`http.error-pages`", "404"]),
        ("http.compress-types=*", &["`http.compress-types`", "text/*"]),
        ("http.codings=deflate", &["http.codings", "gzip"]),
        ("http.access-log=www/access.log", &["refusing to publish the access log"]),
    ] {
        portico(folder.path(), &["check", "--set", set]).refused(words);
    }
    portico(folder.path(), &["check", "--without", "https", "--set", "http.redirect-to-https=true"]).refused(&["https is not among"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was created");
}

#[test]
fn a_mistake_in_the_settings_is_named_with_its_place() {
    let folder = empty();
    let wrong = |text: &str, words: &[&str]| {
        fs::write(folder.path().join("portico.toml"), text).unwrap();
        portico(folder.path(), &["check"]).refused(words);
        portico(folder.path(), &[]).refused(words);
    };
    wrong("host = [\"::1\"]\nprot-offset = 1\n", &["portico.toml:2:1", "`port-offset`"]);
    wrong("[smtp.retry]\nfirst = 4\n", &["portico.toml:2:9"]);
    wrong("[proxy]\ncache-memory = \"12\"\n", &["portico.toml:2:16", "unit"]);
    wrong("host = [\n", &["portico.toml:"]);
    wrong("domains = []\n", &["`domains`"]);
    wrong("[accounts.carol]\npassword = \"x\"\nwrite = [\"~carol\"]\n", &["accounts.carol.write", "/~carol/"]);
    wrong("[smtp]\nrelay-networks = [\"lab\"]\n", &["lab"]);
}

#[test]
fn passwords_are_not_taken_where_others_can_see_them() {
    let folder = empty();
    portico(folder.path(), &["check", "--set", "accounts.bob.password=x"]).refused(&["portico account passwd"]);
    let said = portico_with(folder.path(), &["check"], "", &[("PORTICO_ACCOUNTS_BOB_PASSWORD", "x")]);
    said.refused(&["portico account passwd"]);
}

#[test]
fn off_loopback_sample_passwords_and_open_proxies_must_be_allowed_by_name() {
    let folder = empty();
    let check = |arguments: &[&str]| portico(folder.path(), &[&["check", "--host", "0.0.0.0"], arguments].concat());
    check(&[]).refused(&["alice", "allow-sample-passwords"]);
    portico(folder.path(), &["--host", "::"]).refused(&["allow-sample-passwords"]);
    check(&["--set", "sample-accounts=false"]).refused(&["proxy", "proxy.allow-open"]);
    check(&["--set", "sample-accounts=false", "--without", "proxy"]).fine();
    check(&["--set", "allow-sample-passwords=true", "--set", "proxy.allow-open=true"]).fine();
    portico(folder.path(), &["check", "--listen", "pop3=192.0.2.1:110"]).refused(&["pop3", "allow-sample-passwords"]);
}

#[test]
fn keys_mail_and_passwords_are_not_published() {
    let folder = empty();
    portico(folder.path(), &["--data", ".", "--www", ".", "--ports", "any"]).refused(&["maildir", "--www"]);
    portico(folder.path(), &["--data", "d", "--www", "w", "--certs", "w/certs", "--ports", "any"]).refused(&["w/certs", "--www"]);
    portico(folder.path(), &["check", "--data", "d", "--www", "d"]).refused(&["--www"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made before the refusal");
}

#[test]
fn folders_that_cannot_be_used_are_named() {
    let folder = empty();
    fs::write(folder.path().join("file"), "").unwrap();
    portico(folder.path(), &["--data", "file/below"]).refused(&["file/below"]);
    portico(folder.path(), &["--data", "d", "--www", "file", "--ports", "any"]).refused(&["file"]);
    if rustix::process::geteuid().is_root() {
        return; // Root may read everything.
    }
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    portico(folder.path(), &["--data", "d", "--www", "closed", "--ports", "any"]).refused(&["closed"]);
}
