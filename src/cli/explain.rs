//! `portico explain SERVICE TERM`: one entry, or all, of a protocol's table.

use clap::Args;

use super::{Outcome, listen, say, table};
use crate::{error::StartError, explain::Explained, services::explainer};

/// What is asked for.
#[derive(Args)]
pub(crate) struct Question {
    /// A service: http, smtp, pop3, ftp, ...
    service: String,
    /// A command, field or reply code; without it, everything is listed
    term: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn explain(question: &Question) -> Result<Outcome, StartError> {
    let row = listen::row_named(&question.service.to_ascii_lowercase())?;
    let wanted = |entry: &&Explained| question.term.as_ref().is_none_or(|term| entry.term.eq_ignore_ascii_case(term));
    let tables = explainer::tables_of(row.name);
    // What a proxy says is HTTP first of all; its own table comes before.
    let own: Vec<_> = tables[0].iter().filter(wanted).collect();
    let found = if own.is_empty() { tables[1].iter().filter(wanted).collect() } else { own };
    if found.is_empty() {
        let term = question.term.as_deref().unwrap_or_default();
        let near = crate::config::keys::nearest(&term.to_uppercase(), tables.iter().copied().flatten().map(|entry| entry.term));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        anstream::eprintln!("portico: {} has no entry `{}`{hint}", row.name, crate::net::escape::escape(term));
        return Ok(Outcome::Failed);
    }
    if question.json {
        let list: Vec<_> = found
            .iter()
            .map(|entry| serde_json::json!({ "term": entry.term, "sentence": entry.sentence, "source": entry.source }))
            .collect();
        say(format_args!("{}\n", serde_json::Value::Array(list)));
        return Ok(Outcome::Fine);
    }
    let rows = found.iter().map(|entry| [entry.term.to_owned(), entry.sentence.to_owned(), entry.source.to_owned()]);
    say(format_args!("{}", table::plain(rows.map(Vec::from))));
    Ok(Outcome::Fine)
}
