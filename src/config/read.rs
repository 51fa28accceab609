//! Reads the settings: the file, then `PORTICO_*`, then `--set`, each checked by itself so that an
//! error names its source.

use std::{ffi::OsString, ops::Range, path::Path};

use serde::Deserialize;
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    Settings,
    keys::{ANY, known, nearest, specimen},
};
use crate::error::StartError;

/// What was read.
pub(crate) struct Read {
    pub settings: Settings,
    /// Harmless oddities, for the log.
    pub warnings: Vec<String>,
}

/// Reads `file` where it exists, then what `environment` and the `sets` (`key=value`) say.
pub(crate) fn read(file: &Path, environment: impl Iterator<Item = (OsString, OsString)>, sets: &[String]) -> Result<Read, StartError> {
    let name = file.display().to_string();
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.map_err(|error| StartError(format!("cannot read the settings {name}: {error}")))?,
    };
    merge((&name, &text), environment, sets)
}

/// Like [`read`], with the file's name and text.
pub(crate) fn merge(
    (name, text): (&str, &str),
    environment: impl Iterator<Item = (OsString, OsString)>,
    sets: &[String],
) -> Result<Read, StartError> {
    let specimen = specimen();
    let (mut settings, mut given) = parse_file(name, text, &specimen)?;
    let mut warnings = Vec::new();
    let mut overlay = |source: String, path: Vec<String>, text: &str| -> Result<(), StartError> {
        put(&mut given, &specimen, &path, text).map_err(|why| StartError(format!("{source}: {why}")))?;
        settings = Settings::deserialize(given.clone()).map_err(|error| StartError(format!("{source}: {}", one_line(error.message()))))?;
        Ok(())
    };
    for (name, value) in environment {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        let Some(rest) = name.strip_prefix("PORTICO_") else { continue };
        match path_of_variable(&specimen, rest) {
            Some(path) if path.last().is_some_and(|key| key.ends_with("-password")) => return Err(no_passwords(name)),
            Some(path) => overlay(name.to_owned(), path, value)?,
            None if rest.ends_with("PASSWORD") || rest.ends_with("PASSWORD_HASH") => return Err(no_passwords(name)),
            None => warnings.push(format!("the environment variable {name} names no setting and is ignored")),
        }
    }
    for set in sets {
        let (path, value) = split_set(set).ok_or_else(|| StartError(format!("--set {set}: write it as key=value")))?;
        overlay(format!("--set {}", path.join(".")), path, value)?;
    }
    Ok(Read { settings, warnings })
}

fn no_passwords(source: &str) -> StartError {
    StartError(format!(
        "{source}: passwords are not taken from the command line or the environment, where other users can see them; use `portico account passwd`, or portico.toml"
    ))
}

/// Reads the text of a settings file; errors name line and column.
fn parse_file(name: &str, text: &str, specimen: &Table) -> Result<(Settings, Table), StartError> {
    let at = |span: Option<Range<usize>>, why: &str| {
        let (line, column) = position(text, span.map_or(0, |span| span.start));
        StartError(format!("{name}:{line}:{column}: {}", one_line(why)))
    };
    let document = DeTable::parse(text).map_err(|error| at(error.span(), error.message()))?;
    if let Some((span, why)) = unknown_key(document.get_ref(), specimen, "") {
        return Err(at(Some(span), &why));
    }
    let settings = toml::from_str::<Settings>(text).map_err(|error| at(error.span(), error.message()))?;
    let given = text.parse::<Table>().map_err(|error| at(error.span(), error.message()))?;
    Ok((settings, given))
}

/// The first key that the specimen doesn't know, with what may have been meant.
fn unknown_key(table: &DeTable<'_>, specimen: &Table, path: &str) -> Option<(Range<usize>, String)> {
    table.iter().find_map(|(key, value): (_, &Spanned<DeValue<'_>>)| {
        let name = key.get_ref().as_ref();
        match (known(specimen, name), value.get_ref()) {
            (None, _) => Some((key.span(), unknown(specimen, path, name))),
            (Some(Value::Table(inside)), DeValue::Table(table)) => unknown_key(table, inside, &format!("{path}{name}.")),
            (Some(Value::Array(models)), DeValue::Array(items)) => {
                let inside = models.first()?.as_table()?;
                let mut tables = items.iter().filter_map(|item| item.get_ref().as_table());
                tables.find_map(|table| unknown_key(table, inside, &format!("{path}{name}.")))
            }
            _ => None,
        }
    })
}

fn unknown(specimen: &Table, path: &str, name: &str) -> String {
    match nearest(name, specimen.keys().map(String::as_str)) {
        Some(meant) => format!("unknown setting `{path}{name}`; did you mean `{path}{meant}`?"),
        None => format!("unknown setting `{path}{name}`; `portico config` lists all"),
    }
}

/// Line and column of an octet, from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Splits `key=value`, the key at its dots too; parts of it may be quoted as in TOML.
fn split_set(text: &str) -> Option<(Vec<String>, &str)> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), None);
    for (at, c) in text.char_indices() {
        match (c, quoted) {
            (c, Some(quote)) if c == quote => quoted = None,
            (c, Some(_)) => part.push(c),
            ('"' | '\'', None) => quoted = Some(c),
            ('.', None) => parts.push(std::mem::take(&mut part)),
            ('=', None) => {
                parts.push(part.trim().to_owned());
                return Some((parts, text[at + 1..].trim()));
            }
            (c, None) => part.push(c),
        }
    }
    None
}

/// Puts a value, written as TOML or bare, under `path` of `given`.
fn put(given: &mut Table, specimen: &Table, path: &[String], text: &str) -> Result<(), String> {
    let (mut table, mut specimen, mut walked) = (given, specimen, String::new());
    let Some((last, folders)) = path.split_last() else { return Err("the key is empty".into()) };
    for part in folders {
        let Some(Value::Table(inside)) = known(specimen, part) else { return Err(unknown(specimen, &walked, part)) };
        specimen = inside;
        walked.push_str(&format!("{part}."));
        let entry = table.entry(part.clone()).or_insert_with(|| Value::Table(Table::new()));
        table = entry.as_table_mut().ok_or_else(|| format!("`{}` is not a table", walked.trim_end_matches('.')))?;
    }
    let is_password = |key: &str| key == "password" || key.ends_with("-password");
    let names_one = |value: &Value| value.as_table().is_some_and(|table| table.keys().any(|key| is_password(key)));
    let value = || value_like(&Value::Table(Table::new()), text);
    if (walked.starts_with("accounts.") && last.starts_with("password")) || is_password(last) || names_one(&value()) {
        return Err(no_passwords(&format!("{walked}{last}")).0);
    }
    let model = known(specimen, last).ok_or_else(|| unknown(specimen, &walked, last))?;
    table.insert(last.clone(), value_like(model, text));
    Ok(())
}

/// Reads a value that is to look like `model`: as TOML, or else the bare text.
fn value_like(model: &Value, text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    match (model, parsed) {
        (Value::String(_), Some(Value::String(text))) => Value::String(text),
        (Value::String(_), _) => Value::String(text.to_owned()),
        (Value::Array(_), Some(Value::Array(items))) => Value::Array(items),
        (Value::Array(models), _) => {
            let model = models.first().cloned().unwrap_or_else(|| Value::String(String::new()));
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| value_like(&model, item)).collect())
        }
        (_, Some(value)) => value,
        (_, None) => Value::String(text.to_owned()),
    }
}

/// The key that `SMTP_RELAY_NETWORKS` (of `PORTICO_SMTP_RELAY_NETWORKS`) stands for.
fn path_of_variable(specimen: &Table, name: &str) -> Option<Vec<String>> {
    specimen.iter().filter(|(key, _)| *key != ANY).find_map(|(key, value)| {
        let written = key.to_ascii_uppercase().replace('-', "_");
        if name == written {
            return Some(vec![key.clone()]);
        }
        let rest = name.strip_prefix(&written)?.strip_prefix('_')?;
        let mut path = path_of_variable(value.as_table()?, rest)?;
        path.insert(0, key.clone());
        Some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ports;

    fn file(text: &str) -> Result<Settings, String> {
        parse_file("portico.toml", text, &specimen()).map(|(settings, _)| settings).map_err(|error| error.0)
    }

    fn set(sets: &[&str]) -> Result<Settings, String> {
        let sets: Vec<_> = sets.iter().map(|set| set.to_string()).collect();
        read(Path::new("/nonexistent/portico.toml"), std::iter::empty(), &sets).map(|read| read.settings).map_err(|error| error.0)
    }

    fn variable(name: &str, value: &str) -> Result<Read, String> {
        read(Path::new("/nonexistent/portico.toml"), [(name.into(), value.into())].into_iter(), &[]).map_err(|error| error.0)
    }

    #[test]
    fn unknown_keys_are_refused_with_place_and_nearest_name() {
        assert_eq!(
            file("host = [\"::1\"]\nprot-offset = 1\n").unwrap_err(),
            "portico.toml:2:1: unknown setting `prot-offset`; did you mean `port-offset`?"
        );
        assert_eq!(
            file("[smtp.retry]\nfirst = \"1s\"\n  mots = \"1h\"").unwrap_err(),
            "portico.toml:3:3: unknown setting `smtp.retry.mots`; did you mean `smtp.retry.most`?"
        );
        assert!(file("[limits.smpt]\nidle = \"1s\"").unwrap_err().starts_with("portico.toml:1:9: unknown setting `limits.smpt`"));
        assert_eq!(
            file("[[http.cache]]\nmacth = \"*\"").unwrap_err(),
            "portico.toml:2:1: unknown setting `http.cache.macth`; did you mean `http.cache.match`?"
        );
        assert!(file("[accounts.carol]\nhome = \"/\"").unwrap_err().contains("accounts.carol.home"));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_place() {
        let error = file("[smtp.retry]\nfirst = \"4\"\n").unwrap_err();
        assert!(error.starts_with("portico.toml:2:9: `4` is not a duration"), "{error}");
        let error = file("port-offset = 70000").unwrap_err();
        assert!(error.starts_with("portico.toml:1:15: "), "{error}");
    }

    #[test]
    fn a_set_reads_toml_bare_text_lists_and_quoted_keys() {
        let settings = set(&[
            "port-offset=9000",
            "smtp.routes.\"remote.example\"=127.0.0.1:2626",
            "domains=a.test, b.test",
            "proxy.connect-ports=[443, '8000-8999']",
            "proxy.cache-memory=1MB",
            "ftp.passive-ports=0",
            "host=127.0.0.1",
            "limits.connections=10",
        ])
        .unwrap();
        assert_eq!(settings.port_offset, 9000);
        assert_eq!(settings.smtp.routes["remote.example"].host, "127.0.0.1:2626");
        assert_eq!(settings.domains, ["a.test", "b.test"]);
        assert_eq!(set(&["domains=bücher.example"]).unwrap().domains, ["xn--bcher-kva.example"]);
        assert_eq!(settings.proxy.connect_ports, [443.into(), Ports(8000..=8999)]);
        assert_eq!(settings.proxy.cache_memory.0, 1_000_000);
        assert_eq!(settings.ftp.passive_ports.to_string(), "0");
        assert_eq!(settings.limits.all.connections, Some(10));
        assert!(set(&["smpt.mx=true"]).unwrap_err().contains("did you mean `smtp`"));
        assert!(set(&["port-offset=x"]).unwrap_err().starts_with("--set port-offset: "));
    }

    #[test]
    fn passwords_come_neither_from_set_nor_from_the_environment() {
        assert!(set(&["accounts.carol.password=x"]).unwrap_err().contains("portico account passwd"));
        assert!(variable("PORTICO_ACCOUNTS_CAROL_PASSWORD", "x").is_err());
        assert!(set(&["proxy.parent-password=x"]).is_err() && variable("PORTICO_PROXY_PARENT_PASSWORD", "x").is_err());
    }

    #[test]
    fn variables_name_settings() {
        assert_eq!(variable("PORTICO_PORT_OFFSET", "9000").unwrap().settings.port_offset, 9000);
        assert_eq!(variable("PORTICO_SMTP_RETRY_FIRST", "7s").unwrap().settings.smtp.retry.first.to_string(), "7s");
        assert_eq!(variable("PORTICO_SERVICE_HOST", "x").unwrap().warnings.len(), 1);
    }

    #[test]
    fn limits_of_a_service_go_before_those_of_all() {
        let settings = file("[limits]\nidle = \"1m\"\nline = \"2s\"\n[limits.capital-tcp]\nidle = \"7s\"").unwrap();
        let limits = settings.limits_of(crate::services::row("capital-tcp").unwrap());
        assert_eq!((limits.idle.to_string(), limits.line.to_string()), ("7s".into(), "2s".into()));
    }
}
