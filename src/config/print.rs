//! Shows the effective settings as a `portico.toml` with comments.

use std::fmt::Write;

use toml::{Table, Value};

use super::{
    Settings,
    keys::{ANY, known, purpose, specimen},
    limits::LimitChanges,
};
use crate::services::REGISTRY;

/// The settings as TOML, a comment above each key that says what it is for and its default.
/// Passwords are not shown.
pub(crate) fn print(settings: &Settings) -> String {
    let effective = Table::try_from(with_all_limits(settings)).expect("settings are plain data");
    let defaults = Table::try_from(Settings::default()).expect("settings are plain data");
    let mut text = String::from("# Settings of Portico, as they are in effect. Put those that you change into portico.toml.\n\n");
    print_table(&mut text, "", "", &effective, Some(&defaults), &specimen());
    text
}

/// The settings with the limits of every service that differ from those of all.
fn with_all_limits(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    let mut all = crate::net::limits::Limits::default();
    settings.limits.all.apply(&mut all);
    let services = REGISTRY.iter().map(|row| (row.name.to_owned(), settings.limits_of(row)));
    let differing = services.map(|(name, own)| (name, LimitChanges::differing(&own, &all)));
    settings.limits.services = differing.filter(|(_, changes)| !changes.is_empty()).collect();
    settings.limits.all = all.into();
    settings
}

/// Prints the plain keys of a table, then the tables below it. `path` is the table's name in the
/// file, `model` its name in the specimen.
fn print_table(text: &mut String, path: &str, model: &str, table: &Table, defaults: Option<&Table>, specimen: &Table) {
    let (tables, plain): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
    if !path.is_empty() && (!plain.is_empty() || tables.is_empty()) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "\n[{path}]");
    }
    for (key, value) in plain {
        let name = if specimen.contains_key(key) { key } else { ANY };
        let shown = if key.contains("password") && value.as_str().is_some_and(|text| !text.is_empty()) {
            Value::String("(not shown)".into())
        } else {
            value.clone()
        };
        let default = defaults.and_then(|defaults| defaults.get(key)).filter(|default| *default != value);
        if let Some(purpose) = purpose(&joined(model, name)) {
            let default = default.map(|default| format!(" Default: {default}")).unwrap_or_default();
            let _ = writeln!(text, "# {purpose}{default}");
        }
        let _ = writeln!(text, "{} = {shown}", toml_key(key));
    }
    for (key, value) in tables {
        let (Some(inside), Some(Value::Table(specimen_inside))) = (value.as_table(), known(specimen, key)) else { continue };
        let name = if specimen.contains_key(key) { key } else { ANY };
        let model = joined(model, name);
        let path = joined(path, &toml_key(key));
        if let Some(purpose) = purpose(&model) {
            let _ = write!(text, "\n# {purpose}");
        }
        let defaults = defaults.and_then(|defaults| defaults.get(key)).and_then(Value::as_table);
        print_table(text, &path, &model, inside, defaults, specimen_inside);
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A key, in quotes where TOML wants them.
fn toml_key(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_');
    if is_bare { key.to_owned() } else { Value::String(key.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_again() {
        let text = print(&Settings::default());
        let again = toml::from_str::<Settings>(&text).unwrap();
        assert_eq!(print(&again), text);
        assert!(text.contains("# Added to every well-known port"), "{text}");
    }

    #[test]
    fn passwords_are_not_shown() {
        let settings = toml::from_str("[accounts.carol]\npassword = \"abracadabra\"").unwrap();
        assert!(!print(&settings).contains("abracadabra"));
    }
}
