//! Which partials there are, and which of them are being written now: so that a change of the tree
//! under which nobody has left anything looks nowhere on the disk.

use std::{collections::BTreeMap, ffi::OsString, io, sync::Arc};

use super::{
    FOLDER, Partials, RealFolder,
    names::{growing_name, key_of, overtaken_name},
    remove_any,
};
use crate::store::commit::{Disk, RealDisk, Spot, Taken};

/// A name that is to be a file, and whose partial of it this is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub digest: String,
    pub account: OsString,
}

/// Never fewer than there are.
#[derive(Debug)]
pub(super) struct Index(BTreeMap<Key, State>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Kept,
    Growing,
    /// Growing, and meanwhile something else has come to stand under the name: if this breaks off
    /// now, nothing of it is kept.
    Overtaken {
        /// Nobody would take it for the beginning of a file after a crash.
        renamed: bool,
    },
}

/// The right to write one partial.
pub(in crate::store) struct Turn {
    partials: Arc<Partials>,
    folder: RealFolder,
    pub(super) key: Key,
    /// There is something that stays when this is given back.
    pub(super) leaves: bool,
}

impl Index {
    /// Looks what an earlier process has left.
    pub(super) fn load(root: &RealFolder) -> io::Result<Index> {
        let all = match root.folder(FOLDER) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index(BTreeMap::new())),
            all => all?,
        };
        let mut states = BTreeMap::new();
        for account in all.names()? {
            let Ok(folder) = all.folder(&account) else { continue };
            let keys = folder.names()?.into_iter().filter_map(|name| key_of(&account, &name));
            states.extend(keys.map(|key| (key, State::Kept)));
        }
        Ok(Index(states))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Answers whether there was one already; `None` where somebody is writing it.
    pub(super) fn begin(&mut self, key: &Key) -> Option<bool> {
        match self.0.insert(key.clone(), State::Growing) {
            None => Some(false),
            Some(State::Kept) => Some(true),
            Some(busy) => {
                self.0.insert(key.clone(), busy);
                None
            }
        }
    }

    pub(super) fn is_growing(&self, key: &Key) -> bool {
        self.0.get(key).is_some_and(|state| *state != State::Kept)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.0.remove(key);
    }

    pub(super) fn beginning_with(&self, digits: &str) -> Vec<Key> {
        let from = Key { digest: digits.to_owned(), account: OsString::new() };
        self.0.range(from..).map(|(key, _)| key).take_while(|key| key.digest.starts_with(digits)).cloned().collect()
    }

    /// What is growing stays with its writer, under a name that a crash leaves nothing in.
    pub(super) fn overtake(&mut self, key: &Key, folder: &RealFolder) {
        let Some(state @ State::Growing) = self.0.get_mut(key) else { return };
        let spot = |name| Spot::<RealDisk>::new(folder, name);
        let renamed = RealDisk.rename(&spot(growing_name(&key.digest)), &spot(overtaken_name(&key.digest)), Taken::Replace);
        *state = State::Overtaken { renamed: renamed.is_ok() };
    }
}

impl Turn {
    /// `None` where another session of the account writes it.
    pub(super) fn take(partials: &Arc<Partials>, folder: &RealFolder, key: Key) -> Option<Turn> {
        let leaves = partials.index().begin(&key)?;
        Some(Turn { partials: partials.clone(), folder: folder.clone(), key, leaves })
    }

    /// Whether something else has come to stand under the name.
    pub(super) fn is_overtaken(&self) -> bool {
        matches!(self.state(), Some(State::Overtaken { .. }))
    }

    /// What the file is called that is being written.
    pub(in crate::store) fn name(&self) -> String {
        match self.state() {
            Some(State::Overtaken { renamed: true }) => overtaken_name(&self.key.digest),
            _ => growing_name(&self.key.digest),
        }
    }

    fn state(&self) -> Option<State> {
        self.partials.index().0.get(&self.key).copied()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut index = self.partials.index();
        if matches!(index.0.remove(&self.key), Some(State::Overtaken { .. })) {
            for name in [overtaken_name(&self.key.digest), growing_name(&self.key.digest), self.key.digest.clone()] {
                // If this fails, it goes when it is old.
                let _ = remove_any(&Spot::new(&self.folder, name));
            }
        } else if self.leaves {
            index.0.insert(self.key.clone(), State::Kept);
        }
    }
}
