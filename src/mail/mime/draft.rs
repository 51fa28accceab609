//! A new message (RFC 5322, RFC 2045): correct whatever its writer put into it.
//!
//! `mail-builder` writes it: encoded words (RFC 2047), parameters (RFC 2231), the smallest transfer
//! encoding that will do. What it is given is checked here first: nothing that a field must not
//! hold gets in, line ends are CR LF, and the boundary is one that stands nowhere in the parts.

use std::{fmt, time::SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_builder::{
    MessageBuilder,
    headers::{address::Address, content_type::ContentType, raw::Raw, text::Text},
    mime::{BodyPart, MimePart},
};
use mail_parser::{HeaderName, HeaderValue, MessageParser};

use super::file_name;
use crate::mail::{
    address::{Fault, Mailbox},
    date,
};

/// RFC 5322, 2.1.1: the longest line, in octets, without its CR LF.
const LINE_OCTETS: usize = 998;
/// RFC 2045, 6.8: the longest line of base64, in characters.
const ENCODED_LINE_CHARACTERS: usize = 76;

/// Fields that have a place of their own in a draft, or follow from its parts.
const OWN_FIELDS: &[&str] =
    &["from", "to", "cc", "bcc", "subject", "mime-version", "content-type", "content-transfer-encoding", "content-disposition"];

/// RFC 5322, 3.6: further fields of which there may be one only.
const SINGLE_FIELDS: &[&str] = &["date", "sender", "reply-to", "message-id", "in-reply-to", "references"];

/// What a message is to say.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub from: Vec<Person>,
    pub to: Vec<Person>,
    pub cc: Vec<Person>,
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
    /// Further fields. Date and Message-ID stand in for ours.
    pub fields: Vec<(String, String)>,
    pub date: SystemTime,
    /// With its angle brackets.
    pub message_id: String,
}

/// `Bob Ångström <bob@portico.test>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub name: Option<String>,
    pub mailbox: Mailbox,
}

#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub name: String,
    /// `image/jpeg`.
    pub media: String,
    pub content: Vec<u8>,
}

/// What can't be written into a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unwritable {
    Address(String, Option<Fault>),
    FieldName(String),
    OwnField(String),
    /// RFC 5322, 3.6: there may be only one of these.
    Twice(String),
    /// A CR, LF or other control in a field: whoever could put one in could add fields.
    Control(String),
    LongLine(String),
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritable::Address(text, Some(fault)) => write!(f, "not a mail address: {text:?}: {fault}"),
            Unwritable::Address(text, None) => write!(f, "not a mail address: {text:?}"),
            Unwritable::FieldName(name) => write!(f, "not the name of a header field: {name:?}"),
            Unwritable::OwnField(name) => write!(f, "the field {name} has a flag of its own, or follows from the parts"),
            Unwritable::Twice(name) => write!(f, "the field {name} is there twice"),
            Unwritable::Control(what) => write!(f, "a line end or control character in {what}"),
            Unwritable::LongLine(name) => write!(f, "a word of more than {LINE_OCTETS} octets in the field {name}"),
        }
    }
}

impl Person {
    /// Reads `bob@x`, `<bob@x>`, `Bob <bob@x>` or `"Bob, B." <bob@x>`, several with commas between.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Person>, Unwritable> {
        let not_one = |fault| Unwritable::Address(text.to_owned(), fault);
        check_text(text, "an address")?;
        if let Ok(mailbox) = Mailbox::parse(text.trim()) {
            return Ok(vec![Person { name: None, mailbox }]);
        }
        let field = format!("From: {text}\r\n\r\n");
        let parser = MessageParser::new().header_address(HeaderName::From).default_header_ignore();
        let message = parser.parse_headers(&field).ok_or_else(|| not_one(None))?;
        let Some(HeaderValue::Address(addresses)) = message.header(HeaderName::From) else { return Err(not_one(None)) };
        let person = |address: &mail_parser::Addr<'_>| {
            let mailbox = Mailbox::parse(address.address().unwrap_or_default()).map_err(|fault| not_one(Some(fault)))?;
            Ok(Person { name: address.name().map(str::to_owned).filter(|name| !name.is_empty()), mailbox })
        };
        let people = addresses.iter().map(person).collect::<Result<Vec<_>, _>>()?;
        if people.is_empty() { Err(not_one(None)) } else { Ok(people) }
    }

    fn address(&self) -> Address<'_> {
        Address::new_address(self.name.as_deref(), self.mailbox.to_string())
    }
}

impl Draft {
    /// The message, with CR LF line ends. `random` makes its boundaries its own.
    pub(crate) fn build(&self, random: u64) -> Result<Vec<u8>, Unwritable> {
        self.check()?;
        let mut builder = MessageBuilder::new();
        if self.own("date").is_none() {
            builder = builder.header("Date", Raw::new(date::format(self.date)));
        }
        for (name, people) in [("From", &self.from), ("To", &self.to), ("Cc", &self.cc)] {
            if !people.is_empty() {
                builder = builder.header(name, Address::new_list(people.iter().map(Person::address).collect()));
            }
        }
        builder = builder.header("Subject", Text::new(self.subject.as_str()));
        builder = builder.header("Message-ID", Raw::new(self.own("message-id").unwrap_or(&self.message_id)));
        for (name, value) in self.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("message-id")) {
            // Name and value of a field of ours must be seen by `mail-builder` in its own spelling.
            let name = if name.eq_ignore_ascii_case("date") { "Date" } else { name.as_str() };
            builder = match value.is_ascii() {
                true => builder.header(name, Raw::new(value.as_str())),
                false => builder.header(name, Text::new(value.as_str())),
            };
        }
        let mut message = Vec::new();
        builder.body(self.body(random)).serialize(&mut message);
        check_lines(&message)?;
        Ok(message)
    }

    fn own(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn check(&self) -> Result<(), Unwritable> {
        check_text(&self.subject, "the subject")?;
        check_text(&self.message_id, "the Message-ID")?;
        for person in [&self.from, &self.to, &self.cc].into_iter().flatten() {
            check_text(person.name.as_deref().unwrap_or_default(), "a name")?;
        }
        for (at, (name, value)) in self.fields.iter().enumerate() {
            // RFC 5322, 2.2: printable ASCII without the colon.
            if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':') {
                return Err(Unwritable::FieldName(name.clone()));
            }
            if OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                return Err(Unwritable::OwnField(name.clone()));
            }
            let is_second = self.fields.iter().take(at).any(|(other, _)| other.eq_ignore_ascii_case(name));
            if is_second && SINGLE_FIELDS.iter().any(|single| single.eq_ignore_ascii_case(name)) {
                return Err(Unwritable::Twice(name.clone()));
            }
            check_text(value, &format!("the field {name}"))?;
        }
        Ok(())
    }

    fn body(&self, random: u64) -> MimePart<'_> {
        let text = self.text.as_deref().map(|text| text_part("text/plain", text));
        let html = self.html.as_deref().map(|html| text_part("text/html", html));
        let text = match (text, html) {
            // RFC 2046, 5.1.4: the best one last.
            (Some(text), Some(html)) => self.multipart("multipart/alternative", vec![text, html], random),
            (Some(text), None) => text,
            (None, Some(html)) => html,
            (None, None) => text_part("text/plain", ""),
        };
        if self.attachments.is_empty() {
            return text;
        }
        let parts = std::iter::once(text).chain(self.attachments.iter().map(Attachment::part)).collect();
        self.multipart("multipart/mixed", parts, random.rotate_left(32))
    }

    fn multipart<'a>(&self, media: &'static str, parts: Vec<MimePart<'a>>, random: u64) -> MimePart<'a> {
        MimePart::new(ContentType::new(media).attribute("boundary", self.boundary(random)), BodyPart::Multipart(parts))
    }

    /// A boundary that stands in no part. `=_` is in no encoded text either: quoted-printable has no
    /// such pair, and base64 no underscore (RFC 2045, 6.7).
    fn boundary(&self, random: u64) -> String {
        let texts = [&self.text, &self.html].into_iter().flatten().map(String::as_bytes);
        let contents: Vec<&[u8]> = texts.chain(self.attachments.iter().map(|attachment| attachment.content.as_slice())).collect();
        let is_free = |boundary: &String| contents.iter().all(|content| memchr::memmem::find(content, boundary.as_bytes()).is_none());
        let mut boundaries = (0_u64..).map(|tried| format!("=_portico_{:016x}", random.wrapping_add(tried)));
        boundaries.find(is_free).expect("finite texts hold finitely many of them")
    }
}

impl Attachment {
    fn part(&self) -> MimePart<'_> {
        let name = file_name::safe(&self.name).unwrap_or_else(|| "attachment".into());
        let plain = is_plain(&self.content);
        let media = match self.media.split('/').next().unwrap_or_default() {
            // RFC 2046, 5.1 and 5.2.1: they must not be encoded; as files they may.
            "message" | "multipart" if !plain => "application/octet-stream",
            _ => &self.media,
        };
        let mut media = ContentType::new(media);
        let (encoding, content) = match std::str::from_utf8(&self.content) {
            Ok(_) if plain => ("7bit", self.content.clone()),
            _ => ("base64", base64_lines(&self.content)),
        };
        if self.media.starts_with("text/") && std::str::from_utf8(&self.content).is_ok() {
            media = media.attribute("charset", "utf-8");
        }
        MimePart::new(media, BodyPart::Binary(content.into())).attachment(name).transfer_encoding(encoding)
    }
}

/// Text for reading: its line ends become CR LF.
fn text_part<'a>(media: &'static str, text: &str) -> MimePart<'a> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
    let media = ContentType::new(media).attribute("charset", "utf-8");
    if text.contains('\0') {
        // RFC 2045, 2.7: no NUL in 7bit, and quoted-printable would be as good.
        return MimePart::new(media, BodyPart::Binary(base64_lines(text.as_bytes()).into())).transfer_encoding("base64");
    }
    MimePart::new(media, BodyPart::Text(text.into()))
}

/// Whether content can stand in a message as it is: RFC 2045, 2.7 (`7bit`), and no transport has a
/// reason to touch it.
fn is_plain(content: &[u8]) -> bool {
    let lines = content.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r"));
    let count = memchr::memchr_iter(b'\n', content).count();
    let is_plain_line = |line: &[u8]| {
        line.len() <= LINE_OCTETS
            && line.iter().all(|octet| octet.is_ascii() && (*octet == b'\t' || !octet.is_ascii_control()))
            && !line.ends_with(b" ")
            && !line.ends_with(b"\t")
    };
    // The last piece is what follows the last line end.
    lines.enumerate().all(|(number, line)| match line {
        Some(line) => number < count && is_plain_line(line),
        None => number == count && is_plain_line(content.rsplit(|octet| *octet == b'\n').next().unwrap_or_default()),
    })
}

fn base64_lines(octets: &[u8]) -> Vec<u8> {
    STANDARD.encode(octets).as_bytes().chunks(ENCODED_LINE_CHARACTERS).collect::<Vec<_>>().join(&b"\r\n"[..])
}

fn check_text(text: &str, what: &str) -> Result<(), Unwritable> {
    match text.chars().any(|c| c.is_control() && c != '\t') {
        true => Err(Unwritable::Control(what.to_owned())),
        false => Ok(()),
    }
}

/// Only a field that holds one long word can get a line too long: all else is folded or encoded.
fn check_lines(message: &[u8]) -> Result<(), Unwritable> {
    let mut field = "";
    for line in message.split(|octet| *octet == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            field = line.split(|octet| *octet == b':').next().and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default();
        }
        if line.len() > LINE_OCTETS + 1 {
            return Err(Unwritable::LongLine(field.chars().take(40).collect()));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
