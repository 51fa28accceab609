//! Names and files: what lies on a disk may have been written by anybody.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use super::{bounded, parts};
use crate::{
    store::{VirtualPath, commit::Record, maildir_name::MaildirName, queue},
    transcript::script::Script,
    web,
};

/// A path, from a URL or from an FTP command, relative to a folder: no spelling leads out.
pub fn tree_path(data: &[u8]) {
    let [text, folder] = parts(bounded(data));
    let (Ok(text), Ok(folder)) = (std::str::from_utf8(text), std::str::from_utf8(folder)) else { return };
    let base = VirtualPath::parse(folder).unwrap_or_else(|_| VirtualPath::root());
    let joined = base.join(text).ok();
    let from_url = web::request::tree_path(text).ok();
    for path in [joined, from_url].into_iter().flatten() {
        assert!(path.components().all(|part| part != "." && part != ".." && !part.contains(['/', '\0'])), "{path}");
        assert!(path.as_str().starts_with('/') && !path.relative().starts_with('/'), "{path}");
        assert_eq!(path.components().count(), path.as_str().matches('/').count() - usize::from(path.is_root()), "{path}");
        assert!(path.as_str().len() <= 4096 && !path.as_str().contains("/.portico-"), "{path}");
        assert!(VirtualPath::parse(path.as_str()).is_ok_and(|again| again == path), "a path read again is itself");
        assert!(path.is_within(&VirtualPath::root()) && path.is_within(&path.parent()) && path.is_within(&path));
    }
}

/// The name of a file in a Maildir, which other programs write too.
pub fn maildir_name(data: &[u8]) {
    let data = bounded(data);
    let Some(name) = MaildirName::parse(OsStr::from_bytes(data)) else { return };
    assert!(data.starts_with(name.identity) && name.identity.starts_with(name.base));
    for uid in [name.uid(), name.uid_of_double()] {
        assert!((1..=70).contains(&uid.len()) && uid.bytes().all(|octet| octet.is_ascii_graphic()), "{uid}");
    }
    assert!(name.wire_octets.is_none_or(|octets| octets < 1 << 48));
}

/// The name of an undo record, by which a file is cut at start: only what we write ourselves counts.
pub fn undo_record(data: &[u8]) {
    let name = OsStr::from_bytes(bounded(data));
    let Some(record) = Record::parse(name) else { return };
    assert_eq!(record.print(), name, "parse, print, parse");
    assert_eq!(Record::parse(&record.print()), Some(record));
}

/// The envelope of an entry in the mail queue, as it lies on disk.
pub fn queue_envelope(data: &[u8]) {
    let Ok(envelope) = queue::parse(bounded(data)) else { return };
    let printed = queue::print(&envelope).expect("an envelope can be written");
    let again = queue::parse(&printed).expect("and read again");
    assert_eq!(again, envelope, "parse, print, parse");
}

/// A transcript.
pub fn transcript_script(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(bounded(data)) else { return };
    match Script::parse(text) {
        Ok(script) => {
            let printed = script.to_string();
            let again = Script::parse(&printed).unwrap_or_else(|error| panic!("{error}:\n{printed}"));
            assert_eq!(again.to_string(), printed, "what is printed prints the same");
        }
        Err(error) => {
            assert!((1..=text.lines().count().max(1)).contains(&error.line), "{error}");
            assert!(error.column >= 1 && error.column <= error.source.chars().count() + 2, "{error}");
            assert!(error.pointer().lines().count() == 2, "{error}");
        }
    }
}
