//! A message for those who have no browser: JSON for programs, text for a terminal. And what all
//! forms share: texts of strangers, made harmless and short.

use serde_json::{Value, json};

use super::{address, look::Letter};
use crate::{
    mail::mime::{fields::Summary, tree::Part},
    net::escape::{escape, escape_json, escape_lines},
};

/// How much text of one part is shown, in octets; the part's own address has all of it.
pub(super) const TEXT_OCTETS: usize = 64 * 1024;
/// How many parts are shown in place. The tree names all of them.
pub(super) const SHOWN_PARTS: usize = 20;
/// How many fields of a head are shown, and how much of each, in characters.
pub(super) const SHOWN_FIELDS: usize = 200;
pub(super) const FIELD_CHARS: usize = 2000;

pub(super) fn as_json(letter: &Letter) -> String {
    let field = |(name, value): &(String, String)| json!({ "name": name, "value": value });
    let mut shown = json!({
        "account": letter.account,
        "number": letter.number,
        "uid": letter.facts.uid,
        "octets": letter.facts.octets,
        "flags": letter.flags,
        "address": address(&letter.facts.uid),
        "envelope": letter.envelope().iter().map(field).collect::<Vec<_>>(),
        "trace": letter.trace().take(SHOWN_FIELDS).collect::<Vec<_>>(),
        "head": letter.head().take(SHOWN_FIELDS).map(field).collect::<Vec<_>>(),
        "parts": letter.parts().iter().map(|part| part_json(letter, part)).collect::<Vec<_>>(),
    });
    if let Err(why) = &letter.tree {
        shown["whole"] = json!(format!("not taken apart: {why}"));
    }
    json(&shown)
}

fn part_json(letter: &Letter, part: &Part) -> Value {
    let kind = &part.kind;
    let mut shown = json!({
        "part": part.number, "depth": part.depth, "type": kind.media, "charset": kind.charset, "encoding": kind.encoding.name(),
        "name": kind.name, "attachment": kind.is_attachment, "octets": part.body.len(),
    });
    if !part.number.is_empty() {
        shown["address"] = json!(part.address(&address(&letter.facts.uid)));
    }
    if !part.is_composite {
        shown["decoded-octets"] = json!(letter.size_of(part));
    }
    shown
}

/// The head, the text and where the rest is.
pub(super) fn as_text(letter: &Letter) -> String {
    let mut text = format!("Message {} of {}, {} octets\n", letter.number, letter.account, letter.facts.octets);
    let mut section = |title: &str, lines: &mut dyn Iterator<Item = String>| {
        text.push_str(&format!("\n-- {title}\n"));
        lines.for_each(|line| text.push_str(&(line + "\n")));
    };
    let field = |(name, value): &(String, String)| format!("{}: {}", escape(name), harmless(value, FIELD_CHARS));
    if !letter.envelope().is_empty() {
        section("the envelope, as delivery noted it", &mut letter.envelope().iter().map(field));
    }
    if letter.trace().next().is_some() {
        section("the way here, the last server first", &mut letter.trace().take(SHOWN_FIELDS).map(|line| harmless(line, FIELD_CHARS)));
    }
    section("the head", &mut letter.head().take(SHOWN_FIELDS).map(field));
    section("the body", &mut std::iter::once(body(letter)));
    section("its parts", &mut letter.parts().iter().map(|part| part_line(letter, part)));
    text
}

/// What a person would read first.
fn body(letter: &Letter) -> String {
    let part = match &letter.tree {
        Ok(tree) => tree.text().map(|part| readable(letter, part)),
        Err(why) => Some(Shown::of(&String::from_utf8_lossy(bounded(letter.body())), why)),
    };
    let Some(shown) = part else { return "(no text)".into() };
    let more = shown.more.map(|more| format!("({more})\n")).unwrap_or_default();
    escape_lines(&shown.text) + &more
}

fn part_line(letter: &Letter, part: &Part) -> String {
    let place = if part.number.is_empty() { String::new() } else { format!("  {}", part.address(&address(&letter.facts.uid))) };
    format!("{}{}{place}", "  ".repeat(part.depth), harmless(&describe(letter, part), FIELD_CHARS))
}

/// `1 text/plain; charset=utf-8, quoted-printable, 18 octets`
pub(super) fn describe(letter: &Letter, part: &Part) -> String {
    let kind = &part.kind;
    let number = if part.number.is_empty() { String::new() } else { format!("{} ", part.number) };
    let charset = kind.charset.as_deref().map(|charset| format!("; charset={charset}")).unwrap_or_default();
    let name = kind.name.as_deref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    if part.is_composite {
        return format!("{number}{}{name}", kind.media);
    }
    let (sent, decoded) = (part.body.len(), letter.size_of(part));
    let decoded = if sent == decoded { String::new() } else { format!(", {decoded} decoded") };
    format!("{number}{}{charset}{name}, {}, {sent} octets{decoded}", kind.media, kind.encoding.name())
}

/// Text in its bounds.
pub(super) struct Shown {
    pub text: String,
    /// What is to be said about the rest.
    pub more: Option<String>,
}

impl Shown {
    fn of(text: &str, why: &str) -> Shown {
        Shown { text: text.to_owned(), more: Some(why.to_owned()) }
    }
}

/// The beginning of a part for reading: HTML without its tags.
pub(super) fn readable(letter: &Letter, part: &Part) -> Shown {
    let text = part.readable_within(&letter.octets, TEXT_OCTETS);
    let more = (letter.size_of(part) > TEXT_OCTETS).then(|| "it goes on: its own address has all of it".to_owned());
    Shown { text, more }
}

/// As much of a body as is shown.
pub(super) fn bounded(octets: &[u8]) -> &[u8] {
    octets.get(..TEXT_OCTETS).unwrap_or(octets)
}

/// Sender, subject and date for the list; what is missing is said to be missing.
pub(super) fn summary(summary: &Summary) -> [String; 3] {
    let or = |text: String, missing: &str| if text.is_empty() { missing.to_owned() } else { text };
    [
        or(summary.from.clone(), "(no sender)"),
        or(summary.subject.clone(), "(no subject)"),
        or(summary.date.replacen('T', " ", 1), "(no date)"),
    ]
}

/// For a page: without control characters, and so many characters at most.
pub(super) fn short(text: &str, most: usize) -> String {
    cut(text, most).chars().map(visible).collect()
}

/// For a terminal.
pub(super) fn harmless(text: &str, most: usize) -> String {
    escape(cut(text, most)).replace("\\\\", "\\")
}

fn cut(text: &str, most: usize) -> String {
    let more = if text.chars().nth(most).is_some() { "…" } else { "" };
    text.chars().take(most).collect::<String>() + more
}

/// A character for a page; line ends and tabs stay.
pub(super) fn visible(c: char) -> char {
    if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }
}

pub(super) fn json(value: &Value) -> String {
    escape_json(value) + "\n"
}
