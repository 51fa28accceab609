//! The certificates of the lab, and those that a person brings.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::{empty, portico, support::Lab};

#[test]
fn the_labs_certificates_are_strictly_right_and_private() {
    let lab = Lab::new();
    lab.start(&["--only", "https"]).stop();
    let certs = lab.data().join("certs");
    for key in ["ca.key", "server.key"] {
        assert_eq!(fs::metadata(certs.join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    let openssl = |words: &[&str]| Command::new("openssl").args(words).current_dir(&certs).output();
    let Ok(verified) = openssl(&["verify", "-x509_strict", "-verify_hostname", "portico.test", "-CAfile", "ca.pem", "server.pem"]) else {
        return; // openssl is not installed; .ci/run has it.
    };
    assert!(verified.status.success(), "{verified:?}");
    let shown = String::from_utf8(openssl(&["x509", "-in", "ca.pem", "-noout", "-text"]).unwrap().stdout).unwrap();
    assert!(shown.contains("Name Constraints: critical"), "{shown}");
}

#[test]
fn what_is_in_certs_is_used_and_kept() {
    let lab = Lab::new();
    lab.start(&["--only", "https"]).stop();
    let (server, key) = (lab.data().join("certs/server.pem"), lab.data().join("certs/server.key"));
    let (before, ca) = (fs::read(&server).unwrap(), fs::read(lab.data().join("certs/ca.pem")).unwrap());
    lab.start(&["--only", "https"]).stop();
    assert_eq!(fs::read(&server).unwrap(), before);
    // Without the server's certificate a new one is made, under the same authority.
    fs::remove_file(&server).unwrap();
    fs::remove_file(&key).unwrap();
    lab.start(&["--only", "https"]).stop();
    assert_ne!(fs::read(&server).unwrap(), before);
    assert_eq!(fs::read(lab.data().join("certs/ca.pem")).unwrap(), ca);
}

#[test]
fn a_bad_certificate_is_refused() {
    let (folder, other) = (empty(), empty());
    let path = folder.path();
    for folder in [&folder, &other] {
        portico(folder.path(), &["--only", "https", "--listen", "https=192.0.2.1:1", "--set", "allow-sample-passwords=true"]);
    }
    let file = |name: &str| path.join("certs").join(name);
    let (good, key) = (fs::read_to_string(file("server.pem")).unwrap(), fs::read_to_string(file("server.key")).unwrap());
    let refused = |words: &[&str]| {
        portico(path, &["check"]).refused(words);
        portico(path, &["--ports", "any"]).refused(words);
    };
    fs::write(file("server.pem"), "nonsense").unwrap();
    refused(&["server.pem", "no certificate"]);
    fs::write(file("server.pem"), good.replace('A', "B")).unwrap();
    refused(&["server.pem"]);
    fs::write(file("server.pem"), &good).unwrap();
    fs::write(file("server.key"), "nonsense").unwrap();
    refused(&["server.key", "private key"]);
    fs::copy(other.path().join("certs/server.key"), file("server.key")).unwrap();
    refused(&["server.pem", "does not belong to server.key"]);
    fs::remove_file(file("server.key")).unwrap();
    refused(&["server.key", "cannot be read"]);
    fs::write(file("server.key"), key).unwrap();
    portico(path, &["check"]).fine();
}
