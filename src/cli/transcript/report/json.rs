//! Verdicts as JSON: one object per transcript.

use serde::Serialize;

use super::{Report, Run, told_shortly};
use crate::play::{Ending, Failure, Part};

#[derive(Serialize)]
struct Told<'a> {
    file: &'a str,
    title: &'a str,
    verdict: &'static str,
    milliseconds: u64,
    score: u32,
    max_score: u32,
    /// Why it was skipped or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    difference: Option<Difference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<ToldPart<'a>>,
}

#[derive(Serialize)]
struct ToldPart<'a> {
    title: &'a str,
    verdict: &'static str,
    score: u32,
    max_score: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    difference: Option<Difference<'a>>,
}

#[derive(Serialize)]
struct Difference<'a> {
    line: usize,
    expected: &'a [String],
    received: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    conversation: &'a str,
}

pub(super) fn print(run: &Run) -> Result<String, String> {
    let told: Vec<_> = run.reports.iter().map(tell).collect();
    serde_json::to_string_pretty(&told).map(|text| text + "\n").map_err(|error| error.to_string())
}

fn tell(report: &Report) -> Told<'_> {
    let failure = report.parts().iter().find_map(failure);
    let (score, max_score) = report.score();
    Told {
        file: &report.name,
        title: &report.title,
        verdict: match &report.grade {
            Err(_) => "skipped",
            Ok(grade) if grade.has_passed() => "passed",
            Ok(_) => "failed",
        },
        milliseconds: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        score,
        max_score,
        reason: report.grade.as_ref().err().map(String::as_str).or(failure.map(|failure| &failure.difference.what[..])),
        difference: failure.map(difference),
        parts: if report.has_parts() { report.parts().iter().map(tell_part).collect() } else { Vec::new() },
    }
}

fn tell_part(part: &Part) -> ToldPart<'_> {
    ToldPart {
        title: &part.title,
        verdict: match part.ending {
            Ending::Passed => "passed",
            Ending::Failed(_) => "failed",
            Ending::NotReached => "not-reached",
        },
        score: part.score(),
        max_score: part.points,
        reason: told_shortly(part),
        difference: failure(part).map(difference),
    }
}

fn failure(part: &Part) -> Option<&Failure> {
    if let Ending::Failed(failure) = &part.ending { Some(failure) } else { None }
}

fn difference(failure: &Failure) -> Difference<'_> {
    Difference {
        line: failure.line,
        expected: &failure.difference.expected,
        received: &failure.difference.received,
        because: failure.because.as_deref(),
        conversation: &failure.so_far,
    }
}
