//! What a garbling layer knows of the conversation that passes through it.

use crate::transcript::matching::field;

/// Changes a line on its way. A line comes with its end; what has none yet comes as it is.
pub(super) type Garble = fn(&mut Seen, &[u8]) -> Vec<u8>;

pub(super) fn as_it_is(_seen: &mut Seen, line: &[u8]) -> Vec<u8> {
    line.to_vec()
}

pub(super) fn bare_lf(_seen: &mut Seen, line: &[u8]) -> Vec<u8> {
    line.strip_suffix(b"\r\n").map_or_else(|| line.to_vec(), |line| [line, b"\n"].concat())
}

/// What was seen so far on one connection.
#[derive(Default)]
pub(super) struct Seen {
    /// The last command, or the last request line.
    pub asked: String,
    /// The client sends a message.
    pub is_client_content: bool,
    /// The server sends a message or a list.
    pub is_server_content: bool,
    /// Within an HTTP head of a request, of a response.
    pub is_request_head: bool,
    pub is_response_head: bool,
    /// Whether the request's head had a Host.
    pub has_host: bool,
    /// The status of the response under way.
    pub status: String,
    /// The target of the first request.
    pub first_target: Option<String>,
    /// How many replies are to be left out.
    pub skipped: usize,
}

impl Seen {
    /// Notes a line of the client before it is changed.
    pub(super) fn client_says(&mut self, line: &[u8]) {
        let text = text(line);
        if self.is_client_content {
            self.is_client_content = text != ".";
        } else if self.is_request_head {
            self.is_request_head = !text.is_empty();
            self.has_host |= field(line).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        } else {
            self.is_request_head = text.ends_with(" HTTP/1.1") || text.ends_with(" HTTP/1.0");
            self.has_host = false;
            self.asked = text;
        }
    }

    /// Notes a line of the server before it is changed.
    pub(super) fn server_says(&mut self, line: &[u8]) {
        let text = text(line);
        if self.is_server_content {
            self.is_server_content = text != ".";
        } else if self.is_response_head {
            self.is_response_head = !text.is_empty();
        } else if text.starts_with("HTTP/1.") {
            self.is_response_head = true;
            self.status = text.split(' ').nth(1).unwrap_or_default().to_owned();
        } else if text.starts_with("354") {
            self.is_client_content = true;
        } else if text.starts_with("+OK") && !text.starts_with("+OK ready") {
            let asked = self.asked.to_ascii_uppercase();
            let mut words = asked.split(' ');
            self.is_server_content = match words.next() {
                Some("RETR" | "TOP" | "CAPA") => true,
                Some("LIST" | "UIDL") => words.next().is_none(),
                _ => false,
            };
        }
    }

    /// Whether the last command was this one.
    pub(super) fn is_asked(&self, verb: &str) -> bool {
        self.asked.split(' ').next().is_some_and(|asked| asked.eq_ignore_ascii_case(verb))
    }
}

/// A line without its end.
pub(super) fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned()
}

/// A line with its end.
pub(super) fn line(text: impl AsRef<str>) -> Vec<u8> {
    format!("{}\r\n", text.as_ref()).into_bytes()
}
