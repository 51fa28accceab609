//! What is in a part: its transfer encoding undone (RFC 2045, 6.7 and 6.8), and text in UTF-8.
//!
//! Decoding never fails: what makes no sense is left out or left as it is, as the RFC asks of
//! those who show mail.

use std::borrow::Cow;

use mail_parser::decoders::{charsets::map::charset_decoder, html::html_to_text};

use super::{fields::Encoding, tree::Part};

impl Part {
    /// The content as its sender had it.
    pub(crate) fn octets<'a>(&self, message: &'a [u8]) -> Cow<'a, [u8]> {
        let body = message.get(self.body.clone()).unwrap_or_default();
        match self.kind.encoding {
            _ if self.is_composite => body.into(),
            Encoding::Base64 => base64(body).into(),
            Encoding::QuotedPrintable => quoted_printable(body).into(),
            Encoding::Identity(_) | Encoding::Unknown(_) => body.into(),
        }
    }

    /// The content as text with LF line ends, whatever it is. Text in `format=flowed` (RFC 3676)
    /// keeps its lines.
    pub(crate) fn text(&self, message: &[u8]) -> String {
        text(&self.octets(message), self.kind.charset.as_deref()).replace("\r\n", "\n")
    }

    /// The same for reading: HTML without its tags.
    pub(crate) fn readable(&self, message: &[u8]) -> String {
        self.readable_within(message, usize::MAX)
    }

    /// The same of no more than the first `most` octets of the content.
    pub(crate) fn readable_within(&self, message: &[u8], most: usize) -> String {
        let octets = self.octets(message);
        let text = text(octets.get(..most).unwrap_or(&octets), self.kind.charset.as_deref()).replace("\r\n", "\n");
        if self.kind.media == "text/html" { html_to_text(&text) } else { text }
    }
}

/// Octets in a charset. Many programs say `us-ascii`, or nothing, and send UTF-8.
fn text(octets: &[u8], charset: Option<&str>) -> String {
    let charset = charset.filter(|name| !["us-ascii", "ascii", "utf-8", "utf8"].iter().any(|known| name.eq_ignore_ascii_case(known)));
    match charset.and_then(|name| charset_decoder(name.as_bytes())) {
        Some(decode) => decode(octets),
        None => String::from_utf8_lossy(octets).into_owned(),
    }
}

/// RFC 2045, 6.8: all characters outside the alphabet are ignored. Encoded text that was put
/// together of several pieces has padding in its middle; each piece counts.
fn base64(encoded: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(encoded.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for &character in encoded {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                held = 0;
                continue;
            }
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push((bits >> held) as u8);
        }
    }
    octets
}

/// RFC 2045, 6.7: blanks before a line end came from a transport (rule 3), a `=` that begins nothing
/// stays as it is.
fn quoted_printable(encoded: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(encoded.len());
    for line in encoded.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let end = &line[text.len()..];
        let text = text.trim_ascii_end();
        match text.strip_suffix(b"=") {
            Some(text) => decode_line(text, &mut octets),
            None => {
                decode_line(text, &mut octets);
                octets.extend_from_slice(end);
            }
        }
    }
    octets
}

fn decode_line(mut text: &[u8], octets: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'=', text) {
        octets.extend_from_slice(&text[..at]);
        let hex = |index: usize| char::from(*text.get(at + index)?).to_digit(16);
        match hex(1).zip(hex(2)) {
            Some((high, low)) => {
                octets.push((high << 4 | low) as u8);
                text = &text[at + 3..];
            }
            None => {
                octets.push(b'=');
                text = &text[at + 1..];
            }
        }
    }
    octets.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, *};

    #[test]
    fn encoded_octets_are_decoded_whatever_stands_between_them() {
        assert_eq!(base64(b"aGVs\r\nbG8=\r\n"), b"hello");
        assert_eq!(base64(b"aGVsbG8=IHdv cmxk!"), b"hello world");
        assert_eq!(base64(b"aGVsbG8"), b"hello");
        assert_eq!(
            quoted_printable(b"bl=E5b=e6r \t\r\nsoft=  \r\n line=0D=0A\r\nodd = =4 =ZZ="),
            b"bl\xe5b\xe6r\r\nsoft line\r\n\r\nodd = =4 =ZZ"
        );
    }

    #[test]
    fn text_comes_in_utf_8_whatever_its_charset() {
        for (charset, octets) in [
            ("iso-8859-1", &b"bl\xe5b\xe6r"[..]),
            ("windows-1252", b"bl\xe5b\xe6r"),
            ("utf-8", "blåbær".as_bytes()),
            ("us-ascii", "blåbær".as_bytes()),
            ("unheard-of", "blåbær".as_bytes()),
            ("utf-16be", b"\0b\0l\0\xe5\0b\0\xe6\0r"),
        ] {
            assert_eq!(text(octets, Some(charset)), "blåbær", "{charset}");
        }
        for (charset, octets) in [
            ("iso-2022-jp", &b"\x1b$B;vL3\x1b(B"[..]),
            ("shift_jis", b"\x8e\x96\x96\xb1"),
            ("euc-jp", b"\xbb\xf6\xcc\xb3"),
            ("gb2312", b"\xca\xc2\x84\xd5"),
        ] {
            assert_eq!(text(octets, Some(charset)), "事務", "{charset}");
        }
    }

    #[test]
    fn html_is_read_without_its_tags() {
        let message = b"Content-Type: text/html\r\n\r\n<p>Do you <b>like</b> ketchup?</p><script>alert(1)</script>\r\n";
        let tree = Tree::read(message).unwrap();
        let text = tree.text().unwrap().readable(message);
        assert!(text.contains("Do you like ketchup?") && !text.contains('<'), "{text}");
    }
}
