//! Header fields, decoded: encoded words (RFC 2047), parameters in pieces and in other charsets
//! (RFC 2231), UTF-8 (RFC 6532).

use mail_parser::{Address, HeaderName, HeaderValue, MessageParser, MimeHeaders};
use serde::{Deserialize, Serialize};

use super::tree::HEADER_OCTETS;

/// What the MIME fields of a part say about it.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// `text/plain`, in lower case.
    pub media: String,
    pub charset: Option<String>,
    /// The name of a file, as the sender wrote it: not to be trusted with a path.
    pub name: Option<String>,
    pub encoding: Encoding,
    /// To be kept apart from the text, whatever it is.
    pub is_attachment: bool,
    pub boundary: Option<String>,
}

/// RFC 2045, 6.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `7bit`, `8bit` or `binary`: nothing is changed (6.2).
    Identity(&'static str),
    QuotedPrintable,
    Base64,
    /// Nobody knows what it is: the octets are left as they are (6.4).
    Unknown(String),
}

impl Encoding {
    fn named(name: &str) -> Encoding {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "7bit" => Encoding::Identity("7bit"),
            "8bit" => Encoding::Identity("8bit"),
            "binary" => Encoding::Identity("binary"),
            "quoted-printable" => Encoding::QuotedPrintable,
            "base64" => Encoding::Base64,
            other => Encoding::Unknown(other.to_owned()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Encoding::Identity(name) => name,
            Encoding::QuotedPrintable => "quoted-printable",
            Encoding::Base64 => "base64",
            Encoding::Unknown(name) => name,
        }
    }

    pub(crate) fn is_identity(&self) -> bool {
        matches!(self, Encoding::Identity(_))
    }
}

/// Reads the MIME fields of a header section; `default` is the type of a part that names none
/// (RFC 2045, 5.2).
pub(crate) fn kind(header: &[u8], default: &str) -> Kind {
    let message = MessageParser::new().with_mime_headers().default_header_ignore().parse_headers(header);
    let part = message.as_ref().and_then(|message| message.parts.first());
    let content_type = part.and_then(|part| part.content_type());
    let media = content_type.and_then(|it| Some(format!("{}/{}", it.ctype(), it.subtype()?).to_ascii_lowercase()));
    let attribute = |name| content_type.and_then(|it| it.attribute(name)).map(str::to_owned);
    let disposition = part.and_then(|part| part.content_disposition());
    let name = disposition.and_then(|it| it.attribute("filename")).map(str::to_owned).or_else(|| attribute("name"));
    Kind {
        media: media.unwrap_or_else(|| default.to_owned()),
        charset: attribute("charset").filter(|charset| !charset.is_empty()),
        name: name.filter(|name| !name.is_empty()),
        encoding: Encoding::named(part.and_then(|part| part.content_transfer_encoding()).unwrap_or_default()),
        is_attachment: disposition.is_some_and(|it| it.ctype().eq_ignore_ascii_case("attachment")),
        boundary: attribute("boundary"),
    }
}

/// What a list of messages shows of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Summary {
    /// As RFC 3339 has it, in the sender's zone; empty where there is none.
    pub date: String,
    pub from: String,
    pub subject: String,
}

/// Date, From and Subject of a message, of which `head` is at least the beginning.
pub(crate) fn summary(head: &[u8]) -> Summary {
    let parser = MessageParser::new().header_date(HeaderName::Date).header_address(HeaderName::From).header_text(HeaderName::Subject);
    let Some(message) = parser.default_header_ignore().parse_headers(bounded(head)) else { return Summary::default() };
    Summary {
        date: message.date().map(|date| date.to_rfc3339()).unwrap_or_default(),
        from: message.from().map(people).unwrap_or_default(),
        subject: message.subject().unwrap_or_default().to_owned(),
    }
}

/// Addresses with the names of their owners.
fn people(address: &Address<'_>) -> String {
    let person = |person: &mail_parser::Addr<'_>| match (person.name(), person.address()) {
        (Some(name), Some(address)) if name != address => format!("{name} <{address}>"),
        (name, address) => address.or(name).unwrap_or_default().to_owned(),
    };
    address.iter().map(person).collect::<Vec<_>>().join(", ")
}

/// All fields of a header section, unfolded and decoded, in their order.
pub(crate) fn decoded(header: &[u8]) -> Vec<(String, String)> {
    let parser = MessageParser::new().header_text(HeaderName::Subject).default_header_text();
    let Some(message) = parser.parse_headers(bounded(header)) else { return Vec::new() };
    let text = |value: &HeaderValue<'_>| value.as_text().unwrap_or_default().trim().to_owned();
    message.headers().iter().map(|header| (header.name().to_owned(), text(&header.value))).collect()
}

/// The first decoded field of this name.
pub(crate) fn named<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn bounded(header: &[u8]) -> &[u8] {
    header.get(..HEADER_OCTETS).unwrap_or(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_attachments_are_decoded_in_every_spelling() {
        let name = |field: &str| kind(format!("{field}\r\n\r\n").as_bytes(), "text/plain").name;
        for (field, expected) in [
            ("Content-Type: image/jpeg; name=porch.jpg", "porch.jpg"),
            ("Content-Disposition: attachment; filename=\"a \\\"b\\\".txt\"", "a \"b\".txt"),
            ("Content-Disposition: attachment; filename*=utf-8''bl%C3%A5b%C3%A6r.txt", "blåbær.txt"),
            ("Content-Disposition: attachment; filename*=iso-8859-1'da'bl%E5b%E6r.txt", "blåbær.txt"),
            ("Content-Disposition: attachment; filename*0*=utf-8''bl%C3%A5; filename*1=\"b.txt\"", "blåb.txt"),
            ("Content-Disposition: attachment; filename=\"=?utf-8?B?YmzDpWLDpnI=?=\"", "blåbær"),
            ("Content-Disposition: attachment; filename=\"blåbær\"", "blåbær"),
        ] {
            assert_eq!(name(field).as_deref(), Some(expected), "{field}");
        }
        assert_eq!(name("Content-Disposition: attachment"), None);
    }

    #[test]
    fn what_is_missing_has_its_default() {
        let plain = kind(b"", "message/rfc822");
        assert_eq!((plain.media.as_str(), plain.encoding, plain.charset), ("message/rfc822", Encoding::Identity("7bit"), None));
        let odd = kind(b"Content-Type: text\r\nContent-Transfer-Encoding: X-UUENCODE\r\n\r\n", "text/plain");
        assert_eq!((odd.media.as_str(), odd.encoding.name()), ("text/plain", "x-uuencode"));
        let loud = kind(b"CONTENT-TYPE: TEXT/HTML; CHARSET=UTF-8\r\nContent-Transfer-Encoding: BASE64\r\n\r\n", "text/plain");
        assert_eq!((loud.media.as_str(), loud.encoding, loud.charset.as_deref()), ("text/html", Encoding::Base64, Some("UTF-8")));
    }

    #[test]
    fn fields_are_decoded_and_unfolded() {
        let header = "Subject: =?utf-8?q?bl=C3=A5?=\r\n =?iso-8859-1?q?b=E6r?= and\r\n more\r\nX-Odd: raw æ\r\nFrom: =?iso-2022-jp?B?GyRCO3ZMMxsoQg==?= <jim@x.test>\r\n\r\n";
        let fields = decoded(header.as_bytes());
        assert_eq!(named(&fields, "subject"), Some("blåbær and more"));
        assert_eq!(named(&fields, "X-Odd"), Some("raw æ"));
        let summary = summary(header.as_bytes());
        assert_eq!((summary.subject.as_str(), summary.date.as_str()), ("blåbær and more", ""));
        assert_eq!(summary.from, "事務 <jim@x.test>");
    }
}
