//! Replies; which of them each command may get is in its table. Pure.
//!
//! A [`Reply`] cannot hold CR, LF or any other control character, whatever a file was named: it
//! would let a name forge the replies that follow.

use std::fmt::Write;

use super::command::{Fault, Row};
use crate::store::StoreError;

/// One reply of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    code: u16,
    first: String,
    /// Lines between the first and the last; empty for a reply of one line.
    between: Vec<String>,
    last: String,
}

impl Reply {
    pub(crate) fn new(code: u16, text: impl AsRef<str>) -> Reply {
        Reply { code, first: printable(text.as_ref()), between: Vec::new(), last: String::new() }
    }

    /// A reply of several lines. Those between the first and the last are indented, so that none
    /// can be taken for the last (RFC 959, 4.2).
    pub(crate) fn lines(code: u16, first: impl AsRef<str>, between: Vec<String>, last: impl AsRef<str>) -> Reply {
        let between = between.iter().map(|line| printable(line)).collect();
        Reply { code, first: printable(first.as_ref()), between, last: printable(last.as_ref()) }
    }

    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    /// As it goes over the wire.
    pub(crate) fn print(&self) -> String {
        let code = self.code;
        if self.between.is_empty() && self.last.is_empty() {
            return format!("{code} {}\r\n", self.first);
        }
        let mut wire = format!("{code}-{}\r\n", self.first);
        for line in &self.between {
            // Writing to a string cannot fail.
            let _written = write!(wire, " {line}\r\n");
        }
        wire + &format!("{code} {}\r\n", self.last)
    }
}

/// Text with every control character replaced.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A path in quotes, with its own quotes doubled (RFC 959, appendix II).
pub(crate) fn quoted(path: impl std::fmt::Display) -> String {
    format!("\"{}\"", path.to_string().replace('"', "\"\""))
}

/// What is said to a line that is no command that could be carried out.
pub(crate) fn fault(fault: Fault, row: &Row) -> Reply {
    match fault {
        Fault::Unknown => Reply::new(500, "Command not understood"),
        Fault::TooLong => Reply::new(500, "Line too long"),
        Fault::Unimplemented => Reply::new(502, "Command not implemented"),
        Fault::Parameter => Reply::new(501, format!("Syntax error in parameters: say {}", row.usage())),
        Fault::Encoding => Reply::new(501, "Parameters are UTF-8 without control characters"),
        Fault::UnimplementedParameter => Reply::new(504, "Command not implemented for that parameter"),
        Fault::Network => Reply::new(522, "Network protocol not supported, use (1,2)"),
        Fault::ProtectionLevel => Reply::new(536, "Protection level not supported by TLS: C or P"),
    }
}

/// What a command wanted of the storage; the replies to the same failure differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A file or directory that should be there: RETR, LIST, SIZE, DELE, RNFR, CWD, ...
    Find,
    /// A new file or name: STOR, STOU, APPE, RNTO.
    Place,
    /// A new directory: MKD.
    Make,
    /// MLSD: what is no directory is a wrong parameter (RFC 3659, 7).
    Enumerate,
}

/// THE map from failures of the storage to replies. Temporary and permanent are never confused:
/// 4xx asks to try again, 5xx not to.
pub(crate) fn refusal(error: &StoreError, purpose: Purpose, path: impl std::fmt::Display) -> Reply {
    let (code, text) = match (error, purpose) {
        (StoreError::Broken(_), _) => (451, "Local error in processing"),
        (StoreError::Busy, _) => (450, "File is in use"),
        (StoreError::OverQuota, _) => (552, "Exceeded storage allocation"),
        (StoreError::Full, Purpose::Place) => return Reply::new(452, "Error writing file"),
        (StoreError::Full, _) => (452, "Insufficient storage space"),
        (_, Purpose::Place) => (553, reason(error)),
        (StoreError::NotFolder, Purpose::Enumerate) => (501, reason(error)),
        (_, Purpose::Find | Purpose::Make | Purpose::Enumerate) => (550, reason(error)),
    };
    Reply::new(code, format!("{path}: {text}"))
}

fn reason(error: &StoreError) -> &'static str {
    match error {
        StoreError::NotFound => "No such file or directory",
        StoreError::Denied => "Permission denied",
        StoreError::Exists => "File exists",
        StoreError::IsFolder => "Is a directory",
        StoreError::NotFolder => "Not a directory",
        StoreError::NotEmpty => "Directory not empty",
        StoreError::Full | StoreError::OverQuota | StoreError::Busy | StoreError::Changed | StoreError::Broken(_) => "Not available",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_splits_a_reply() {
        let reply = Reply::new(250, "a\r\n226 forged\x1b[2J\u{85}");
        assert_eq!(reply.print(), "250 a??226 forged?[2J?\r\n");
        let reply = Reply::lines(211, "first", vec!["211 inside\n".into()], "last");
        assert_eq!(reply.print(), "211-first\r\n  211 inside?\r\n211 last\r\n".replace("  ", " "));
    }

    #[test]
    fn quotes_in_paths_are_doubled() {
        assert_eq!(quoted("/a\"b"), "\"/a\"\"b\"");
    }
}
