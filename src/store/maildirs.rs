//! The Maildirs of all accounts: which folder is whose, made where it is missing.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    StoreError,
    commit::{Change, Committer, RealDisk, RealFolder, Spot, sweep},
    maildir::{Entrance, FOLDER_MODE, Folders},
    staging::{Staging, sweep_staging},
};

/// So many mailboxes are known to be busy; each of them may keep a folder open.
const MAX_BUSY: usize = 64;

pub(super) struct Maildirs {
    path: PathBuf,
    /// Kept open: new accounts' folders are made in it.
    folder: RealFolder,
    pub commits: Arc<Committer<RealDisk>>,
    /// Where files are written first, by account.
    staging: Mutex<HashMap<String, Arc<Staging>>>,
}

impl Maildirs {
    pub(super) fn open(path: &Path) -> io::Result<Maildirs> {
        let folder = RealFolder::open(path)?;
        let commits = Arc::new(Committer::new(RealDisk, folder.clone()));
        Ok(Maildirs { path: path.to_owned(), folder, commits, staging: Mutex::default() })
    }

    /// Clears away what a crash left half delivered. Only where we write: the rest of a Maildir is
    /// other programs' too, and may be large.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for account in self.folder.names()? {
            let Ok(home) = self.folder.folder(&account) else { continue };
            if let Ok(tmp) = home.folder("tmp") {
                sweep(&tmp)?;
            }
            sweep_staging(&home)?;
        }
        Ok(())
    }

    /// The folder of an account, whose name must not lead anywhere else.
    pub(super) fn home(&self, account: &str) -> Result<RealFolder, StoreError> {
        let (account, path) = self.path_of(account)?;
        match RealFolder::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_missing(&self.folder, &account)?;
                Ok(RealFolder::open(&path)?)
            }
            result => Ok(result?),
        }
    }

    fn path_of(&self, account: &str) -> Result<(String, PathBuf), StoreError> {
        let account = account.to_ascii_lowercase();
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._-+".contains(&c);
        if account.is_empty() || account.starts_with('.') || account.len() > 64 || !account.bytes().all(allowed) {
            return Err(StoreError::NotFound);
        }
        let path = self.path.join(&account);
        Ok((account, path))
    }

    /// The folders of a Maildir, made where missing.
    pub(super) fn folders(&self, home: &RealFolder) -> Result<Folders<RealDisk>, StoreError> {
        let open = |name: &str| match home.folder(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_missing(home, name)?;
                Ok::<_, StoreError>(home.folder(name)?)
            }
            result => Ok(result?),
        };
        Ok(Folders { tmp: open("tmp")?, new: open("new")?, cur: open("cur")? })
    }

    /// Where so many messages may be delivered to an account.
    pub(super) fn entrance(&self, account: &str, messages: usize) -> Result<Entrance<RealDisk>, StoreError> {
        match self.entrance_at_once(account, messages) {
            Err(StoreError::NotFound) => {
                self.folders(&self.home(account)?)?;
                self.entrance_at_once(account, messages)
            }
            opened => opened,
        }
    }

    /// The same where all folders are there already: making them takes time.
    pub(super) fn entrance_at_once(&self, account: &str, messages: usize) -> Result<Entrance<RealDisk>, StoreError> {
        let (account, path) = self.path_of(account)?;
        let home = RealFolder::open(&path)?;
        let new = home.folder("new")?;
        let tmp = self.staging_of(account).next(&home, || home.folder("tmp"), messages)?;
        Ok(Entrance { tmp, new })
    }

    fn staging_of(&self, account: String) -> Arc<Staging> {
        let mut known = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_BUSY && !known.contains_key(&account) {
            // What is forgotten so is swept at the next start.
            known.clear();
        }
        known.entry(account).or_default().clone()
    }

    fn make_missing(&self, parent: &RealFolder, name: &str) -> Result<(), StoreError> {
        match self.commits.commit(vec![Change::MakeFolder(Spot::new(parent, name), FOLDER_MODE)]) {
            // Another delivery was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => Ok(result.map(drop)?),
        }
    }
}
