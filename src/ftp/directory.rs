//! A listing on its way: reads a directory piece by piece, so that memory stays the same however
//! many entries there are. What a line looks like is in [`super::listing`].

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

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
    pattern: Option<String>,
    place: Place,
    walk: Box<dyn Walk>,
    /// Said before the entries.
    head: Vec<u8>,
    recursion: Option<Recursion>,
}

/// A directory that is shown.
#[derive(Clone)]
struct Place {
    folder: VirtualPath,
    /// The account can make and remove names in it, as far as the system is concerned.
    is_open: bool,
    /// Put before names in NLST, and above the entries of a recursive LIST.
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
    is_cut: bool,
}

impl Listing {
    /// Looks at what there is to list.
    pub(super) fn open(tree: &Arc<dyn Tree>, account: Arc<Account>, now: SystemTime, wanted: Wanted) -> Result<Listing, StoreError> {
        let wanted = resolve(tree, wanted);
        let facts = tree.facts(&wanted.path)?;
        let is_folder = facts.kind == FileKind::Folder;
        let (folder, prefix, walk): (_, _, Box<dyn Walk>) = match (is_folder, wanted.form) {
            (true, _) => (wanted.path.clone(), wanted.prefix.clone(), tree.walk(&wanted.path)?),
            (false, Form::Facts(_)) => return Err(StoreError::NotFolder),
            (false, _) => {
                let entry = TreeEntry { name: wanted.path.name().to_owned(), facts };
                (wanted.path.parent(), above(&wanted.prefix), Box::new(vec![entry].into_iter()))
            }
        };
        let is_open = wanted.form != Form::Names && folder_is_open(&**tree, &account, &folder);
        let mut listing = Listing {
            tree: tree.clone(),
            viewer: Viewer { account, now },
            form: wanted.form,
            // A file that is named is shown, whatever its name.
            hidden: wanted.hidden || !is_folder,
            pattern: wanted.pattern,
            place: Place { folder, is_open, prefix },
            walk,
            head: Vec::new(),
            recursion: (wanted.recursive && is_folder).then(Recursion::default),
        };
        if is_folder && listing.pattern.is_none() {
            listing.head = listing.show_dots()?;
        }
        Ok(listing)
    }

    /// The next lines, `None` at the end. Where nothing of a piece is shown there are none in it.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut lines = std::mem::take(&mut self.head);
        let entries = self.walk.next(PIECE_ENTRIES)?;
        if entries.is_empty() && !self.go_below(&mut lines) {
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
        // A name that can't be a path was made by somebody beside us; it has no rights then.
        let path = self.place.folder.join(&entry.name).unwrap_or_else(|_| VirtualPath::root());
        Powers::over(&*self.tree, &self.viewer.account, &path, &entry.facts, self.place.is_open)
    }

    /// Whether a recursive listing stopped before its end.
    pub(super) fn is_cut(&self) -> bool {
        self.recursion.as_ref().is_some_and(|recursion| recursion.is_cut)
    }

    fn is_shown(&self, entry: &TreeEntry) -> bool {
        let fits = self.pattern.as_ref().is_none_or(|pattern| matches(pattern, &entry.name));
        let has_room = self.recursion.as_ref().is_none_or(|recursion| !recursion.is_cut);
        fits && has_room && (self.hidden || !entry.name.starts_with('.'))
    }

    fn note_recursion(&mut self, entry: &TreeEntry) {
        let Some(recursion) = &mut self.recursion else { return };
        recursion.shown += 1;
        recursion.is_cut |= recursion.shown >= MAX_RECURSED;
        if entry.facts.kind == FileKind::Folder && recursion.above.len() < MAX_DEPTH {
            recursion.below.push_back(entry.name.clone());
        }
    }

    /// Goes on with the next directory of a recursive listing, if there is one left that can be
    /// read: first with what is in the one just shown, as `ls -R` does.
    fn go_below(&mut self, lines: &mut Vec<u8>) -> bool {
        let Some(recursion) = self.recursion.as_mut().filter(|recursion| !recursion.is_cut) else { return false };
        recursion.above.push((self.place.clone(), std::mem::take(&mut recursion.below)));
        while let Some((above, names)) = recursion.above.last_mut() {
            let Some(name) = names.pop_front() else {
                recursion.above.pop();
                continue;
            };
            let Ok(folder) = above.folder.join(&name) else { continue };
            let Ok(walk) = self.tree.walk(&folder) else { continue };
            let prefix = format!("{}{name}/", above.prefix);
            if self.form == Form::Long {
                lines.extend_from_slice(b"\r\n");
                push_line(lines, &super::reply::printable(&format!("{}:", prefix.trim_end_matches('/'))));
            }
            let is_open = self.form != Form::Names && folder_is_open(&*self.tree, &self.viewer.account, &folder);
            (self.place, self.walk, self.pattern) = (Place { folder, is_open, prefix }, walk, None);
            return true;
        }
        false
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

/// A name that looks like a pattern and is there is meant as it is.
fn resolve(tree: &Arc<dyn Tree>, wanted: Wanted) -> Wanted {
    let named = wanted.pattern.as_ref().and_then(|name| wanted.path.join(name).ok());
    match (named, &wanted.pattern) {
        (Some(path), Some(name)) if tree.facts(&path).is_ok() => {
            Wanted { path, prefix: format!("{}{name}/", wanted.prefix), pattern: None, ..wanted }
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
