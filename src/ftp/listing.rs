//! What listings look like: `ls -l` lines, names alone, and machine-readable facts (RFC 3659, 7).
//! Pure.

use std::{sync::Arc, time::SystemTime};

use super::{powers::Powers, reply::printable, stamp};
use crate::store::{
    Account, VirtualPath,
    tree::{FileFacts, FileKind, TreeEntry},
};

/// The facts there are, in the order in which they are shown (RFC 3659, 7.5).
const FACTS: [&str; 6] = ["type", "size", "modify", "perm", "unique", "UNIX.mode"];

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

    /// Without the type nobody could tell `.` from an entry.
    pub(crate) fn has_type(self) -> bool {
        self.pairs().any(|(fact, wanted)| fact == "type" && wanted)
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
#[derive(Clone)]
pub(crate) struct Viewer {
    pub account: Arc<Account>,
    pub now: SystemTime,
}

impl Viewer {
    /// One entry as a line without its end. `prefix` goes before names in NLST, which shows no powers.
    pub(crate) fn line(&self, form: Form, prefix: &str, entry: &TreeEntry, powers: impl FnOnce() -> Powers) -> String {
        match form {
            Form::Long => self.long(&entry.name, &entry.facts, powers()),
            Form::Names => printable(&format!("{prefix}{}", entry.name)),
            Form::Facts(set) => format!("{} {}", set.show(&entry.facts, powers()), printable(&entry.name)),
        }
    }

    /// `-rw-r--r--   1 ftp      ftp            1234 Nov  6 08:49 name`. The permissions are those of
    /// the file as far as this account can make use of them: that is what it wants to know.
    pub(crate) fn long(&self, name: &str, facts: &FileFacts, powers: Powers) -> String {
        let kind = if facts.kind == FileKind::Folder { 'd' } else { '-' };
        let date = stamp::print_short(facts.modified, self.now);
        format!("{kind}{}   1 ftp      ftp      {:>12} {date} {}", letters(powers.mode(facts)), facts.octets, printable(name))
    }
}

impl FactSet {
    /// `type=file;size=3;modify=19941106084937;perm=r;unique=2a;` (RFC 3659, 7.5).
    pub(crate) fn show(self, facts: &FileFacts, powers: Powers) -> String {
        let kind = if facts.kind == FileKind::Folder { "dir" } else { "file" };
        self.show_as(kind, facts, powers)
    }

    /// Like [`FactSet::show`] for a type of one's own: `cdir` and `pdir` in MLSD (RFC 3659, 7.5.1).
    pub(crate) fn show_as(self, kind: &str, facts: &FileFacts, powers: Powers) -> String {
        let mut line = String::new();
        for (fact, _) in self.pairs().filter(|(_, wanted)| *wanted) {
            let value = match (fact, facts.kind) {
                ("type", _) => kind.into(),
                ("size", FileKind::File) => facts.octets.to_string(),
                ("modify", _) => stamp::print(facts.modified),
                ("perm", kind) => powers.letters(kind),
                ("unique", _) => format!("{:x}", facts.inode),
                ("UNIX.mode", _) => format!("{:04o}", facts.mode),
                _ => continue,
            };
            line += &format!("{fact}={value};");
        }
        line
    }
}

/// `rw-r--r--`
fn letters(mode: u32) -> String {
    (0..9).map(|at| if mode & (0o400 >> at) == 0 { '-' } else { ['r', 'w', 'x'][at % 3] }).collect()
}

/// Whether `account` may remove or rename what is at `path`: as in Unix this is a right on the
/// directory that holds it, so nobody takes away the home that was granted to them.
pub(crate) fn may_remove(account: &Account, path: &VirtualPath) -> bool {
    !account.adds_only && !path.is_root() && account.may_write(path) && account.may_write(&path.parent())
}

/// The longest pattern, in octets: as long as a name. It is tried on each entry of a directory.
const PATTERN_OCTETS: usize = 255;

/// Whether a name is a pattern such as people give to LIST and NLST: `*`, `?`, `[a-z]`.
pub(crate) fn is_pattern(text: &str) -> bool {
    let is_one = text.contains(['*', '?']) || text.split_once('[').is_some_and(|(_, rest)| rest.contains(']'));
    is_one && text.len() <= PATTERN_OCTETS
}

/// Whether `name` matches `pattern`. Never goes back further than to the last star, so that no
/// pattern costs more than its length times that of the name.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = name.get(position) {
        let rest = pattern.get(at..).unwrap_or_default();
        if rest.first() == Some(&'*') {
            star = Some((at, position));
            at += 1;
        } else if let Some(taken) = match_one(rest, *c) {
            at += taken;
            position += 1;
        } else if let Some((star_at, taken)) = star {
            star = Some((star_at, taken + 1));
            (at, position) = (star_at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern.iter().skip(at).all(|c| *c == '*')
}

/// How much of the pattern one character uses up, if it fits. A class that is not closed stands
/// for itself; so does a `]` that comes first in one.
fn match_one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', rest @ ..] => {
            let negated = matches!(rest.first(), Some('!' | '^'));
            let class = rest.get(usize::from(negated)..).unwrap_or_default();
            let Some(end) = class.iter().skip(1).position(|c| *c == ']').map(|at| at + 1) else {
                return (c == '[').then_some(1);
            };
            let is_in = is_in_class(class.get(..end).unwrap_or_default(), c);
            (is_in != negated).then_some(1 + usize::from(negated) + end + 1)
        }
        [first, ..] => (*first == c).then_some(1),
        [] => None,
    }
}

fn is_in_class(class: &[char], c: char) -> bool {
    match class {
        [from, '-', to, rest @ ..] => (*from <= c && c <= *to) || is_in_class(rest, c),
        [one, rest @ ..] => *one == c || is_in_class(rest, c),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: FileKind, name: &str) -> TreeEntry {
        let at = stamp::from_unix(784_111_777).unwrap();
        let mode = if kind == FileKind::Folder { 0o755 } else { 0o644 };
        TreeEntry { name: name.into(), facts: FileFacts { kind, octets: 3, modified: at, changed: at, inode: 42, mode } }
    }

    fn path(text: &str) -> VirtualPath {
        VirtualPath::parse(text).unwrap()
    }

    fn bob() -> Account {
        Account { name: "bob".into(), home: path("/~bob"), write: vec![path("/~bob")], www_quota: None, adds_only: false }
    }

    #[test]
    fn the_three_forms() {
        let viewer = Viewer { account: Arc::new(bob()), now: stamp::from_unix(784_111_777).unwrap() };
        let reads = Powers { read: true, write: false, append: false, remove: false, purge: false, rename: false, enter: true };
        let line = |form, entry: &TreeEntry, powers| viewer.line(form, "x/", entry, || powers);
        let (file, folder) = (entry(FileKind::File, "a\nb"), entry(FileKind::Folder, "d"));
        assert_eq!(line(Form::Long, &file, reads), "-r--r--r--   1 ftp      ftp                 3 Nov  6 08:49 a?b");
        assert_eq!(line(Form::Names, &folder, reads), "x/d");
        let all = Form::Facts(FactSet::all());
        assert_eq!(line(all, &file, reads), "type=file;size=3;modify=19941106084937;perm=r;unique=2a;UNIX.mode=0644; a?b");
        let writes = Powers { write: true, append: true, purge: true, ..reads };
        assert_eq!(line(all, &file, writes), "type=file;size=3;modify=19941106084937;perm=arw;unique=2a;UNIX.mode=0644; a?b");
        assert_eq!(line(all, &folder, writes), "type=dir;modify=19941106084937;perm=celmp;unique=2a;UNIX.mode=0755; d");
        assert_eq!(line(Form::Facts(FactSet::parse("Size;x;TYPE;")), &file, reads), "type=file;size=3; a?b");
    }

    #[test]
    fn fact_sets() {
        assert_eq!(FactSet::parse("perm;Type;none").print(), "type;perm;");
        assert_eq!(FactSet::parse("size;").print_starred(), "type;size*;modify;perm;unique;UNIX.mode;");
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
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]a]", "]", true),
            ("*[0-9].txt", "a7.txt", true),
            ("[a", "[a", true),
            ("a[b", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), does, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(50), &"a".repeat(40)), "and that at once");
    }

    /// The worst that we know of, each on as many names as a large directory has pieces.
    #[test]
    fn no_pattern_takes_long() {
        let name = "a".repeat(255);
        let begun = std::time::Instant::now();
        for pattern in [format!("*{}b", "a".repeat(253)), "*a".repeat(127), format!("*[{}]b", "b-c".repeat(80)), "*".repeat(255)] {
            assert!(is_pattern(&pattern) && !is_pattern(&format!("{pattern}{pattern}")));
            for _ in 0..100 {
                let _does = matches(&pattern, &name);
            }
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "400 names took {:?}", begun.elapsed());
    }
}
