//! Tables for people: the one that start-up prints, and plain lists.

use std::{net::SocketAddr, path::Path};

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};

use super::{folder::DataFolder, listen::is_loopback};
use crate::services::{Row, TlsMode};

const STRONG: Style = Style::new().bold();
const NAME: Style = AnsiColor::Cyan.on_default();
const QUIET: Style = Style::new().dimmed();

/// The start-up table: a line per service with its address, how TLS comes in, and a command to
/// copy. `places` are in the order of the registry.
pub(crate) fn start_up(folder: &DataFolder, places: &[(&'static Row, SocketAddr)]) -> String {
    let title = format!("{STRONG}Portico {}{STRONG:#} serves {}", env!("CARGO_PKG_VERSION"), shown_root(folder));
    let mut services: Vec<(&'static Row, SocketAddr)> = Vec::new();
    for (row, at) in places {
        if services.last().is_none_or(|(last, _)| last.name != row.name) {
            services.push((row, *at));
        }
    }
    let http = services.iter().find(|(row, _)| row.name == "http").map_or("localhost:8080".into(), |(_, at)| host_and_port(*at));
    let head = vec!["service".into(), "address".into(), "TLS".into(), "try".into()];
    let lines = services.iter().map(|(row, at)| {
        let example = row.example.replace("{http}", &http).replace("{ca}", "$CA");
        let example = example.replace("{host}", &host(*at)).replace("{port}", &at.port().to_string());
        vec![row.name.to_owned(), at.to_string(), tls(row).to_owned(), example]
    });
    let laid_out = plain(std::iter::once(head).chain(lines));
    let mut text = format!("{title}\n\n");
    if services.iter().any(|(row, _)| row.example.contains("{ca}")) {
        let ca = shell_word(&folder.certs.join("ca.pem"));
        text.push_str(&format!("{QUIET}CA={ca}   # the authority that the commands below trust{QUIET:#}\n\n"));
    }
    for (number, line) in laid_out.lines().enumerate() {
        let (name, rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
        match number {
            0 => text.push_str(&format!("{QUIET}{line}{QUIET:#}\n")),
            _ => text.push_str(&format!("{NAME}{name}{NAME:#}{rest}\n")),
        }
    }
    text
}

/// Columns side by side, each as wide as its widest cell.
pub(crate) fn plain(rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"/._-+,=@%".contains(&octet));
    if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn tls(row: &Row) -> &'static str {
    match row.tls {
        TlsMode::None => "-",
        TlsMode::Upgrade => "upgrade",
        TlsMode::Implicit => "always",
    }
}

fn shown_root(folder: &DataFolder) -> String {
    std::fs::canonicalize(&folder.root).unwrap_or_else(|_| folder.root.clone()).display().to_string()
}

fn host_and_port(at: SocketAddr) -> String {
    format!("{}:{}", host(at), at.port())
}

/// The host as one types it: the certificate knows `localhost`.
fn host(at: SocketAddr) -> String {
    match at {
        at if is_loopback(at.ip()) || at.ip().is_unspecified() => "localhost".into(),
        SocketAddr::V4(at) => at.ip().to_string(),
        SocketAddr::V6(at) => format!("[{}]", at.ip()),
    }
}
