//! Readers of mail: SMTP and POP3 commands, addresses, and messages on their way.

use std::io::Read;

use super::{bounded, cuts, is_one_line};
use crate::{
    mail::{
        address::{Host, Mailbox, Path},
        dots::{Ends, Fed, Stuffer, Unstuffer},
        head::{Head, Repair},
    },
    pop3, smtp,
    store::lines::{ToDisk, WireReader, wire_octets},
};

/// An SMTP command line.
pub fn smtp_command(data: &[u8]) {
    match smtp::command::parse(bounded(data)) {
        Ok(command) => {
            let row = command.verb().row();
            assert!(data.get(..row.word.len()).is_some_and(|word| word.eq_ignore_ascii_case(row.word.as_bytes())));
            if let smtp::command::Command::Helo(name) | smtp::command::Command::Ehlo(name) = &command {
                assert!(name.bytes().all(|octet| octet.is_ascii_graphic()), "{name:?}");
            }
        }
        Err(reply) => {
            assert!((500..=599).contains(&reply.code()), "{reply:?}");
            let printed = reply.to_string();
            assert!(printed.ends_with("\r\n") && is_one_line(&printed[..printed.len() - 2]), "{printed:?}");
        }
    }
}

/// A POP3 command line.
pub fn pop3_command(data: &[u8]) {
    let data = bounded(data);
    if let Err(fault) = pop3::command::Command::parse(data) {
        assert!(is_one_line(&fault.to_string()));
    }
    if let Some(secret) = pop3::command::secret_in(data) {
        assert!(secret.start <= secret.end && secret.end <= data.len());
    }
}

/// A path in angle brackets, a mailbox, and a host.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(bounded(data)) else { return };
    if let Ok((path, rest)) = Path::parse(text) {
        assert!(text.ends_with(rest));
        let printed = path.to_string();
        assert!(is_one_line(&printed) && printed.len() <= 1024);
        assert_eq!(Path::parse(&printed), Ok((path, "")), "parse, print, parse");
    }
    if let Ok(mailbox) = Mailbox::parse(text) {
        assert!(!mailbox.local().chars().any(char::is_control));
        assert!(mailbox.host().to_string().is_ascii(), "domains are kept in A-labels");
        assert_eq!(Mailbox::parse(&mailbox.to_string()).as_ref(), Ok(&mailbox), "parse, print, parse");
    }
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()), Ok(host), "parse, print, parse");
    }
}

/// A message behind DATA: only CR LF `.` CR LF ends it, wherever the input is cut; and what is
/// stuffed comes out as it went in.
pub fn dots(data: &[u8]) {
    let data = bounded(data);
    for people in [false, true] {
        let whole = unstuff(people, &[data]);
        for (first, second) in cuts(data) {
            assert_eq!(unstuff(people, &[first, second]), whole, "cut after {} octets", first.len());
        }
        let (text, end, ends, _) = whole;
        assert!(text.len() <= 2 * data.len() + 2);
        if let Some(end) = end.filter(|_| ends != Ends::Lf) {
            let before = &data[..end];
            assert!(before == b".\r\n" || before.ends_with(b"\r\n.\r\n"), "only CR LF . CR LF ends a message");
        }
    }
    for people in [false, true] {
        let whole = in_chunks(people, &[data]);
        for (first, second) in cuts(data) {
            assert_eq!(in_chunks(people, &[first, second]), whole, "chunks cut after {} octets", first.len());
        }
        let (text, mixed) = whole;
        assert!(mixed || people || text == data, "a message in chunks is left alone");
    }
    let mut wire = Vec::new();
    let mut stuffer = Stuffer::new();
    stuffer.feed(data, &mut wire);
    stuffer.finish(&mut wire);
    let (text, end, _, mixed) = unstuff(false, &[&wire]);
    if !mixed {
        assert_eq!(end, Some(wire.len()), "a stuffed message ends at its end");
        let is_whole = data.is_empty() || data.ends_with(b"\r\n");
        assert_eq!(text, if is_whole { data.to_vec() } else { [data, b"\r\n"].concat() }, "stuff, unstuff");
    }
}

fn in_chunks(people: bool, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let (mut machine, mut text) = (Unstuffer::chunked(people), Vec::new());
    for piece in pieces {
        assert_eq!(machine.feed(piece, &mut text), Fed::More, "nothing in a chunk ends it");
    }
    machine.finish(&mut text);
    (text, machine.is_mixed())
}

type Unstuffed = (Vec<u8>, Option<usize>, Ends, bool);

fn unstuff(people: bool, pieces: &[&[u8]]) -> Unstuffed {
    let (mut machine, mut text, mut before) = (Unstuffer::new(people), Vec::new(), 0);
    for piece in pieces {
        if let Fed::End(octets) = machine.feed(piece, &mut text) {
            return (text, Some(before + octets), machine.ends(), machine.is_mixed());
        }
        before += piece.len();
    }
    (text, None, machine.ends(), machine.is_mixed())
}

/// The header section of a message on its way in.
pub fn message_head(data: &[u8]) {
    let data = bounded(data);
    for submitted in [false, true] {
        let whole = repaired(submitted, &[data]);
        for (first, second) in cuts(data) {
            assert_eq!(repaired(submitted, &[first, second]), whole, "cut after {} octets", first.len());
        }
        let Some(text) = whole else { continue };
        assert!(text.starts_with(b"Received: front\r\n"), "our trace field comes first");
        assert!(memchr::memmem::find(&text, b"\r\n\r\n").is_some() || memchr::memmem::find(data, b"\r\n\r\n").is_none());
        if !submitted {
            let kept = text.strip_prefix(b"Received: front\r\n").unwrap_or_default();
            assert!(kept.len() <= data.len() + 2 && kept.len() >= data.len(), "every other octet is left alone");
        }
    }
}

fn repaired(submitted: bool, pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let repair = submitted.then(|| Repair { date: "Sun, 06 Nov 1994 08:49:37 +0000".into(), message_id: "<1@a.test>".into() });
    let (mut head, mut out) = (Head::new("Received: front\r\n".into(), repair), Vec::new());
    pieces.iter().try_for_each(|piece| head.feed(piece, &mut out)).ok()?;
    head.finish(&mut out).ok()?;
    Some(out)
}

/// Line ends of a message on its way to the disk and back.
pub fn line_ends(data: &[u8]) {
    let data = bounded(data);
    let whole = on_disk(&[data]);
    for (first, second) in cuts(data) {
        assert_eq!(on_disk(&[first, second]), whole, "cut after {} octets", first.len());
    }
    let (disk, (disk_octets, wire_octets_said)) = whole;
    assert_eq!(disk_octets, disk.len() as u64);
    let mut wire = Vec::new();
    WireReader::new(&disk[..], disk_octets).read_to_end(&mut wire).expect("memory can be read");
    assert_eq!(wire.len() as u64, wire_octets_said, "what was counted is what is read");
    assert_eq!(wire_octets(&disk[..], 0).ok(), Some(wire_octets_said));
    let is_clean = data.ends_with(b"\r\n") && memchr::memchr_iter(b'\n', data).all(|at| at > 0 && data[at - 1] == b'\r');
    if is_clean {
        assert_eq!(wire, data, "a message whose lines end in CR LF comes back as it was");
    }
}

fn on_disk(pieces: &[&[u8]]) -> (Vec<u8>, (u64, u64)) {
    let (mut machine, mut disk) = (ToDisk::default(), Vec::new());
    pieces.iter().for_each(|piece| machine.convert(piece, &mut disk));
    let octets = machine.finish(&mut disk);
    (disk, octets)
}
