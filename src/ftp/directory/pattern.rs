//! Patterns in more names of a path than the last: `*/photos/*.jpg`.

use super::{PIECE_ENTRIES, Place, Wanted};
use crate::{
    ftp::listing::{is_pattern, matches},
    store::{
        StoreError,
        tree::{FileKind, Tree},
    },
};

/// Entries that are looked at for the directories of a pattern, so that `*/*/*/*` has an end.
const MAX_SEARCHED: usize = 10_000;
/// Directories that are kept of what was found: each has its path.
const MAX_FOUND: usize = 1000;

/// The directories that the patterns but the last stand for, and whether some were left out.
pub(super) fn find_folders(tree: &dyn Tree, wanted: &Wanted, first: &Place) -> Result<(Vec<Place>, bool), StoreError> {
    let mut search = Search { tree, hidden: wanted.hidden, left: MAX_SEARCHED };
    let (mut places, mut is_cut) = (vec![first.clone()], false);
    for pattern in &wanted.folders {
        let mut found = Vec::new();
        for place in &places {
            search.look_in(place, pattern, &mut found)?;
        }
        is_cut |= found.len() > MAX_FOUND;
        found.truncate(MAX_FOUND);
        places = found;
    }
    for place in &mut places {
        place.pattern.clone_from(&wanted.pattern);
    }
    Ok((places, is_cut || search.left == 0))
}

struct Search<'t> {
    tree: &'t dyn Tree,
    hidden: bool,
    /// Entries that may still be looked at.
    left: usize,
}

impl Search<'_> {
    fn look_in(&mut self, place: &Place, pattern: &str, found: &mut Vec<Place>) -> Result<(), StoreError> {
        if !is_pattern(pattern) {
            self.left = self.left.saturating_sub(1);
            let below = place.below(pattern);
            let is_folder = |place: &Place| self.tree.facts(&place.folder).is_ok_and(|facts| facts.kind == FileKind::Folder);
            found.extend(below.filter(|place| self.left > 0 && is_folder(place)));
            return Ok(());
        }
        let hidden = self.hidden || pattern.starts_with('.');
        // What can't be read, or has gone meanwhile, has nothing in it.
        let Ok(mut walk) = self.tree.walk(&place.folder) else { return Ok(()) };
        while self.left > 0 {
            let entries = walk.next(PIECE_ENTRIES.min(self.left))?;
            if entries.is_empty() {
                break;
            }
            self.left -= entries.len().min(self.left);
            let fits = |name: &str| (hidden || !name.starts_with('.')) && matches(pattern, name);
            let folders = entries.iter().filter(|entry| entry.facts.kind == FileKind::Folder && fits(&entry.name));
            found.extend(folders.filter_map(|entry| place.below(&entry.name)));
        }
        Ok(())
    }
}
