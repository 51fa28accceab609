//! Saves parts of a message as files. Names come from a stranger: see [`file_name`].

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::failed;
use crate::{
    cli::{Outcome, folder::cannot, say},
    error::StartError,
    mail::mime::{
        file_name,
        tree::{Part, Tree},
    },
    net::escape::escape,
    units::grouped,
};

/// Names that are tried for one attachment before we give up.
const VARIANTS: usize = 1000;

/// Saves the part with this number, or everything that is attached.
pub(super) fn save(folder: &Path, tree: &Tree, number: Option<&str>, message: &[u8]) -> Result<Outcome, StartError> {
    let parts: Vec<&Part> = match number {
        Some(number) => tree.find(number).into_iter().collect(),
        None => tree.attachments().collect(),
    };
    if parts.is_empty() {
        return Ok(failed(&match number {
            Some(number) => format!("the message has no part {number}; --tree shows its parts"),
            None => "the message has no attachments; --tree shows its parts".to_owned(),
        }));
    }
    fs::create_dir_all(folder).map_err(cannot("create the folder", folder))?;
    for part in parts {
        let content = part.octets(message);
        let path = write_new(folder, &part.file_name(), &content)?;
        say(format_args!("{}: {} octets\n", escape(path.display().to_string()), grouped(content.len() as u64)));
    }
    Ok(Outcome::Fine)
}

/// Writes a file that was not there before, under the name or a variant of it.
fn write_new(folder: &Path, name: &str, content: &[u8]) -> Result<PathBuf, StartError> {
    for tried in 0..VARIANTS {
        let path = folder.join(file_name::variant(name, tried));
        match create(&path) {
            Ok(mut file) => return file.write_all(content).map(|()| path.clone()).map_err(cannot("write", &path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("create", &path)(error)),
        }
    }
    Err(StartError(format!("cannot save {}: {VARIANTS} files in {} have this name already", escape(name), folder.display())))
}

/// Follows no link either: what is there in any form stays.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}
