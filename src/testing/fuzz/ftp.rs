//! Readers of FTP.

use super::{bounded, cuts};
use crate::{
    ftp::{address, ascii, command, stamp},
    proxy::gateway::{listing, path::FtpPath, reply},
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
    assert!(memchr::memchr_iter(b'\n', &sent).all(|at| at > 0 && sent[at - 1] == b'\r'), "every line on the wire ends in CR LF");
    if !data.contains(&b'\r') {
        assert_eq!(from_wire(&[&sent]), data, "there and back");
    }
    assert_eq!(ascii::ToWire::default().count(data), sent.len() as u64);
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
