//! What strangers wrote, made short and harmless: as much of it as every form shows of a message.

use super::reading::Message;
use crate::{
    mail::mime::{fields::Summary, tree::Part},
    net::escape::escape_prose,
};

/// How much text of one part is shown, in octets; the part's own address has all of it.
pub(super) const TEXT_OCTETS: usize = 64 * 1024;
/// How many parts are shown in place. The tree names all of them.
pub(super) const SHOWN_PARTS: usize = 20;
/// How many fields of a head are shown, and how much of each, in characters.
pub(super) const SHOWN_FIELDS: usize = 200;
pub(super) const FIELD_CHARS: usize = 2000;

/// Text in its bounds.
pub(super) struct Excerpt {
    pub text: String,
    /// What is to be said about the rest.
    pub more: Option<String>,
}

/// The beginning of a part for reading: HTML without its tags.
pub(super) fn of_part(message: &Message, part: &Part) -> Excerpt {
    let text = part.readable_within(&message.octets, TEXT_OCTETS);
    let more = (message.size_of(part) > TEXT_OCTETS).then(|| "it goes on: its own address has all of it".to_owned());
    Excerpt { text, more }
}

/// The beginning of a body that is not taken apart, and why it is not.
pub(super) fn of_whole(message: &Message, why: &str) -> Excerpt {
    let body = message.body();
    let text = String::from_utf8_lossy(body.get(..TEXT_OCTETS).unwrap_or(body)).into_owned();
    Excerpt { text, more: Some(why.to_owned()) }
}

/// `1 text/plain; charset=utf-8, quoted-printable, 18 octets`
pub(super) fn part_line(message: &Message, part: &Part) -> String {
    let number = if part.number.is_empty() { String::new() } else { format!("{} ", part.number) };
    format!("{number}{}", part.description(message.size_of(part)))
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

/// For a page: so many characters at most.
pub(super) fn for_page(text: &str, most: usize) -> String {
    legible(&cut(text, most))
}

/// For a terminal.
pub(super) fn for_terminal(text: &str, most: usize) -> String {
    escape_prose(&cut(text, most))
}

fn cut(text: &str, most: usize) -> String {
    let more = if text.chars().nth(most).is_some() { "…" } else { "" };
    text.chars().take(most).collect::<String>() + more
}

/// Without control characters, which have no place on a page; line ends and tabs stay.
pub(super) fn legible(text: &str) -> String {
    let visible = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c };
    text.chars().map(visible).collect()
}
