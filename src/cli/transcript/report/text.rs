//! Verdicts for people.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{Report, Run};
use crate::play::{Ending, Failure, Part};

/// One transcript: a line where all is well, else what differs, part by part.
pub(in crate::cli::transcript) fn one(report: &Report) -> String {
    let mut out = String::new();
    let verdict = match &report.grade {
        Err(_) => word("skip", AnsiColor::Yellow),
        Ok(grade) if grade.has_passed() => word("ok  ", AnsiColor::Green),
        Ok(_) => word("FAIL", AnsiColor::Red),
    };
    let told = match &report.grade {
        Err(reason) => format!(": {reason}"),
        Ok(_) if report.has_parts() => {
            let (score, points) = report.score();
            format!(": {score} of {points} points")
        }
        Ok(_) => String::new(),
    };
    // Writing to a string cannot fail.
    let _written = writeln!(out, "{verdict} {}{told}", report.name);
    if report.has_parts() {
        let mut before = None;
        for part in report.parts() {
            add_part(&mut out, part, before);
            before = failure(part).or(before);
        }
    } else if let Some(failure) = report.parts().first().and_then(super::told) {
        let _written = writeln!(out, "{}", failure.trim_end());
    }
    out
}

/// One part; a difference that is the same as the one `before` is not told again.
fn add_part(out: &mut String, part: &Part, before: Option<&Failure>) {
    let verdict = match part.ending {
        Ending::Passed => word("ok  ", AnsiColor::Green),
        Ending::Failed(_) => word("FAIL", AnsiColor::Red),
        Ending::NotReached => word("----", AnsiColor::Yellow),
    };
    let is_repeated = failure(part).zip(before).is_some_and(|(failure, before)| failure.difference == before.difference);
    let note = match part.ending {
        Ending::NotReached => " (not reached)",
        Ending::Failed(_) if is_repeated => " (as above)",
        _ => "",
    };
    let _written = writeln!(out, "  {verdict} {:>2}/{:<2} {}{note}", part.score(), part.points, part.title);
    if let Some(failure) = failure(part).filter(|_| !is_repeated) {
        for line in failure.to_string().lines() {
            let _written = writeln!(out, "       {line}");
        }
    }
}

fn failure(part: &Part) -> Option<&Failure> {
    if let Ending::Failed(failure) = &part.ending { Some(failure) } else { None }
}

fn word(word: &str, colour: AnsiColor) -> String {
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{word}{style:#}")
}

/// The last line.
pub(super) fn summary(run: &Run) -> String {
    let (passed, failed, skipped) = run.counts();
    let scores = run.reports.iter().filter(|report| report.has_parts()).map(Report::score);
    let (score, points) = scores.fold((0u32, 0u32), |(score, points), one| (score.saturating_add(one.0), points.saturating_add(one.1)));
    let scored = if points > 0 { format!("; {score} of {points} points") } else { String::new() };
    let own = if run.is_own { " (Portico in memory; --target tests another server)" } else { "" };
    format!("{passed} passed, {failed} failed, {skipped} skipped{scored}{own}\n")
}
