//! One message on its way to some recipients, made fit for a next hop that lacks an extension.

use std::{
    io::{self, Cursor, Read},
    mem,
};

use super::verdict::Reason;
use crate::{
    mail::convert,
    store::{
        self,
        envelope::{Envelope, Recipient},
    },
};

/// The largest message that is converted for the next hop, in octets: it is held in memory.
const CONVERT_OCTETS: u64 = 32 << 20;
/// How much of a header section is looked at for octets beyond ASCII.
const HEADER_OCTETS: u64 = 1 << 20;

/// A message to be sent.
pub(super) struct Letter<'a> {
    pub envelope: &'a Envelope,
    pub recipients: &'a [Recipient],
    /// There are octets beyond ASCII in it.
    pub eight_bit: bool,
    /// Only a server that knows SMTPUTF8 may get it.
    pub smtputf8: bool,
    pub octets: u64,
    pub text: Box<dyn Read + Send>,
}

/// What a next hop offers (RFC 5321, 4.1.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers(Vec<String>);

impl Offers {
    /// Of the lines of the answer to EHLO.
    pub(super) fn new(lines: impl IntoIterator<Item = String>) -> Offers {
        Offers(lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect())
    }

    /// The parameters of an extension, if it is offered.
    pub(super) fn parameters(&self, keyword: &str) -> Option<&str> {
        self.0.iter().find_map(|line| {
            let rest = line.strip_prefix(keyword)?;
            // `AUTH=PLAIN` is how servers older than RFC 2554 wrote it.
            (rest.is_empty() || rest.starts_with([' ', '='])).then(|| rest.trim_start_matches([' ', '=']))
        })
    }

    pub(super) fn has(&self, keyword: &str) -> bool {
        self.parameters(keyword).is_some()
    }
}

impl<'a> Letter<'a> {
    pub(super) fn new(envelope: &'a Envelope, recipients: &'a [Recipient], (text, octets): (Box<dyn Read + Send>, u64)) -> Letter<'a> {
        Letter { envelope, recipients, eight_bit: envelope.eight_bit, smtputf8: envelope.parameters.smtputf8, octets, text }
    }

    /// Makes it such that a next hop with these offers can take it.
    ///
    /// # Errors
    /// Why that can't be done; it holds for good.
    pub(super) async fn fit(mut self, offers: &Offers) -> Result<Letter<'a>, Reason> {
        if self.smtputf8 && !offers.has("SMTPUTF8") {
            self = self.without_utf8().await?;
        }
        if self.eight_bit && !offers.has("8BITMIME") {
            self = self.into_seven_bit().await?;
        }
        let limit = offers.parameters("SIZE").and_then(|limit| limit.trim().parse().ok()).filter(|limit: &u64| *limit > 0);
        match limit {
            Some(limit) if self.octets > limit => {
                Err(Reason::here(format!("552 5.3.4 message of {} octets, the next hop takes {limit}", self.octets)))
            }
            _ => Ok(self),
        }
    }

    /// RFC 6531, 3.2: where nothing in envelope and header needs the extension, it may go without.
    async fn without_utf8(mut self) -> Result<Letter<'a>, Reason> {
        let refused = |what| Reason::here(format!("553 5.6.7 {what}, and the next hop has no SMTPUTF8"));
        let originals = self.recipients.iter().filter_map(|recipient| recipient.parameters.orcpt.as_ref()).map(|orcpt| &orcpt.address);
        let mut addresses = self.recipients.iter().map(|recipient| &recipient.address).chain(originals).chain([&self.envelope.sender]);
        if !addresses.all(|address| address.is_ascii()) {
            return Err(refused("an address is beyond ASCII"));
        }
        let mut text = mem::replace(&mut self.text, Box::new(io::empty()));
        let (beginning, text) = store::blocking(move || {
            let mut beginning = Vec::new();
            let read = text.by_ref().take(HEADER_OCTETS).read_to_end(&mut beginning);
            read.map(|_| (beginning, text))
        })
        .await
        .map_err(|error| Reason::here(format!("reading the queue: {error}")))?;
        let end = memchr::memmem::find(&beginning, b"\r\n\r\n").unwrap_or(beginning.len());
        if !beginning.get(..end).is_some_and(<[u8]>::is_ascii) {
            return Err(refused("the header is beyond ASCII"));
        }
        Ok(Letter { smtputf8: false, text: Box::new(Cursor::new(beginning).chain(text)), ..self })
    }

    /// RFC 6152, 3: where the next hop takes no 8-bit text it is converted, or returned; octets
    /// with the high bit cut off help nobody.
    async fn into_seven_bit(self) -> Result<Letter<'a>, Reason> {
        let Letter { octets, text, .. } = self;
        let converted = store::blocking(move || {
            let mut message = Vec::new();
            let read = text.take(CONVERT_OCTETS).read_to_end(&mut message);
            read.ok().filter(|_| message.len() as u64 == octets).and_then(|_| convert::to_seven_bit(&message))
        });
        let refused = || Reason::here("554 5.6.3 the next hop takes no 8-bit text, and this can't be converted".into());
        let converted = converted.await.ok_or_else(refused)?;
        Ok(Letter { octets: converted.len() as u64, text: Box::new(Cursor::new(converted)), eight_bit: false, ..self })
    }
}

/// Makes CR LF of every line end, also of those that stand by themselves: what a server took as
/// part of a line must not reach the next one as an end of a line (SMTP smuggling).
#[derive(Default)]
pub(super) struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    pub(super) fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while let Some(&first) = rest.first() {
            if self.after_cr {
                // What follows a CR is its LF, or the CR stood by itself.
                self.after_cr = false;
                out.extend_from_slice(b"\r\n");
                if first == b'\n' {
                    rest = &rest[1..];
                }
                continue;
            }
            let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..end]);
            match rest.get(end) {
                Some(b'\r') => self.after_cr = true,
                Some(_) => out.extend_from_slice(b"\r\n"),
                None => {}
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if mem::take(&mut self.after_cr) {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offers_are_found_by_keyword_in_any_case() {
        let lines = ["hop.example", "size 1000", "AUTH=PLAIN LOGIN", "8bitmime", "XSIZE"];
        let offers = Offers::new(lines.map(str::to_owned));
        assert_eq!(offers.parameters("SIZE"), Some("1000"));
        assert_eq!(offers.parameters("AUTH"), Some("PLAIN LOGIN"));
        assert!(offers.has("8BITMIME") && !offers.has("8BIT") && !offers.has("HOP.EXAMPLE"));
    }

    fn cleaned(text: &[u8], cut: usize) -> Vec<u8> {
        let (mut ends, mut out) = (LineEnds::default(), Vec::new());
        let (first, second) = text.split_at(cut.min(text.len()));
        ends.feed(first, &mut out);
        ends.feed(second, &mut out);
        ends.finish(&mut out);
        out
    }

    #[test]
    fn every_line_end_goes_out_as_cr_lf() {
        for (text, clean) in [
            (&b"a\r\nb\r\n"[..], &b"a\r\nb\r\n"[..]),
            (b"a\nb\r", b"a\r\nb\r\n"),
            (b"a\n.\nb\r.\rc", b"a\r\n.\r\nb\r\n.\r\nc"),
            (b"\r\r\n\n", b"\r\n\r\n\r\n"),
            (b"", b""),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(cleaned(text, cut).escape_ascii().to_string(), clean.escape_ascii().to_string());
            }
        }
    }

    proptest! {
        #[test]
        fn no_cr_or_lf_is_ever_alone(text in proptest::collection::vec(proptest::sample::select(vec![b'\r', b'\n', b'.', b'a']), 0..30), cut in 0_usize..30) {
            let clean = cleaned(&text, cut);
            let without = clean.escape_ascii().to_string().replace("\\r\\n", "");
            prop_assert!(!without.contains("\\r") && !without.contains("\\n"));
            prop_assert_eq!(cleaned(&clean, 0), clean);
        }
    }
}
