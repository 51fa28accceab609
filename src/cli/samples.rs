//! The sample documents and mails, built into the binary.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::folder::cannot;
use crate::error::StartError;

/// Files of the repository, by name: what lies there by accident is not built in.
macro_rules! samples {
    ($($path:literal),* $(,)?) => {
        const SAMPLES: &[(&str, &[u8])] = &[$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)))),*];
    };
}

samples! {}

/// Maildirs have these, even while they are empty.
const MAILDIR_FOLDERS: [&str; 6] = ["alice/new", "alice/cur", "alice/tmp", "bob/new", "bob/cur", "bob/tmp"];

/// Writes the samples of `part` (`www` or `maildir`) into `folder`, over what is there under their
/// names. Answers those that were missing or different.
pub(crate) fn restore(folder: &Path, part: &str) -> Result<Vec<PathBuf>, StartError> {
    let mut restored = Vec::new();
    if part == "maildir" {
        for name in MAILDIR_FOLDERS {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(cannot("create the folder", &path))?;
        }
    }
    for (name, content) in SAMPLES {
        let Some(name) = name.strip_prefix(part).and_then(|name| name.strip_prefix('/')) else { continue };
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == *content) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(cannot("create the folder", parent))?;
        }
        let temporary = path.with_file_name(format!(".portico-sample-{}", std::process::id()));
        fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, &path)).map_err(cannot("write the sample", &path))?;
        restored.push(path);
    }
    Ok(restored)
}
