//! `portico watch`: the conversations of the running server, live.

use std::io::{BufRead, IsTerminal};

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::{Outcome, folder::DataFolder, options::Global, say};
use crate::{
    control::{self, Request, watch::Wanted},
    error::StartError,
    services::{self, REGISTRY},
};

/// Passwords and tokens are shown as asterisks.
#[derive(Args)]
pub(crate) struct WatchArgs {
    /// Show these services alone: http smtp ftp-data ... [default: all]
    services: Vec<String>,
}

pub(crate) fn watch(global: &Global, args: WatchArgs) -> Result<Outcome, StartError> {
    if let Some(unknown) = args.services.iter().find(|name| services::row(name).is_none() && !is_side_connection(name)) {
        let names: Vec<_> = REGISTRY.iter().map(|row| row.name).collect();
        return Err(StartError(format!("there is no service `{unknown}`; there are {}", names.join(", "))));
    }
    let folder = DataFolder::resolve(global)?;
    let request = Request::Watch(Wanted { services: args.services });
    let socket = folder.control_socket();
    let lines = match control::listen(&socket, &request) {
        None => return Err(StartError(format!("no server runs on {}: start one with `portico`", folder.var.display()))),
        Some(lines) => lines.map_err(|error| StartError(format!("cannot watch: {error}")))?,
    };
    // Escaped already: transcripts hold no control characters.
    lines.lines().map_while(Result::ok).for_each(|line| show(&line));
    Ok(Outcome::Fine)
}

/// Connections that belong to a conversation: FTP's data, the proxy's and the relay's other side.
fn is_side_connection(name: &str) -> bool {
    REGISTRY.iter().any(|row| name.strip_prefix(row.name).is_some_and(|rest| rest.starts_with('-'))) || name == "relay"
}

/// Clients in one colour, servers in another, everything else quiet.
fn show(line: &str) {
    let style = match line.split_whitespace().nth(2) {
        Some("C:") => AnsiColor::Cyan.on_default(),
        Some("S:") => AnsiColor::Green.on_default(),
        _ => Style::new().dimmed(),
    };
    match std::io::stdout().is_terminal() {
        true => say(format_args!("{style}{line}{style:#}\n")),
        false => say(format_args!("{line}\n")),
    }
}
