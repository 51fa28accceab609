//! A line as it came.

/// A command line without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub text: Vec<u8>,
    pub ending: LineEnding,
}

impl Line {
    /// Whether this line is part of the head of an HTTP request: its first line or the Host field,
    /// which alone gives away a request whose first line was too long to be looked at. A text
    /// protocol hangs up on both: a browser that was tricked into talking to a mail server must
    /// not get as far as the request's body, where a stranger wrote commands.
    pub(crate) fn is_http_request(&self) -> bool {
        let mut words = self.text.rsplitn(2, |octet| *octet == b' ');
        let version = words.next().and_then(|last| last.strip_prefix(b"HTTP/"));
        let is_first = version.is_some_and(|version| version.iter().all(|octet| b"0123456789.".contains(octet)))
            && words.next().is_some_and(|rest| rest.contains(&b' '));
        is_first || self.text.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"Host:"))
    }
}

/// How a line ended on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnding {
    CrLf,
    /// A bare LF, as people's `nc` sends it.
    Lf,
}
