//! A disk that loses what was not synced, and whose power can be cut before any step.
//!
//! It is crueller than a real one: of the names that were changed since their folder was synced any
//! subset survives, and of a file that was not synced any part of its content.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{Disk, Identity, Spot, Taken};

#[derive(Clone, Default)]
pub(crate) struct PowerCutDisk(Arc<Mutex<State>>);

pub(crate) type Names = BTreeMap<(u64, OsString), Node>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File(usize),
    Folder,
}

#[derive(Default)]
struct State {
    /// Names as programs see them, and as they are on the platter.
    seen: Names,
    durable: Names,
    /// Changes of names that are not durable yet, in order.
    pending: Vec<NameChange>,
    files: Vec<Content>,
    /// What was done so far, step by step.
    steps: Vec<&'static str>,
    /// The power goes before this step.
    cut: Option<usize>,
    /// This step, if it is a sync, fails, and what it should have synced is lost.
    broken: Option<usize>,
}

#[derive(Clone)]
struct NameChange {
    removed: Option<(u64, OsString)>,
    added: Option<((u64, OsString), Node)>,
}

#[derive(Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Option<Vec<u8>>,
    /// Where the next octets go.
    at: usize,
}

impl Content {
    fn survivor(&self, luck: &mut Luck) -> Vec<u8> {
        if self.durable.as_ref() == Some(&self.seen) {
            return self.seen.clone();
        }
        // What was synced and not touched since is still there.
        let synced = self.durable.iter().flatten().zip(&self.seen).take_while(|(old, new)| old == new).count();
        let kept = synced + luck.below(self.seen.len() + 1 - synced);
        let mut torn = self.seen[..kept].to_vec();
        // Delayed allocation: the length may be there before the octets.
        torn.resize(if luck.flip() { self.seen.len() } else { kept }, 0);
        if luck.flip() { self.durable.clone().unwrap_or_default() } else { torn }
    }
}

pub(crate) struct PowerCutFile {
    disk: PowerCutDisk,
    inode: usize,
}

impl PowerCutDisk {
    pub(crate) fn cut_before(&self, step: usize) {
        self.lock().cut = Some(step);
    }

    pub(crate) fn break_sync(&self, step: usize) {
        self.lock().broken = Some(step);
    }

    pub(crate) fn steps(&self) -> usize {
        self.lock().steps.len()
    }

    /// The names of the steps since the first `after` ones.
    pub(crate) fn steps_after(&self, after: usize) -> Vec<&'static str> {
        self.lock().steps[after..].to_vec()
    }

    /// What a program sees now.
    pub(crate) fn files(&self) -> BTreeMap<(u64, String), Vec<u8>> {
        let state = self.lock();
        present(&state.seen, |inode| state.files[inode].seen.clone())
    }

    /// What is there after the power came back; `luck` picks among all that can have survived.
    pub(crate) fn survivors(&self, luck: u64) -> BTreeMap<(u64, String), Vec<u8>> {
        let (names, contents) = self.lock().survivors(luck);
        present(&names, |inode| contents.get(&inode).cloned().unwrap_or_default())
    }

    /// The machine that starts again with what has survived, all of it durable.
    pub(crate) fn restarted(&self, luck: u64) -> PowerCutDisk {
        let (names, contents) = self.lock().survivors(luck);
        let disk = PowerCutDisk::default();
        {
            let mut state = disk.lock();
            let last = contents.keys().next_back().map_or(0, |last| last + 1);
            state.files.resize(last, Content::default());
            for (inode, content) in contents {
                state.files[inode] = Content { seen: content.clone(), durable: Some(content), at: 0 };
            }
            (state.seen, state.durable) = (names.clone(), names);
        }
        disk
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, name: &'static str) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.cut.is_some_and(|cut| state.steps.len() >= cut) {
            return Err(io::Error::other("the power is off"));
        }
        state.steps.push(name);
        Ok(state)
    }

    fn sync(&self, name: &'static str) -> io::Result<MutexGuard<'_, State>> {
        let state = self.step(name)?;
        if state.broken == Some(state.steps.len() - 1) {
            // As Linux does: the pages count as clean from now on, and are not on the platter.
            return Err(io::Error::other("the disk has failed"));
        }
        Ok(state)
    }

    fn change(&self, name: &'static str, change: NameChange) -> io::Result<()> {
        let mut state = self.step(name)?;
        change.apply(&mut state.seen);
        state.pending.push(change);
        Ok(())
    }
}

fn present(names: &Names, content: impl FnMut(usize) -> Vec<u8>) -> BTreeMap<(u64, String), Vec<u8>> {
    let mut content = content;
    let files = names.iter().filter_map(|(spot, node)| match node {
        Node::File(inode) => Some((spot, *inode)),
        Node::Folder => None,
    });
    files.map(|((folder, name), inode)| ((*folder, name.to_string_lossy().into_owned()), content(inode))).collect()
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        if let Some(spot) = &self.removed {
            names.remove(spot);
        }
        if let Some((spot, node)) = &self.added {
            names.insert(spot.clone(), *node);
        }
    }

    fn touches(&self, folder: u64) -> bool {
        [self.removed.as_ref(), self.added.as_ref().map(|(spot, _)| spot)].into_iter().flatten().any(|spot| spot.0 == folder)
    }
}

impl State {
    /// Names, and the contents of the files that have any.
    fn survivors(&self, luck: u64) -> (Names, BTreeMap<usize, Vec<u8>>) {
        let mut luck = Luck(luck);
        let mut names = self.durable.clone();
        for change in &self.pending {
            if luck.flip() {
                change.apply(&mut names);
            }
        }
        let mut contents = BTreeMap::new();
        for node in names.values() {
            if let Node::File(inode) = node {
                contents.entry(*inode).or_insert_with(|| self.files[*inode].survivor(&mut luck));
            }
        }
        (names, contents)
    }

    fn sync_content(&mut self, inode: usize) {
        let content = &mut self.files[inode];
        content.durable = Some(content.seen.clone());
    }
}

impl Disk for PowerCutDisk {
    type Folder = u64;
    type File = PowerCutFile;

    fn create(&self, folder: &u64, name: &OsString, _: u32) -> io::Result<PowerCutFile> {
        let inode = {
            let mut state = self.lock();
            if state.seen.contains_key(&(*folder, name.clone())) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.files.push(Content::default());
            state.files.len() - 1
        };
        self.change("create", NameChange { removed: None, added: Some(((*folder, name.clone()), Node::File(inode))) })?;
        Ok(PowerCutFile { disk: self.clone(), inode })
    }

    fn open(&self, spot: &Spot<Self>, octets: u64) -> io::Result<PowerCutFile> {
        let mut state = self.step("open")?;
        match state.seen.get(&(spot.folder, spot.name.clone())) {
            Some(&Node::File(inode)) => {
                state.files[inode].at = octets as usize;
                Ok(PowerCutFile { disk: self.clone(), inode })
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn cut(&self, file: &PowerCutFile, octets: u64, _: SystemTime) -> io::Result<()> {
        self.step("cut")?.files[file.inode].seen.truncate(octets as usize);
        Ok(())
    }

    fn link(&self, from: &Spot<Self>, to: &Spot<Self>) -> io::Result<()> {
        let (old, new) = ((from.folder, from.name.clone()), (to.folder, to.name.clone()));
        let node = {
            let state = self.lock();
            if state.seen.contains_key(&new) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            *state.seen.get(&old).ok_or(io::ErrorKind::NotFound)?
        };
        self.change("link", NameChange { removed: None, added: Some((new, node)) })
    }

    fn sync_file(&self, file: &PowerCutFile) -> io::Result<()> {
        let mut state = self.sync("sync file")?;
        state.sync_content(file.inode);
        Ok(())
    }

    fn sync_file_system(&self, _: &u64) -> io::Result<()> {
        let mut state = self.sync("sync file system")?;
        for inode in 0..state.files.len() {
            state.sync_content(inode);
        }
        state.pending.clear();
        state.durable = state.seen.clone();
        Ok(())
    }

    fn sync_folder(&self, folder: &u64) -> io::Result<()> {
        let mut state = self.sync("sync folder")?;
        let (now, later) = std::mem::take(&mut state.pending).into_iter().partition(|change: &NameChange| change.touches(*folder));
        let now: Vec<NameChange> = now;
        state.pending = later;
        for change in now {
            change.apply(&mut state.durable);
        }
        Ok(())
    }

    fn rename(&self, from: &Spot<Self>, to: &Spot<Self>, taken: Taken) -> io::Result<()> {
        let old = (from.folder, from.name.clone());
        let new = (to.folder, to.name.clone());
        let node = {
            let state = self.lock();
            if taken == Taken::Refuse && state.seen.contains_key(&new) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            *state.seen.get(&old).ok_or(io::ErrorKind::NotFound)?
        };
        self.change("rename", NameChange { removed: Some(old), added: Some((new, node)) })
    }

    fn remove(&self, spot: &Spot<Self>) -> io::Result<()> {
        let spot = (spot.folder, spot.name.clone());
        if !self.lock().seen.contains_key(&spot) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change("remove", NameChange { removed: Some(spot), added: None })
    }

    fn make_folder(&self, spot: &Spot<Self>, _: u32) -> io::Result<()> {
        self.change("make folder", NameChange { removed: None, added: Some(((spot.folder, spot.name.clone()), Node::Folder)) })
    }

    fn remove_folder(&self, spot: &Spot<Self>) -> io::Result<()> {
        self.change("remove folder", NameChange { removed: Some((spot.folder, spot.name.clone())), added: None })
    }

    fn identity(&self, folder: &u64) -> Identity {
        Identity { device: 1, inode: *folder }
    }
}

impl io::Write for PowerCutFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.step("write")?;
        let content = &mut state.files[self.inode];
        content.seen.truncate(content.at);
        content.seen.extend_from_slice(octets);
        content.at = content.seen.len();
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A small deterministic source of chance (splitmix64).
struct Luck(u64);

impl Luck {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }

    fn flip(&mut self) -> bool {
        self.next() >> 17 & 1 == 1
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }
}
