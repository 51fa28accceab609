//! Verdicts as Gradescope's autograders give them: what lies in `/autograder/results/results.json`.

use serde::Serialize;

use super::{Run, told};

#[derive(Serialize)]
struct Results {
    execution_time: u64,
    output: String,
    /// Of all tests, where they don't say so themselves.
    visibility: &'static str,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    name: String,
    number: String,
    score: u32,
    max_score: u32,
    status: &'static str,
    output: String,
    output_format: &'static str,
    visibility: &'static str,
}

pub(super) fn print(run: &Run) -> Result<String, String> {
    let mut tests = Vec::new();
    for (index, report) in run.reports.iter().enumerate() {
        if let Err(reason) = &report.grade {
            // Nothing that was not played takes points from anybody, nor looks as if it had passed.
            let skipped = test(report.name.clone(), (index + 1).to_string(), (0, 0), format!("skipped: {reason}"));
            tests.push(Test { status: "failed", ..skipped });
        }
        for (at, part) in report.parts().iter().enumerate() {
            let number = if report.has_parts() { format!("{}.{}", index + 1, at + 1) } else { (index + 1).to_string() };
            let output = told(part).unwrap_or_default();
            let mut test = test(report.name_of(part), number, (part.score(), part.points), output);
            test.status = if part.has_passed() { "passed" } else { "failed" };
            tests.push(test);
        }
    }
    let results = Results {
        execution_time: run.took.as_secs(),
        output: super::text::summary(run).trim_end().to_owned(),
        visibility: "visible",
        tests,
    };
    serde_json::to_string_pretty(&results).map(|text| text + "\n").map_err(|error| error.to_string())
}

fn test(name: String, number: String, (score, max_score): (u32, u32), output: String) -> Test {
    Test { name, number, score, max_score, status: "passed", output, output_format: "text", visibility: "visible" }
}
