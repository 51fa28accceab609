//! What a run comes to, in the forms that people and programs read.

mod gradescope;
mod json;
mod junit;
mod tap;
#[cfg(test)]
mod tests;
pub(super) mod text;

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use clap::ValueEnum;

use crate::{
    cli::say,
    play::{Ending, Grade, Part},
};

/// How verdicts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For people
    Text,
    Json,
    /// XML for continuous integration
    Junit,
    /// Test Anything Protocol 13
    Tap,
    /// Gradescope's results.json
    Gradescope,
}

/// All verdicts of one run.
pub(super) struct Run {
    pub reports: Vec<Report>,
    pub began: SystemTime,
    pub took: Duration,
    /// The server was a Portico in memory: whoever forgot `--target` should notice.
    pub is_own: bool,
}

/// What became of one transcript.
pub(super) struct Report {
    /// The file, or the suite.
    pub name: String,
    pub title: String,
    /// Why it was not played stands in place of its grade.
    pub grade: Result<Grade, String>,
    pub took: Duration,
}

impl Report {
    pub(super) fn new(name: String, title: String, grade: Result<Grade, String>) -> Report {
        Report { name, title, grade, took: Duration::ZERO }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.grade.as_ref().is_ok_and(|grade| !grade.has_passed())
    }

    /// Its title, or where it has none its name.
    fn called(&self) -> &str {
        if self.title.is_empty() { &self.name } else { &self.title }
    }

    fn is_skipped(&self) -> bool {
        self.grade.is_err()
    }

    fn parts(&self) -> &[Part] {
        self.grade.as_ref().map_or(&[], |grade| &grade.parts)
    }

    /// Whether the transcript says what its parts are worth.
    fn has_parts(&self) -> bool {
        !matches!(self.parts(), [] | [Part { line: 1, .. }])
    }

    /// What a part is called beside those of other transcripts.
    fn name_of(&self, part: &Part) -> String {
        match (self.has_parts(), part.title.is_empty()) {
            (_, true) => self.name.clone(),
            (true, _) => format!("{}: {}", self.name, part.title),
            (false, _) => part.title.clone(),
        }
    }

    fn score(&self) -> (u32, u32) {
        let parts = self.parts();
        let sum = |points: fn(&Part) -> u32| parts.iter().map(points).fold(0, u32::saturating_add);
        (sum(Part::score), sum(|part| part.points))
    }
}

impl Run {
    /// Transcripts that passed, that failed, that were skipped.
    fn counts(&self) -> (usize, usize, usize) {
        let failed = self.reports.iter().filter(|report| report.has_failed()).count();
        let skipped = self.reports.iter().filter(|report| report.is_skipped()).count();
        (self.reports.len() - failed - skipped, failed, skipped)
    }
}

/// Why a part has not passed, in full; `None` where it has.
fn told(part: &Part) -> Option<String> {
    match &part.ending {
        Ending::Passed => None,
        Ending::Failed(failure) => Some(failure.to_string()),
        Ending::NotReached => Some("an earlier difference left nothing to go on with".into()),
    }
}

/// The same in a line.
fn told_shortly(part: &Part) -> Option<String> {
    match &part.ending {
        Ending::Failed(failure) => Some(format!("{}:{}: {}", failure.file, failure.line, failure.difference.what)),
        _ => told(part),
    }
}

/// Writes the verdicts to a file or to standard output, where text `is_told_live` has been already.
pub(super) fn write(run: &Run, format: Format, file: Option<&Path>, is_told_live: bool) -> Result<(), String> {
    let written = match format {
        Format::Text if file.is_none() => String::new(),
        Format::Text => run.reports.iter().map(text::one).collect::<String>() + &text::summary(run),
        Format::Json => json::print(run)?,
        Format::Junit => junit::print(run).map_err(|error| format!("cannot write the report: {error}"))?,
        Format::Tap => tap::print(run),
        Format::Gradescope => gradescope::print(run)?,
    };
    match file {
        // A file holds no colours.
        Some(file) => std::fs::write(file, anstream::adapter::strip_str(&written).to_string())
            .map_err(|error| format!("cannot write the report to {}: {error}", file.display()))?,
        None => say(format_args!("{written}")),
    }
    if is_told_live {
        say(format_args!("{}", text::summary(run)));
    }
    Ok(())
}
