//! Verdicts for harnesses that read the Test Anything Protocol, version 13, which `prove` reads too.

use std::fmt::Write;

use super::{Run, told};

pub(super) fn print(run: &Run) -> String {
    let mut lines = Vec::new();
    for report in &run.reports {
        if let Err(reason) = &report.grade {
            lines.push(("ok", plain(&report.name), format!(" # SKIP {}", plain(reason)), None));
        }
        for part in report.parts() {
            let verdict = if part.has_passed() { "ok" } else { "not ok" };
            lines.push((verdict, plain(&report.name_of(part)), String::new(), told(part)));
        }
    }
    let mut out = format!("TAP version 13\n1..{}\n", lines.len());
    for (index, (verdict, name, directive, diagnosis)) in lines.iter().enumerate() {
        // Writing to a string cannot fail.
        let _written = writeln!(out, "{verdict} {} - {name}{directive}", index + 1);
        if let Some(diagnosis) = diagnosis {
            out.push_str("  ---\n  message: |\n");
            for line in diagnosis.lines() {
                let _written = writeln!(out, "    {line}");
            }
            out.push_str("  ...\n");
        }
    }
    out
}

/// A description is one line, and `#` begins a directive.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('#', "\\#").replace(['\n', '\r'], " ")
}
