//! What an experiment has found: formulas, measured values beside predicted ones, and pictures.

use serde::Serialize;

use crate::units::grouped;

/// The outcome of an experiment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Report {
    pub name: &'static str,
    pub title: String,
    /// What was set up, in a sentence or two.
    pub setup: Vec<String>,
    pub formulas: Vec<String>,
    pub measures: Vec<Measure>,
    /// Further tables, in their own words.
    pub tables: Vec<Table>,
    pub plots: Vec<Plot>,
    /// What to make of it.
    pub remarks: Vec<String>,
}

/// A measured value and what theory says of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Measure {
    pub what: String,
    /// With the figures filled in.
    pub formula: String,
    /// `None` where theory has no finite mean.
    pub predicted: Option<f64>,
    pub measured: f64,
    pub unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    Seconds,
    PerCent,
    Octets,
    Count,
}

/// A table of text.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub title: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// A picture, for the terminal and as SVG.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(crate) enum Plot {
    /// Values side by side, each with what was predicted.
    Bars { title: String, unit: Unit, bars: Vec<Bar> },
    /// Values over others.
    Lines { title: String, x: String, y: String, series: Vec<Series> },
    /// What happened when.
    Spans { title: String, rows: Vec<Row> },
}

#[derive(Debug, Serialize)]
pub(crate) struct Bar {
    pub label: String,
    pub predicted: Option<f64>,
    pub measured: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Series {
    pub label: String,
    pub points: Vec<(f64, f64)>,
}

/// A row of a time line.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub label: String,
    pub spans: Vec<Span>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Span {
    /// In seconds.
    pub from: f64,
    pub to: f64,
    pub kind: Kind,
}

/// What a span of time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Setting up a connection.
    Connect,
    /// Waiting for the first octet of an answer.
    Wait,
    /// Octets come in.
    Receive,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Connect, Kind::Wait, Kind::Receive];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Connect => "connect",
            Kind::Wait => "wait",
            Kind::Receive => "receive",
        }
    }
}

impl Measure {
    pub(crate) fn seconds(what: impl Into<String>, formula: impl Into<String>, predicted: f64, measured: f64) -> Measure {
        Measure { what: what.into(), formula: formula.into(), predicted: Some(predicted), measured, unit: Unit::Seconds }
    }

    /// How far the measured value is from the predicted one, as a share of it.
    pub(crate) fn deviation(&self) -> Option<f64> {
        let predicted = self.predicted?;
        Some(if predicted == 0.0 { self.measured } else { (self.measured - predicted) / predicted })
    }

    pub(crate) fn bar(&self) -> Bar {
        Bar { label: self.what.clone(), predicted: self.predicted, measured: self.measured }
    }
}

impl Unit {
    /// A value as people read it: three digits that count.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds if value == 0.0 => "0 s".into(),
            Unit::Seconds if value.abs() < 0.9995 => format!("{:.*} ms", usize::from(value.abs() < 0.0995), value * 1000.0),
            Unit::Seconds if value.abs() < 120.0 => format!("{value:.2} s"),
            Unit::Seconds if value.abs() < 7200.0 => format!("{:.1} min", value / 60.0),
            Unit::Seconds => format!("{:.1} h", value / 3600.0),
            Unit::PerCent => format!("{value:.1} %"),
            Unit::Octets => grouped(value.round() as u64),
            Unit::Count => format!("{value:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_the_digits_that_count() {
        for (unit, value, text) in [
            (Unit::Seconds, 0.0, "0 s"),
            (Unit::Seconds, 0.0667, "66.7 ms"),
            (Unit::Seconds, 0.2667, "267 ms"),
            (Unit::Seconds, 2.9333, "2.93 s"),
            (Unit::Seconds, 4320.0, "72.0 min"),
            (Unit::Seconds, 9000.0, "2.5 h"),
            (Unit::PerCent, 59.96, "60.0 %"),
            (Unit::Octets, 540_000.0, "540,000"),
            (Unit::Octets, 54.0, "54"),
            (Unit::Count, 7.0, "7"),
        ] {
            assert_eq!(unit.show(value), text);
        }
    }
}
