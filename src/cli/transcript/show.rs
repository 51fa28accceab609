//! `portico transcript show` and `list`.

use std::{net::SocketAddr, path::Path, time::Duration};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::collect;
use crate::{
    cli::{Outcome, say},
    services::explainer::Explainer,
    transcript::{
        record::Side,
        script::{Destination, Script, Step},
        text::Place,
    },
};

pub(super) fn read(file: &Path) -> Result<Script, String> {
    let source = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Script::parse(&source).map_err(|error| format!("{}: {error}", file.display()))
}

/// Prints a transcript, each command and reply with what it means.
pub(super) fn show(file: &Path, plain: bool) -> Result<Outcome, String> {
    let script = read(file)?;
    let mut explainer = Explainer::new(script.recorded().map_or("", |heading| &heading.service));
    for item in &script.items {
        if let Step::Connect { to: Destination::Service(name), .. } = &item.step {
            explainer = Explainer::new(name);
        }
        let style = match &item.step {
            Step::Said { side: Side::Client, .. } => Style::new().fg_color(Some(AnsiColor::Cyan.into())),
            Step::Said { side: Side::Server, .. } => Style::new().fg_color(Some(AnsiColor::Green.into())),
            _ => Style::new().dimmed(),
        };
        say(format_args!("{style}{item}{style:#}\n"));
        if let (Step::Said { side, text }, false) = (&item.step, plain)
            && let Some(row) = explainer.explain(*side, &text.print(Place::Line))
        {
            let dim = Style::new().dimmed();
            say(format_args!("{dim}             {} ({}){dim:#}\n", row.sentence, row.source));
        }
    }
    Ok(Outcome::Fine)
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
    if json {
        say(format_args!("{}\n", serde_json::to_string_pretty(&listed).map_err(|error| error.to_string())?));
    } else if listed.is_empty() {
        say(format_args!("no transcripts in {}\n", folder.display()));
    }
    for one in listed.iter().filter(|_| !json) {
        let seconds = Duration::from_secs_f64(one.seconds);
        say(format_args!("{:<14} {:<22} {:>5} lines {:>9.3?}  {}\n", one.service, one.client, one.lines, seconds, one.file));
    }
    Ok(Outcome::Fine)
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
