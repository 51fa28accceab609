//! Where files lie while they are written: in a folder that is another one now and then.
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
const HOME: &str = "portico.tmp";
/// So many files are begun in one folder.
const FILES: usize = 256;
/// So many go into the usual one before the first of these is worth its while.
const FEW: usize = 16;

/// The berths of one Maildir, or of the queue.
#[derive(Default)]
pub(super) struct Berths(Mutex<State>);

struct State {
    /// How many files are begun before the folder changes.
    room: usize,
    current: Option<Berth>,
    /// Something may still be written in these.
    left: Vec<Berth>,
}

struct Berth {
    name: OsString,
    folder: RealFolder,
}

impl Berths {
    /// A folder for the next `files`, below `home`; the usual one while there were few, and where
    /// no other can be had.
    pub(super) fn next(&self, home: &RealFolder, usual: impl Fn() -> io::Result<RealFolder>, files: usize) -> io::Result<RealFolder> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.room == 0 || state.current.as_ref().is_some_and(|berth| berth.folder.is_gone()) {
            state.room = FILES;
            if let Err(error) = state.change(home, &usual()?) {
                tracing::debug!("no fresh folder for temporary files: {error}");
            }
        }
        state.room = state.room.saturating_sub(files);
        state.current.as_ref().map_or_else(usual, |berth| Ok(berth.folder.clone()))
    }
}

impl Default for State {
    fn default() -> State {
        State { room: FEW, current: None, left: Vec::new() }
    }
}

impl State {
    fn change(&mut self, home: &RealFolder, usual: &RealFolder) -> io::Result<()> {
        let before = self.current.take();
        self.left.extend(before);
        if usual.has_heirs() {
            return Ok(());
        }
        let parent = match RealDisk.make_folder(&Spot::new(home, HOME), FOLDER_MODE) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => home.folder(HOME)?,
        };
        // Handles are given out of the current one only, so nobody comes to write in a folder
        // that is left and unused.
        self.left.retain(|berth| berth.folder.is_shared() || (!berth.folder.is_gone() && remove(&parent, &berth.name).is_err()));
        parent.scatter_folders();
        let name: OsString = format!("{:016x}", rand::random::<u64>()).into();
        RealDisk.make_folder(&Spot::new(&parent, &name), FOLDER_MODE)?;
        let folder = parent.folder(&name)?;
        self.current = Some(Berth { name, folder });
        Ok(())
    }
}

fn remove(parent: &RealFolder, name: &OsString) -> io::Result<()> {
    RealDisk.remove_folder(&Spot::new(parent, name))
}

/// Clears away what a dead process has left below `home`.
pub(super) fn sweep_berths(home: &RealFolder) -> io::Result<()> {
    let Ok(parent) = home.folder(HOME) else { return Ok(()) };
    for name in parent.names()? {
        let Ok(berth) = parent.folder(&name) else { continue };
        sweep(&berth)?;
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

    fn berths_in(home: &tempfile::TempDir) -> Vec<PathBuf> {
        fs::read_dir(home.path().join(HOME)).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn home() -> (tempfile::TempDir, RealFolder, RealFolder) {
        let home = tempfile::tempdir().unwrap();
        let folder = RealFolder::open(home.path()).unwrap();
        let usual = folder.folder_made("tmp").unwrap();
        (home, folder, usual)
    }

    fn next(berths: &Berths, home: &RealFolder, usual: &RealFolder, files: usize) -> RealFolder {
        berths.next(home, || Ok(usual.clone()), files).unwrap()
    }

    fn same(one: &RealFolder, other: &RealFolder) -> bool {
        RealDisk.identity(one) == RealDisk.identity(other)
    }

    #[test]
    fn the_folder_changes_after_so_many_files_and_goes_once_nobody_has_it() {
        let (path, home, usual) = home();
        let berths = Berths::default();
        for _ in 0..FEW {
            assert!(same(&next(&berths, &home, &usual, 1), &usual), "few files need nothing");
        }
        let first = next(&berths, &home, &usual, FILES);
        let written = Temporary::beside(&RealDisk, &first, 0o600).unwrap();
        drop(first);
        let second = next(&berths, &home, &usual, FILES);
        drop(next(&berths, &home, &usual, FILES));
        assert_eq!(berths_in(&path).len(), 3, "one is written in, one may be");
        drop((written, second));
        drop(next(&berths, &home, &usual, FILES));
        // The third one was the current one when this one was made.
        assert_eq!(berths_in(&path).len(), 1);
    }

    #[test]
    fn one_that_somebody_has_removed_is_replaced() {
        let (path, home, usual) = home();
        let berths = Berths::default();
        next(&berths, &home, &usual, FEW);
        let first = next(&berths, &home, &usual, 1);
        fs::remove_dir_all(path.path().join(HOME)).unwrap();
        let second = next(&berths, &home, &usual, 1);
        assert!(!same(&first, &second) && !same(&second, &usual));
        assert!(Temporary::beside(&RealDisk, &second, 0o600).is_ok());
    }

    #[test]
    fn files_that_are_to_inherit_something_stay_in_the_usual_folder() {
        use std::os::unix::fs::PermissionsExt;
        let (path, home, usual) = home();
        fs::set_permissions(path.path().join("tmp"), fs::Permissions::from_mode(0o2770)).unwrap();
        let berths = Berths::default();
        next(&berths, &home, &usual, FEW);
        assert!(same(&next(&berths, &home, &usual, 1), &usual));
    }

    #[test]
    fn what_a_dead_process_has_left_is_cleared_away() {
        let (path, home, _) = home();
        for (berth, file) in [("0", ".portico-00000000-1"), ("1", "somebody's")] {
            fs::create_dir_all(path.path().join(HOME).join(berth)).unwrap();
            fs::write(path.path().join(HOME).join(berth).join(file), "x").unwrap();
        }
        fs::write(path.path().join(HOME).join("2"), "a file").unwrap();
        sweep_berths(&home).unwrap();
        let mut kept = berths_in(&path);
        kept.sort();
        assert_eq!(kept, ["1", "2"].map(|name| path.path().join(HOME).join(name)));
    }
}
