//! The dialogues that a textbook prints, typed by hand: here over a raw socket.

use std::fs;

use crate::support::{Dialogue, Family, Lab};

/// HELO, MAIL, RCPT, DATA, QUIT, as in the book.
pub fn smtp_by_hand(family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let mut smtp = Dialogue::with(server.at("smtp", family));
    smtp.hear("220 ");
    smtp.say("HELO crepes.fr").hear("250 ");
    smtp.say("MAIL FROM: <alice@crepes.fr>").hear("250 ");
    smtp.say("RCPT TO: <bob@portico.test>").hear("250 ");
    smtp.say("DATA").hear("354 ");
    smtp.say("Do you like ketchup?").say("How about pickles?").say(".").hear("250 ");
    smtp.say("QUIT").hear("221 ");
    smtp.ended();

    let mut pop3 = Dialogue::with(server.at("pop3", family));
    pop3.hear("+OK");
    pop3.say("USER bob").hear("+OK");
    pop3.say("PASS hungry").hear("+OK");
    pop3.say("RETR 1").hear("+OK");
    let message = pop3.hear_until(".");
    assert!(message.ends_with(&["Do you like ketchup?".into(), "How about pickles?".into()]), "{message:#?}");
    assert!(message.iter().any(|line| line.starts_with("Received: from crepes.fr")), "{message:#?}");
    assert!(message.contains(&"Return-Path: <alice@crepes.fr>".to_owned()), "{message:#?}");
    pop3.say("QUIT").hear("+OK");
    server.stop();
}

/// A mailbox that can't be written is named in the log. It fails a message to many once; from then on
/// it is refused by itself, until it has been mended.
pub fn a_broken_mailbox_holds_up_nobody_else() {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let mut smtp = Dialogue::with(server.at("smtp", Family::V4));
    smtp.hear("220 ");
    smtp.say("HELO lab").hear("250 ");
    let mut send = |bob: &str, end: &str| {
        smtp.say("MAIL FROM:<x@crepes.fr>").hear("250 ");
        smtp.say("RCPT TO:<alice@portico.test>").hear("250 ");
        smtp.say("RCPT TO:<bob@portico.test>").hear(bob);
        smtp.say("DATA").hear("354 ");
        smtp.say("Subject: lunch").say(".").hear(end);
    };
    send("250 ", "250 ");
    let (new, kept) = (lab.data().join("maildir/bob/new"), lab.data().join("maildir/bob/kept"));
    fs::rename(&new, &kept).and_then(|()| fs::write(&new, "no folder")).expect("the lab is writable");
    send("250 ", "451 4.3.0");
    assert!(server.log().contains("account=bob"), "{}", server.log());
    send("451 4.2.0", "250 ");
    fs::remove_file(&new).and_then(|()| fs::rename(&kept, &new)).expect("the lab is writable");
    send("250 ", "250 ");
    let arrived = |account: &str| fs::read_dir(lab.data().join("maildir").join(account).join("new")).map_or(0, Iterator::count);
    assert_eq!((arrived("alice"), arrived("bob")), (3, 2));
    server.stop();
}

/// Two messages: list, retrieve, delete, as in the book.
pub fn pop3_by_hand(family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let mut smtp = Dialogue::with(server.at("smtp", family));
    smtp.hear("220 ");
    smtp.say("HELO lab").hear("250 ");
    for subject in ["one", "two"] {
        smtp.say("MAIL FROM:<alice@portico.test>").hear("250 ");
        smtp.say("RCPT TO:<bob@portico.test>").hear("250 ");
        smtp.say("DATA").hear("354 ");
        smtp.say(&format!("Subject: {subject}")).say("").say("Text.").say(".").hear("250 ");
    }
    let mut pop3 = Dialogue::with(server.at("pop3", family));
    pop3.hear("+OK POP3 server ready");
    pop3.say("user bob").hear("+OK");
    pop3.say("pass hungry").hear("+OK user successfully logged on");
    pop3.say("list").hear("+OK");
    let sizes = pop3.hear_until(".");
    assert_eq!(sizes.len(), 2, "{sizes:?}");
    for (number, subject) in [(1, "one"), (2, "two")] {
        pop3.say(&format!("retr {number}")).hear("+OK");
        let message = pop3.hear_until(".");
        assert!(message.contains(&format!("Subject: {subject}")), "{message:#?}");
        let octets: usize = message.iter().map(|line| line.len() + 2).sum();
        assert_eq!(sizes[number - 1], format!("{number} {octets}"));
        pop3.say(&format!("dele {number}")).hear("+OK");
    }
    pop3.say("quit").hear("+OK POP3 server signing off");
    pop3.ended();
    server.stop();
}

/// A GET with the fields that the book's example has, for a page that there is in French too.
pub fn http_by_hand(family: Family) {
    let lab = Lab::new();
    let server = lab.start(&[]);
    let mut http = Dialogue::with(server.at("http", family));
    for line in [
        "GET /somedir/page.html HTTP/1.1",
        "Host: www.someschool.test",
        "User-agent: Mozilla/4.0",
        "Connection: close",
        "Accept-language: fr",
        "",
    ] {
        http.say(line);
    }
    http.hear("HTTP/1.1 200 OK");
    let fields = http.hear_until("");
    for name in [
        "Date: ",
        "Server: ",
        "Last-Modified: ",
        "Content-Length: ",
        "Content-Language: fr",
        "Content-Type: text/html",
        "Connection: close",
    ] {
        let found = fields.iter().any(|field| field.to_lowercase().starts_with(&name.to_lowercase()));
        assert!(found, "no {name:?} in {fields:#?}");
    }
}
