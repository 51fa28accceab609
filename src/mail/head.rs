//! The header section of a message on its way in: counts the hops, adds what a submission server
//! may add, and leaves every other octet alone.
//!
//! [`Head`] is fed the message chunk by chunk. It holds back the header section, which is bounded,
//! and nothing of the body, so a message of any size passes in constant memory.

use std::ops::Range;

/// RFC 5321, 6.3: more trace fields than this mean that the message goes in circles.
const MAX_RECEIVED: usize = 100;
/// The longest header section, in octets: a few hundred long lists of recipients.
const HEAD_OCTETS: usize = 256 * 1024;

/// Lets a message through with new fields in front.
pub(crate) struct Head {
    front: String,
    repair: Option<Repair>,
    held: Vec<u8>,
    /// Where the first line begins that has not been looked at.
    scanned: usize,
    fields: Vec<Field>,
    passed: bool,
    /// The From and Sender fields, where they are asked for.
    authors: Option<Vec<u8>>,
}

/// What submission adds where it is missing (RFC 6409, 8). Bcc is removed, too: it must not
/// reach the recipients (RFC 5322, 3.6.3).
pub(crate) struct Repair {
    pub date: String,
    /// With its angle brackets.
    pub message_id: String,
}

/// Why a message can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    Loop,
    TooLong,
}

struct Field {
    /// In lower case.
    name: String,
    span: Range<usize>,
}

/// What a line of the header section is.
enum Line {
    Field(String),
    Continuation,
    /// The empty line that ends the section.
    Blank,
    /// Text where a field should be: the client forgot the empty line, or the whole header.
    Text,
}

impl Head {
    /// `front` are whole fields with their CR LF.
    pub(crate) fn new(front: String, repair: Option<Repair>) -> Head {
        Head { front, repair, held: Vec::new(), scanned: 0, fields: Vec::new(), passed: false, authors: None }
    }

    /// Keeps the From and Sender fields for [`Head::authors`].
    pub(crate) fn keeping_authors(mut self) -> Head {
        self.authors = Some(Vec::new());
        self
    }

    /// The From and Sender fields of a message that has passed.
    pub(crate) fn authors(&self) -> Option<&[u8]> {
        self.authors.as_deref()
    }

    /// Whether everything that comes now goes on as it is.
    pub(crate) fn has_passed(&self) -> bool {
        self.passed
    }

    /// Appends to `out` what of the message can go on. The text is to have CR LF line ends.
    pub(crate) fn feed(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), HeadFault> {
        if self.passed {
            out.extend_from_slice(text);
            return Ok(());
        }
        self.held.extend_from_slice(text);
        while let Some(length) = memchr::memmem::find(&self.held[self.scanned..], b"\r\n") {
            let line = self.scanned..self.scanned + length + 2;
            match classify(&self.held[line.start..line.end - 2]) {
                Line::Field(name) => self.fields.push(Field { name, span: line.clone() }),
                Line::Continuation if let Some(field) = self.fields.last_mut() => field.span.end = line.end,
                Line::Blank => return self.pass(false, out),
                Line::Continuation | Line::Text => return self.pass(true, out),
            }
            self.scanned = line.end;
        }
        if self.held.len() > HEAD_OCTETS { Err(HeadFault::TooLong) } else { Ok(()) }
    }

    /// The message is over; appends what was held back.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), HeadFault> {
        if self.passed { Ok(()) } else { self.pass(true, out) }
    }

    /// Appends the header section as it is to be, and what is held of the body.
    fn pass(&mut self, blank_missing: bool, out: &mut Vec<u8>) -> Result<(), HeadFault> {
        if self.count("received") >= MAX_RECEIVED {
            return Err(HeadFault::Loop);
        }
        out.extend_from_slice(self.front.as_bytes());
        if let Some(repair) = &self.repair {
            for (name, value) in [("Date", &repair.date), ("Message-ID", &repair.message_id)] {
                if self.count(&name.to_ascii_lowercase()) == 0 {
                    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
            }
        }
        if let Some(authors) = &mut self.authors {
            for field in self.fields.iter().filter(|field| matches!(field.name.as_str(), "from" | "sender")) {
                authors.extend_from_slice(&self.held[field.span.clone()]);
            }
        }
        for field in &self.fields {
            if self.repair.is_none() || !matches!(field.name.as_str(), "bcc" | "resent-bcc") {
                out.extend_from_slice(&self.held[field.span.clone()]);
            }
        }
        if blank_missing {
            // Else our own fields would swallow the text that somebody typed without a header.
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.held[self.scanned..]);
        self.held = Vec::new();
        self.passed = true;
        Ok(())
    }

    fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|field| field.name == name).count()
    }
}

fn classify(line: &[u8]) -> Line {
    match line.first() {
        None => Line::Blank,
        Some(b' ' | b'\t') => Line::Continuation,
        // The separator of mbox files, which some programs leave in; the header goes on behind it.
        Some(_) if line.starts_with(b"From ") || line.starts_with(b">From ") => Line::Field("from ".into()),
        Some(_) => match memchr::memchr(b':', line).map(|colon| line[..colon].trim_ascii_end()) {
            Some(name) if !name.is_empty() && name.iter().all(u8::is_ascii_graphic) => {
                Line::Field(String::from_utf8_lossy(name).to_ascii_lowercase())
            }
            _ => Line::Text,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn repair() -> Repair {
        Repair { date: "now".into(), message_id: "<1@x>".into() }
    }

    fn through(text: &str, repair: Option<Repair>, cut: usize) -> Result<String, HeadFault> {
        let mut head = Head::new("Received: us\r\n".into(), repair);
        let mut out = Vec::new();
        let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
        head.feed(first, &mut out)?;
        head.feed(second, &mut out)?;
        head.finish(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_mx_adds_its_trace_field_and_nothing_else() {
        for (text, passed) in [
            ("Subject: x\r\nBcc: y\r\n\r\nbody\r\n", "Received: us\r\nSubject: x\r\nBcc: y\r\n\r\nbody\r\n"),
            ("A: 1\r\n folded\r\n\r\n", "Received: us\r\nA: 1\r\n folded\r\n\r\n"),
            ("\r\nbody: no field\r\n", "Received: us\r\n\r\nbody: no field\r\n"),
            // People who type no header still get their text read as text.
            ("Do you like ketchup?\r\nHow about pickles?\r\n", "Received: us\r\n\r\nDo you like ketchup?\r\nHow about pickles?\r\n"),
            ("From x Fri\r\nA: 1\r\n\r\nb\r\n", "Received: us\r\nFrom x Fri\r\nA: 1\r\n\r\nb\r\n"),
            ("Subject: x\r\nhello\r\n", "Received: us\r\nSubject: x\r\n\r\nhello\r\n"),
            (" folded from nothing\r\n", "Received: us\r\n\r\n folded from nothing\r\n"),
            ("Subject: x\r\n", "Received: us\r\nSubject: x\r\n\r\n"),
            ("", "Received: us\r\n\r\n"),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(through(text, None, cut).as_deref(), Ok(passed), "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn submission_adds_what_is_missing_and_removes_bcc() {
        for (text, passed) in [
            ("Subject: x\r\n\r\nb\r\n", "Received: us\r\nDate: now\r\nMessage-ID: <1@x>\r\nSubject: x\r\n\r\nb\r\n"),
            ("DATE: d\r\nbCC: a,\r\n b\r\nmessage-id : m\r\n\r\n", "Received: us\r\nDATE: d\r\nmessage-id : m\r\n\r\n"),
        ] {
            assert_eq!(through(text, Some(repair()), 7).as_deref(), Ok(passed));
        }
    }

    #[test]
    fn a_message_that_goes_in_circles_is_noticed() {
        let hops = |count| format!("{}\r\n", "Received: x\r\n".repeat(count));
        assert!(through(&hops(99), None, 0).is_ok());
        assert_eq!(through(&hops(100), None, 0), Err(HeadFault::Loop));
    }

    #[test]
    fn a_header_section_without_end_is_refused() {
        let long = |octets| format!("X: {}", "x".repeat(octets - 3));
        assert!(through(&long(HEAD_OCTETS), None, 0).is_ok());
        assert_eq!(through(&long(HEAD_OCTETS + 1), None, 0), Err(HeadFault::TooLong));
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(text in "([A-C]: ?|b|\r\n| )*", cut in 0_usize..40) {
            prop_assert_eq!(through(&text, Some(repair()), cut), through(&text, Some(repair()), 0));
        }
    }
}
