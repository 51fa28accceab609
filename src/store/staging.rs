//! Where files are begun, before they get their names elsewhere: in a folder that is another one now
//! and then.
//!
//! ext4 puts a new file near its folder. Where it keeps no journal (virtual machines, flash) it
//! also steps past every file that was removed there in the last minutes, each time anew: behind
//! a few thousand, which is what POP3 and a queue leave in a minute, creating a file takes twenty
//! times as long. So a busy mailbox gets a fresh folder for what is being written, after every
//! few hundred files, and asks for a place far from the others (`chattr +T`). Elsewhere that
//! costs one `mkdir` in so many files.
//!
//! The files only begin their lives there. Their names are made durable where they are placed.

use std::{
    ffi::OsString,
    io,
    sync::{Mutex, PoisonError},
};

use super::{
    commit::{Disk, RealDisk, RealFolder, Spot, sweep},
    maildir::FOLDER_MODE,
};

/// Below the folder in which the files get their names.
const FOLDER: &str = "portico.tmp";
/// So many files are begun in one folder.
const FOLDER_FILES: usize = 256;
/// So many go into the usual one before the first of these is worth its while.
const FEW_FILES: usize = 16;

/// The folders in which the files of one Maildir, or of the queue, are begun.
#[derive(Default)]
pub(super) struct Staging(Mutex<State>);

struct State {
    /// How many files are begun before the folder changes.
    room: usize,
    current: Option<StagingFolder>,
    /// Something may still be written in these.
    left: Vec<StagingFolder>,
}

struct StagingFolder {
    name: OsString,
    folder: RealFolder,
}

impl Staging {
    /// A folder for the next `files`, below `home`; the usual one while there were few, and where
    /// no other can be had.
    pub(super) fn next(&self, home: &RealFolder, usual: impl Fn() -> io::Result<RealFolder>, files: usize) -> io::Result<RealFolder> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.room == 0 || state.current.as_ref().is_some_and(|current| current.folder.is_gone()) {
            state.room = FOLDER_FILES;
            if let Err(error) = state.change(home, &usual()?) {
                tracing::debug!("no fresh folder for temporary files: {error}");
            }
        }
        state.room = state.room.saturating_sub(files);
        state.current.as_ref().map_or_else(usual, |current| Ok(current.folder.clone()))
    }
}

impl Default for State {
    fn default() -> State {
        State { room: FEW_FILES, current: None, left: Vec::new() }
    }
}

impl State {
    fn change(&mut self, home: &RealFolder, usual: &RealFolder) -> io::Result<()> {
        let before = self.current.take();
        self.left.extend(before);
        if usual.is_inherited_from() {
            return Ok(());
        }
        let parent = match RealDisk.make_folder(&Spot::new(home, FOLDER), FOLDER_MODE) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => home.folder(FOLDER)?,
        };
        // Handles are given out of the current one only, so nobody comes to write in a folder
        // that is left and unused.
        self.left.retain(|left| left.folder.is_shared() || (!left.folder.is_gone() && remove(&parent, &left.name).is_err()));
        parent.scatter_folders();
        let name: OsString = format!("{:016x}", rand::random::<u64>()).into();
        RealDisk.make_folder(&Spot::new(&parent, &name), FOLDER_MODE)?;
        let folder = parent.folder(&name)?;
        self.current = Some(StagingFolder { name, folder });
        Ok(())
    }
}

fn remove(parent: &RealFolder, name: &OsString) -> io::Result<()> {
    RealDisk.remove_folder(&Spot::new(parent, name))
}

/// Clears away what a dead process has left below `home`.
pub(super) fn sweep_staging(home: &RealFolder) -> io::Result<()> {
    let Ok(parent) = home.folder(FOLDER) else { return Ok(()) };
    for name in parent.names()? {
        let Ok(folder) = parent.folder(&name) else { continue };
        sweep(&folder)?;
        // One that is not empty is not ours alone.
        let _kept = remove(&parent, &name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::store::commit::Temporary;

    fn folders_in(home: &tempfile::TempDir) -> Vec<PathBuf> {
        fs::read_dir(home.path().join(FOLDER)).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn home() -> (tempfile::TempDir, RealFolder, RealFolder) {
        let home = tempfile::tempdir().unwrap();
        let folder = RealFolder::open(home.path()).unwrap();
        let usual = folder.folder_made("tmp").unwrap();
        (home, folder, usual)
    }

    fn next(staging: &Staging, home: &RealFolder, usual: &RealFolder, files: usize) -> RealFolder {
        staging.next(home, || Ok(usual.clone()), files).unwrap()
    }

    fn same(one: &RealFolder, other: &RealFolder) -> bool {
        RealDisk.identity(one) == RealDisk.identity(other)
    }

    #[test]
    fn the_folder_changes_after_so_many_files_and_goes_once_nobody_has_it() {
        let (path, home, usual) = home();
        let staging = Staging::default();
        for _ in 0..FEW_FILES {
            assert!(same(&next(&staging, &home, &usual, 1), &usual), "few files need nothing");
        }
        let first = next(&staging, &home, &usual, FOLDER_FILES);
        let written = Temporary::beside(&RealDisk, &first, 0o600).unwrap();
        drop(first);
        let second = next(&staging, &home, &usual, FOLDER_FILES);
        drop(next(&staging, &home, &usual, FOLDER_FILES));
        assert_eq!(folders_in(&path).len(), 3, "one is written in, one may be");
        drop((written, second));
        drop(next(&staging, &home, &usual, FOLDER_FILES));
        // The third one was the current one when this one was made.
        assert_eq!(folders_in(&path).len(), 1);
    }

    #[test]
    fn one_that_somebody_has_removed_is_replaced() {
        let (path, home, usual) = home();
        let staging = Staging::default();
        next(&staging, &home, &usual, FEW_FILES);
        let first = next(&staging, &home, &usual, 1);
        fs::remove_dir_all(path.path().join(FOLDER)).unwrap();
        let second = next(&staging, &home, &usual, 1);
        assert!(!same(&first, &second) && !same(&second, &usual));
        assert!(Temporary::beside(&RealDisk, &second, 0o600).is_ok());
    }

    #[test]
    fn files_that_are_to_inherit_something_stay_in_the_usual_folder() {
        use std::os::unix::fs::PermissionsExt;
        let (path, home, usual) = home();
        fs::set_permissions(path.path().join("tmp"), fs::Permissions::from_mode(0o2770)).unwrap();
        let staging = Staging::default();
        next(&staging, &home, &usual, FEW_FILES);
        assert!(same(&next(&staging, &home, &usual, 1), &usual));
    }

    #[test]
    fn what_a_dead_process_has_left_is_cleared_away() {
        let (path, home, _) = home();
        for (folder, file) in [("0", ".portico-00000000-1"), ("1", "somebody's")] {
            fs::create_dir_all(path.path().join(FOLDER).join(folder)).unwrap();
            fs::write(path.path().join(FOLDER).join(folder).join(file), "x").unwrap();
        }
        fs::write(path.path().join(FOLDER).join("2"), "a file").unwrap();
        sweep_staging(&home).unwrap();
        let mut kept = folders_in(&path);
        kept.sort();
        assert_eq!(kept, ["1", "2"].map(|name| path.path().join(FOLDER).join(name)));
    }
}
