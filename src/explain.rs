//! The shape of the tables that explain a protocol: one per protocol folder.

/// One command, field or reply code, explained.
pub(crate) struct Explained {
    /// The command verb, field name or reply code as it stands on the wire (`MAIL`, `552`).
    pub term: &'static str,
    /// One sentence that says what it means.
    pub sentence: &'static str,
    /// The section that defines it (`RFC 5321, 4.1.1.2`).
    pub source: &'static str,
}

/// Shortens the rows of a table.
pub(crate) const fn row(term: &'static str, sentence: &'static str, source: &'static str) -> Explained {
    Explained { term, sentence, source }
}
