//! Tells others that all listeners are up: the ready file, and the service manager.

use std::{fs, net::SocketAddr, path::Path};

use super::folder::cannot;
use crate::{error::StartError, services::Row};

/// Removes a ready file that an earlier start left behind.
pub(crate) fn forget(path: &Path) -> Result<(), StartError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove the old ready file", path)(error)),
        _ => Ok(()),
    }
}

/// Writes `service address` per line; the file appears complete or not at all.
pub(crate) fn write_file(path: &Path, places: &[(&'static Row, SocketAddr)]) -> Result<(), StartError> {
    let text: String = places.iter().map(|(row, at)| format!("{} {at}\n", row.name)).collect();
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".portico-{}", std::process::id()));
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    written.map_err(cannot("write the ready file", path))
}

/// Tells systemd, if that started us (`Type=notify`).
pub(crate) fn notify_manager() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!("the service manager was not told that we are ready: {error}");
    }
}
