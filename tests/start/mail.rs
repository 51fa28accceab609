//! `portico mail`: what it shows, saves and sends.

use std::fs;

use crate::{portico, portico_with, support::Lab};

/// Beyond ASCII, in two charsets, with a picture whose name leads out of the folder.
const LETTER: &str = "Return-Path: <alice@portico.test>\nFrom: =?iso-8859-1?q?=C5sa?= <alice@portico.test>\nTo: bob@portico.test\n\
    Date: Sun, 06 Nov 1994 08:49:37 +0000\nSubject: \x1b[31mred =?utf-8?B?YmzDpWLDpnI=?=\nMIME-Version: 1.0\n\
    Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=iso-8859-1\n\
    Content-Transfer-Encoding: quoted-printable\n\nbl=E5b=E6r =\nfor lunch\n--b\nContent-Type: image/png\n\
    Content-Disposition: attachment; filename=\"../../porch.png\"\nContent-Transfer-Encoding: base64\n\niVBORw==\n--b--\n";

/// A data folder with this message in bob's mailbox.
fn lab(message: &str) -> Lab {
    let lab = Lab::new();
    for folder in ["new", "cur", "tmp"] {
        fs::create_dir_all(lab.data().join("maildir/bob").join(folder)).unwrap();
    }
    fs::write(lab.data().join("maildir/bob/new/784111777.M1.lab"), message).unwrap();
    lab
}

fn mail(lab: &Lab, words: &[&str]) -> crate::Said {
    portico(&lab.path(""), &[&["--data", lab.data().to_str().unwrap(), "mail"], words].concat())
}

#[test]
fn a_letter_is_shown_decoded_and_harmless() {
    let lab = lab(LETTER);
    let listed = mail(&lab, &["list", "bob"]).fine();
    assert!(listed.contains(" new ") && listed.contains("Åsa <alice@portico.test> \\x1b[31mred blåbær"), "{listed}");
    let shown = mail(&lab, &["show", "bob", "1"]).fine();
    assert!(shown.contains("\nSubject: \\x1b[31mred blåbær\n\nblåbær for lunch\n\n[2 "), "{shown}");
    let tree = mail(&lab, &["show", "bob", "1", "--tree"]).fine();
    let expected = "-    multipart/mixed\n  1    text/plain; charset=iso-8859-1, quoted-printable, 23 octets, 16 decoded\n  \
        2    image/png \"../../porch.png\", base64, 8 octets, 4 decoded\n";
    assert_eq!(tree, expected);
    assert!(mail(&lab, &["show", "bob", "1", "--headers"]).fine().contains("From: Åsa <alice@portico.test>\n"));
    assert_eq!(mail(&lab, &["show", "bob", "1", "--raw"]).fine(), LETTER.replace('\n', "\r\n"));
    assert_eq!(mail(&lab, &["show", "bob", "1", "--part", "1"]).fine(), "blåbær for lunch");
    let json: serde_json::Value = serde_json::from_str(&mail(&lab, &["show", "bob", "1", "--json"]).fine()).unwrap();
    assert_eq!(json["parts"][1]["text"], "blåbær for lunch");
    assert_eq!(json["parts"][2]["file-name"], "porch.png");
    let json: serde_json::Value = serde_json::from_str(&mail(&lab, &["show", "bob", "1", "--part", "2", "--json"]).fine()).unwrap();
    assert_eq!(json["base64"], "iVBORw==");
    assert_eq!(mail(&lab, &["show", "bob", "1", "--part", "2", "--json"]).fine().matches("iVBORw==").count(), 1);
    mail(&lab, &["show", "bob", "1", "--part", "7"]).failed(&["no part 7"]);
    assert_eq!(fs::read_dir(lab.data().join("maildir/bob/new")).unwrap().count(), 1, "it is new still");
}

#[test]
fn an_attachment_is_saved_where_it_was_asked_for_and_replaces_nothing() {
    let lab = lab(LETTER);
    let folder = lab.path("saved");
    for name in ["porch.png", "porch (2).png"] {
        let told = mail(&lab, &["show", "bob", "1", "--save", folder.to_str().unwrap()]).fine();
        assert_eq!(told, format!("{}: 4 octets\n", folder.join(name).display()));
        assert_eq!(fs::read(folder.join(name)).unwrap(), b"\x89PNG");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}

#[test]
fn a_bomb_is_shown_as_it_is() {
    let lab = lab(&"Content-Type: message/rfc822\n\n".repeat(50_000));
    let said = mail(&lab, &["show", "bob", "1"]);
    assert!(said.err.contains("nested more than 32 deep") && said.out.starts_with("Content-Type: message/rfc822\n\n"), "{}", said.err);
    mail(&lab, &["show", "bob", "1", "--save", "x"]).failed(&["nested"]);
    assert!(mail(&lab, &["show", "bob", "1", "--json"]).fine().contains("\"whole\""));
}

#[test]
fn what_is_sent_is_printed_or_arrives() {
    let lab = Lab::new();
    let letter = ["send", "--from", "Åsa <alice@portico.test>", "--to", "bob@portico.test, alice@portico.test", "--subject", "blåbær"];
    let send = |more: &[&str]| mail(&lab, &[&letter, more].concat());
    let printed = send(&["--print", "--text", "one\n.two", "--header", "X-Mood: merry"]).fine();
    assert!(printed.is_ascii() && printed.contains("\r\nX-Mood: merry\r\n") && printed.ends_with("\r\n\r\none\r\n.two"), "{printed}");
    send(&["--text", "x"]).failed(&["no Portico runs", "--server"]);
    send(&["--print", "--header", "X: a\r\nBcc: eve@x"]).refused(&["line end"]);
    send(&["--print", "--attach", "/nowhere"]).refused(&["/nowhere"]);

    let server = lab.start(&[]);
    let told = send(&["--text", "x", "--bcc", "nobody@portico.test"]);
    assert!(told.code == Some(1) && told.err.contains("not sent to nobody@portico.test: 550 5.1.1"), "{}{}", told.out, told.err);
    assert!(told.out.contains("S: 220 portico.test") && told.out.contains("S: 250 2.0.0 Message accepted"), "{}", told.out);
    assert!(mail(&lab, &["list", "bob"]).fine().contains("blåbær"));
    let file = lab.write("password", "wrong\n");
    send(&["--text", "x", "--user", "alice", "--password-file", file.to_str().unwrap()]).failed(&["535 5.7.8"]);
    let data = lab.data();
    let words =
        [&["--data", data.to_str().unwrap(), "mail"], &letter[..], &["--text", "y", "--user", "alice", "--password-file", "-", "--json"]]
            .concat();
    let told = portico_with(&lab.path(""), &words, "wonderland\n", &[]).fine();
    let json: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(json["recipients"][0]["accepted"], true, "{told}");
    server.stop();
}
