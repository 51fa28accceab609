//! The log, on standard error: one event per line, pretty or JSON.
//!
//! Text from the network ends up in fields and messages. Everything passes through THE escaper
//! here, once, so that no peer can forge a line or act on the terminal of whoever reads the log.

use std::{fmt, io::IsTerminal, time::SystemTime};

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber, field::Visit};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::options::{Global, LogFormat};
use crate::net::escape::escape;

/// Starts logging as the flags say.
pub(crate) fn start(global: &Global) {
    let colours = std::io::stderr().is_terminal() && anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let format = Lines { json: global.log_format == LogFormat::Json, colours };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(global.level())
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .event_format(format)
        .finish();
    // Only the first one counts; there is but one command per process.
    let _already = tracing::subscriber::set_global_default(subscriber);
}

struct Lines {
    json: bool,
    colours: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        let line = if self.json { json_line(level, fields) } else { pretty_line(level, fields, self.colours) };
        writeln!(out, "{line}")
    }
}

/// The fields of an event, texts not escaped yet.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.add(field.name(), value.to_owned().into());
    }
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        self.add(field.name(), value.into());
    }
    fn record_i64(&mut self, field: &tracing::field::Field, value: i64) {
        self.add(field.name(), value.into());
    }
    fn record_bool(&mut self, field: &tracing::field::Field, value: bool) {
        self.add(field.name(), value.into());
    }
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}").into());
    }
}

impl Fields {
    fn add(&mut self, name: &'static str, value: Value) {
        match name {
            "message" => self.message = text(&value),
            // Records of the `log` crate bring their place along; nobody asked for it.
            name if name.starts_with("log.") => {}
            name => self.others.push((name, value)),
        }
    }
}

/// A text as it is, everything else as JSON writes it.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn pretty_line(level: Level, fields: Fields, colours: bool) -> String {
    let (style, quiet) = if colours { (style(level), Style::new().dimmed()) } else { (Style::new(), Style::new()) };
    let mut line = format!("{quiet}{}{quiet:#} {style}{level:5}{style:#} {}", now(), escape(&fields.message));
    for (name, value) in fields.others {
        let value = escape(text(&value));
        let quoted = if value.contains(' ') || value.is_empty() { format!("\"{value}\"") } else { value };
        line.push_str(&format!(" {quiet}{name}={quiet:#}{quoted}"));
    }
    line
}

fn json_line(level: Level, fields: Fields) -> String {
    let mut object = Map::new();
    object.insert("time".into(), Value::String(now()));
    object.insert("level".into(), Value::String(level.to_string()));
    object.insert("message".into(), Value::String(escape(&fields.message)));
    for (name, value) in fields.others {
        // Numbers stay numbers: whoever reads JSON wants to reckon with them.
        let value = if let Value::String(text) = &value { escape(text).into() } else { value };
        object.insert(name.to_owned(), value);
    }
    Value::Object(object).to_string()
}

fn style(level: Level) -> Style {
    let colour = match level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        _ => AnsiColor::Blue,
    };
    colour.on_default()
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> Fields {
        let text = "bob\r\n2026 INFO forged\x1b[2J\u{9b}\u{202e}".to_owned();
        Fields { message: text.clone(), others: vec![("user", text.into()), ("octets", 12.into())] }
    }

    #[test]
    fn no_control_character_of_a_peer_reaches_the_log() {
        for line in [pretty_line(Level::INFO, hostile(), false), json_line(Level::INFO, hostile())] {
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
            assert!(line.contains("forged"), "{line}");
            assert!(line.contains("octets=12") || line.contains("\"octets\":12"), "{line}");
        }
    }
}
