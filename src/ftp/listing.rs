//! What listings look like: `ls -l` lines, names alone, and machine-readable facts (RFC 3659, 7).
//! Pure.

use std::time::SystemTime;

use super::{reply::printable, stamp};
use crate::store::{
    Account, VirtualPath,
    tree::{FileFacts, FileKind, TreeEntry},
};

/// The facts there are, in the order in which they are shown (RFC 3659, 7.5).
const FACTS: [&str; 5] = ["type", "size", "modify", "perm", "unique"];

/// Which facts a client wants (OPTS MLST).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FactSet([bool; FACTS.len()]);

impl FactSet {
    pub(crate) fn all() -> FactSet {
        FactSet([true; FACTS.len()])
    }

    /// Reads `type;size;`; facts that there are not are passed over (RFC 3659, 7.9).
    pub(crate) fn parse(text: &str) -> FactSet {
        let wanted = |fact: &str| text.split(';').any(|named| named.eq_ignore_ascii_case(fact));
        FactSet(FACTS.map(wanted))
    }

    /// `type;size;`: for the reply to OPTS.
    pub(crate) fn print(self) -> String {
        self.pairs().filter(|(_, wanted)| *wanted).map(|(fact, _)| format!("{fact};")).collect()
    }

    /// `type*;size;`: for FEAT, with a star at those that are on.
    pub(crate) fn print_starred(self) -> String {
        self.pairs().map(|(fact, wanted)| format!("{fact}{};", if wanted { "*" } else { "" })).collect()
    }

    fn pairs(self) -> impl Iterator<Item = (&'static str, bool)> {
        FACTS.into_iter().zip(self.0)
    }
}

/// The form of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// LIST: what `ls -l` shows.
    Long,
    /// NLST: names that can be used in further commands (RFC 1123, 4.1.2.7).
    Names,
    /// MLSD.
    Facts(FactSet),
}

/// Who looks, and when: decides what the permissions and dates look like.
pub(crate) struct Viewer<'a> {
    pub account: &'a Account,
    pub now: SystemTime,
}

impl Viewer<'_> {
    /// One entry of `folder` as a line without its end. `prefix` goes before names in NLST.
    pub(crate) fn line(&self, form: Form, folder: &VirtualPath, prefix: &str, entry: &TreeEntry) -> String {
        // A name that can't be a path was made by somebody beside us; it has no rights then.
        let path = folder.join(&entry.name).unwrap_or_else(|_| VirtualPath::root());
        match form {
            Form::Long => self.long(&path, &entry.name, &entry.facts),
            Form::Names => printable(&format!("{prefix}{}", entry.name)),
            Form::Facts(set) => format!("{} {}", self.facts(set, &path, &entry.facts), printable(&entry.name)),
        }
    }

    /// `-rw-r--r--   1 ftp      ftp            1234 Nov  6 08:49 name`. The write bit tells
    /// whether this account may write, which is what the client wants to know.
    pub(crate) fn long(&self, path: &VirtualPath, name: &str, facts: &FileFacts) -> String {
        let writable = self.account.may_write(path);
        let mode = match (facts.kind, writable) {
            (FileKind::Folder, true) => "drwxr-xr-x",
            (FileKind::Folder, false) => "dr-xr-xr-x",
            (FileKind::File, true) => "-rw-r--r--",
            (FileKind::File, false) => "-r--r--r--",
        };
        let date = stamp::print_short(facts.modified, self.now);
        format!("{mode}   1 ftp      ftp      {:>12} {date} {}", facts.octets, printable(name))
    }

    /// `type=file;size=3;modify=19941106084937;perm=r;unique=2a;` (RFC 3659, 7.5).
    pub(crate) fn facts(&self, set: FactSet, path: &VirtualPath, facts: &FileFacts) -> String {
        let mut line = String::new();
        for (fact, _) in set.pairs().filter(|(_, wanted)| *wanted) {
            let value = match (fact, facts.kind) {
                ("type", FileKind::File) => "file".into(),
                ("type", FileKind::Folder) => "dir".into(),
                ("size", FileKind::File) => facts.octets.to_string(),
                ("modify", _) => stamp::print(facts.modified),
                ("perm", kind) => self.permissions(path, kind),
                ("unique", _) => format!("{:x}", facts.inode),
                _ => continue,
            };
            line += &format!("{fact}={value};");
        }
        line
    }

    /// The letters of RFC 3659, 7.5.5, as the rules would really decide.
    fn permissions(&self, path: &VirtualPath, kind: FileKind) -> String {
        let (write, remove) = (self.account.may_write(path), may_remove(self.account, path));
        let letters: &[(&str, bool)] = match kind {
            FileKind::File => &[("a", write), ("d", remove), ("f", remove), ("r", true), ("w", write)],
            FileKind::Folder => &[("c", write), ("d", remove), ("e", true), ("f", remove), ("l", true), ("m", write), ("p", write)],
        };
        letters.iter().filter(|(_, granted)| *granted).map(|(letter, _)| *letter).collect()
    }
}

/// Whether `account` may remove or rename what is at `path`: as in Unix this is a right on the
/// directory that holds it, so nobody takes away the home that was granted to them.
pub(crate) fn may_remove(account: &Account, path: &VirtualPath) -> bool {
    !path.is_root() && account.may_write(path) && account.may_write(&path.parent())
}

/// Whether a path ends in a pattern (`*`, `?`) such as people give to LIST and NLST.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether `name` matches `pattern`. Never goes back further than to the last star, so that no
/// pattern costs more than its length times that of the name.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < name.len() {
        match (pattern.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, position));
                at += 1;
            }
            (Some(c), _) if *c == '?' || Some(c) == name.get(position) => {
                at += 1;
                position += 1;
            }
            (_, Some((star_at, taken))) => {
                star = Some((star_at, taken + 1));
                (at, position) = (star_at + 1, taken + 1);
            }
            _ => return false,
        }
    }
    pattern.iter().skip(at).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> VirtualPath {
        VirtualPath::parse(text).unwrap()
    }

    fn entry(kind: FileKind, name: &str) -> TreeEntry {
        let at = stamp::from_unix(784_111_777).unwrap();
        TreeEntry { name: name.into(), facts: FileFacts { kind, octets: 3, modified: at, changed: at, inode: 42, mode: 0o644 } }
    }

    fn bob() -> Account {
        Account { name: "bob".into(), home: path("/~bob"), write: vec![path("/~bob")] }
    }

    #[test]
    fn the_three_forms() {
        let bob = bob();
        let viewer = Viewer { account: &bob, now: stamp::from_unix(784_111_777).unwrap() };
        let line = |form, folder: &str, entry: &TreeEntry| viewer.line(form, &path(folder), "x/", entry);
        let (file, folder) = (entry(FileKind::File, "a\nb"), entry(FileKind::Folder, "d"));
        assert_eq!(line(Form::Long, "/~bob", &file), "-rw-r--r--   1 ftp      ftp                 3 Nov  6 08:49 a?b");
        assert_eq!(line(Form::Names, "/", &folder), "x/d");
        let all = Form::Facts(FactSet::all());
        assert_eq!(line(all, "/~bob", &file), "type=file;size=3;modify=19941106084937;perm=adfrw;unique=2a; a?b");
        assert_eq!(line(all, "/", &file), "type=file;size=3;modify=19941106084937;perm=r;unique=2a; a?b");
        assert_eq!(line(all, "/", &entry(FileKind::Folder, "~bob")), "type=dir;modify=19941106084937;perm=celmp;unique=2a; ~bob");
        assert_eq!(line(Form::Facts(FactSet::parse("Size;x;TYPE;")), "/", &file), "type=file;size=3; a?b");
    }

    #[test]
    fn fact_sets() {
        assert_eq!(FactSet::parse("perm;Type;none").print(), "type;perm;");
        assert_eq!(FactSet::parse("size;").print_starred(), "type;size*;modify;perm;unique;");
    }

    #[test]
    fn homes_and_the_root_are_not_removed() {
        assert!(may_remove(&bob(), &path("/~bob/x")));
        assert!(!may_remove(&bob(), &path("/~bob")));
        let alice = Account { write: vec![path("/")], ..bob() };
        assert!(!may_remove(&alice, &path("/")));
        assert!(may_remove(&alice, &path("/~bob")));
    }

    #[test]
    fn patterns() {
        for (pattern, name, does) in [
            ("*", "anything", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("", "", true),
            ("a", "", false),
        ] {
            assert_eq!(matches(pattern, name), does, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(50), &"a".repeat(40)), "and that at once");
    }
}
