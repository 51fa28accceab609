//! Messages that were built, taken apart again.

use std::time::Duration;

use super::{
    super::{fields, tree::Tree},
    *,
};

fn draft() -> Draft {
    Draft {
        from: Person::parse_list("Alice <alice@portico.test>").unwrap(),
        to: Person::parse_list("bob@portico.test").unwrap(),
        cc: Vec::new(),
        subject: "lunch".into(),
        text: Some("Do you like ketchup?\nHow about pickles?\n".into()),
        html: None,
        attachments: Vec::new(),
        fields: Vec::new(),
        date: SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777),
        message_id: "<1@portico.test>".into(),
    }
}

fn attachment(name: &str, media: &str, content: &[u8]) -> Attachment {
    Attachment { name: name.into(), media: media.into(), content: content.into() }
}

fn built(draft: &Draft) -> String {
    let message = draft.build(7).unwrap();
    assert!(message.split(|octet| *octet == b'\n').all(|line| line.is_empty() || line.ends_with(b"\r")), "only CR LF");
    String::from_utf8(message).expect("7-bit")
}

#[test]
fn a_plain_letter_is_as_plain_as_can_be() {
    let expected = "Date: Sun, 06 Nov 1994 08:49:37 +0000\r\nFrom: \"Alice\" <alice@portico.test>\r\nTo: <bob@portico.test>\r\nSubject: lunch\r\n\
        Message-ID: <1@portico.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
        Do you like ketchup?\r\nHow about pickles?\r\n";
    assert_eq!(built(&draft()).replace("charset=utf-8", "charset=\"utf-8\""), expected);
}

#[test]
fn what_is_beyond_ascii_is_encoded_and_comes_out_the_same() {
    let subject = "blåbær og fløde ".repeat(20).trim_end().to_owned();
    let text = "Smørrebrød\n".to_owned() + &"æ".repeat(2000) + "\n.\nFrom here\n";
    let name = "Ødegård, \"Bob\" 事務 med et meget langt navn så det må deles i flere stykker.jpg";
    let draft = Draft {
        from: Person::parse_list("\"Ångström, Bob\" <bob@portico.test>").unwrap(),
        subject: subject.clone(),
        text: Some(text.clone()),
        html: Some("<p>Smørrebrød</p>".into()),
        attachments: vec![attachment(name, "image/jpeg", &[0xff, 0xd8, 0, b'\r', b'\n', 1]), attachment("x.txt", "text/plain", b"lf\n")],
        fields: vec![("X-Mood".into(), "glæde".into()), ("X-Ascii".into(), "word ".repeat(100).trim_end().into())],
        ..draft()
    };
    let message = built(&draft);
    assert!(message.is_ascii() && message.lines().all(|line| line.len() <= 78), "{message}");
    let tree = Tree::read(message.as_bytes()).unwrap();
    let fields = fields::decoded(&message.as_bytes()[tree.parts[0].header.clone()]);
    assert_eq!(fields::named(&fields, "Subject"), Some(subject.as_str()));
    assert_eq!(fields::named(&fields, "X-Mood"), Some("glæde"));
    assert_eq!(fields::summary(message.as_bytes()).from, "Ångström, Bob <bob@portico.test>");
    let shown: Vec<_> = tree.parts.iter().map(|part| (part.number.as_str(), part.kind.media.as_str())).collect();
    let expected = [
        ("", "multipart/mixed"),
        ("1", "multipart/alternative"),
        ("1.1", "text/plain"),
        ("1.2", "text/html"),
        ("2", "image/jpeg"),
        ("3", "text/plain"),
    ];
    assert_eq!(shown, expected);
    assert_eq!(tree.find("1.1").unwrap().text(message.as_bytes()), text);
    assert_eq!(tree.find("2").unwrap().kind.name.as_deref(), Some(file_name::safe(name).unwrap().as_str()));
    assert_eq!(*tree.find("2").unwrap().octets(message.as_bytes()), [0xff, 0xd8, 0, b'\r', b'\n', 1]);
    assert_eq!(*tree.find("3").unwrap().octets(message.as_bytes()), *b"lf\n");
}

#[test]
fn a_boundary_stands_nowhere_in_the_parts() {
    let inner = built(&Draft { attachments: vec![attachment("a", "text/plain", b"x\r\n")], ..draft() });
    let outer = Draft { attachments: vec![attachment("inner.eml", "message/rfc822", inner.as_bytes())], ..draft() };
    let outer = built(&outer);
    let tree = Tree::read(outer.as_bytes()).unwrap();
    assert_eq!(tree.parts.iter().map(|part| part.number.as_str()).collect::<Vec<_>>(), ["", "1", "2", "", "2.1", "2.2"]);
    assert_eq!(*tree.find("2").unwrap().octets(outer.as_bytes()), *inner.as_bytes());
}

#[test]
fn a_message_that_would_need_an_encoding_is_attached_as_a_file() {
    let content = "Subject: blå\r\n\r\nx\r\n".as_bytes();
    let message = built(&Draft { attachments: vec![attachment("a.eml", "message/rfc822", content)], ..draft() });
    let tree = Tree::read(message.as_bytes()).unwrap();
    let part = tree.find("2").unwrap();
    assert_eq!((part.kind.media.as_str(), part.is_composite), ("application/octet-stream", false));
    assert_eq!(*part.octets(message.as_bytes()), *content);
}

#[test]
fn nothing_can_be_injected_into_a_field() {
    let fails = |draft: Draft| draft.build(7).unwrap_err();
    assert_eq!(fails(Draft { subject: "a\r\nBcc: eve@x".into(), ..draft() }), Unwritable::Control("the subject".into()));
    let field = |name: &str, value: &str| Draft { fields: vec![(name.into(), value.into())], ..draft() };
    assert_eq!(fails(field("X-A", "b\nC: d")), Unwritable::Control("the field X-A".into()));
    for name in ["", "X A", "X:", "X\r\nY", "Å"] {
        assert_eq!(fails(field(name, "b")), Unwritable::FieldName(name.into()));
    }
    for name in ["From", "content-type", "BCC"] {
        assert_eq!(fails(field(name, "b")), Unwritable::OwnField(name.into()));
    }
    assert_eq!(fails(field("X-Long", &"x".repeat(2000))), Unwritable::LongLine("X-Long".into()));
    let twice = vec![("Date".into(), "x".into()), ("date".into(), "y".into())];
    assert_eq!(fails(Draft { fields: twice, ..draft() }), Unwritable::Twice("date".into()));
    for text in ["alice", "a@b\r\nc@d", "", "<>", "a b@c"] {
        assert!(Person::parse_list(text).is_err(), "{text:?}");
    }
    let name = vec![attachment("a\"\r\nX-Evil: yes\r\n\r\n.txt", "text/plain", b"x")];
    let message = built(&Draft { attachments: name, ..draft() });
    assert!(!message.contains("\r\nX-Evil"), "{message}");
}

#[test]
fn a_date_and_an_id_may_be_given() {
    let fields = vec![("date".into(), "Thu, 1 Jan 1970 00:00:00 +0000".into()), ("MESSAGE-ID".into(), "<x@y>".into())];
    let message = built(&Draft { fields, ..draft() });
    assert_eq!(message.matches("\r\nDate: ").count() + message.matches("Date: ").count(), 1 + usize::from(message.contains("\r\nDate: ")));
    assert!(message.contains("Message-ID: <x@y>\r\n") && message.contains("Date: Thu, 1 Jan 1970"));
}

#[test]
fn several_people_may_stand_in_one_flag() {
    let people = Person::parse_list("Alice <alice@x.test>, \"B, C\" <b@x.test>, d@x.test").unwrap();
    let shown: Vec<_> = people.iter().map(|person| (person.name.as_deref(), person.mailbox.to_string())).collect();
    assert_eq!(shown, [(Some("Alice"), "alice@x.test".into()), (Some("B, C"), "b@x.test".into()), (None, "d@x.test".into())]);
}

#[test]
fn files_stay_as_they_are_whatever_they_hold() {
    for content in [
        &b""[..],
        b"\n",
        b"\r\n",
        b"\r",
        b"x",
        b"x\r\n\r\n",
        b"x \r\n",
        b"\0",
        b"a\rb\r\n",
        b".\r\n",
        b"--\r\n",
        &[b'x'; 2000],
        "å\r\n".as_bytes(),
    ] {
        let message = built(&Draft { attachments: vec![attachment("f", "text/plain", content)], ..draft() });
        let tree = Tree::read(message.as_bytes()).unwrap();
        assert_eq!(tree.find("2").unwrap().octets(message.as_bytes()), content, "{}", content.escape_ascii());
    }
}
