//! Small pictures of characters.

use std::fmt::Write;

use super::report::{Bar, Kind, Plot, Row, Series, Unit};

/// How wide a picture is beside its labels, in characters.
const WIDTH: usize = 46;
const LABEL: usize = 20;
const HEIGHT: usize = 12;
/// What marks the points of one series, and of the next.
const MARKS: &[u8] = b"*o+x#%@&";

pub(super) fn draw(plot: &Plot) -> String {
    match plot {
        Plot::Bars { title, unit, bars } => draw_bars(title, *unit, bars),
        Plot::Lines { title, x, y, series } => draw_lines(title, (x, y), series),
        Plot::Spans { title, rows } => draw_spans(title, rows),
    }
}

fn label(text: &str) -> String {
    let short: String = text.chars().take(LABEL).collect();
    format!("{short:<LABEL$}")
}

/// A bar for what was measured; a `|` where it should end.
fn draw_bars(title: &str, unit: Unit, bars: &[Bar]) -> String {
    let most = bars.iter().flat_map(|bar| [bar.measured, bar.predicted.unwrap_or(0.0)]).fold(0.0, f64::max);
    let mut text = format!("{title} (| predicted)\n");
    for bar in bars {
        let mut cells = vec![' '; WIDTH + 1];
        cells[..place(bar.measured, most)].fill('█');
        if let Some(predicted) = bar.predicted {
            cells[place(predicted, most)] = '|';
        }
        let cells: String = cells.into_iter().collect();
        // Writing to a string can't fail; here and below.
        let _ = writeln!(text, "{} {} {}", label(&bar.label), cells, unit.show(bar.measured));
    }
    text
}

/// Where a value stands among `WIDTH` characters.
fn place(value: f64, most: f64) -> usize {
    if most <= 0.0 { 0 } else { ((value / most) * WIDTH as f64).round().clamp(0.0, WIDTH as f64) as usize }
}

fn draw_lines(title: &str, (x, y): (&str, &str), series: &[Series]) -> String {
    let points = || series.iter().flat_map(|series| series.points.iter().copied());
    let (most_x, most_y) = points().fold((0.0, 0.0), |(most_x, most_y): (f64, f64), (x, y)| (most_x.max(x), most_y.max(y)));
    let mut cells = vec![vec![' '; WIDTH + 1]; HEIGHT];
    for (index, series) in series.iter().enumerate() {
        for (x, y) in &series.points {
            let row = HEIGHT - 1 - ((y / most_y.max(f64::MIN_POSITIVE)) * (HEIGHT - 1) as f64).round() as usize;
            cells[row.min(HEIGHT - 1)][place(*x, most_x)] = char::from(MARKS[index % MARKS.len()]);
        }
    }
    let mut text = format!("{title}\n");
    for (number, row) in cells.into_iter().enumerate() {
        let value = most_y * (HEIGHT - 1 - number) as f64 / (HEIGHT - 1) as f64;
        let axis = if number % 3 == 2 || number == 0 { format!("{value:>9.2} {y}") } else { String::new() };
        let row: String = row.into_iter().collect();
        let _ = writeln!(text, "{axis:>LABEL$} |{}", row.trim_end());
    }
    let _ = writeln!(text, "{:>LABEL$} +{}", "", "-".repeat(WIDTH + 1));
    let _ = writeln!(text, "{:>LABEL$} 0{:>WIDTH$}", "", format!("{most_x:.0} {x}"));
    for (index, series) in series.iter().enumerate() {
        let _ = writeln!(text, "{:>LABEL$} {} {}", "", char::from(MARKS[index % MARKS.len()]), series.label);
    }
    text
}

fn draw_spans(title: &str, rows: &[Row]) -> String {
    let end = rows.iter().flat_map(|row| row.spans.iter().map(|span| span.to)).fold(0.0, f64::max);
    let mut text = format!("{title} (= connect, . wait, # receive)\n");
    for row in rows {
        let mut cells = [' '; WIDTH + 1];
        for span in &row.spans {
            let (from, to) = (place(span.from, end), place(span.to, end));
            cells[from..to.max(from + 1).min(WIDTH + 1)].fill(mark(span.kind));
        }
        let cells: String = cells.iter().collect();
        let _ = writeln!(text, "{} {}", label(&row.label), cells.trim_end());
    }
    let _ = writeln!(text, "{:LABEL$} 0{:>WIDTH$}", "", Unit::Seconds.show(end));
    text
}

fn mark(kind: Kind) -> char {
    match kind {
        Kind::Connect => '=',
        Kind::Wait => '.',
        Kind::Receive => '#',
    }
}
