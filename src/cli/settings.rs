//! Puts the settings together: file, environment, `--set`, flags; and `portico config`.

use super::{
    Outcome,
    folder::DataFolder,
    options::{Global, ServeFlags},
    say,
};
use crate::{
    config::{
        Settings, check,
        print::print,
        read::{Read, read},
    },
    error::StartError,
    net::link::LinkSpec,
};

/// Reads and checks the settings of a data folder; the flags have the last word.
pub(crate) fn load(folder: &DataFolder, global: &Global, flags: &ServeFlags) -> Result<Settings, StartError> {
    let Read { mut settings, warnings } = read(&folder.settings_file(), std::env::vars_os(), &global.set)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if !flags.host.is_empty() {
        settings.host.clone_from(&flags.host);
    }
    if let Some(offset) = flags.port_offset {
        settings.port_offset = offset;
    }
    for text in &flags.link {
        let (name, link) = parse_link(text)?;
        settings.links.insert(name, link);
    }
    settings.transcripts |= flags.transcripts;
    check::check(&settings)?;
    Ok(settings)
}

fn parse_link(text: &str) -> Result<(String, LinkSpec), StartError> {
    let wrong = |why: &str| StartError(format!("--link {text}: {why}"));
    let (name, link) =
        text.split_once('=').ok_or_else(|| wrong("write it as SERVICE=LINK, such as http=rtt:100ms,rate:1.5Mbps or pop3=modem-56k"))?;
    Ok((name.trim().to_owned(), link.parse().map_err(|why: String| wrong(&why))?))
}

/// `portico config`.
pub(crate) fn config(global: &Global, flags: &ServeFlags) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    say(format_args!("{}", print(&load(&folder, global, flags)?)));
    Ok(Outcome::Fine)
}
