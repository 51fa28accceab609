//! A report for the terminal, at most 80 columns wide.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::{
    plot,
    report::{Measure, Report},
};

/// The width of a terminal as it always was, in columns.
pub(super) const COLUMNS: u16 = 80;

/// More measured values than these are not listed one by one.
const MAX_ROWS: usize = 12;

/// The report as text.
pub(crate) fn print(report: &Report) -> String {
    let mut text = format!("{}\n\n", report.title);
    paragraphs(&mut text, "", &report.setup);
    if !report.formulas.is_empty() {
        text.push('\n');
        paragraphs(&mut text, "  ", &report.formulas);
    }
    match report.measures.len() {
        0 => {}
        1..=MAX_ROWS => text.push_str(&format!("\n{}", measures(&report.measures))),
        _ => text.push_str(&format!("\n{}\n", summary(&report.measures))),
    }
    for table in &report.tables {
        let _ = write!(text, "\n{}\n{}", table.title, laid_out(&table.head, &table.rows, 1));
    }
    for plot in &report.plots {
        let _ = write!(text, "\n{}", plot::draw(plot));
    }
    if !report.remarks.is_empty() {
        text.push('\n');
        paragraphs(&mut text, "", &report.remarks);
    }
    text
}

fn paragraphs(text: &mut String, indent: &str, paragraphs: &[String]) {
    for paragraph in paragraphs {
        let mut line = String::from(indent);
        for word in paragraph.split(' ') {
            if line.chars().count() + word.chars().count() > usize::from(COLUMNS) - 1 {
                let _ = writeln!(text, "{}", line.trim_end());
                line = format!("{indent}{}", if indent.is_empty() { "" } else { "  " });
            }
            line.push_str(word);
            line.push(' ');
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn measures(measures: &[Measure]) -> String {
    let head = ["", "formula", "predicted", "measured", "off by"].map(str::to_owned);
    let rows: Vec<_> = measures
        .iter()
        .map(|measure| {
            let predicted = measure.predicted.map_or_else(|| "-".into(), |value| measure.unit.show(value));
            let off = measure.deviation().map_or_else(|| "-".into(), |share| format!("{:+.1} %", share * 100.0));
            vec![measure.what.clone(), measure.formula.clone(), predicted, measure.unit.show(measure.measured), off]
        })
        .collect();
    laid_out(&head, &rows, 2)
}

/// Many values in one line; tables of the experiment's own show them.
fn summary(measures: &[Measure]) -> String {
    let deviations = || measures.iter().filter_map(Measure::deviation);
    let (least, most) = (deviations().fold(f64::MAX, f64::min) * 100.0, deviations().fold(f64::MIN, f64::max) * 100.0);
    format!("{} values measured beside the formula: off by {least:+.1} % to {most:+.1} %.", measures.len())
}

/// A table no wider than the terminal; columns from `figures` on are figures.
fn laid_out(head: &[String], rows: &[Vec<String>], figures: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_width(COLUMNS).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if index >= figures {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    let rule = "─".repeat(lines.iter().map(|line| line.chars().count()).max().unwrap_or(0));
    lines.iter().enumerate().map(|(number, line)| if number == 0 { format!("{line}\n{rule}\n") } else { format!("{line}\n") }).collect()
}
