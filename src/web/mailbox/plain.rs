//! A message for those who have no browser: JSON for programs, text for a terminal.

use serde_json::{Value, json};

use super::{
    address::address,
    excerpt::{self, FIELD_CHARS, SHOWN_FIELDS, for_terminal},
    reading::Message,
};
use crate::{
    mail::mime::tree::Part,
    net::escape::{escape, escape_json, escape_lines},
};

pub(super) fn as_json(message: &Message) -> String {
    let field = |(name, value): &(String, String)| json!({ "name": name, "value": value });
    let mut shown = json!({
        "account": message.account,
        "number": message.number,
        "uid": message.facts.uid,
        "octets": message.facts.octets,
        "flags": message.flags,
        "address": address(&message.facts.uid),
        "envelope": message.envelope().iter().map(field).collect::<Vec<_>>(),
        "trace": message.trace().take(SHOWN_FIELDS).collect::<Vec<_>>(),
        "head": message.head().take(SHOWN_FIELDS).map(field).collect::<Vec<_>>(),
        "parts": message.parts().iter().map(|part| part_json(message, part)).collect::<Vec<_>>(),
    });
    if let Err(why) = &message.tree {
        shown["whole"] = json!(format!("not taken apart: {why}"));
    }
    json(&shown)
}

fn part_json(message: &Message, part: &Part) -> Value {
    let mut shown = part.json(message.size_of(part));
    if !part.number.is_empty() {
        shown["address"] = json!(part.address(&address(&message.facts.uid)));
    }
    shown
}

/// The head, the text and where the rest is.
pub(super) fn as_text(message: &Message) -> String {
    let mut text = format!("Message {} of {}, {} octets\n", message.number, message.account, message.facts.octets);
    let mut section = |title: &str, lines: &mut dyn Iterator<Item = String>| {
        text.push_str(&format!("\n-- {title}\n"));
        lines.for_each(|line| text.push_str(&(line + "\n")));
    };
    let field = |(name, value): &(String, String)| format!("{}: {}", escape(name), for_terminal(value, FIELD_CHARS));
    if !message.envelope().is_empty() {
        section("the envelope, as delivery noted it", &mut message.envelope().iter().map(field));
    }
    if message.trace().next().is_some() {
        section("the way here, the last server first", &mut message.trace().take(SHOWN_FIELDS).map(|line| for_terminal(line, FIELD_CHARS)));
    }
    section("the head", &mut message.head().take(SHOWN_FIELDS).map(field));
    section("the body", &mut std::iter::once(body(message)));
    section("its parts", &mut message.parts().iter().map(|part| part_line(message, part)));
    text
}

/// What a person would read first.
fn body(message: &Message) -> String {
    let shown = match &message.tree {
        Ok(tree) => tree.text().map(|part| excerpt::of_part(message, part)),
        Err(why) => Some(excerpt::of_whole(message, why)),
    };
    let Some(shown) = shown else { return "(no text)".into() };
    let more = shown.more.map(|more| format!("({more})\n")).unwrap_or_default();
    escape_lines(&shown.text) + &more
}

fn part_line(message: &Message, part: &Part) -> String {
    let place = if part.number.is_empty() { String::new() } else { format!("  {}", part.address(&address(&message.facts.uid))) };
    let line = for_terminal(&excerpt::part_line(message, part), FIELD_CHARS);
    format!("{}{line}{place}", "  ".repeat(part.depth))
}

pub(super) fn json(value: &Value) -> String {
    escape_json(value) + "\n"
}
