//! The pure parts, for the micro-benchmarks in `benches/`. Each function does one whole piece of
//! work on what it is given and answers something of the outcome, so that none of it is left out.

use std::time::SystemTime;

use crate::{
    http::{
        Method, RequestHead,
        body::{Decoder, Step},
        framing::{self, Framing},
        parse::{self, LineEnds},
        range::{self, Wanted},
        validators::{self, EntityTag, Validators, Verdict},
    },
    mail::{
        address::Path,
        dots::{Stuffer, Unstuffer},
        head::{Head as MailHead, Repair},
    },
    proxy::control::Control,
    store::lines::ToDisk,
};

/// A request head that has been read.
pub struct Head(RequestHead);

/// Finds the end of a head and reads it.
///
/// # Panics
/// Where it is refused: a benchmark of refusals would measure something else.
pub fn head(octets: &[u8]) -> Head {
    let end = parse::request_end(octets, 0).expect("the head is whole");
    Head(parse::request(&octets[..end], LineEnds::CrLf).expect("the head is good"))
}

impl Head {
    /// Whether it has a body.
    pub fn is_framed(&self) -> bool {
        framing::of_request(&self.0).is_ok_and(|framing| framing != Framing::Empty)
    }

    /// Weighs its preconditions against a representation with this entity tag: is it 304?
    pub fn is_unchanged(&self, tag: &str) -> bool {
        let current = Validators { tag: Some(EntityTag::strong(tag)), modified: Some(SystemTime::UNIX_EPOCH) };
        validators::weigh(&Method::Get, &self.0.fields, Some(&current), SystemTime::UNIX_EPOCH) == Verdict::NotModified
    }
}

/// Whether a Range field asks for parts of that many octets.
pub fn is_range(field: &[u8], octets: u64) -> bool {
    !matches!(range::wanted(field, octets), Wanted::Whole)
}

/// Reads a date and writes it again.
pub fn date(text: &[u8]) -> Option<String> {
    validators::parse_date(text, SystemTime::UNIX_EPOCH).map(validators::format_date)
}

/// Decodes a chunked body and counts its octets.
pub fn chunks(mut body: &[u8]) -> usize {
    let (mut decoder, mut octets) = (Decoder::new(Framing::Chunked), 0);
    loop {
        match decoder.step(body) {
            Ok(Step::Data(count)) => {
                octets += count;
                body = &body[count..];
            }
            Ok(Step::Framing(count)) => body = &body[count..],
            Ok(Step::End(_) | Step::More) | Err(_) => return octets,
        }
    }
}

/// Whether Cache-Control values let a response be used for a time of their own.
pub fn cache_control(value: &[u8]) -> bool {
    Control::parse([value]).max_age.is_some()
}

/// Removes the dots of a message that comes in pieces of 16 KiB; answers its length.
pub fn unstuff(wire: &[u8]) -> usize {
    let (mut machine, mut out) = (Unstuffer::new(false), Vec::with_capacity(wire.len()));
    for piece in wire.chunks(16 * 1024) {
        machine.feed(piece, &mut out);
    }
    out.len()
}

/// Doubles the dots of a message that goes out in pieces of 16 KiB; answers its length.
pub fn stuff(text: &[u8]) -> usize {
    let (mut machine, mut out) = (Stuffer::new(), Vec::with_capacity(text.len() + 64));
    for piece in text.chunks(16 * 1024) {
        machine.feed(piece, &mut out);
    }
    machine.finish(&mut out);
    out.len()
}

/// Lets a message through as submission does, with fields in front; answers its new length.
pub fn repair(text: &[u8]) -> usize {
    let repair = Repair { date: "Sun, 06 Nov 1994 08:49:37 +0000".into(), message_id: "<1@portico.test>".into() };
    let mut head = MailHead::new("Received: from lab\r\n".into(), Some(repair));
    let mut out = Vec::with_capacity(text.len() + 256);
    for piece in text.chunks(16 * 1024) {
        let _passed = head.feed(piece, &mut out);
    }
    let _passed = head.finish(&mut out);
    out.len()
}

/// Whether these are the arguments of MAIL FROM or RCPT TO.
pub fn is_path(text: &str) -> bool {
    Path::parse(text).is_ok()
}

/// Turns line ends as for a Maildir; answers the octets on disk.
pub fn to_disk(wire: &[u8]) -> u64 {
    let (mut lines, mut out) = (ToDisk::default(), Vec::with_capacity(wire.len()));
    lines.convert(wire, &mut out);
    lines.finish(&mut out).0
}
