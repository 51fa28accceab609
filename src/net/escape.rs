//! THE escaper: text from the network, made safe for logs, terminals and transcripts.

use std::fmt::{self, Write};

/// Displays bytes from the network with everything that could act on a terminal or a log made
/// visible: C0 and C1 controls, DEL, bidirectional marks, line separators and bytes that are not
/// UTF-8. Stops log forging (a CR LF in a name) and terminal escape attacks.
pub(crate) struct Escaped<'a>(pub &'a [u8]);

/// Escapes text. See [`Escaped`].
pub(crate) fn escape(text: impl AsRef<[u8]>) -> String {
    Escaped(text.as_ref()).to_string()
}

/// Escapes text that people read and no program takes apart again: backslashes stay.
pub(crate) fn escape_prose(text: &str) -> String {
    escape(text).replace("\\\\", "\\")
}

/// The same line by line: tabs stay too, and lines end in `\n`.
pub(crate) fn escape_lines(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(escape_prose).collect::<Vec<_>>().join("\t") + "\n";
    text.lines().map(line).collect()
}

/// JSON in which everything that acts on a terminal is written as `\u` and four digits: the same
/// value, since nothing of it can stand outside strings.
pub(crate) fn escape_json(json: &serde_json::Value) -> String {
    let mut text = String::new();
    for c in json.to_string().chars() {
        match c {
            c if is_deceptive(c) || c == '\u{7f}' => text.push_str(&format!("\\u{:04x}", c as u32)),
            c => text.push(c),
        }
    }
    text
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    '\\' => f.write_str("\\\\")?,
                    c if c.is_ascii_control() => write!(f, "\\x{:02x}", c as u32)?,
                    c if is_deceptive(c) => write!(f, "\\u{{{:x}}}", c as u32)?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character beyond ASCII controls a terminal or turns the direction of writing.
pub(crate) fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_deceptive_gets_through() {
        assert_eq!(escape("a\r\nb\x1b[31m\x7f"), "a\\r\\nb\\x1b[31m\\x7f");
        assert_eq!(escape("\u{9b}31m\u{202e}x"), "\\u{9b}31m\\u{202e}x");
        assert_eq!(escape(b"\xff\xfeok"), "\\xff\\xfeok");
        assert_eq!(escape("blåbær"), "blåbær");
    }

    #[test]
    fn text_stays_legible_and_json_stays_json() {
        assert_eq!(escape_lines("a\tb\\c\r\n\x1b[2J\u{202e}\nå"), "a\tb\\c\n\\x1b[2J\\u{202e}\nå\n");
        let json = serde_json::json!({ "subject": "a\u{9b}31m\u{202e}\x7f\"b" });
        let text = escape_json(&json);
        assert!(!text.contains(['\u{9b}', '\u{202e}', '\x7f']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), json);
    }
}
