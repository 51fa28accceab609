//! Text with placeholders and escapes, as it stands after `C:` and `S:` and inside quotes.

use std::fmt::Write;

/// A text whose placeholders have not been filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(pub Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Vec<u8>),
    /// `{any}`
    Any,
    /// `{name}`
    Name(String),
    /// `{one|other}`
    Choice(Vec<String>),
}

/// Where a text is wrong, in octets from its start, and what was meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub at: usize,
    pub what: String,
}

/// Where a text stands, which decides what must be escaped when it is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Line,
    Quotes,
}

impl Text {
    /// Reads a text to its end.
    pub(crate) fn parse(source: &str) -> Result<Text, Wrong> {
        let (text, taken) = Text::parse_until(source, None)?;
        debug_assert_eq!(taken, source.len());
        Ok(text)
    }

    /// Reads a text up to `end` or to the end of the source, and tells how much it took.
    pub(super) fn parse_until(source: &str, end: Option<char>) -> Result<(Text, usize), Wrong> {
        let mut text = Text::default();
        let mut rest = source;
        while let Some(c) = rest.chars().next().filter(|c| Some(*c) != end) {
            let at = source.len() - rest.len();
            let taken = match c {
                '\\' => text.escape(rest),
                '{' => text.brace(rest),
                c => text.literal(c.encode_utf8(&mut [0; 4]).as_bytes(), c.len_utf8()),
            };
            rest = &rest[taken.map_err(|what| Wrong { at, what })?..];
        }
        Ok((text, source.len() - rest.len()))
    }

    fn literal(&mut self, octets: &[u8], taken: usize) -> Result<usize, String> {
        match self.0.last_mut() {
            Some(Part::Literal(literal)) => literal.extend_from_slice(octets),
            _ => self.0.push(Part::Literal(octets.to_vec())),
        }
        Ok(taken)
    }

    fn escape(&mut self, rest: &str) -> Result<usize, String> {
        let octet = match rest.as_bytes().get(1) {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => b'\0',
            Some(b'\\') => b'\\',
            Some(b'"') => b'"',
            Some(b'x') => {
                let digits = rest.get(2..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let octet = octet.ok_or("`\\x` needs two hexadecimal digits, as in `\\x20`")?;
                return self.literal(&[octet], 4);
            }
            _ => return Err("no such escape; a backslash is written `\\\\`, the others are \\r \\n \\t \\0 \\xHH \\\"".into()),
        };
        self.literal(&[octet], 2)
    }

    fn brace(&mut self, rest: &str) -> Result<usize, String> {
        if rest.starts_with("{{") {
            return self.literal(b"{", 2);
        }
        let name = rest[1..].split('}').next().unwrap_or_default();
        let part = match name {
            "any" => Part::Any,
            name if is_name(name) => Part::Name(name.to_owned()),
            choice if is_choice(choice) => Part::Choice(choice.split('|').map(str::to_owned).collect()),
            _ => return Err("a placeholder is `{any}`, `{name}` or `{one|other}`; a brace is written `{{`".into()),
        };
        if name.len() + 1 == rest.len() {
            return Err("this placeholder has no `}`; a brace is written `{{`".into());
        }
        self.0.push(part);
        Ok(name.len() + 2)
    }

    /// A text without placeholders.
    pub(crate) fn plain(octets: impl Into<Vec<u8>>) -> Text {
        let octets = octets.into();
        if octets.is_empty() { Text::default() } else { Text(vec![Part::Literal(octets)]) }
    }

    /// The text, where it has no placeholders.
    pub(crate) fn as_plain(&self) -> Option<&[u8]> {
        match &self.0[..] {
            [] => Some(b""),
            [Part::Literal(octets)] => Some(octets),
            _ => None,
        }
    }

    /// Whether this is nothing but the placeholder `name`.
    pub(crate) fn is_name(&self, name: &str) -> bool {
        matches!(&self.0[..], [Part::Name(only)] if only == name)
    }

    /// What the text begins with, before its first placeholder.
    pub(crate) fn start(&self) -> &[u8] {
        match self.0.first() {
            Some(Part::Literal(octets)) => octets,
            _ => b"",
        }
    }

    /// Both sides of the first occurrence of `octet` outside placeholders.
    pub(crate) fn split_at_octet(&self, octet: u8) -> Option<(Text, Text)> {
        for (index, part) in self.0.iter().enumerate() {
            let Part::Literal(literal) = part else { continue };
            let Some(at) = literal.iter().position(|other| *other == octet) else { continue };
            let (mut before, mut after) = (Text(self.0[..index].to_vec()), Text::plain(&literal[at + 1..]));
            before.append(Text::plain(&literal[..at]));
            after.0.extend_from_slice(&self.0[index + 1..]);
            return Some((before, after));
        }
        None
    }

    /// The texts that this one stands for, one for each way to choose; not more than a hundred.
    pub(crate) fn choices(&self) -> Vec<Text> {
        const CHOICES: usize = 100;
        let mut texts = vec![Text::default()];
        for part in &self.0 {
            let Part::Choice(choice) = part else {
                texts.iter_mut().for_each(|text| text.append(Text(vec![part.clone()])));
                continue;
            };
            let chosen = |(text, one): (&Text, &String)| {
                let mut text = text.clone();
                text.append(Text::plain(one.as_str()));
                text
            };
            texts = texts.iter().flat_map(|text| choice.iter().map(move |one| (text, one))).take(CHOICES).map(chosen).collect();
        }
        texts
    }

    pub(super) fn has_choice(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Choice(_)))
    }

    /// Adds `more` at the end.
    pub(crate) fn append(&mut self, more: Text) {
        for part in more.0 {
            match (part, self.0.last_mut()) {
                (Part::Literal(octets), Some(Part::Literal(literal))) => literal.extend(octets),
                (part, _) => self.0.push(part),
            }
        }
    }

    /// The text as it is written in a transcript.
    pub(crate) fn print(&self, place: Place) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(octets) => out.push_str(&print_octets(octets, place, true)),
                Part::Any => out.push_str("{any}"),
                Part::Name(name) => out.extend(["{", name, "}"]),
                Part::Choice(choice) => out.extend(["{", &choice.join("|"), "}"]),
            }
        }
        if place == Place::Line && out.ends_with(' ') {
            out.pop();
            out.push_str("\\x20");
        }
        out
    }
}

/// Octets as they are written in a transcript, so that neither a terminal nor an editor nor the
/// parser takes them for anything but text.
pub(crate) fn print_octets(octets: &[u8], place: Place, braces: bool) -> String {
    let mut out = String::new();
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\0' => out.push_str("\\0"),
                '\\' => out.push_str("\\\\"),
                '"' if place == Place::Quotes => out.push_str("\\\""),
                '{' if braces => out.push_str("{{"),
                c if acts_on_a_terminal(c) => print_hex(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        print_hex(&mut out, chunk.invalid());
    }
    out
}

/// What is for the reader only: it is never parsed, so a backslash is itself, and what is printed
/// prints the same again.
pub(crate) fn print_note(note: &str) -> String {
    let pieces: Vec<_> = note.split('\\').map(|piece| print_octets(piece.as_bytes(), Place::Line, false)).collect();
    pieces.join("\\")
}

fn print_hex(out: &mut String, octets: &[u8]) {
    for octet in octets {
        // Writing to a string cannot fail.
        let _written = write!(out, "\\x{octet:02x}");
    }
}

pub(super) fn acts_on_a_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether a placeholder or a connection may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic()) && chars.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether this can stand between braces for a choice: texts that need no escapes.
fn is_choice(choice: &str) -> bool {
    choice.contains('|') && choice.bytes().all(|octet| (b' '..=b'~').contains(&octet) && !br#"{}"\"#.contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn placeholders_braces_and_escapes() {
        let text = Text::parse("a{{b} {any} {port-1}\\x20\\r\\\\").unwrap();
        let literal = |text: &str| Part::Literal(text.as_bytes().to_vec());
        assert_eq!(text.0, [literal("a{b} "), Part::Any, literal(" "), Part::Name("port-1".into()), literal(" \r\\")]);
        assert_eq!(text.print(Place::Line), "a{{b} {any} {port-1} \\r\\\\");
        let text = Text::parse("{a|b c|}{x|y}").unwrap();
        assert_eq!(text.print(Place::Line), "{a|b c|}{x|y}");
        let texts: Vec<_> = text.choices().iter().map(|text| text.print(Place::Line)).collect();
        assert_eq!(texts, ["ax", "ay", "b cx", "b cy", "x", "y"]);
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (source, at, says) in [
            ("ab\\q", 2, "no such escape"),
            ("{", 0, "`{{`"),
            ("x{a b}", 1, "`{{`"),
            ("\\xg0", 0, "two hex"),
            ("a{}", 1, "`{{`"),
            ("{abc", 0, "no `}`"),
            ("{a|\\r}", 0, "`{{`"),
        ] {
            let wrong = Text::parse(source).unwrap_err();
            assert_eq!(wrong.at, at, "{source}");
            assert!(wrong.what.contains(says), "{source}: {}", wrong.what);
        }
    }

    #[test]
    fn a_text_is_split_outside_its_placeholders() {
        let (name, value) = Text::parse("X-{a.b}: v: {any}").unwrap().split_at_octet(b':').unwrap();
        assert_eq!((name.print(Place::Line), value.print(Place::Line)), ("X-{a.b}".into(), " v: {any}".into()));
    }

    proptest! {
        #[test]
        fn any_octets_survive_being_written(octets: Vec<u8>) {
            for place in [Place::Line, Place::Quotes] {
                let text = Text::plain(octets.clone());
                let printed = text.print(place);
                prop_assert!(!printed.contains(char::is_control) && !printed.ends_with(' ') || place == Place::Quotes);
                prop_assert_eq!(&Text::parse(&printed).unwrap(), &text);
            }
        }
    }
}
