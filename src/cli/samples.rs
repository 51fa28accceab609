//! The sample documents and mails, built into the binary.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::folder::cannot;
use crate::error::StartError;

/// Files of the repository, by name: what lies there by accident (an upload, somebody's mail) is
/// not built in.
macro_rules! samples {
    ($($path:literal),* $(,)?) => {
        const SAMPLES: &[(&str, &[u8])] = &[$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)))),*];
    };
}

samples! {
    "maildir/alice/new/784111777.M1P1.portico,S=572,W=591",
    "maildir/bob/new/784111777.M1P1.portico,S=505,W=525",
    "www/files/about-this-folder.txt",
    "www/files/fox.txt",
    "www/files/round-trips.csv",
    "www/hello.txt",
    "www/index.html",
    "www/page.fr.html",
    "www/page.html",
    "www/pictures/index.html",
    "www/pictures/portico01.jpg",
    "www/pictures/portico02.jpg",
    "www/pictures/portico03.jpg",
    "www/pictures/portico04.jpg",
    "www/pictures/portico05.jpg",
    "www/pictures/portico06.jpg",
    "www/pictures/portico07.jpg",
    "www/pictures/portico08.jpg",
    "www/pictures/portico09.jpg",
    "www/pictures/portico10.jpg",
    "www/portico.css",
    "www/someDepartment/home.index",
    "www/somedir/page.fr.html",
    "www/somedir/page.html",
    "www/~bob/hamburger-list.txt",
    "www/~bob/index.html",
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is tracked but not listed would be missing for everybody who has the binary alone.
    #[test]
    fn every_tracked_document_and_mail_is_listed() {
        let mut git = std::process::Command::new("git");
        let tracked = git.args(["ls-files", "-z", "www", "maildir"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        let Some(tracked) = tracked.ok().filter(|output| output.status.success()) else { return };
        let tracked = String::from_utf8(tracked.stdout).unwrap();
        let missing: Vec<_> = tracked
            .split_terminator('\0')
            .filter(|name| !name.ends_with(".gitkeep") && !SAMPLES.iter().any(|(listed, _)| listed == name))
            .collect();
        assert!(missing.is_empty(), "add these to `samples!`: {missing:?}");
    }

    #[test]
    fn what_is_restored_is_as_it_was_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let all = restore(folder.path(), "www").unwrap();
        assert!(all.len() > 10);
        let (index, own) = (folder.path().join("index.html"), folder.path().join("own.html"));
        fs::write(&index, "changed").unwrap();
        fs::write(&own, "mine").unwrap();
        assert_eq!(restore(folder.path(), "www").unwrap(), [index]);
        assert_eq!(fs::read_to_string(own).unwrap(), "mine");
        assert!(restore(folder.path(), "www").unwrap().is_empty());
    }
}
