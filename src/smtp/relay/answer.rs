//! What other servers answer (RFC 5321, 4.2). Pure.

use std::fmt;

use crate::net::escape::escape;

/// A whole answer of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub code: u16,
    /// Without code and line end.
    pub lines: Vec<String>,
}

impl Answer {
    /// One that has not begun.
    pub(super) fn empty() -> Answer {
        Answer { code: 0, lines: Vec::new() }
    }

    /// Adds a line; says whether it was the last one. `None`: it is no line of this answer.
    pub(super) fn add(&mut self, line: &[u8]) -> Option<bool> {
        let code = line.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit))?;
        let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        if !(200..600).contains(&code) || !self.lines.is_empty() && code != self.code {
            return None;
        }
        let (is_last, text) = match line.get(3) {
            // RFC 5321, 4.2.1: a code alone is a line, too.
            None => (true, &b""[..]),
            Some(b' ') => (true, &line[4..]),
            Some(b'-') => (false, &line[4..]),
            Some(_) => return None,
        };
        self.code = code;
        self.lines.push(escape(text).to_string());
        Some(is_last)
    }

    pub(super) fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The enhanced code that it begins with (RFC 2034, 4).
    fn enhanced(&self) -> Option<&str> {
        self.lines.first().and_then(|line| enhanced_code(line))
    }

    /// Whether RCPT was refused only since there are too many in this transaction
    /// (RFC 5321, 4.5.3.1.10). A full mailbox has the same code, and another enhanced one.
    pub(super) fn is_one_too_many(&self) -> bool {
        match (self.code, self.enhanced()) {
            (452, None) => true,
            (452 | 552, Some(code)) => code.ends_with(".5.3"),
            _ => false,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" / "))
    }
}

/// The enhanced code at the beginning of a text (RFC 3463, 2): `5.1.1`.
pub(super) fn enhanced_code(text: &str) -> Option<&str> {
    let word = text.split_whitespace().next()?;
    let mut numbers = word.split('.');
    let class = numbers.next()?;
    let is_number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    let others: Vec<_> = numbers.collect();
    (["2", "4", "5"].contains(&class) && others.len() == 2 && others.into_iter().all(is_number)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<String> {
        let mut answer = Answer::empty();
        for (at, line) in lines.iter().enumerate() {
            if answer.add(line.as_bytes())? != (at + 1 == lines.len()) {
                return None;
            }
        }
        Some(answer.to_string())
    }

    #[test]
    fn answers_are_read_to_their_last_line_and_nonsense_is_noticed() {
        for (lines, expected) in [
            (&["250 ok"][..], Some("250 ok")),
            (&["250-a", "250-b", "250 c"], Some("250 a / b / c")),
            (&["250"], Some("250 ")),
            (&["550 5.1.1 \x1b[2J"], Some("550 5.1.1 \\x1b[2J")),
            (&["250-a", "251 b"], None),
            (&["25"], None),
            (&["hello"], None),
            (&["250_a"], None),
            (&["150 a"], None),
            (&["999 a"], None),
        ] {
            assert_eq!(read(lines).as_deref(), expected, "{lines:?}");
        }
    }
}
