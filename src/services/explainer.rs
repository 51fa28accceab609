//! Explains a conversation line by line, out of the tables of the protocols.
//!
//! It follows just enough of the conversation to keep quiet where lines are content: in a message
//! after DATA, in the listing after LIST, in a body.

use super::{REGISTRY, row};
use crate::{explain::Explained, transcript::record::Side};

/// The tables of one service, and where in a conversation we are.
pub(crate) struct Explainer {
    /// The service's own, then the one that it builds on.
    tables: [&'static [Explained]; 2],
    /// The command that the client said last, in capitals.
    asked: String,
    /// Whose lines are content, up to a line with a dot alone.
    content_of: Option<Side>,
    /// What was explained last: the second line of a reply needs no second explanation.
    last: Option<(Side, &'static str)>,
}

impl Explainer {
    /// For the conversations of a service, or for connections that belong to one (`relay`,
    /// `proxy-ftp`). Where there is no table, nothing is explained.
    pub(crate) fn new(service: &str) -> Explainer {
        Explainer { tables: tables_of(service), asked: String::new(), content_of: None, last: None }
    }

    /// What a line means, if it is a command, a field or a reply that the table has.
    pub(crate) fn explain(&mut self, side: Side, line: &str) -> Option<&'static Explained> {
        if self.content_of == Some(side) {
            if line == "." {
                self.content_of = None;
            }
            return None;
        }
        let found = self.find(side, line);
        self.follow(side, line);
        let found = found.filter(|found| self.last != Some((side, found.term)));
        if let Some(found) = found {
            self.last = Some((side, found.term));
        }
        found
    }

    /// The row that fits best: `-ERR [IN-USE]` is about the mailbox in use.
    fn find(&self, side: Side, line: &str) -> Option<&'static Explained> {
        let words = || line.split([' ', '\t']).filter(|word| !word.is_empty());
        let first = words().next()?;
        let status = first.starts_with("HTTP/").then(|| words().nth(1)).flatten();
        let reply_code = line.get(..3).filter(|code| side == Side::Server && code.bytes().all(|octet| octet.is_ascii_digit()));
        let bracketed = words().nth(1).filter(|word| word.starts_with('[') && side == Side::Server);
        let field = first.split(':').next();
        [status, reply_code, bracketed, Some(first), field].into_iter().flatten().find_map(|term| self.row(term))
    }

    fn row(&self, term: &str) -> Option<&'static Explained> {
        self.tables.iter().copied().flatten().find(|row| row.term.eq_ignore_ascii_case(term))
    }

    /// Notices where content begins.
    fn follow(&mut self, side: Side, line: &str) {
        match side {
            Side::Client => {
                self.last = None;
                self.asked = line.trim().to_ascii_uppercase();
            }
            Side::Server if line.starts_with("354") => self.content_of = Some(Side::Client),
            Side::Server if line.starts_with("+OK") && self.asks_for_lines() => self.content_of = Some(Side::Server),
            Side::Server => {}
        }
    }

    /// Whether the answer to what was asked goes on after its first line (RFC 1939, 3).
    fn asks_for_lines(&self) -> bool {
        let mut words = self.asked.split(' ');
        match words.next() {
            Some("RETR" | "TOP" | "CAPA") => true,
            Some("LIST" | "UIDL" | "LANG") => words.next().is_none(),
            _ => false,
        }
    }
}

/// The service's own table, then the one of the protocol that it builds on.
pub(crate) fn tables_of(service: &str) -> [&'static [Explained]; 2] {
    let builds_on = if service == "proxy" { "http" } else { "" };
    [service, builds_on].map(|name| table_of(name).unwrap_or_default())
}

/// The table for a service or for a connection that belongs to one.
pub(crate) fn table_of(service: &str) -> Option<&'static [Explained]> {
    let name = match service {
        "relay" => "smtp",
        "proxy-ftp" => "ftp",
        "proxy-upstream" => "http",
        name => name,
    };
    row(name).map(|row| row.explain)
}

/// Whether connections of this name can occur in transcripts.
pub(crate) fn is_known(service: &str) -> bool {
    let belongs = |row: &super::Row| service.strip_prefix(row.name).is_some_and(|rest| rest.starts_with('-'));
    table_of(service).is_some() || REGISTRY.iter().any(belongs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The terms that are explained, one for each line, `-` for none.
    fn terms(service: &str, lines: &[&str]) -> Vec<&'static str> {
        let mut explainer = Explainer::new(service);
        let side = |line: &str| if line.starts_with("C") { Side::Client } else { Side::Server };
        lines.iter().map(|line| explainer.explain(side(line), &line[3..]).map_or("-", |row| row.term)).collect()
    }

    #[test]
    fn commands_and_replies_are_explained_and_content_is_not() {
        let lines = ["S: 220 hello", "C: ehlo lab", "S: 250-a", "S: 250 b", "C: DATA", "S: 354 go", "C: QUIT", "C: .", "S: 250 ok"];
        assert_eq!(terms("smtp", &lines), ["220", "EHLO", "250", "-", "DATA", "354", "-", "-", "250"]);
        let lines = ["C: LIST", "S: +OK 1", "S: +OK 3", "S: .", "C: DELE 9", "S: -ERR [IN-USE] no"];
        assert_eq!(terms("pop3", &lines), ["LIST", "+OK", "-", "-", "DELE", "[IN-USE]"]);
    }

    #[test]
    fn fields_with_hyphens_are_found() {
        let lines = ["C: GET / HTTP/1.1", "C: If-None-Match: \"x\"", "S: HTTP/1.1 304 Not Modified", "S: ETag: \"x\""];
        assert_eq!(terms("http", &lines), ["GET", "If-None-Match", "304", "ETag"]);
        assert_eq!(terms("relay", &["S: 250 ok"]), ["250"]);
        assert!(is_known("ftp-data") && is_known("relay") && !is_known("gopher"));
    }
}
