//! Replies, and which of them each command may get. Pure.
//!
//! A [`Reply`] cannot hold CR, LF or any other control character, whatever a file was named: it
//! would let a name forge the replies that follow.

use std::fmt::Write;

use super::command::Fault;
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
pub(crate) fn fault(fault: Fault) -> Reply {
    match fault {
        Fault::Unknown => Reply::new(500, "Command not understood"),
        Fault::Unimplemented => Reply::new(502, "Command not implemented"),
        Fault::Parameter => Reply::new(501, "Syntax error in parameters"),
        Fault::UnimplementedParameter => Reply::new(504, "Command not implemented for that parameter"),
        Fault::Network => Reply::new(522, "Network protocol not supported, use (1,2)"),
        Fault::ProtectionLevel => Reply::new(536, "Protection level not supported by TLS: C or P"),
    }
}

/// What a command wanted of the storage; the replies to the same failure differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A file or directory that should be there: RETR, SIZE, DELE, RNFR, CWD, ...
    Find,
    /// A new file or name: STOR, STOU, APPE, RNTO.
    Place,
    /// A new directory: MKD.
    Make,
    /// LIST, NLST, STAT.
    List,
}

/// THE map from failures of the storage to replies. Temporary and permanent are never confused:
/// 4xx asks to try again, 5xx not to.
pub(crate) fn refusal(error: &StoreError, purpose: Purpose, path: impl std::fmt::Display) -> Reply {
    let (code, text) = match (error, purpose) {
        (StoreError::Broken(_), _) => (451, "Local error in processing"),
        (StoreError::Busy, _) => (450, "File is in use"),
        (StoreError::Full, Purpose::Place) => return Reply::new(452, "Error writing file"),
        (StoreError::Full, _) => (452, "Insufficient storage space"),
        (_, Purpose::List) => (450, reason(error)),
        (_, Purpose::Place) => (553, reason(error)),
        (_, Purpose::Find | Purpose::Make) => (550, reason(error)),
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
        StoreError::Full | StoreError::Busy | StoreError::Changed | StoreError::Broken(_) => "Not available",
    }
}

/// The replies that each command may get, beside 421 (service closing), which all may get, and 500
/// and 501. From RFC 959, 5.4, with what later RFCs add: 451 and 452 where the disk fails, 522
/// (RFC 2428), 534 and 536 (RFC 2228), 554 (RFC 3659), 504 for a refused port (RFC 2577, 3).
const CODES: &[(&str, &[u16])] = &[
    ("", &[502]),
    ("ABOR", &[225, 226]),
    ("ACCT", &[202, 530]),
    ("ALLO", &[202, 530]),
    ("APPE", &[125, 150, 226, 425, 426, 450, 451, 452, 530, 550, 553]),
    ("AUTH", &[234, 502, 504, 534]),
    ("CCC", &[533, 534]),
    ("CDUP", &[250, 450, 451, 530, 550]),
    ("CWD", &[250, 450, 451, 530, 550]),
    ("DELE", &[250, 450, 451, 452, 530, 550]),
    ("EPRT", &[200, 504, 522, 530]),
    ("EPSV", &[200, 229, 425, 522, 530]),
    ("FEAT", &[211]),
    ("HELP", &[211, 214, 502]),
    ("LIST", &[125, 150, 226, 425, 426, 450, 451, 530]),
    ("MDTM", &[213, 450, 451, 452, 530, 550]),
    ("MFMT", &[213, 450, 451, 452, 530, 550]),
    ("MKD", &[257, 450, 451, 452, 530, 550]),
    ("MLSD", &[125, 150, 226, 425, 426, 450, 451, 530, 550]),
    ("MLST", &[250, 450, 451, 530, 550]),
    ("MODE", &[200, 504, 530]),
    ("NLST", &[125, 150, 226, 425, 426, 450, 451, 530]),
    ("NOOP", &[200]),
    ("OPTS", &[200]),
    ("PASS", &[230, 503, 530]),
    ("PASV", &[227, 425, 530]),
    ("PBSZ", &[200, 503]),
    ("PORT", &[200, 504, 530]),
    ("PROT", &[200, 503, 504, 536]),
    ("PWD", &[257, 530]),
    ("QUIT", &[221]),
    ("REIN", &[220, 502]),
    ("REST", &[350, 530]),
    ("RETR", &[125, 150, 226, 425, 426, 450, 451, 530, 550, 554]),
    ("RMD", &[250, 450, 451, 452, 530, 550]),
    ("RNFR", &[350, 450, 451, 530, 550]),
    ("RNTO", &[250, 450, 451, 452, 503, 530, 553]),
    ("SITE", &[214, 504, 530]),
    ("SIZE", &[213, 450, 451, 530, 550]),
    ("STAT", &[211, 212, 213, 450, 451, 530]),
    ("STOR", &[125, 150, 226, 425, 426, 450, 451, 452, 530, 553, 554]),
    ("STOU", &[125, 150, 226, 425, 426, 450, 451, 452, 530, 553]),
    ("STRU", &[200, 504, 530]),
    ("SYST", &[215]),
    ("TYPE", &[200, 504, 530]),
    ("USER", &[331, 530]),
];

/// Whether `verb` may be answered with `code`.
pub(crate) fn is_allowed(verb: &str, code: u16) -> bool {
    matches!(code, 421 | 500 | 501) || CODES.iter().any(|(known, codes)| *known == verb && codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::{super::command::VERBS, *};

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

    #[test]
    fn every_verb_has_its_row_of_replies() {
        for (verb, _) in VERBS {
            assert!(CODES.iter().any(|(known, _)| known == verb), "{verb}");
        }
    }
}
