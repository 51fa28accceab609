//! Takes the words, strings and checks of a directive apart.

use super::{
    record::Side,
    script::{Check, Content},
    text::{Part, Text, Wrong, is_name},
};

/// A directive that is being taken apart.
#[derive(Clone)]
pub(super) struct Words<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn of(source: &'a str) -> Words<'a> {
        Words { source, at: 0 }
    }

    pub(super) fn rest(&mut self) -> &'a str {
        let rest = self.source[self.at..].trim_start();
        self.at = self.source.len() - rest.len();
        rest
    }

    pub(super) fn is_done(&mut self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn wrong(&self, what: impl Into<String>) -> Wrong {
        let at = self.source.len() - self.source[self.at..].trim_start().len();
        Wrong { at, what: what.into() }
    }

    /// An error about the word that was taken last.
    pub(super) fn before(&self, word: &str, what: String) -> Wrong {
        Wrong { at: self.at - word.len(), what }
    }

    pub(super) fn word(&mut self, what: &str) -> Result<&'a str, Wrong> {
        let word = self.rest().split(' ').next().unwrap_or_default();
        if word.is_empty() {
            return Err(self.wrong(format!("{what} is missing")));
        }
        self.at += word.len();
        Ok(word)
    }

    /// Whether the next word has this character in it.
    pub(super) fn next_has(&mut self, c: char) -> bool {
        self.rest().split(' ').next().is_some_and(|word| word.contains(c))
    }

    /// Takes `word` if it is next.
    pub(super) fn skip(&mut self, word: &str) -> bool {
        let next = self.rest().split(' ').next() == Some(word);
        if next {
            self.at += word.len();
        }
        next
    }

    pub(super) fn keyword(&mut self, word: &str) -> Result<(), Wrong> {
        if self.skip(word) { Ok(()) } else { Err(self.wrong(format!("`{word}` was expected here"))) }
    }

    pub(super) fn name(&mut self) -> Result<String, Wrong> {
        let word = self.word("a name")?;
        if is_name(word) { Ok(word.to_owned()) } else { Err(self.before(word, not_a_name(word))) }
    }

    pub(super) fn path(&mut self) -> Result<String, Wrong> {
        let word = self.word("a path")?;
        if word.starts_with('/') { Ok(word.to_owned()) } else { Err(self.before(word, "a path begins with `/`".into())) }
    }

    pub(super) fn side(&mut self) -> Result<Side, Wrong> {
        match self.word("`C` or `S`")? {
            "C" => Ok(Side::Client),
            "S" => Ok(Side::Server),
            other => Err(self.before(other, "`C` or `S` was expected here".into())),
        }
    }

    pub(super) fn parsed<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, Wrong> {
        let word = self.word(what)?;
        word.parse().map_err(|_| self.before(word, format!("`{word}` is not {what}")))
    }

    /// `key=value`, where the value goes on to the end of the line.
    pub(super) fn assignment(&mut self, what: &str) -> Result<(&'a str, Text), Wrong> {
        let rest = self.rest();
        let Some((key, value)) = rest.split_once('=') else {
            return Err(self.wrong(format!("{what} is written {}", if what == "a name" { "name=text" } else { "key=value" })));
        };
        let start = self.at + key.len() + 1 + (value.len() - value.trim_start().len());
        let value = Text::parse(value.trim()).map_err(|wrong| Wrong { at: wrong.at + start, ..wrong })?;
        self.at = self.source.len();
        Ok((key.trim(), value))
    }

    /// The next word, with its placeholders.
    pub(super) fn text(&mut self, what: &str) -> Result<Text, Wrong> {
        let word = self.word(what)?;
        let start = self.at - word.len();
        let text = Text::parse(word).map_err(|wrong| Wrong { at: wrong.at + start, ..wrong })?;
        let is_printable = |part: &Part| !matches!(part, Part::Literal(octets) if !octets.iter().all(u8::is_ascii_graphic));
        if text.0.iter().all(is_printable) {
            Ok(text)
        } else {
            Err(Wrong { at: start, what: format!("`{word}` is not {what}: it holds neither blanks nor control characters") })
        }
    }

    /// Up to the end of the line, in parentheses.
    pub(super) fn in_parentheses(&mut self) -> Result<Option<String>, Wrong> {
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(None);
        }
        let inside = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).map(str::trim);
        let Some(inside) = inside.filter(|inside| !inside.is_empty()) else {
            return Err(self.wrong("a source in parentheses, such as (RFC 5321, 4.1.1.1), was expected here"));
        };
        self.at = self.source.len();
        Ok(Some(inside.to_owned()))
    }

    pub(super) fn check(&mut self) -> Result<Check, Wrong> {
        if self.skip("contains") {
            return self.content().map(Check::Contains);
        }
        if self.skip("sha256") {
            return self.digest().map(Check::Sha256);
        }
        if !self.rest().starts_with(|c: char| c.is_ascii_digit() || c == '{') {
            return self.content().map(Check::Exactly);
        }
        let octets = self.amount()?;
        self.keyword("octets")?;
        let sha256 = if self.skip("sha256") { Some(self.digest()?) } else { None };
        Ok(Check::Octets { octets, sha256 })
    }

    /// A number, or the name of one that has been seen.
    fn amount(&mut self) -> Result<Text, Wrong> {
        let (text, word) = (self.text("a number of octets")?, &self.source[..self.at]);
        let is_amount = match &text.0[..] {
            [Part::Name(_)] => true,
            [Part::Literal(digits)] => digits.len() < 20 && digits.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        let word = word.rsplit(' ').next().unwrap_or_default();
        if is_amount { Ok(text) } else { Err(self.before(word, format!("`{word}` is not a number of octets"))) }
    }

    fn digest(&mut self) -> Result<String, Wrong> {
        let word = self.word("a digest")?;
        if word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(word.to_ascii_lowercase())
        } else {
            Err(self.before(word, "a SHA-256 digest has 64 hexadecimal digits".into()))
        }
    }

    pub(super) fn content(&mut self) -> Result<Content, Wrong> {
        if self.skip("base64") {
            return self.base64();
        }
        if self.skip("file") {
            return self.plain_text().map(Content::File);
        }
        let text = self.strings()?;
        let times = if self.skip("x") { self.parsed("how many times")? } else { 1 };
        Ok(Content::Text { text, times })
    }

    fn base64(&mut self) -> Result<Content, Wrong> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let start = self.at;
        let encoded = self.plain_string()?;
        STANDARD.decode(encoded).map(Content::Base64).map_err(|error| Wrong { at: start + 1, what: format!("not base64: {error}") })
    }

    /// A string without placeholders that is text.
    pub(super) fn plain_text(&mut self) -> Result<String, Wrong> {
        let at = self.at;
        String::from_utf8(self.plain_string()?).map_err(|_| Wrong { at: at + 1, what: "this must be UTF-8".into() })
    }

    fn plain_string(&mut self) -> Result<Vec<u8>, Wrong> {
        let start = self.at;
        let text = self.strings()?;
        text.as_plain().map(<[u8]>::to_vec).ok_or(Wrong { at: start + 1, what: "no placeholders are filled in here".into() })
    }

    /// One string, or several that follow each other.
    fn strings(&mut self) -> Result<Text, Wrong> {
        let mut text = self.string()?;
        while self.rest().starts_with('"') {
            text.append(self.string()?);
        }
        Ok(text)
    }

    fn string(&mut self) -> Result<Text, Wrong> {
        let Some(inside) = self.rest().strip_prefix('"') else {
            return Err(self.wrong("a string in quotes was expected here"));
        };
        let start = self.at + 1;
        let (text, taken) = Text::parse_until(inside, Some('"')).map_err(|wrong| Wrong { at: wrong.at + start, ..wrong })?;
        if !inside[taken..].starts_with('"') {
            return Err(Wrong { at: self.at, what: "this string has no end".into() });
        }
        self.at = start + taken + 1;
        Ok(text)
    }
}

pub(super) fn not_a_name(word: &str) -> String {
    format!("`{word}` is no name: a letter, then letters, digits, `-`, `_` or `.`")
}
