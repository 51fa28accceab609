//! The programs that people send with: what each of them attaches comes out as it went in.

use std::{fs, path::Path};

use crate::support::{Family, Lab, Server, python, run, run_with, text, until};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/porch.jpg");
const TEXT: &str = "Do you like ketchup?\nBlåbær?\n.\n..and pickles\n";

/// A server, and bob's mailbox.
struct Post {
    lab: Lab,
    server: Server,
}

impl Post {
    fn new() -> Post {
        let lab = Lab::new();
        let server = lab.start(&[]);
        Post { lab, server }
    }

    fn port(&self, service: &str) -> String {
        self.server.at(service, Family::V4).port().to_string()
    }

    fn mail(&self, words: &[&str]) -> String {
        run(env!("CARGO_BIN_EXE_portico"), &[&["mail"], words, &["--data", text(&self.lab.data())]].concat())
    }

    /// The one message has arrived: its text, and the picture, as they were sent.
    fn check(self, subject: &str) {
        let listed = until("the message is there", || {
            let listed = self.mail(&["list", "bob"]);
            listed.contains("\n1 ").then_some(listed)
        });
        assert!(listed.contains(subject) && listed.contains(" new ") && listed.contains("alice@portico.test"), "{listed}");
        let shown = self.mail(&["show", "bob", "1"]);
        assert!(shown.contains(TEXT.trim_end()), "{shown}");
        let saved = self.lab.path("saved");
        let told = self.mail(&["show", "bob", "1", "--save", text(&saved)]);
        let file = saved.join("porch.jpg");
        assert!(told.contains("porch.jpg: "), "{told}");
        compare(&file);
        // By POP3 it is the same message, octet for octet.
        let by_pop3 =
            run("curl", &["--silent", "--max-time", "20", "--user", "bob:hungry", &format!("pop3://localhost:{}/1", self.port("pop3"))]);
        assert_eq!(by_pop3, self.mail(&["show", "bob", "1", "--raw"]));
        assert!(self.mail(&["list", "bob"]).contains(" new "), "it is new still");
        self.server.stop();
    }
}

fn compare(file: &Path) {
    assert!(fs::read(file).expect("it was saved") == fs::read(PICTURE).expect("it is there"), "the picture has changed");
}

pub fn swaks_attaches() {
    let post = Post::new();
    let envelope =
        ["--from", "alice@portico.test", "--to", "bob@portico.test", "--server", "localhost", "--port", &post.port("submission")];
    let login = ["--tls", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "wonderland", "--hide-all"];
    let body = post.lab.write("text", TEXT);
    let content = ["--h-Subject", "by swaks", "--body", text(&body), "--attach-type", "image/jpeg", "--attach", PICTURE];
    run("swaks", &[&envelope[..], &login, &content].concat());
    post.check("by swaks");
}

pub fn s_nail_attaches() {
    let post = Post::new();
    let mta = format!("mta=smtp://alice:wonderland@localhost:{}", post.port("submission"));
    let ca = format!("tls-ca-file={}", text(&post.server.ca));
    let settings = ["-:/", "-S", "v15-compat", "-S", &mta, "-S", "smtp-use-starttls", "-S", "smtp-auth=plain", "-S", "tls-ca-no-defaults"];
    let more = ["-S", &ca, "-S", "from=alice@portico.test", "-S", "sendwait", "-S", "ttycharset=utf-8", "-S", "tls-verify=strict"];
    run_with("s-nail", &[&settings[..], &more, &["-s", "by s-nail", "-a", PICTURE, "bob@portico.test"]].concat(), TEXT.as_bytes());
    post.check("by s-nail");
}

pub fn mutt_attaches() {
    let post = Post::new();
    let rc = format!(
        "set smtp_url=\"smtp://alice@localhost:{}/\" smtp_pass=wonderland from=alice@portico.test use_from=yes\n\
         set ssl_starttls=yes ssl_force_tls=yes ssl_ca_certificates_file=\"{}\" copy=no charset=utf-8 send_charset=utf-8\n",
        post.port("submission"),
        text(&post.server.ca)
    );
    let rc = post.lab.write("muttrc", rc);
    run_with("mutt", &["-n", "-F", text(&rc), "-s", "by mutt", "-a", PICTURE, "--", "bob@portico.test"], TEXT.as_bytes());
    post.check("by mutt");
}

pub fn curl_attaches() {
    let post = Post::new();
    let url = format!("smtps://localhost:{}", post.port("smtps"));
    let login = ["--silent", "--show-error", "--max-time", "20", "--cacert", text(&post.server.ca), "--user", "alice:wonderland"];
    let body = post.lab.write("text", TEXT.replace('\n', "\r\n"));
    let (body, picture) =
        (format!("=<{};type=text/plain;encoder=quoted-printable", text(&body)), format!("=@{PICTURE};type=image/jpeg;encoder=base64"));
    let fields = ["-H", "Subject: by curl", "-H", "From: alice@portico.test", "-F", &body, "-F", &picture];
    run("curl", &[&login[..], &["--mail-from", "alice@portico.test", "--mail-rcpt", "bob@portico.test", &url], &fields].concat());
    post.check("by curl");
}

/// Portico writes the message, msmtp sends it.
pub fn msmtp_sends_what_portico_wrote() {
    let post = Post::new();
    let body = format!("@{}", text(&post.lab.write("text", TEXT)));
    let message = ["--from", "Alice <alice@portico.test>", "--to", "bob@portico.test", "--subject", "by msmtp, blåbær", "--text", &body];
    let message = post.mail(&[&["send", "--print", "--attach", PICTURE], &message[..]].concat());
    let (port, trust) = (format!("--port={}", post.port("smtps")), format!("--tls-trust-file={}", text(&post.server.ca)));
    let fixed = ["--host=localhost", "--tls=on", "--tls-starttls=off", "--auth=plain", "--user=alice", "--passwordeval=echo wonderland"];
    run_with("msmtp", &[&fixed[..], &[&port, &trust, "--from=alice@portico.test", "bob@portico.test"]].concat(), message.as_bytes());
    post.check("by msmtp, blåbær");
}

/// Portico sends by itself, to its own server.
pub fn portico_sends() {
    let post = Post::new();
    let body = format!("@{}", text(&post.lab.write("text", TEXT)));
    let password = post.lab.write("password", "wonderland\n");
    let message = ["--from", "Alice <alice@portico.test>", "--to", "bob@portico.test", "--subject", "by portico", "--text", &body];
    let told = post.mail(&[&["send", "--attach", PICTURE, "--user", "alice", "--password-file", text(&password)], &message[..]].concat());
    assert!(told.contains("250 2.0.0"), "{told}");
    post.check("by portico");
}

pub fn smtplib_attaches() {
    let post = Post::new();
    let fixed = ["127.0.0.1", &post.port("submission"), "upgraded", text(&post.server.ca), "alice", "wonderland"];
    let body = post.lab.write("text", TEXT);
    python("send_attached.py", &[&fixed[..], &["alice@portico.test", "bob@portico.test", "by smtplib", text(&body), PICTURE]].concat());
    post.check("by smtplib");
}

/// Addresses and header beyond ASCII, from the program to the mailbox (RFC 6531, RFC 6532).
pub fn smtplib_sends_utf8_addresses() {
    let lab = Lab::new();
    let server = lab.start(&["--set", "smtp.aliases.blåbær=[\"bob\"]"]);
    let told = python("send_utf8.py", &[&server.at("smtp", Family::V4).port().to_string()]);
    assert_eq!(told, "sent\n");
    let at = server.at("pop3", Family::V4);
    let fetched = run("curl", &["--silent", "--max-time", "20", "--user", "bob:hungry", &format!("pop3://{at}/1")]);
    for line in [
        "Return-Path: <pelé@exempla.test>",
        "Delivered-To: blåbær@portico.test",
        "From: Pelé <pelé@exempla.test>",
        "Subject: Blåbær på verandaen?",
    ] {
        assert!(fetched.contains(&format!("{line}\r\n")), "no {line:?} in:\n{fetched}");
    }
    assert!(fetched.contains("with UTF8SMTP\r\n"), "{fetched}");
    server.stop();
}
