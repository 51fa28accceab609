//! Takes new settings while the server runs, on SIGHUP and for `portico account`.
//!
//! Accounts and certificates change at once, and no connection is dropped; the access log is opened
//! anew, for those who rotate it. Everything else is
//! read at start only; what differs is named in the answer.

use std::{net::IpAddr, sync::Arc};

use tokio::signal::unix::Signal;
use toml::Table;

use super::{
    folder::DataFolder,
    options::{Global, ServeFlags},
    settings,
};
use crate::{
    config::{Settings, certs, check::check_safety},
    control::Reload,
    error::StartError,
    services::House,
    store::Accounts,
};

/// Makes the reload for a running house that listens at `places`.
pub(crate) fn reload(
    folder: DataFolder,
    global: Global,
    flags: ServeFlags,
    house: Arc<House>,
    places: Vec<(&'static str, IpAddr)>,
) -> Reload {
    Arc::new(move || {
        let done = settings::load(&folder, &global, &flags).and_then(|settings| take(&settings, &folder, &house, &places));
        match &done {
            Ok(done) => tracing::info!("{done}"),
            Err(error) => tracing::error!("not reloaded, everything stays as it was: {error}"),
        }
        done.map_err(|error| error.to_string())
    })
}

fn take(settings: &Settings, folder: &DataFolder, house: &House, places: &[(&'static str, IpAddr)]) -> Result<String, StartError> {
    let accounts = Accounts::new(&settings.accounts, settings.sample_accounts).map_err(StartError)?;
    check_safety(settings, &accounts, places.iter().copied())?;
    let identity = certs::load(&folder.certs)?;
    house.accounts.replace(&settings.accounts, settings.sample_accounts).map_err(StartError)?;
    if let Some(log) = house.web.log() {
        log.reopen().map_err(|error| StartError(format!("cannot reopen the access log: {error}")))?;
    }
    house.tls.replace(identity).map_err(|error| StartError(format!("cannot offer TLS with the new certificate: {error}")))?;
    let waiting = differing(settings, &house.settings);
    Ok(match waiting.is_empty() {
        true => "reloaded accounts and certificates".into(),
        false => format!("reloaded accounts and certificates; these changes want a restart: {}", waiting.join(", ")),
    })
}

/// The top-level keys whose values differ, but for those that have just been taken.
fn differing(new: &Settings, old: &Settings) -> Vec<String> {
    let table = |settings: &Settings| Table::try_from(settings).unwrap_or_default();
    let (new, old) = (table(new), table(old));
    new.into_iter()
        .filter(|(key, value)| !matches!(key.as_str(), "accounts" | "sample-accounts") && old.get(key) != Some(value))
        .map(|(key, _)| key)
        .collect()
}

/// Reloads at each SIGHUP.
pub(crate) async fn obey_hangups(mut hangup: Signal, reload: Reload) {
    while hangup.recv().await.is_some() {
        let reload = reload.clone();
        // The log tells how it went.
        let _told = crate::store::blocking(move || reload()).await;
    }
}
