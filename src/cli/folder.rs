//! The data folder: which one it is, what is created in it, and its lock.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{options::Global, samples};
use crate::{config::Settings, error::StartError};

/// Where everything lies.
#[derive(Clone)]
pub(crate) struct DataFolder {
    pub root: PathBuf,
    pub www: PathBuf,
    pub maildir: PathBuf,
    pub certs: PathBuf,
    pub var: PathBuf,
}

/// The right to use a data folder; goes with the value, or with the process.
pub(crate) struct Lock {
    _held: File,
}

impl DataFolder {
    /// The folder that was named, or the current one if it is ours to take.
    pub(crate) fn resolve(global: &Global) -> Result<DataFolder, StartError> {
        let root = match &global.data {
            Some(named) => named.clone(),
            None => {
                check_is_ours(Path::new("."))?;
                PathBuf::from(".")
            }
        };
        let part = |moved: &Option<PathBuf>, name: &str| moved.clone().unwrap_or_else(|| join(&root, name));
        Ok(DataFolder {
            www: part(&global.www, "www"),
            maildir: part(&global.maildir, "maildir"),
            certs: part(&global.certs, "certs"),
            var: part(&global.var, "var"),
            root,
        })
    }

    pub(crate) fn settings_file(&self) -> PathBuf {
        join(&self.root, "portico.toml")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.var.join("control.sock")
    }

    /// The access log, where the settings name one.
    pub(crate) fn access_log(&self, settings: &Settings) -> Option<PathBuf> {
        let named = &settings.http.access_log;
        (!named.is_empty()).then(|| join(&self.root, named))
    }

    /// A log among the documents would tell everybody who visits what.
    pub(crate) fn check_log_apart(&self, settings: &Settings) -> Result<(), StartError> {
        match self.access_log(settings).filter(|log| real(log).starts_with(real(&self.www))) {
            Some(log) => Err(StartError(format!(
                "refusing to publish the access log {}: `http.access-log` lies inside the web documents",
                log.display()
            ))),
            None => Ok(()),
        }
    }

    /// Keys, mail and passwords must not lie in the tree that everybody may read: `--www .` would
    /// publish them all.
    pub(crate) fn check_apart(&self) -> Result<(), StartError> {
        let www = real(&self.www);
        let private = [&self.maildir, &self.certs, &self.var, &self.settings_file()];
        match private.into_iter().find(|path| real(path).starts_with(&www)) {
            Some(path) => Err(StartError(format!(
                "refusing to publish {}, which lies inside the web documents {}: name another folder with --www",
                path.display(),
                self.www.display()
            ))),
            None => Ok(()),
        }
    }

    /// Creates what is missing; documents and mailboxes come from the samples.
    pub(crate) fn create_missing(&self) -> Result<(), StartError> {
        let private = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        let create = "create the folder";
        fs::create_dir_all(&self.root).map_err(cannot(create, &self.root))?;
        for (part, name) in [(&self.www, "www"), (&self.maildir, "maildir")] {
            if !part.exists() {
                fs::create_dir_all(part).map_err(cannot(create, part))?;
                samples::restore(part, name)?;
            }
            // What can't be listed can't be served: better said now than to each client.
            fs::read_dir(part).map_err(cannot("read the folder", part))?;
        }
        // Keys are private file by file; ca.pem is for everybody.
        fs::create_dir_all(&self.certs).map_err(cannot(create, &self.certs))?;
        private(&self.var).map_err(cannot(create, &self.var))
    }

    /// Takes the folder for this process.
    pub(crate) fn lock(&self) -> Result<Lock, StartError> {
        let path = self.var.join("lock");
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(cannot("open the lock", &path))?;
        match file.try_lock() {
            Ok(()) => {
                // The process id is there for people only; the lock is what counts.
                let noted = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
                noted.map_err(cannot("write the lock", &path))?;
                Ok(Lock { _held: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without the number the message is still clear.
                let _unreadable = file.read_to_string(&mut holder);
                Err(StartError(format!(
                    "the data folder {} is in use by another Portico (process {}): stop that one, or name another folder with --data",
                    self.root.display(),
                    holder.trim()
                )))
            }
            Err(TryLockError::Error(error)) => Err(cannot("lock", &path)(error)),
        }
    }
}

/// So that nobody publishes a home directory by accident: the current folder is taken only where
/// it is empty or was a data folder before.
fn check_is_ours(here: &Path) -> Result<(), StartError> {
    let has = |name: &str| here.join(name).exists();
    let is_empty = fs::read_dir(here).map_err(cannot("read the folder", here))?.next().is_none();
    if is_empty || has("portico.toml") || (has("www") && has("maildir")) {
        return Ok(());
    }
    let name = fs::canonicalize(here).unwrap_or_else(|_| here.to_owned());
    Err(StartError(format!(
        "{} is not empty and was no data folder of Portico before: name it with --data . if you mean it, or start in an empty folder",
        name.display()
    )))
}

/// `./www` is shown as `www`.
fn join(root: &Path, name: &str) -> PathBuf {
    if root == Path::new(".") { PathBuf::from(name) } else { root.join(name) }
}

/// A path without its links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let below_parent = || Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    let whole = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    fs::canonicalize(path).ok().or_else(below_parent).unwrap_or_else(whole)
}

/// The words for a failure of the file system.
pub(crate) fn cannot<'a>(what: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> StartError + 'a {
    move |error| StartError(format!("cannot {what} {}: {error}", path.display()))
}
