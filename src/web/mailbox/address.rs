//! Addresses below the mailbox, and what each of them means. Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Where the mailbox is.
pub(in crate::web) const MAILBOX: &str = "/lab/mail/";
/// What stays as it is in an address: the unreserved characters of RFC 3986, 2.3.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What an address below the mailbox means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) enum Page {
    /// The mailbox without the slash at its end.
    Unslashed,
    List,
    /// The message with this unique id, the one that POP3 tells by UIDL.
    Message(String),
    /// All of its octets.
    Source(String),
    /// One of its parts, numbered as in IMAP.
    Part {
        uid: String,
        number: String,
    },
    Nothing,
}

/// What an address means; `None` where it is not the mailbox's.
pub(in crate::web) fn find(path: &str) -> Option<Page> {
    let rest = path.strip_prefix(MAILBOX.trim_end_matches('/'))?;
    if rest.is_empty() {
        return Some(Page::Unslashed);
    }
    let mut segments = rest.strip_prefix('/')?.split('/');
    let uid = percent_decode_str(segments.next().unwrap_or_default()).decode_utf8_lossy().into_owned();
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    Some(match (segments.next(), segments.next()) {
        (None, _) if uid.is_empty() => Page::List,
        (None, _) => Page::Message(uid),
        (Some("source"), None) => Page::Source(uid),
        (Some(number), None) if is_number(number) => Page::Part { uid, number: number.to_owned() },
        _ => Page::Nothing,
    })
}

impl Page {
    /// For `Allow`.
    pub(in crate::web) fn methods(&self) -> &'static str {
        match self {
            Page::List => "GET, HEAD, OPTIONS, POST",
            Page::Message(_) => "GET, HEAD, OPTIONS, DELETE",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

/// The address of a message.
pub(super) fn address(uid: &str) -> String {
    format!("{MAILBOX}{}", utf8_percent_encode(uid, SEGMENT))
}
