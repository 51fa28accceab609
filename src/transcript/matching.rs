//! Whether what was received is what a script expects.
//!
//! Pure: it is handed the octets. What it remembers (`{name}`) is kept in [`Names`], and only if
//! the whole text fits.

use std::collections::BTreeMap;

use super::text::{Part, Place, Text, print_octets};

/// What the names of a script stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(BTreeMap<String, Vec<u8>>);

impl Names {
    pub(crate) fn set(&mut self, name: impl Into<String>, octets: impl Into<Vec<u8>>) {
        self.0.insert(name.into(), octets.into());
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The text with its names filled in.
    ///
    /// # Errors
    /// The placeholder that stands for nothing.
    pub(crate) fn fill(&self, text: &Text) -> Result<Vec<u8>, String> {
        let mut filled = Vec::new();
        for part in &text.0 {
            match part {
                Part::Literal(octets) => filled.extend_from_slice(octets),
                Part::Name(name) => filled.extend_from_slice(self.0.get(name).ok_or_else(|| format!("{{{name}}} has not been seen yet"))?),
                Part::Any | Part::Choice(_) => return Err("{any} and {one|other} can't be said, only expected".into()),
            }
        }
        Ok(filled)
    }

    /// Whether all of `octets` fits `text`. If so, its new names are remembered.
    pub(crate) fn fits(&mut self, text: &Text, octets: &[u8]) -> bool {
        if text.has_choice() {
            return text.choices().iter().any(|text| self.fits(text, octets));
        }
        let fitted = Fit { names: self, seen: Vec::new() }.whole(&text.0, octets);
        let Some(seen) = fitted else { return false };
        self.0.extend(seen.into_iter().map(|(name, octets)| (name.to_owned(), octets)));
        true
    }

    /// Whether `text` fits somewhere inside `octets`.
    pub(crate) fn fits_inside(&mut self, text: &Text, octets: &[u8]) -> bool {
        let mut anywhere = Text(vec![Part::Any]);
        anywhere.append(text.clone());
        anywhere.append(Text(vec![Part::Any]));
        self.fits(&anywhere, octets)
    }
}

/// A match under way. Each placeholder takes the shortest text after which what follows it, up to
/// the next placeholder, fits; so there is no going back and the time is linear.
struct Fit<'n, 't> {
    names: &'n Names,
    seen: Vec<(&'t str, Vec<u8>)>,
}

impl<'t> Fit<'_, 't> {
    fn whole(mut self, mut parts: &'t [Part], mut octets: &[u8]) -> Option<Vec<(&'t str, Vec<u8>)>> {
        loop {
            let (fixed, open) = self.fixed(parts);
            octets = octets.strip_prefix(&fixed[..])?;
            let Some((placeholder, after)) = open.split_first() else {
                return octets.is_empty().then_some(self.seen);
            };
            let (fixed, beyond) = self.fixed(after);
            let at = if beyond.is_empty() { octets.len().checked_sub(fixed.len())? } else { memchr::memmem::find(octets, &fixed)? };
            if let Part::Name(name) = placeholder {
                self.seen.push((name, octets[..at].to_vec()));
            }
            (octets, parts) = (&octets[at..], after);
        }
    }

    /// The octets that the first parts stand for, and the parts from the first open one on.
    fn fixed(&self, parts: &'t [Part]) -> (Vec<u8>, &'t [Part]) {
        let mut fixed = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            match part {
                Part::Literal(octets) => fixed.extend_from_slice(octets),
                Part::Name(name) => match self.known(name) {
                    Some(octets) => fixed.extend_from_slice(octets),
                    None => return (fixed, &parts[index..]),
                },
                Part::Any | Part::Choice(_) => return (fixed, &parts[index..]),
            }
        }
        (fixed, &[])
    }

    fn known(&self, name: &str) -> Option<&[u8]> {
        let seen = self.seen.iter().find(|(seen, _)| *seen == name).map(|(_, octets)| octets);
        seen.or_else(|| self.names.0.get(name)).map(Vec::as_slice)
    }
}

/// What an expected line stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expected<'a> {
    /// This line.
    Line(&'a Text),
    /// A whole reply with one of these codes, of any number of lines.
    Reply(Codes<'a>),
    /// A line that begins with this word.
    Status(&'a [u8]),
    /// Any number of lines.
    Lines,
    /// The first line of an HTTP head.
    Head(&'a Text),
}

/// Reads an expected line as described in `docs/transcripts.md`.
pub(crate) fn expected(text: &Text) -> Expected<'_> {
    if text.is_name("lines") {
        return Expected::Lines;
    }
    match (text.as_plain(), &text.0[..]) {
        (Some(code), _) if is_code(code) => return Expected::Reply(Codes(vec![code])),
        (Some(word @ (b"+OK" | b"-ERR")), _) => return Expected::Status(word),
        (_, [Part::Choice(codes)]) if codes.iter().all(|code| is_code(code.as_bytes())) => {
            return Expected::Reply(Codes(codes.iter().map(String::as_bytes).collect()));
        }
        _ => {}
    }
    let is_response = text.start().starts_with(b"HTTP/");
    let is_request = match text.0.last() {
        Some(Part::Literal(end)) => [&b" HTTP/1.0"[..], b" HTTP/1.1"].iter().any(|version| end.ends_with(version)),
        Some(Part::Choice(versions)) => versions.iter().all(|version| version.starts_with("HTTP/1.")),
        _ => false,
    };
    if is_response || is_request { Expected::Head(text) } else { Expected::Line(text) }
}

/// Codes that a reply may have. `x` stands for any digit: clients must be content with the first one
/// (RFC 5321, 4.2.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Codes<'a>(Vec<&'a [u8]>);

impl Codes<'_> {
    /// Whether a line begins a reply with one of these codes.
    pub(crate) fn begin(&self, line: &[u8]) -> bool {
        let fits =
            |code: &&[u8]| line.iter().zip(*code).all(|(octet, wanted)| octet == wanted || (*wanted == b'x' && octet.is_ascii_digit()));
        line.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit))
            && self.0.iter().any(fits)
            && matches!(line.get(3), None | Some(b' ' | b'-'))
    }
}

/// Three digits, the last two of which may be `x`.
fn is_code(code: &[u8]) -> bool {
    matches!(code, [b'1'..=b'5', b'0'..=b'9' | b'x', b'0'..=b'9' | b'x'])
}

/// Whether a line of the reply that began with `first` is its last one (RFC 5321, 4.2.1; RFC 959,
/// 4.2).
pub(crate) fn ends_reply(first: &[u8], line: &[u8]) -> bool {
    let code = first.get(..3).unwrap_or(first);
    line.strip_prefix(code).is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
}

/// Whether a line is this word, alone or before a blank.
pub(crate) fn begins_with_word(word: &[u8], line: &[u8]) -> bool {
    line.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
}

/// The fields that an HTTP head must have and must not have.
#[derive(Debug, Default)]
pub(crate) struct ExpectedFields {
    present: Vec<(String, Text)>,
    absent: Vec<String>,
}

impl ExpectedFields {
    /// Adds a line `Name: text` or `!Name`.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub(crate) fn add(&mut self, line: &Text) -> Result<(), String> {
        if let Some(name) = line.as_plain().and_then(|plain| plain.strip_prefix(b"!")) {
            self.absent.push(String::from_utf8_lossy(name).trim_end_matches(':').to_owned());
            return Ok(());
        }
        let Some((name, value)) = line.split_at_octet(b':') else {
            return Err("within an HTTP head a line is `Name: text` or `!Name`, and an empty one ends it".into());
        };
        let name = name.as_plain().map(|name| String::from_utf8_lossy(name).into_owned());
        self.present.push((name.ok_or("a field's name has no placeholders")?, trim_start(value)));
        Ok(())
    }

    /// Compares with the lines of a received head after the first one. The answer lists what is
    /// missing or should not be there, one line each.
    pub(crate) fn compare(&self, lines: &[Vec<u8>], names: &mut Names) -> Vec<String> {
        let mut fields: Vec<_> = lines.iter().filter_map(|line| field(line)).collect();
        let mut wrong = Vec::new();
        for (name, text) in &self.present {
            let at = fields.iter().position(|(other, value)| other.eq_ignore_ascii_case(name.as_bytes()) && names.fits(text, value));
            match at {
                Some(at) => drop(fields.remove(at)),
                None => wrong.push(format!("{name}: {}", text.print(Place::Line))),
            }
        }
        for name in &self.absent {
            if lines.iter().filter_map(|line| field(line)).any(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes())) {
                wrong.push(format!("!{name}"));
            }
        }
        wrong
    }
}

fn trim_start(mut text: Text) -> Text {
    if let Some(Part::Literal(octets)) = text.0.first_mut() {
        *octets = octets.trim_ascii_start().to_vec();
        if octets.is_empty() {
            text.0.remove(0);
        }
    }
    text
}

/// Name and value of a field line.
pub(crate) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// The first octets of something long, for a message.
pub(crate) fn excerpt(octets: &[u8]) -> String {
    const SHOWN_OCTETS: usize = 400;
    let shown = print_octets(&octets[..octets.len().min(SHOWN_OCTETS)], Place::Quotes, false);
    if octets.len() > SHOWN_OCTETS { format!("\"{shown}\"... ({} octets)", octets.len()) } else { format!("\"{shown}\"") }
}

/// Where two contents differ first, told with what stands there.
pub(crate) fn first_difference(expected: &[u8], received: &[u8]) -> String {
    const SHOWN_OCTETS: usize = 60;
    let at = expected.iter().zip(received).take_while(|(a, b)| a == b).count();
    let around = |octets: &[u8]| {
        let from = at.saturating_sub(SHOWN_OCTETS / 2).min(octets.len());
        excerpt(&octets[from..octets.len().min(at + SHOWN_OCTETS)])
    };
    format!(
        "{} octets expected, {} received; they differ from octet {} on: {} expected, {} received",
        expected.len(),
        received.len(),
        at + 1,
        around(expected),
        around(received)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(names: &mut Names, pattern: &str, line: &str) -> bool {
        names.fits(&Text::parse(pattern).unwrap(), line.as_bytes())
    }

    #[test]
    fn lines_fit_or_do_not() {
        for (pattern, line, fitting) in [
            ("250 ok", "250 ok", true),
            ("250 ok", "250 ok ", false),
            ("250 {any}", "250 ", true),
            ("250 {any}", "250", false),
            ("{any}b", "abab", true),
            ("{any}b", "aba", false),
            ("a{any}b{any}c", "a1b2b3c", true),
            ("a{any}a", "a", false),
            ("({h},{p})", "(127,0,0,1,4,5)", true),
            ("{x}={x}", "7=7", true),
            ("{x}={x}", "7=8", false),
            ("{{{x}}", "{7}", true),
            ("", "", true),
            ("{any}", "", true),
            ("{250|251} {any}", "251 ok", true),
            ("{250|251} {any}", "252 ok", false),
            ("is{| not} so", "is so", true),
            ("{x} {a|b} {x}", "1 b 1", true),
        ] {
            assert_eq!(fits(&mut Names::default(), pattern, line), fitting, "{pattern} on {line}");
        }
    }

    #[test]
    fn a_name_is_remembered_compared_and_filled_in() {
        let mut names = Names::default();
        assert!(fits(&mut names, "227 =({h1},{h2},{p1},{p2})", "227 =(127,0,4,5)"));
        assert_eq!(names.fill(&Text::parse("{p1}*256+{p2}").unwrap()).unwrap(), b"4*256+5");
        assert!(!fits(&mut names, "{p1}", "5"));
        assert!(fits(&mut names, "is {p1}", "is 4"));
        assert!(names.fill(&Text::parse("{other}").unwrap()).unwrap_err().contains("{other}"));
    }

    #[test]
    fn what_does_not_fit_is_not_remembered() {
        let mut names = Names::default();
        assert!(!fits(&mut names, "{x} end", "1 beginning"));
        assert!(fits(&mut names, "{x}", "2"));
    }

    #[test]
    fn some_lines_stand_for_more_than_themselves() {
        let text = |source: &str| Text::parse(source).unwrap();
        assert_eq!(expected(&text("250")), Expected::Reply(Codes(vec![b"250"])));
        assert_eq!(expected(&text("{250|5xx}")), Expected::Reply(Codes(vec![b"250", b"5xx"])));
        assert_eq!(expected(&text("+OK")), Expected::Status(b"+OK"));
        assert_eq!(expected(&text("{lines}")), Expected::Lines);
        assert!(matches!(expected(&text("HTTP/1.1 200 {any}")), Expected::Head(_)));
        assert!(matches!(expected(&text("GET {any} HTTP/1.1")), Expected::Head(_)));
        assert!(matches!(expected(&text("GET {any} {HTTP/1.0|HTTP/1.1}")), Expected::Head(_)));
        for line in ["250 ok", "2500", "+OK 2", "650", "xxx", "{250|ok}", "{any}", ""] {
            assert!(matches!(expected(&text(line)), Expected::Line(_)), "{line}");
        }
    }

    #[test]
    fn replies_begin_and_end() {
        let code = Codes(vec![b"354", b"25x"]);
        assert!(code.begin(b"250-a") && code.begin(b"251") && code.begin(b"354 go"));
        assert!(!code.begin(b"2500") && !code.begin(b"25x") && !code.begin(b"25") && !code.begin(b"550 no"));
        assert!(ends_reply(b"250", b"250 a") && ends_reply(b"250", b"250") && !ends_reply(b"250", b"250-a"));
    }

    #[test]
    fn heads_are_sets() {
        let received: Vec<_> = ["Date: now", "SET-COOKIE:a=1", "Set-Cookie: b=2 "].iter().map(|line| line.as_bytes().to_vec()).collect();
        for (lines, wrong) in [
            (&["set-cookie: b=2", "Set-Cookie: a={any}", "!ETag"][..], &[][..]),
            (&["Set-Cookie: a=1", "Set-Cookie: a=1"], &["Set-Cookie: a=1"]),
            (&["Date: then"], &["Date: then"]),
            (&["!date"], &["!date"]),
        ] {
            let mut fields = ExpectedFields::default();
            lines.iter().for_each(|line| fields.add(&Text::parse(line).unwrap()).unwrap());
            assert_eq!(fields.compare(&received, &mut Names::default()), wrong, "{lines:?}");
        }
        assert!(ExpectedFields::default().add(&Text::parse("no colon").unwrap()).is_err());
    }
}
