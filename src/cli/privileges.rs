//! Started as root for the well-known ports, Portico goes on as the `user` of the settings.

use std::{
    ffi::CString,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown},
    path::Path,
};

use nix::unistd::{Uid, User, initgroups, setgid, setuid};

use super::folder::{DataFolder, cannot};
use crate::error::StartError;

/// Becomes `name` for good, after handing over what root made in the data folder. Without a name,
/// or without being root, nothing happens.
pub(crate) fn give_up(name: &str, folder: &DataFolder) -> Result<(), StartError> {
    if name.is_empty() || !Uid::effective().is_root() {
        return Ok(());
    }
    let failed = |what: &str| StartError(format!("cannot become the user `{name}` of the settings: {what}"));
    let user = User::from_name(name).map_err(|error| failed(error.desc()))?.ok_or_else(|| failed("there is no such user"))?;
    for part in [&folder.www, &folder.maildir, &folder.certs, &folder.var] {
        hand_over(part, &user).map_err(cannot("hand over to the user the folder", part))?;
    }
    let settings = folder.settings_file();
    share_settings(&settings, &user).map_err(cannot("let the user read", &settings))?;
    let c_name = CString::new(name).map_err(|_| failed("the name holds a NUL"))?;
    // The groups first: afterwards the right to change them is gone.
    initgroups(&c_name, user.gid).and_then(|()| setgid(user.gid)).and_then(|()| setuid(user.uid)).map_err(|error| failed(error.desc()))?;
    tracing::info!(user = name, "gave up root");
    Ok(())
}

/// The settings stay root's, but a reload has to be able to read them.
fn share_settings(file: &Path, user: &User) -> std::io::Result<()> {
    let facts = match fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        facts => facts?,
    };
    if facts.uid() == 0 && facts.mode() & 0o004 == 0 {
        chown(file, None, Some(user.gid.as_raw()))?;
        fs::set_permissions(file, Permissions::from_mode(facts.mode() & 0o777 | 0o040))?;
    }
    Ok(())
}

/// Gives the user what belongs to root below `path`. Links are not followed, and a file with
/// another name elsewhere stays root's: it could be anything that somebody linked here.
fn hand_over(path: &Path, user: &User) -> std::io::Result<()> {
    let facts = fs::symlink_metadata(path)?;
    if facts.uid() == 0 && (facts.is_dir() || (facts.is_file() && facts.nlink() == 1)) {
        lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    if facts.is_dir() {
        for entry in fs::read_dir(path)? {
            hand_over(&entry?.path(), user)?;
        }
    }
    Ok(())
}
