//! `portico watch`: the conversations of the running server, live.

pub(super) mod columns;

use std::{
    io::{BufRead, IsTerminal},
    net::IpAddr,
};

use anstyle::{AnsiColor, Style};
use clap::Args;

use self::columns::Columns;
use super::{Outcome, folder::DataFolder, options::Global, say};
use crate::{
    control::{self, Request, watch::Wanted},
    error::StartError,
    services::{REGISTRY, explainer},
};

/// Where neither the terminal nor COLUMNS tells the width, in characters.
const USUAL_WIDTH: u16 = 80;

/// What the client says is on the left, what the server says on the right, with what it means below.
/// Passwords and tokens are shown as asterisks. Where the output is no terminal, each line stands by
/// itself, as in a transcript, behind its service and the number of its connection.
#[derive(Args)]
pub(crate) struct WatchArgs {
    /// Show these services alone: http smtp ftp-data ... [default: all]
    services: Vec<String>,
    /// Show the conversations in which this account logs in, from their beginning
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Show the conversations with this client
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<IpAddr>,
    /// Without explanations
    #[arg(long)]
    plain: bool,
    /// Client and server side by side, in so many columns [default: the width of the terminal]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(40..=500))]
    columns: Option<u16>,
}

pub(crate) fn watch(global: &Global, args: WatchArgs) -> Result<Outcome, StartError> {
    if let Some(unknown) = args.services.iter().find(|name| !explainer::is_known(name)) {
        let names: Vec<_> = REGISTRY.iter().map(|row| row.name).collect();
        return Err(StartError(format!("there is no service `{unknown}`; there are {}", names.join(", "))));
    }
    let folder = DataFolder::resolve(global)?;
    let request = Request::Watch(Wanted { services: args.services, account: args.account, peer: args.peer });
    let socket = folder.control_socket();
    let lines = match control::listen(&socket, &request) {
        None => return Err(StartError(format!("no server runs on {}: start one with `portico`", folder.var.display()))),
        Some(lines) => lines.map_err(|error| StartError(format!("cannot watch: {error}")))?,
    };
    // Escaped already: transcripts hold no control characters.
    let lines = lines.lines().map_while(Result::ok);
    match args.columns.or_else(terminal_width) {
        Some(width) => {
            let mut columns = Columns::new(usize::from(width), !args.plain);
            lines.for_each(|line| say(format_args!("{}", columns.show(&line))));
        }
        None => lines.for_each(|line| say(format_args!("{line}\n"))),
    }
    Ok(Outcome::Fine)
}

/// The width of the terminal that we write to, if it is one, in characters.
pub(super) fn terminal_width() -> Option<u16> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let told = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col).filter(|columns| *columns > 0);
    let set = || std::env::var("COLUMNS").ok()?.parse().ok();
    Some(told.or_else(set).unwrap_or(USUAL_WIDTH).max(40))
}

const CLIENT: Style = AnsiColor::Cyan.on_default();
const SERVER: Style = AnsiColor::Green.on_default();
const STRONG: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
