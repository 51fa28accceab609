//! A listing on its way: reads a directory piece by piece, so that memory stays the same however
//! many entries there are. What a line looks like is in [`super::listing`].

mod order;
mod pattern;

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

pub(crate) use order::{Key, Order};

use super::{
    listing::{Form, Viewer, matches},
    powers::{Powers, folder_is_open},
};
use crate::store::{
    Account, StoreError, VirtualPath,
    tree::{FileKind, Tree, TreeEntry, Walk},
};

/// Entries that are read and shown at once.
const PIECE_ENTRIES: usize = 512;
/// Entries that a recursive listing (`-R`) shows before it stops.
const MAX_RECURSED: usize = 10_000;
/// Directories that a recursive listing goes down at most: a link to a parent has no end.
const MAX_DEPTH: usize = 16;

/// What is to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub path: VirtualPath,
    pub form: Form,
    /// Names with a leading dot too.
    pub hidden: bool,
    pub recursive: bool,
    /// A directory itself, not what is in it.
    pub itself: bool,
    pub order: Order,
    /// Directories below `path` of which the entries are wanted, each a name or a pattern.
    pub folders: Vec<String>,
    /// Only names that match.
    pub pattern: Option<String>,
    /// Put before names in NLST.
    pub prefix: String,
}

/// A listing, made piece by piece as it is sent. All of it blocks.
pub(super) struct Listing {
    tree: Arc<dyn Tree>,
    viewer: Viewer,
    form: Form,
    hidden: bool,
    order: Order,
    place: Place,
    walk: Box<dyn Walk>,
    /// Said before the entries.
    head: Vec<u8>,
    recursion: Option<Recursion>,
    /// Further directories that fit a pattern.
    waiting: VecDeque<Place>,
    is_cut: bool,
}

/// A directory that is shown.
#[derive(Clone)]
struct Place {
    folder: VirtualPath,
    /// The account can make and remove names in it, as far as the system is concerned.
    is_open: bool,
    /// Only names that match.
    pattern: Option<String>,
    /// Put before names in NLST, and above the entries of a further directory in LIST.
    prefix: String,
}

/// What a recursive listing has still to go through. No more than names: paths are as long as the
/// tree is deep.
#[derive(Default)]
struct Recursion {
    /// The directories above the one that is shown, each with those in it that are yet to come.
    above: Vec<(Place, VecDeque<String>)>,
    /// Directories in the one that is shown.
    below: VecDeque<String>,
    shown: usize,
    /// Something lies deeper than it goes.
    is_too_deep: bool,
}

impl Listing {
    /// Looks at what there is to list.
    pub(super) fn open(tree: &Arc<dyn Tree>, account: Arc<Account>, now: SystemTime, wanted: Wanted) -> Result<Listing, StoreError> {
        let wanted = resolve(tree, wanted);
        let facts = tree.facts(&wanted.path)?;
        let is_folder = facts.kind == FileKind::Folder && !wanted.itself;
        let (folder, prefix, walk): (_, _, Box<dyn Walk>) = match (is_folder, wanted.form) {
            (true, _) => (wanted.path.clone(), wanted.prefix.clone(), wanted.order.apply(tree.walk(&wanted.path)?)?),
            (false, Form::Facts(_)) => return Err(StoreError::NotFolder),
            (false, _) => {
                let entry = TreeEntry { name: wanted.own_name(), facts };
                (wanted.path.parent(), above(&wanted.prefix), Box::new(vec![entry].into_iter()))
            }
        };
        let is_open = wanted.form != Form::Names && folder_is_open(&**tree, &account, &folder);
        let mut listing = Listing {
            tree: tree.clone(),
            viewer: Viewer { account, now },
            form: wanted.form,
            // What is named is shown, whatever its name; `.*` names it too.
            hidden: wanted.hidden || !is_folder || wanted.pattern.as_ref().is_some_and(|pattern| pattern.starts_with('.')),
            order: wanted.order,
            place: Place { folder, is_open, pattern: wanted.pattern.clone(), prefix },
            walk,
            head: Vec::new(),
            recursion: (wanted.recursive && is_folder).then(Recursion::default),
            waiting: VecDeque::new(),
            is_cut: false,
        };
        if !wanted.folders.is_empty() {
            // In place of the one directory those that the patterns stand for.
            let (places, is_cut) = pattern::find_folders(&**tree, &wanted, &listing.place)?;
            (listing.waiting, listing.is_cut) = (places.into(), is_cut);
            listing.walk = Box::new(Vec::new().into_iter());
        } else if is_folder && wanted.pattern.is_none() {
            listing.head = listing.show_dots()?;
        }
        Ok(listing)
    }

    /// The next lines, `None` at the end. Where nothing of a piece is shown there are none in it.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut lines = std::mem::take(&mut self.head);
        let entries = self.walk.next(PIECE_ENTRIES)?;
        if entries.is_empty() && !self.go_on(&mut lines)? {
            return Ok(Some(lines).filter(|lines| !lines.is_empty()));
        }
        for entry in &entries {
            if !self.is_shown(entry) {
                continue;
            }
            self.note_recursion(entry);
            push_line(&mut lines, &self.viewer.line(self.form, &self.place.prefix, entry, || self.powers(entry)));
        }
        Ok(Some(lines))
    }

    fn powers(&self, entry: &TreeEntry) -> Powers {
        Powers::over_entry(&*self.tree, &self.viewer.account, &self.place.folder, entry, self.place.is_open)
    }

    /// Whether a listing of many directories has left something out.
    pub(super) fn is_cut(&self) -> bool {
        let is_too_deep = self.recursion.as_ref().is_some_and(|recursion| recursion.is_too_deep);
        self.is_cut || self.is_exhausted() || is_too_deep
    }

    /// A recursive listing has shown as much as it may.
    fn is_exhausted(&self) -> bool {
        self.recursion.as_ref().is_some_and(|recursion| recursion.shown >= MAX_RECURSED)
    }

    fn is_shown(&self, entry: &TreeEntry) -> bool {
        let fits = self.place.pattern.as_ref().is_none_or(|pattern| matches(pattern, &entry.name));
        fits && !self.is_exhausted() && (self.hidden || !entry.name.starts_with('.'))
    }

    fn note_recursion(&mut self, entry: &TreeEntry) {
        let Some(recursion) = &mut self.recursion else { return };
        recursion.shown += 1;
        match (entry.facts.kind, recursion.above.len() < MAX_DEPTH) {
            (FileKind::File, _) => {}
            (FileKind::Folder, true) => recursion.below.push_back(entry.name.clone()),
            (FileKind::Folder, false) => recursion.is_too_deep = true,
        }
    }

    /// Goes on with the next directory, if there is one left that can be read.
    fn go_on(&mut self, lines: &mut Vec<u8>) -> Result<bool, StoreError> {
        if self.is_exhausted() {
            return Ok(false);
        }
        let Some((mut place, walk)) = self.below().or_else(|| self.further()) else { return Ok(false) };
        if self.form == Form::Long {
            lines.extend_from_slice(b"\r\n");
            push_line(lines, &super::reply::printable(&format!("{}:", place.prefix.trim_end_matches('/'))));
        }
        place.is_open = self.form != Form::Names && folder_is_open(&*self.tree, &self.viewer.account, &place.folder);
        (self.place, self.walk) = (place, self.order.apply(walk)?);
        Ok(true)
    }

    /// The next directory of a recursive listing: first what is in the one just shown, as `ls -R`
    /// does.
    fn below(&mut self) -> Option<(Place, Box<dyn Walk>)> {
        let recursion = self.recursion.as_mut()?;
        recursion.above.push((self.place.clone(), std::mem::take(&mut recursion.below)));
        while let Some((above, names)) = recursion.above.last_mut() {
            let Some(name) = names.pop_front() else {
                recursion.above.pop();
                continue;
            };
            let Some(place) = above.below(&name) else { continue };
            if let Ok(walk) = self.tree.walk(&place.folder) {
                return Some((place, walk));
            }
        }
        None
    }

    fn further(&mut self) -> Option<(Place, Box<dyn Walk>)> {
        while let Some(place) = self.waiting.pop_front() {
            if let Ok(walk) = self.tree.walk(&place.folder) {
                return Some((place, walk));
            }
        }
        None
    }

    /// The directory itself and the one above it: in MLSD (RFC 3659, 7.5.1), and as `ls -a` does.
    fn show_dots(&self) -> Result<Vec<u8>, StoreError> {
        let folder = &self.place.folder;
        let mut lines = Vec::new();
        for (name, kind, path) in [(".", "cdir", folder.clone()), ("..", "pdir", folder.parent())] {
            let look = || {
                let facts = self.tree.facts(&path)?;
                let powers = Powers::looked_up(&*self.tree, &self.viewer.account, &path, &facts);
                Ok::<_, StoreError>((facts, powers))
            };
            match self.form {
                Form::Facts(_) if folder.is_root() && name == ".." => {}
                Form::Facts(set) if set.has_type() => {
                    let (facts, powers) = look()?;
                    push_line(&mut lines, &format!("{} {name}", set.show_as(kind, &facts, powers)));
                }
                Form::Long if self.hidden => {
                    let (facts, powers) = look()?;
                    push_line(&mut lines, &self.viewer.long(name, &facts, powers));
                }
                _ => {}
            }
        }
        Ok(lines)
    }
}

impl Place {
    /// A directory in this one, all of it.
    fn below(&self, name: &str) -> Option<Place> {
        let folder = self.folder.join(name).ok()?;
        Some(Place { folder, is_open: false, pattern: None, prefix: format!("{}{name}/", self.prefix) })
    }
}

impl Wanted {
    /// What stands there is called, if it is shown itself; `.` where it was not named.
    fn own_name(&self) -> String {
        let name = if self.prefix.is_empty() { "" } else { self.path.name() };
        if name.is_empty() { ".".to_owned() } else { name.to_owned() }
    }
}

/// A path that looks like a pattern and is there is meant as it is.
fn resolve(tree: &Arc<dyn Tree>, wanted: Wanted) -> Wanted {
    let Some(name) = &wanted.pattern else { return wanted };
    let named = wanted.folders.iter().chain([name]).fold(String::new(), |path, name| format!("{path}{name}/"));
    match wanted.path.join(named.trim_end_matches('/')) {
        Ok(path) if tree.facts(&path).is_ok() => {
            Wanted { path, prefix: format!("{}{named}", wanted.prefix), folders: Vec::new(), pattern: None, ..wanted }
        }
        _ => wanted,
    }
}

/// `a/` of `a/b/`, and nothing of `b/`.
fn above(prefix: &str) -> String {
    prefix.trim_end_matches('/').rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"))
}

fn push_line(lines: &mut Vec<u8>, line: &str) {
    lines.extend_from_slice(line.as_bytes());
    lines.extend_from_slice(b"\r\n");
}
