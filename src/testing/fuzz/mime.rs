//! Messages taken apart for showing, and messages built.

use std::time::SystemTime;

use super::{bounded, parts};
use crate::{
    mail::mime::{
        draft::{Attachment, Draft, Person, Unwritable},
        fields, file_name,
        tree::Tree,
    },
    web::mailbox,
};

/// A message is taken apart: every part lies in the one that holds it, its number is its own, its
/// name is safe, and all of it can be decoded.
pub fn mime_show(data: &[u8]) {
    let message = bounded(data);
    let (_, _) = (fields::summary(message), fields::decoded(message));
    let Ok(tree) = Tree::read(message) else { return };
    assert!(!tree.parts.is_empty());
    let mut numbers: Vec<&str> = tree.parts.iter().map(|part| part.number.as_str()).filter(|number| !number.is_empty()).collect();
    for number in &numbers {
        assert!(tree.find(number).is_some());
    }
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "each number is there once");
    for part in &tree.parts {
        assert!(part.header.end == part.body.start && part.body.end <= message.len() && part.body.start <= part.body.end);
        let octets = part.octets(message);
        assert!(octets.len() <= part.body.len(), "decoding makes nothing longer");
        let (_, _) = (part.text(message), part.readable(message));
        let name = part.file_name();
        assert!(!name.contains(['/', '\\', '\0', '\n']) && !name.starts_with('.') && name.len() <= 255, "{name:?}");
    }
}

/// Whatever a message is, what is shown of it in a browser is bounded, none of it is markup of its
/// sender's, and text for a terminal holds nothing that acts on one.
pub fn mailbox_page(data: &[u8]) {
    let message = bounded(data);
    let shown = mailbox::everything_shown(message);
    let [page, json, text, ..] = &shown[..] else { panic!("a page, JSON and text") };
    assert!(page.len() < 10_000_000 && text.len() < 10_000_000);
    serde_json::from_str::<serde_json::Value>(json).expect("it is JSON");
    for tag in page.split('<').skip(1) {
        let name = tag.split([' ', '>']).next().unwrap_or_default().trim_start_matches('/');
        assert!(TAGS.contains(&name), "{name:?} is not ours");
    }
    assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text:?}");
    for html in &shown[3..] {
        let small = html.to_ascii_lowercase();
        assert!(!small.contains("<link") && !small.contains("<iframe") && !small.contains("<meta"));
    }
}

/// The elements of the page.
const TAGS: [&str; 33] = [
    "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "a", "b", "code", "table", "tr", "th", "td",
    "bdi", "div", "pre", "details", "summary", "iframe", "ul", "li", "form", "input", "button", "span", "footer", "ol", "img",
];

/// A message is built of arbitrary values, or refused; what was built is 7-bit, has short lines, and
/// gives the same values back.
pub fn mime_build(data: &[u8]) {
    let [subject, text, name, content] = parts(bounded(data));
    let (subject, text, name) = (String::from_utf8_lossy(subject), String::from_utf8_lossy(text), String::from_utf8_lossy(name));
    let alice = Person::parse_list("Alice <alice@portico.test>").expect("it is an address");
    let attachment = |media: &str| Attachment { name: name.to_string(), media: media.into(), content: content.to_vec() };
    let draft = Draft {
        from: alice.clone(),
        to: Person::parse_list(&name).unwrap_or(alice),
        cc: Vec::new(),
        subject: subject.to_string(),
        text: Some(text.to_string()),
        html: Some(text.to_string()),
        attachments: ["application/octet-stream", "text/plain", "message/rfc822"].map(attachment).into(),
        fields: vec![("X-Subject".into(), subject.to_string())],
        date: SystemTime::UNIX_EPOCH,
        message_id: "<1@portico.test>".into(),
    };
    let message = match draft.build(7) {
        Ok(message) => message,
        Err(Unwritable::Control(_) | Unwritable::LongLine(_)) => return,
        Err(fault) => panic!("{fault}"),
    };
    assert!(message.is_ascii());
    assert!(message.split(|octet| *octet == b'\n').all(|line| line.len() <= 999 && (line.is_empty() || line.ends_with(b"\r"))));
    let Ok(tree) = Tree::read(&message) else { return };
    let find = |number: &str| tree.find(number).unwrap_or_else(|| panic!("no part {number}: {}", message.escape_ascii()));
    let wanted = text.replace("\r\n", "\n").replace('\r', "\n");
    assert_eq!(find("1.1").text(&message), wanted);
    assert_eq!(find("1.2").text(&message), wanted);
    for number in ["2", "3", "4"] {
        assert_eq!(*find(number).octets(&message), *content, "part {number}");
        assert_eq!(find(number).kind.name, Some(file_name::safe(&name).unwrap_or_else(|| "attachment".into())));
    }
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let summary = fields::summary(&message);
    assert_eq!(words(&summary.subject), words(&subject), "{}", message.escape_ascii());
}
