//! 8-bit messages for servers that take 7-bit text only (RFC 6152, 3): each part that has octets
//! beyond ASCII is put into quoted-printable or base64, and everything else stays as it is.
//!
//! Some messages can't be converted without harm, and are to be returned instead: signed ones
//! (RFC 1847, 2.1 asks that nobody touch them), and header fields that have such octets themselves.

use std::ops::Range;

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::{HeaderName, MessageParser, MessagePart, MimeHeaders, PartType};

use super::mime::tree::Tree;

/// RFC 2045, 6.7 and 6.8: the longest line of encoded text, in characters.
const LINE_CHARACTERS: usize = 76;

/// Messages within messages within messages: deeper than this nobody forwards.
const NESTED: usize = 8;

/// A span of the message and what is to stand in its place.
type Edit = (Range<usize>, Vec<u8>);

/// The message in ASCII, or `None` where that can't be done.
pub(crate) fn to_seven_bit(message: &[u8]) -> Option<Vec<u8>> {
    // What goes beyond the bounds of a tree would have the parser nest without bound.
    Tree::read(message).ok()?;
    convert(message, NESTED)
}

fn convert(message: &[u8], depth: usize) -> Option<Vec<u8>> {
    let parsed = MessageParser::new().parse(message)?;
    let mut edits = Vec::new();
    for part in &parsed.parts {
        edits.extend(edits_of(message, part, depth)?);
    }
    edits.sort_by_key(|(span, _)| span.start);
    let converted = apply(message, edits)?;
    converted.is_ascii().then_some(converted)
}

fn edits_of(message: &[u8], part: &MessagePart<'_>, depth: usize) -> Option<Vec<Edit>> {
    let span = part.offset_body as usize..part.offset_end as usize;
    let body = message.get(span.clone())?;
    let is_signed = part.content_type().and_then(|kind| kind.subtype()) == Some("signed");
    match &part.body {
        _ if body.is_ascii() && !matches!(part.body, PartType::Multipart(_)) => Some(Vec::new()),
        // 8-bit text that claims to be encoded already: nobody knows what it is.
        _ if part.content_transfer_encoding().is_some_and(|encoding| !is_identity(encoding)) => None,
        PartType::Multipart(_) if is_signed && !body.is_ascii() => None,
        PartType::Multipart(_) => Some(encoding_field(part, "7bit").into_iter().collect()),
        // A message within may not be encoded as a whole (RFC 2046, 5.2.1); its parts may.
        PartType::Message(_) => {
            let inner = convert(body, depth.checked_sub(1)?)?;
            Some(encoding_field(part, "7bit").into_iter().chain([(span, inner)]).collect())
        }
        PartType::Text(_) | PartType::Html(_) => Some(encode(part, span, "quoted-printable", quoted_printable(body))),
        PartType::Binary(_) | PartType::InlineBinary(_) => Some(encode(part, span, "base64", base64_lines(body))),
    }
}

/// RFC 2045, 6.2: these say what the octets are like and change nothing.
fn is_identity(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"].iter().any(|known| encoding.trim().eq_ignore_ascii_case(known))
}

/// Replaces the body of a part, and says so in its header.
fn encode(part: &MessagePart<'_>, span: Range<usize>, encoding: &str, encoded: Vec<u8>) -> Vec<Edit> {
    let field = encoding_field(part, encoding).unwrap_or_else(|| {
        // In front of the header section: what stands behind it may be its empty line or nothing.
        let start = part.offset_header as usize;
        let mime = if start == 0 && part.headers.iter().all(|header| header.name != HeaderName::MimeVersion) {
            "MIME-Version: 1.0\r\n"
        } else {
            ""
        };
        (start..start, format!("{mime}Content-Transfer-Encoding: {encoding}\r\n").into_bytes())
    });
    vec![field, (span, encoded)]
}

/// The edit of a part's Content-Transfer-Encoding, if it has one.
fn encoding_field(part: &MessagePart<'_>, encoding: &str) -> Option<Edit> {
    let field = part.headers.iter().find(|header| header.name == HeaderName::ContentTransferEncoding)?;
    Some((field.offset_start as usize..field.offset_end as usize, format!(" {encoding}\r\n").into_bytes()))
}

fn apply(message: &[u8], edits: Vec<Edit>) -> Option<Vec<u8>> {
    let mut converted = Vec::with_capacity(message.len() * 5 / 4);
    let mut done = 0;
    for (span, replacement) in edits {
        converted.extend_from_slice(message.get(done..span.start)?);
        converted.extend_from_slice(&replacement);
        done = span.end;
    }
    converted.extend_from_slice(message.get(done..)?);
    Some(converted)
}

/// RFC 2045, 6.7. Line ends stay line ends; blanks before them are encoded.
fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() * 5 / 4);
    for (number, line) in text.split(|octet| *octet == b'\n').enumerate() {
        if number > 0 {
            encoded.extend_from_slice(b"\r\n");
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut column = 0;
        for (at, &octet) in line.iter().enumerate() {
            let last = at + 1 == line.len();
            let plain = matches!(octet, b'!'..=b'<' | b'>'..=b'~') || matches!(octet, b' ' | b'\t') && !last;
            let width = if plain { 1 } else { 3 };
            // The last character of the line is for the sign of a soft line break.
            if column + width > LINE_CHARACTERS - usize::from(!last) {
                encoded.extend_from_slice(b"=\r\n");
                column = 0;
            }
            column += width;
            if plain { encoded.push(octet) } else { encoded.extend_from_slice(format!("={octet:02X}").as_bytes()) }
        }
    }
    encoded
}

fn base64_lines(octets: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(octets);
    text.as_bytes().chunks(LINE_CHARACTERS).collect::<Vec<_>>().join(&b"\r\n"[..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn converted(message: &[u8]) -> Option<String> {
        to_seven_bit(message).map(|message| String::from_utf8(message).unwrap())
    }

    #[test]
    fn a_text_is_put_into_quoted_printable() {
        let message = b"Received: x\r\nSubject: y\r\nContent-Transfer-Encoding: 8bit\r\n\r\nbl\xe5b\xe6r = 1 \r\nplain\r\n";
        let expected = "Received: x\r\nSubject: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nbl=E5b=E6r =3D 1=20\r\nplain\r\n";
        assert_eq!(converted(message).as_deref(), Some(expected));
        let message = b"Subject: y\r\n\r\nbl\xe5\r\n";
        let expected = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\nSubject: y\r\n\r\nbl=E5\r\n";
        assert_eq!(converted(message).as_deref(), Some(expected));
    }

    #[test]
    fn only_the_parts_that_need_it_are_touched() {
        let message = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
            pre\r\n--b\r\n\r\nascii =\r\n--b\r\nContent-Type: text/plain; charset=latin1\r\n\r\n\xe5\r\n\
            --b\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: binary\r\n\r\n\xff\xd8\r\n--b--\r\nafter\r\n";
        let expected = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
            pre\r\n--b\r\n\r\nascii =\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=latin1\r\n\r\n=E5\r\n\
            --b\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n/9g=\r\n--b--\r\nafter\r\n";
        assert_eq!(converted(message).as_deref(), Some(expected));
    }

    #[test]
    fn messages_within_messages_without_end_are_left_to_be_returned() {
        let bomb = ["Content-Type: message/rfc822\r\n\r\n".repeat(100_000).as_bytes(), b"\xe5"].concat();
        assert_eq!(converted(&bomb), None);
    }

    #[test]
    fn a_message_within_a_message_is_converted_inside() {
        let message = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\
            Content-Transfer-Encoding: 8bit\r\n\r\nSubject: x\r\nMIME-Version: 1.0\r\n\r\n\xe5\r\n--b--\r\n";
        let expected = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\
            Content-Transfer-Encoding: 7bit\r\n\r\nContent-Transfer-Encoding: quoted-printable\r\nSubject: x\r\nMIME-Version: 1.0\r\n\r\n=E5\r\n--b--\r\n";
        assert_eq!(converted(message).as_deref(), Some(expected));
    }

    #[test]
    fn what_must_not_be_touched_is_left_to_be_returned() {
        for message in [
            &b"Subject: \xe5\r\n\r\nx\r\n"[..],
            b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe5\r\n--b--\r\n",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: \xe5\r\n\r\nx\r\n--b--\r\n",
            b"Content-Transfer-Encoding: base64\r\n\r\n\xe5\r\n",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\npre\xe5\r\n--b\r\n\r\nx\r\n--b--\r\n",
        ] {
            assert_eq!(converted(message), None, "{}", message.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn encoded_lines_are_short_and_decode_to_the_same(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>().prop_filter("no line ends", |octet| !b"\r\n".contains(octet)), 0..200), 0..4)) {
            let text = lines.join(&b"\r\n"[..]);
            let encoded = quoted_printable(&text);
            prop_assert!(encoded.is_ascii() && encoded.split(|octet| *octet == b'\n').all(|line| line.len() <= LINE_CHARACTERS + 1));
            let message = [&b"Content-Type: application/x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"[..], &encoded].concat();
            let parsed = MessageParser::new().parse(&message).unwrap();
            prop_assert_eq!(parsed.parts[0].contents(), &text[..]);
        }

        #[test]
        fn no_message_makes_it_panic(message in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..200) {
            let known = b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\r\n\xe5\r\n--b--\r\n";
            let _converted = (to_seven_bit(&message), to_seven_bit(&[&known[..cut.min(known.len())], &message].concat()));
        }
    }
}
