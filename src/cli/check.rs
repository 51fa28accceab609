//! `portico check`: would `serve` start?

use super::{
    Outcome,
    folder::DataFolder,
    listen, log,
    options::{Global, ServeFlags},
    say, settings,
};
use crate::{
    config::{certs, check::check_safety},
    error::StartError,
    store::Accounts,
};

pub(crate) fn check(global: &Global, flags: &ServeFlags) -> Result<Outcome, StartError> {
    // What is only warned of is told here too: whoever checks wants to know it most.
    log::start(global);
    let folder = DataFolder::resolve(global)?;
    folder.check_apart()?;
    let settings = settings::load(&folder, global, flags)?;
    folder.check_log_apart(&settings)?;
    let plan = listen::plan(&settings, flags)?;
    listen::check_https(&settings, &plan)?;
    let accounts = Accounts::new(&settings.accounts, settings.sample_accounts).map_err(StartError)?;
    check_safety(&settings, &accounts, plan.iter().map(|place| (place.row.name, place.at.ip())))?;
    if folder.certs.join("server.pem").exists() {
        certs::load(&folder.certs)?;
    }
    say(format_args!("{}: the settings are fine, {} services would be served\n", folder.root.display(), listen::services(&plan).len()));
    Ok(Outcome::Fine)
}
