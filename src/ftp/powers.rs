//! What an account can really do with a file or directory: by its rights in the tree, by the
//! permissions that keep everybody from writing, and by what the system lets this process do. The
//! last matters where files in the tree belong to somebody else; a server that runs as root may
//! read what `ls` says that nobody can.

use super::listing::may_remove;
use crate::store::{
    VirtualPath,
    accounts::Account,
    tree::{Access, FileFacts, FileKind, Tree, TreeEntry},
};

/// See RFC 3659, 7.5.5; each is true where the commands would work now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Powers {
    /// RETR; LIST of a directory.
    pub read: bool,
    /// STOR over it; in a directory new files and directories, and purging it.
    pub write: bool,
    /// APPE.
    pub append: bool,
    /// DELE, RMD.
    pub remove: bool,
    /// DELE and RMD of what is in a directory.
    pub purge: bool,
    /// RNFR.
    pub rename: bool,
    /// CWD.
    pub enter: bool,
}

impl Powers {
    /// What `account` can do with what stands at `path`, in a directory in which this process can
    /// make and remove names, or can't.
    pub(super) fn over(tree: &dyn Tree, account: &Account, path: &VirtualPath, facts: &FileFacts, folder_is_open: bool) -> Powers {
        Powers::by(account, path, facts, folder_is_open, |access| tree.may(path, facts, access))
    }

    /// The same of an entry of `folder`.
    pub(super) fn over_entry(tree: &dyn Tree, account: &Account, folder: &VirtualPath, entry: &TreeEntry, folder_is_open: bool) -> Powers {
        // A name that can't be a path was made by somebody beside us; it has no rights then.
        let path = folder.join(&entry.name).unwrap_or_else(|_| VirtualPath::root());
        Powers::over(tree, account, &path, &entry.facts, folder_is_open)
    }

    /// Looks at the directory above, too.
    pub(super) fn looked_up(tree: &dyn Tree, account: &Account, path: &VirtualPath, facts: &FileFacts) -> Powers {
        Powers::over(tree, account, path, facts, folder_is_open(tree, account, &path.parent()))
    }

    fn by(account: &Account, path: &VirtualPath, facts: &FileFacts, folder_is_open: bool, may: impl Fn(Access) -> bool) -> Powers {
        let granted = account.may_write(path);
        let remove = may_remove(account, path) && folder_is_open;
        match facts.kind {
            FileKind::File => {
                // A new content takes the place of the file, which is not written to itself.
                let (granted, read) = (granted && !account.adds_only && !facts.is_sealed(), may(Access::Read));
                // Where it can't be added to in place it is copied; for either it is read.
                let append = granted && read && (folder_is_open || may(Access::Write));
                Powers { read, write: granted && folder_is_open, append, remove, purge: false, rename: remove, enter: false }
            }
            FileKind::Folder => {
                let write = granted && may(Access::Write);
                Powers {
                    read: may(Access::Read),
                    write,
                    append: write,
                    remove,
                    purge: write && !account.adds_only,
                    rename: remove,
                    enter: may(Access::Enter),
                }
            }
        }
    }

    /// Over what was kept of an upload: going on, beginning anew, doing away with it.
    pub(super) fn over_partial(account: &Account, path: &VirtualPath) -> Powers {
        let write = account.may_write(path);
        Powers { read: false, write, append: write, remove: may_remove(account, path), purge: false, rename: false, enter: false }
    }

    /// The letters of RFC 3659, 7.5.5.
    pub(super) fn letters(self, kind: FileKind) -> String {
        let letters: &[(&str, bool)] = match kind {
            FileKind::File => &[("a", self.append), ("d", self.remove), ("f", self.rename), ("r", self.read), ("w", self.write)],
            FileKind::Folder => &[
                ("c", self.write),
                ("d", self.remove),
                ("e", self.enter),
                ("f", self.rename),
                ("l", self.read),
                ("m", self.write),
                ("p", self.purge),
            ],
        };
        letters.iter().filter(|(_, granted)| *granted).map(|(letter, _)| *letter).collect()
    }

    /// Permission bits as `ls -l` would show them to the account: those that the file has, with what
    /// it can do in the place of its owner's.
    pub(super) fn mode(self, facts: &FileFacts) -> u32 {
        let shown = |mode: u32, bit: u32, granted: bool| if granted { mode | bit << 6 } else { mode & !(bit * 0o111) };
        let mode = shown(shown(facts.mode, 0o4, self.read), 0o2, self.write || self.append);
        if facts.kind == FileKind::Folder { shown(mode, 0o1, self.enter) } else { mode }
    }
}

/// Whether names can be made and removed in a directory.
pub(super) fn folder_is_open(tree: &dyn Tree, account: &Account, folder: &VirtualPath) -> bool {
    // Who may not write there need not look.
    account.may_write(folder) && tree.facts(folder).is_ok_and(|facts| tree.may(folder, &facts, Access::Write))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ftp::stamp;

    fn facts(kind: FileKind, mode: u32) -> FileFacts {
        let at = stamp::from_unix(784_111_777).unwrap();
        FileFacts { kind, octets: 3, modified: at, changed: at, inode: 42, mode }
    }

    fn powers(kind: FileKind, mode: u32, at: &str, system: &[Access], folder_is_open: bool) -> (String, String) {
        let home = VirtualPath::parse("/~bob").unwrap();
        let bob = Account { name: "bob".into(), home: home.clone(), write: vec![home], www_quota: None, adds_only: false };
        let facts = facts(kind, mode);
        let powers = Powers::by(&bob, &VirtualPath::parse(at).unwrap(), &facts, folder_is_open, |access| system.contains(&access));
        (powers.letters(kind), format!("{:04o}", powers.mode(&facts)))
    }

    #[test]
    fn letters_and_bits_are_what_the_account_can_do() {
        use Access::{Enter, Read, Write};
        let all = [Read, Write, Enter];
        for (kind, mode, at, system, open, letters, bits) in [
            (FileKind::File, 0o644, "/~bob/a", &all[..], true, "adfrw", "0644"),
            (FileKind::File, 0o644, "/a", &all[..], false, "r", "0444"),
            // Sealed: nobody writes, whoever the server is.
            (FileKind::File, 0o444, "/~bob/a", &all[..], true, "dfr", "0444"),
            // Of somebody else, for nobody to read; and the same for root.
            (FileKind::File, 0o600, "/~bob/a", &[][..], true, "dfw", "0200"),
            (FileKind::File, 0o000, "/b", &all[..], false, "r", "0400"),
            // In a directory that is not the server's.
            (FileKind::File, 0o644, "/~bob/a", &[Read][..], false, "r", "0444"),
            (FileKind::File, 0o666, "/~bob/a", &[Read, Write][..], false, "ar", "0666"),
            (FileKind::Folder, 0o755, "/~bob/d", &all[..], true, "cdeflmp", "0755"),
            (FileKind::Folder, 0o755, "/~bob", &all[..], false, "celmp", "0755"),
            (FileKind::Folder, 0o755, "/d", &all[..], false, "el", "0555"),
            (FileKind::Folder, 0o555, "/~bob/d", &[Read, Enter][..], true, "defl", "0555"),
            (FileKind::Folder, 0o700, "/~bob/d", &[][..], true, "df", "0000"),
        ] {
            assert_eq!(powers(kind, mode, at, system, open), (letters.into(), bits.into()), "{mode:o} {at} {system:?} {open}");
        }
    }
}
