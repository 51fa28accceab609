//! A report's pictures as one SVG, for a sheet or a slide. Plain shapes and text: no scripts, no
//! fonts of its own; readable in print and for the colour-blind (each kind has its pattern of
//! brightness).

use maud::{Markup, html};

use super::report::{Bar, Kind, Plot, Report, Row, Series, Unit};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 90.0;
const PLOT: f64 = WIDTH - LEFT - RIGHT;
const ROW: f64 = 26.0;
const LINES_HEIGHT: f64 = 240.0;
const COLOURS: &[&str] = &["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555"];

/// The report's pictures below one another.
pub(crate) fn print(report: &Report) -> String {
    let mut at = 56.0;
    let mut drawn = Vec::new();
    for plot in &report.plots {
        let (markup, height) = draw(plot, at);
        drawn.push(markup);
        at += height + 34.0;
    }
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {at}")) width=(WIDTH) height=(at)
            font-family="system-ui, sans-serif" font-size="13" role="img" {
            title { (report.title) }
            rect width="100%" height="100%" fill="#ffffff" {}
            text x="16" y="28" font-size="17" font-weight="600" { (report.title) }
            @for markup in &drawn { (markup) }
        }
    };
    format!("{}\n", picture.into_string())
}

/// A picture whose top is at `top`, and its height.
fn draw(plot: &Plot, top: f64) -> (Markup, f64) {
    match plot {
        Plot::Bars { title, unit, bars } => draw_bars(title, *unit, bars, top),
        Plot::Lines { title, x, y, series } => draw_lines(title, (x, y), series, top),
        Plot::Spans { title, rows } => draw_spans(title, rows, top),
    }
}

fn heading(title: &str, top: f64) -> Markup {
    html! { text x="16" y=(top + 12.0) font-weight="600" { (title) } }
}

fn label(text: &str, y: f64) -> Markup {
    html! { text x=(LEFT - 10.0) y=(y) text-anchor="end" { (text) } }
}

fn draw_bars(title: &str, unit: Unit, bars: &[Bar], top: f64) -> (Markup, f64) {
    let most = bars.iter().flat_map(|bar| [bar.measured, bar.predicted.unwrap_or(0.0)]).fold(f64::MIN_POSITIVE, f64::max);
    let drawn = html! {
        (heading(title, top))
        text x=(WIDTH - 16.0) y=(top + 12.0) text-anchor="end" fill="#555555" { "bar: measured, line: predicted" }
        @for (index, bar) in bars.iter().enumerate() {
            @let y = top + 24.0 + ROW * index as f64;
            @let width = PLOT * bar.measured / most;
            (label(&bar.label, y + 14.0))
            rect x=(LEFT) y=(y) width=(round(width)) height="18" fill=(COLOURS[0]) {}
            @if let Some(predicted) = bar.predicted {
                @let x = round(LEFT + PLOT * predicted / most);
                line x1=(x) x2=(x) y1=(y - 3.0) y2=(y + 21.0) stroke="#000000" stroke-width="2" {}
            }
            text x=(round(LEFT + width.max(bar.predicted.map_or(0.0, |predicted| PLOT * predicted / most)) + 8.0)) y=(y + 14.0) { (unit.show(bar.measured)) }
        }
    };
    (drawn, 24.0 + ROW * bars.len() as f64)
}

fn draw_spans(title: &str, rows: &[Row], top: f64) -> (Markup, f64) {
    let end = rows.iter().flat_map(|row| row.spans.iter().map(|span| span.to)).fold(f64::MIN_POSITIVE, f64::max);
    let step = pleasant(end / 6.0);
    let bottom = top + 24.0 + ROW * rows.len() as f64;
    let drawn = html! {
        (heading(title, top))
        @for (index, kind) in Kind::ALL.iter().enumerate() {
            @let x = WIDTH - 270.0 + 90.0 * index as f64;
            rect x=(x) y=(top + 2.0) width="12" height="12" fill=(colour(*kind)) {}
            text x=(x + 17.0) y=(top + 12.0) { (kind.name()) }
        }
        @for tick in ticks(end, step) {
            @let x = round(LEFT + PLOT * tick / end);
            line x1=(x) x2=(x) y1=(top + 22.0) y2=(bottom) stroke="#dddddd" {}
            text x=(x) y=(bottom + 14.0) text-anchor="middle" fill="#555555" { (Unit::Seconds.show(tick)) }
        }
        @for (index, row) in rows.iter().enumerate() {
            @let y = top + 24.0 + ROW * index as f64;
            (label(&row.label, y + 14.0))
            @for span in &row.spans {
                rect x=(round(LEFT + PLOT * span.from / end)) y=(y) width=(round((PLOT * (span.to - span.from) / end).max(1.0))) height="18" fill=(colour(span.kind)) {}
            }
        }
    };
    (drawn, 24.0 + ROW * rows.len() as f64 + 18.0)
}

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Connect => COLOURS[1],
        Kind::Wait => "#c8d6e5",
        Kind::Receive => COLOURS[0],
    }
}

fn draw_lines(title: &str, (x_name, y_name): (&str, &str), series: &[Series], top: f64) -> (Markup, f64) {
    let points = || series.iter().flat_map(|series| series.points.iter().copied());
    let (most_x, most_y) = points().fold((f64::MIN_POSITIVE, f64::MIN_POSITIVE), |(most_x, most_y), (x, y)| (most_x.max(x), most_y.max(y)));
    let (bottom, high) = (top + 28.0 + LINES_HEIGHT, LINES_HEIGHT);
    let across = move |x: f64| round(LEFT + PLOT * x / most_x);
    let up = move |y: f64| round(bottom - high * y / most_y);
    let drawn = html! {
        (heading(title, top))
        @for tick in ticks(most_y, pleasant(most_y / 5.0)) {
            line x1=(LEFT) x2=(LEFT + PLOT) y1=(up(tick)) y2=(up(tick)) stroke="#dddddd" {}
            text x=(LEFT - 10.0) y=(up(tick) + 4.0) text-anchor="end" fill="#555555" { (figure(tick)) " " (y_name) }
        }
        @for tick in ticks(most_x, pleasant(most_x / 6.0)) {
            text x=(across(tick)) y=(bottom + 18.0) text-anchor="middle" fill="#555555" { (figure(tick)) " " (x_name) }
        }
        line x1=(LEFT) x2=(LEFT + PLOT) y1=(bottom) y2=(bottom) stroke="#000000" {}
        @for (index, series) in series.iter().enumerate() {
            @let colour = COLOURS[index % COLOURS.len()];
            polyline fill="none" stroke=(colour) stroke-width="2"
                points=(series.points.iter().map(|(x, y)| format!("{},{}", across(*x), up(*y))).collect::<Vec<_>>().join(" ")) {}
            @if series.points.len() <= 40 {
                @for (x, y) in &series.points { circle cx=(across(*x)) cy=(up(*y)) r="3" fill=(colour) {} }
            }
            @let y = bottom + 42.0 + 18.0 * index as f64;
            rect x=(LEFT) y=(y - 6.0) width="18" height="4" fill=(colour) {}
            text x=(LEFT + 26.0) y=(y) { (series.label) }
        }
    };
    (drawn, 28.0 + LINES_HEIGHT + 42.0 + 18.0 * series.len() as f64)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn figure(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A step of 1, 2 or 5 times a power of ten, near to `value`.
fn pleasant(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(f64::MIN_POSITIVE).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= value).unwrap_or(10.0);
    step * power
}

fn ticks(most: f64, step: f64) -> impl Iterator<Item = f64> {
    (0..=(most / step + 1e-9).floor() as u32).map(move |number| f64::from(number) * step)
}
