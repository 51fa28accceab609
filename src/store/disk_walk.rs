//! A folder on disk, read piece by piece.

use std::{fs::File, io, sync::Arc};

use cap_std::fs::Dir;

use super::{
    StoreError, VirtualPath,
    disk_tree::{extending::Extending, facts_below},
    path::RESERVED_PREFIX,
    tree::{FileFacts, TreeEntry, Walk},
};

/// A folder with more entries is not sorted: it would have to be held in memory for that.
const SORTED_ENTRIES: usize = 20_000;

pub(super) struct DiskWalk {
    root: Dir,
    extending: Arc<Extending>,
    path: VirtualPath,
    open: Dir,
    /// The first names, sorted where they are all.
    first: std::vec::IntoIter<String>,
    rest: rustix::fs::Dir,
}

impl DiskWalk {
    pub(super) fn open(root: &Dir, extending: &Arc<Extending>, path: &VirtualPath, folder: &File) -> Result<DiskWalk, StoreError> {
        let mut rest = rustix::fs::Dir::read_from(folder).map_err(io::Error::from)?;
        let mut first = Vec::new();
        while first.len() <= SORTED_ENTRIES
            && let Some(name) = next_name(&mut rest)?
        {
            first.push(name);
        }
        if first.len() <= SORTED_ENTRIES {
            first.sort_unstable();
        }
        let open = Dir::from_std_file(folder.try_clone()?);
        Ok(DiskWalk { root: root.try_clone()?, extending: extending.clone(), path: path.clone(), open, first: first.into_iter(), rest })
    }

    /// What has gone meanwhile, and what is neither file nor folder, is no entry.
    fn entry(&self, name: String) -> Option<TreeEntry> {
        let facts = self.facts(&name)?;
        Some(TreeEntry { name, facts })
    }

    fn facts(&self, name: &str) -> Option<FileFacts> {
        let metadata = self.open.symlink_metadata(name).ok()?;
        match metadata.is_symlink() {
            true => facts_below(&self.root, &self.extending, &self.path.join(name).ok()?).ok(),
            false => self.extending.facts(|| Ok(metadata.clone())).ok(),
        }
    }
}

impl Walk for DiskWalk {
    fn next(&mut self, most: usize) -> Result<Vec<TreeEntry>, StoreError> {
        let mut entries = Vec::new();
        while entries.len() < most {
            let name = match self.first.next() {
                Some(name) => name,
                None => match next_name(&mut self.rest)? {
                    Some(name) => name,
                    None => break,
                },
            };
            entries.extend(self.entry(name));
        }
        Ok(entries)
    }
}

/// Names that are not UTF-8, and our own temporary files, are passed over.
fn next_name(folder: &mut rustix::fs::Dir) -> Result<Option<String>, StoreError> {
    for entry in folder {
        let entry = entry.map_err(io::Error::from)?;
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) if name.starts_with(RESERVED_PREFIX) => {}
            Ok(name) => return Ok(Some(name.to_owned())),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::{
        super::{disk_tree::DiskTree, tree::Tree},
        *,
    };

    #[test]
    fn a_folder_comes_in_sorted_pieces_without_what_is_not_for_clients() {
        let folder = tempfile::tempdir().unwrap();
        let tree = DiskTree::open(folder.path()).unwrap();
        for name in ["d", "b", "a", ".portico-x", "c", "e"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::write(folder.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("in")).unwrap();
        let mut walk = tree.walk(&VirtualPath::root()).unwrap();
        let mut pieces = Vec::new();
        loop {
            let piece = walk.next(4).unwrap();
            if piece.is_empty() {
                break;
            }
            pieces.push(piece.into_iter().map(|entry| entry.name).collect::<Vec<_>>());
        }
        assert_eq!(pieces, [vec!["a", "b", "c", "d"], vec!["e", "in"]]);
    }
}
