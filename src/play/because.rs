//! Why something is expected: as the script says, or else as the protocol's own table explains it.

use crate::{
    services::explainer::Explainer,
    transcript::{record::Side, script::Step, text::Place},
};

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
            Step::Said { side, text } => Some((*side, text.print(Place::Line))),
            _ => None,
        };
        let said = self.command.map(|command| (Side::Client, command.to_owned()));
        let explained = [said, expected].into_iter().flatten().filter_map(|(side, line)| {
            let row = Explainer::new(self.service?).explain(side, &line)?;
            Some(format!("{}: {} ({})", row.term, row.sentence, row.source))
        });
        let explained: Vec<_> = explained.collect();
        if explained.is_empty() { None } else { Some(explained.join("\n")) }
    }
}
