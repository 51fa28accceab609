//! Why something is expected: as the script says, or else as the protocol's own table explains it.

use crate::{
    services,
    transcript::{script::Step, text::Place},
};

/// What a service's table says about the first word of a line.
pub(crate) fn explain(service: &str, line: &str) -> Option<String> {
    let row = services::row(service)?;
    let word = line.split([' ', '-', ':']).next().filter(|word| !word.is_empty())?;
    let status = line.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1));
    let term = status.unwrap_or(if line.starts_with("-ERR") { "-ERR" } else { word });
    let found = row.explain.iter().find(|explained| explained.term.eq_ignore_ascii_case(term))?;
    Some(format!("{} ({})", found.sentence, found.source))
}

/// What the player knows when an expectation is not met.
pub(super) struct Circumstances<'a> {
    /// The script's own words.
    pub said: Option<&'a (String, Option<String>)>,
    pub service: Option<&'a str>,
    /// The last line that we said.
    pub command: Option<&'a str>,
    pub step: &'a Step,
}

impl Circumstances<'_> {
    /// The sentences that explain the expectation, one a line.
    pub(super) fn explain(&self) -> Option<String> {
        match self.said {
            Some((sentence, Some(source))) => return Some(format!("{sentence} ({source})")),
            Some((sentence, None)) => return Some(sentence.clone()),
            None => {}
        }
        let expected = match self.step {
            Step::Said { text, .. } => Some(text.print(Place::Line)),
            _ => None,
        };
        let lines = [self.command.map(str::to_owned), expected];
        let explained = lines.iter().flatten().filter_map(|line| {
            let word = line.split(' ').next().unwrap_or_default();
            let term = if line.starts_with("HTTP/") { line.split(' ').nth(1).unwrap_or_default() } else { word };
            Some(format!("{term}: {}", explain(self.service?, line)?))
        });
        let explained: Vec<_> = explained.collect();
        if explained.is_empty() { None } else { Some(explained.join("\n")) }
    }
}
