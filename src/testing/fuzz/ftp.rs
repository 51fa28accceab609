//! Readers of FTP.

use std::sync::Arc;

use super::{bounded, cuts, parts};
use crate::{
    ftp::{
        address, ascii, command, deflate,
        listing::{self as ours, FactSet, Form, Viewer},
        powers::Powers,
        stamp,
    },
    proxy::gateway::{listing, path::FtpPath, reply},
    store::{
        Account, VirtualPath,
        tree::{FileFacts, FileKind, TreeEntry},
    },
};

/// A command line.
pub fn ftp_command(data: &[u8]) {
    let data = bounded(data);
    let parsed = command::parse(data);
    if parsed.command.is_ok() {
        assert!(command::TABLE.iter().any(|row| row.verb == parsed.row.verb), "{}", parsed.row.verb);
    }
    if let Some(secret) = command::mask(data) {
        assert!(secret.start <= secret.end && secret.end <= data.len());
    }
}

/// The arguments of PORT, EPRT and MFMT.
pub fn ftp_address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(bounded(data)) else { return };
    if let Ok(std::net::SocketAddr::V4(at)) = address::parse_port(text) {
        assert_eq!(address::parse_port(&address::print_port(*at.ip(), at.port())), Ok(at.into()), "parse, print, parse");
    }
    if let Ok(at) = address::parse_eprt(text) {
        let network = if at.is_ipv4() { 1 } else { 2 };
        assert_eq!(address::parse_eprt(&format!("|{network}|{}|{}|", at.ip(), at.port())), Ok(at), "parse, print, parse");
    }
    if let Some(at) = stamp::parse(text).and_then(stamp::from_unix) {
        assert_eq!(stamp::parse(&stamp::print(at)).and_then(stamp::from_unix), Some(at), "parse, print, parse");
    }
}

/// TYPE A in both directions, cut anywhere.
pub fn ftp_ascii(data: &[u8]) {
    let data = bounded(data);
    let (sent, received) = (to_wire(&[data]), from_wire(&[data]));
    for (first, second) in cuts(data) {
        assert_eq!(to_wire(&[first, second]), sent, "cut after {} octets", first.len());
        assert_eq!(from_wire(&[first, second]), received, "cut after {} octets", first.len());
    }
    assert_eq!(sent, naively_to_wire(data));
    assert_eq!(received, naively_from_wire(data));
    assert!(memchr::memchr_iter(b'\n', &sent).all(|at| at > 0 && sent[at - 1] == b'\r'), "every line on the wire ends in CR LF");
    if !data.contains(&b'\r') {
        assert_eq!(from_wire(&[&sent]), data, "there and back");
    }
    assert_eq!(ascii::ToWire::default().count(data), sent.len() as u64);
}

/// Patterns of LIST and NLST: the quick matcher agrees with one that tries everything.
pub fn ftp_glob(data: &[u8]) {
    let [pattern, name] = parts(bounded(data));
    let (Ok(pattern), Ok(name)) = (std::str::from_utf8(pattern), std::str::from_utf8(name)) else { return };
    let quick = ours::matches(pattern, name);
    if pattern.matches('*').count() <= 4 && name.len() <= 40 && !pattern.contains('[') {
        let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
        assert_eq!(quick, matches_slowly(&pattern, &name), "{pattern:?} {name:?}");
    }
}

fn matches_slowly(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=name.len()).any(|taken| matches_slowly(rest, &name[taken..])),
        (['?', rest @ ..], [_, left @ ..]) => matches_slowly(rest, left),
        ([one, rest @ ..], [first, left @ ..]) => one == first && matches_slowly(rest, left),
        _ => false,
    }
}

/// Lines of listings: each is one line whatever the name is, and other programs read what we meant.
pub fn ftp_listing(data: &[u8]) {
    let [name, rest] = parts(bounded(data));
    let Ok(name) = std::str::from_utf8(name) else { return };
    if name.is_empty() || matches!(name, "." | "..") || name.contains(['/', '\0']) {
        return;
    }
    let number = rest.iter().fold(0u64, |sum, octet| sum.wrapping_mul(257).wrapping_add(u64::from(*octet)));
    let at = stamp::from_unix((number % 4_000_000_000).cast_signed()).unwrap_or(std::time::UNIX_EPOCH);
    let kind = if number.is_multiple_of(2) { FileKind::File } else { FileKind::Folder };
    let octets = if kind == FileKind::File { number } else { 0 };
    let facts = FileFacts { kind, octets, modified: at, changed: at, inode: number, mode: (number & 0o777) as u32 };
    let account = Account { name: "bob".into(), home: VirtualPath::root(), write: Vec::new(), www_quota: None, adds_only: false };
    let viewer = Viewer { account: Arc::new(account), now: at };
    let [read, write, append, remove, purge, rename, enter] = [1, 2, 4, 8, 16, 32, 64].map(|bit| number & bit != 0);
    let powers = Powers { read, write, append, remove, purge, rename, enter };
    let entry = TreeEntry { name: name.to_owned(), facts };
    for form in [Form::Long, Form::Names, Form::Facts(FactSet::all())] {
        let line = viewer.line(form, "", &entry, || powers);
        assert!(!line.contains(|c: char| c.is_control()), "one line, and nothing that a terminal obeys");
        if form == Form::Names || name.trim() != name || name.contains(" -> ") {
            continue;
        }
        let read = listing::read(&line);
        let [read] = &read[..] else { panic!("one entry: {line:?}") };
        assert_eq!(read.size.unwrap_or(0), octets, "{line:?}");
        assert_eq!(read.kind == "directory", kind == FileKind::Folder, "{line:?}");
        assert!(line.strip_suffix(&read.name).is_some_and(|before| before.ends_with(' ')), "{line:?}");
    }
}

/// MODE Z: what comes back is what went in, and whatever comes is taken in bounded pieces.
pub fn ftp_deflate(data: &[u8]) {
    let data = bounded(data);
    let (mut deflater, mut wire) = (deflate::Deflater::new(4), Vec::new());
    deflater.push(data, &mut wire);
    deflater.finish(&mut wire);
    for (first, second) in cuts(&wire) {
        assert_eq!(inflate(&[first, second]), Ok(data.to_vec()));
    }
    let _foreign = inflate(&[data]);
}

fn inflate(pieces: &[&[u8]]) -> Result<Vec<u8>, deflate::Broken> {
    let (mut inflater, mut file) = (deflate::Inflater::new(), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let mut made = Vec::new();
            let used = inflater.pull(rest, &mut made)?;
            rest = &rest[used..];
            assert!(made.len() < 1 << 20, "a piece is bounded");
            if made.is_empty() && rest.is_empty() {
                break;
            }
            file.extend_from_slice(&made);
        }
    }
    Ok(file)
}

/// What the proxy's gateway reads: replies and listings of a foreign server, and `ftp://` paths.
pub fn ftp_gateway(data: &[u8]) {
    let data = bounded(data);
    for line in data.split(|octet| *octet == b'\n') {
        if let reply::Line::Last(reply) = reply::Line::parse(line) {
            assert!((400..600).contains(&reply.status()));
            let _ports = (reply.extended_port(), reply.passive_port(), reply.octets());
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let entries = listing::read(text);
    assert!(entries.iter().all(|entry| !matches!(entry.name.as_str(), "" | "." | "..") && !entry.name.contains('/')));
    let page = listing::html("/", false, &entries);
    assert!(!page.contains("<script") && !page.contains("javascript:"), "what a server says can do nothing in a page");
    assert!(serde_json::from_str::<serde_json::Value>(&listing::json(&entries)).is_ok(), "it is JSON");
    if let Ok(path) = FtpPath::parse(text) {
        assert!(!path.name().iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "no path brings a second command");
        assert!(path.with_slash().starts_with('/') && path.with_slash().is_ascii());
    }
}

/// Octet by octet, with everything at hand.
fn naively_to_wire(file: &[u8]) -> Vec<u8> {
    let before = |at: usize| at.checked_sub(1).and_then(|at| file.get(at));
    let octets = file.iter().enumerate();
    octets.flat_map(|(at, octet)| if *octet == b'\n' && before(at) != Some(&b'\r') { vec![b'\r', b'\n'] } else { vec![*octet] }).collect()
}

fn naively_from_wire(wire: &[u8]) -> Vec<u8> {
    let octets = wire.iter().enumerate();
    octets.filter(|(at, octet)| **octet != b'\r' || wire.get(at + 1) != Some(&b'\n')).map(|(_, octet)| *octet).collect()
}

fn to_wire(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut machine, mut wire) = (ascii::ToWire::default(), Vec::new());
    pieces.iter().for_each(|piece| machine.convert(piece, &mut wire));
    wire
}

fn from_wire(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut machine, mut file) = (ascii::FromWire::default(), Vec::new());
    pieces.iter().for_each(|piece| machine.convert(piece, &mut file));
    machine.finish(&mut file);
    file
}
