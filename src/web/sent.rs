//! What a form sent: its fields, and what is known about its files.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::form;
use crate::{
    http::{
        Fault,
        multipart::{Event, Multipart, PartHead, boundary},
    },
    net::escape::escape,
    store::{StoreError, mail::Spool},
};

/// All fields together, names and values, in octets.
pub(super) const FIELDS_OCTETS: usize = 64 * 1024;
/// How much of a file is shown, in octets.
const SHOWN_OCTETS: u64 = 200;

#[derive(Debug, Default)]
pub(super) struct Sent {
    pub fields: Vec<(String, String)>,
    pub files: Vec<SentFile>,
}

#[derive(Debug, Default)]
pub(super) struct SentFile {
    /// The name of the form's field.
    pub field: String,
    /// The file's own name, made safe.
    pub name: String,
    pub media_type: String,
    pub octets: u64,
    pub sha256: String,
    /// How it begins.
    pub text: String,
}

/// Why a form is not taken.
#[derive(Debug)]
pub(super) enum Trouble {
    Form(Fault),
    Store(StoreError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        Trouble::Form(fault)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

/// Where the octets of files go.
pub(super) type MakeSpool<'a> = &'a (dyn Fn() -> Result<Box<dyn Spool>, StoreError> + Send + Sync);

/// Takes in a `multipart/form-data` body piece by piece. Files go to spools, which vanish with
/// their last reader: nothing is left behind, however this ends.
pub(super) struct Taking<'a> {
    machine: Multipart,
    make_spool: MakeSpool<'a>,
    open: Option<Open>,
    field_octets: usize,
    sent: Sent,
}

enum Open {
    Field { name: String, value: Vec<u8> },
    File { head: PartHead, digest: Sha256, spool: Box<dyn Spool> },
}

impl<'a> Taking<'a> {
    pub(super) fn new(boundary: &str, make_spool: MakeSpool<'a>) -> Taking<'a> {
        Taking { machine: Multipart::new(boundary), make_spool, open: None, field_octets: 0, sent: Sent::default() }
    }

    pub(super) fn take(&mut self, octets: &[u8]) -> Result<(), Trouble> {
        for event in self.machine.feed(octets)? {
            match event {
                Event::Part(head) => self.open = Some(self.begin(head)?),
                Event::Data(octets) => self.add(&octets)?,
                Event::PartEnd => self.end()?,
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Sent, Trouble> {
        self.machine.finish()?;
        Ok(self.sent)
    }

    fn begin(&mut self, head: PartHead) -> Result<Open, Trouble> {
        self.count(head.name.len() + head.filename.as_ref().map_or(0, String::len))?;
        Ok(match head.filename {
            Some(_) => Open::File { head, digest: Sha256::new(), spool: (self.make_spool)()? },
            None => Open::Field { name: head.name, value: Vec::new() },
        })
    }

    fn add(&mut self, octets: &[u8]) -> Result<(), Trouble> {
        match &mut self.open {
            Some(Open::Field { value, .. }) => {
                value.extend_from_slice(octets);
                self.count(octets.len())?;
            }
            Some(Open::File { digest, spool, .. }) => {
                digest.update(octets);
                spool.write(octets)?;
            }
            None => {}
        }
        Ok(())
    }

    /// Fields are kept in memory.
    fn count(&mut self, octets: usize) -> Result<(), Fault> {
        self.field_octets += octets;
        match self.field_octets > FIELDS_OCTETS {
            true => Err(Fault::new(413, format!("the fields of the form are longer than {FIELDS_OCTETS} octets"), "RFC 9110, 15.5.14")),
            false => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), Trouble> {
        match self.open.take() {
            Some(Open::Field { name, value }) => self.sent.fields.push((name, String::from_utf8_lossy(&value).into_owned())),
            Some(Open::File { head, digest, mut spool }) => {
                let mut beginning = Vec::new();
                spool.reader()?.take(SHOWN_OCTETS).read_to_end(&mut beginning).map_err(StoreError::from)?;
                self.sent.files.push(SentFile {
                    field: head.name,
                    name: safe_name(&head.filename.unwrap_or_default()),
                    media_type: head.content_type.unwrap_or_else(|| "text/plain".into()),
                    octets: spool.octets(),
                    sha256: form::hex(&digest.finalize()),
                    text: escape(&beginning),
                });
            }
            None => {}
        }
        Ok(())
    }
}

/// What can be shown and could be the name of a file here: no folders, nothing that acts on a
/// terminal, nothing hidden (RFC 7578, 4.2).
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    escape(last.trim_start_matches('.').trim())
}

/// Reads a whole form of either coding; `None` where it is no form, or a malformed one.
pub(super) fn read(content_type: &str, content: &[u8]) -> Option<Sent> {
    if form::is_urlencoded(content_type) {
        return Some(Sent { fields: form::pairs(content), files: Vec::new() });
    }
    let boundary = boundary(content_type).ok().flatten()?;
    let mut taking = Taking::new(&boundary, &|| Ok(Box::new(InMemory::default())));
    taking.take(content).ok()?;
    taking.finish().ok()
}

/// For content that is in memory anyway.
#[derive(Default)]
struct InMemory(Vec<u8>);

impl Spool for InMemory {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        self.0.extend_from_slice(octets);
        Ok(())
    }
    fn octets(&self) -> u64 {
        self.0.len() as u64
    }
    fn reader(&mut self) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        Ok(Box::new(&self.0[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(name: &str, content: &str) -> Vec<u8> {
        format!("--x\r\nContent-Disposition: form-data; name=a{name}\r\n\r\n{content}\r\n--x--\r\n").into_bytes()
    }

    #[test]
    fn fields_and_files() {
        let sent = read("multipart/form-data; boundary=x", &form("", "ø")).unwrap();
        assert_eq!(sent.fields, [("a".to_owned(), "ø".to_owned())]);
        let sent = read("multipart/form-data; boundary=x", &form("; filename=\"../../.bashrc\"", "abc")).unwrap();
        let file = &sent.files[0];
        assert_eq!((file.name.as_str(), file.media_type.as_str(), file.octets, file.text.as_str()), ("bashrc", "text/plain", 3, "abc"));
        assert_eq!(file.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(read("application/json", b"{}").is_none());
    }

    #[test]
    fn fields_are_bounded_and_files_are_not_fields() {
        let long = "x".repeat(FIELDS_OCTETS);
        let take = |name: &str| {
            let mut taking = Taking::new("x", &|| Ok(Box::new(InMemory::default())));
            taking.take(&form(name, &long))
        };
        assert!(matches!(take(""), Err(Trouble::Form(Fault { status: 413, .. }))));
        assert!(take("; filename=b").is_ok());
    }

    #[test]
    fn a_full_disk_is_told() {
        let mut taking = Taking::new("x", &|| Err(StoreError::Full));
        assert!(matches!(taking.take(&form("; filename=b", "")), Err(Trouble::Store(StoreError::Full))));
    }
}
