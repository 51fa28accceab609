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
    settings.transcripts |= flags.transcripts;
    check::check(&settings)?;
    Ok(settings)
}

/// `portico config`.
pub(crate) fn config(global: &Global, flags: &ServeFlags) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    say(format_args!("{}", print(&load(&folder, global, flags)?)));
    Ok(Outcome::Fine)
}
