//! `portico transcript show` and `list`.

use std::{
    io::{self, IsTerminal, Write as _},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::collect;
use crate::{
    cli::Outcome,
    services,
    transcript::{
        record::Side,
        script::{Destination, Script, Step},
        text::Place,
    },
};

fn read(file: &Path) -> Result<Script, String> {
    let source = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Script::parse(&source).map_err(|error| format!("{}: {error}", file.display()))
}

/// Prints a transcript, each command and reply with what it means.
pub(super) fn show(file: &Path, plain: bool) -> Result<Outcome, String> {
    let script = read(file)?;
    let mut service = script.recorded().map(|heading| heading.service.clone()).unwrap_or_default();
    for item in &script.items {
        if let Step::Connect { to: Destination::Service(name), .. } = &item.step {
            service.clone_from(name);
        }
        let style = match &item.step {
            Step::Said { side: Side::Client, .. } => Style::new().fg_color(Some(AnsiColor::Cyan.into())),
            Step::Said { side: Side::Server, .. } => Style::new().fg_color(Some(AnsiColor::Green.into())),
            _ => Style::new().dimmed(),
        };
        anstream::println!("{style}{item}{style:#}");
        if let (Step::Said { text, .. }, false) = (&item.step, plain)
            && let Some(explained) = explain(&service, &text.print(Place::Line))
        {
            let dim = Style::new().dimmed();
            anstream::println!("{dim}             {explained}{dim:#}");
        }
    }
    Ok(Outcome::Fine)
}

/// What the service's table says about the first word of a line.
fn explain(service: &str, line: &str) -> Option<String> {
    let row = services::row(service)?;
    let word = line.split([' ', '-', ':']).next().filter(|word| !word.is_empty())?;
    let status = line.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1));
    let term = status.unwrap_or(if line.starts_with("-ERR") { "-ERR" } else { word });
    let found = row.explain.iter().find(|explained| explained.term.eq_ignore_ascii_case(term))?;
    Some(format!("{} ({})", found.sentence, found.source))
}

/// A recorded transcript in a list.
#[derive(Serialize)]
struct Listed {
    file: String,
    service: String,
    client: SocketAddr,
    server: SocketAddr,
    lines: usize,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u64>,
}

pub(super) fn list(folder: &Path, json: bool) -> Result<Outcome, String> {
    let mut files = Vec::new();
    collect(folder, &mut files).map_err(|error| format!("{}: {error} (serve --transcripts records)", folder.display()))?;
    files.sort();
    let listed: Vec<_> = files.iter().filter_map(|file| listed(file)).collect();
    let mut out = io::stdout().lock();
    let written = if json {
        serde_json::to_writer_pretty(&mut out, &listed).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        listed.iter().try_for_each(|one| {
            let seconds = Duration::from_secs_f64(one.seconds);
            writeln!(out, "{:<12} {:<22} {:>5} lines {:>9.3?}  {}", one.service, one.client, one.lines, seconds, one.file)
        })
    };
    // A reader that has seen enough (`| head`) is no failure.
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => {
            if listed.is_empty() && !json && io::stdout().is_terminal() {
                println!("no transcripts in {}", folder.display());
            }
            Ok(Outcome::Fine)
        }
    }
}

fn listed(file: &Path) -> Option<Listed> {
    let script = read(file).ok()?;
    let heading = script.recorded()?.clone();
    let lines = script.items.iter().filter(|item| matches!(item.step, Step::Said { .. })).count();
    let seconds = script.items.iter().rev().find_map(|item| item.at).unwrap_or_default().as_secs_f64();
    Some(Listed {
        file: file.display().to_string(),
        service: heading.service,
        client: heading.client,
        server: heading.server,
        lines,
        seconds,
        parent: heading.parent,
    })
}
