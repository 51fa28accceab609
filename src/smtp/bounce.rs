//! The report to a sender whose mail could not be delivered (RFC 3461 to 3464). Pure.
//!
//! It goes out with the null reverse path, and none is ever written about a message that had one:
//! two servers would else return mail to each other for ever (RFC 5321, 4.5.5).

use std::{fmt::Write, time::SystemTime};

use mail_parser::{Message, MessageParser};

use crate::mail::date;

/// How much of the original's header section is returned, in octets.
pub(super) const RETURNED_OCTETS: usize = 64 * 1024;

/// What a report is about.
pub(super) struct Report<'a> {
    /// Our name.
    pub name: &'a str,
    /// The report's own id.
    pub id: &'a str,
    /// To whom it goes: the sender of the original.
    pub sender: &'a str,
    pub arrived: SystemTime,
    pub now: SystemTime,
    /// Address and reason.
    pub failures: &'a [(String, String)],
    /// The beginning of the original: its header section or a part of it.
    pub original: &'a [u8],
}

impl Report<'_> {
    /// The whole message, with CR LF line ends.
    pub(super) fn message(&self) -> Vec<u8> {
        let header = header_section(self.original);
        let encoding = if header.is_ascii() { "7bit" } else { "8bit" };
        let original = MessageParser::new().parse_headers(header);
        let mut text = self.header(encoding, original.as_ref());
        text.push_str(&self.part("text/plain; charset=us-ascii", &self.explanation(original.as_ref())));
        text.push_str(&self.part("message/delivery-status", &self.status()));
        text.push_str(&self.part(&format!("text/rfc822-headers\r\nContent-Transfer-Encoding: {encoding}"), ""));
        let mut message = text.into_bytes();
        message.extend_from_slice(header);
        message.extend_from_slice(format!("\r\n--{}--\r\n", self.boundary()).as_bytes());
        message
    }

    fn header(&self, encoding: &str, original: Option<&Message<'_>>) -> String {
        let Report { name, id, sender, .. } = self;
        // So that mail readers show the report beside the message (RFC 5322, 3.6.4).
        let references =
            original.and_then(Message::message_id).map(|id| format!("References: <{}>\r\n", printable(id))).unwrap_or_default();
        format!(
            "From: Mail Delivery System <MAILER-DAEMON@{name}>\r\n\
             To: <{sender}>\r\n\
             Subject: Returned mail: could not be delivered\r\n\
             Date: {date}\r\n\
             Message-ID: <{id}@{name}>\r\n\
             {references}\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\
             \r\n",
            date = date::format(self.now),
            boundary = self.boundary(),
        )
    }

    /// For a person.
    fn explanation(&self, original: Option<&Message<'_>>) -> String {
        let subject =
            original.and_then(Message::subject).map(|subject| format!("\r\n  \"{}\"\r\n", printable(subject))).unwrap_or_default();
        let name = self.name;
        let mut text = format!("This is the mail server {name}. Your message\r\n{subject}\r\ncould not be delivered to\r\n\r\n");
        for (address, reason) in self.failures {
            write!(text, "  <{address}>\r\n    {}\r\n\r\n", printable(reason)).expect("a string takes all");
        }
        text.push_str("It will not be tried again. The header of your message follows below.\r\n");
        text
    }

    /// For a program (RFC 3464, 2).
    fn status(&self) -> String {
        let mut text = format!("Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n", self.name, date::format(self.arrived));
        for (address, reason) in self.failures {
            let (status, reason) = (status(reason), printable(reason));
            write!(
                text,
                "\r\nFinal-Recipient: rfc822; {address}\r\nAction: failed\r\nStatus: {status}\r\n\
                 Diagnostic-Code: smtp; {reason}\r\nLast-Attempt-Date: {}\r\n",
                date::format(self.now)
            )
            .expect("a string takes all");
        }
        text
    }

    fn part(&self, kind: &str, content: &str) -> String {
        format!("--{}\r\nContent-Type: {kind}\r\n\r\n{content}\r\n", self.boundary())
    }

    /// Random as the id is, so that nobody can write it into a header beforehand.
    fn boundary(&self) -> String {
        format!("=_{}", self.id)
    }
}

/// The enhanced code in a reply (`550 5.1.1 ...`), or what stands for any failure.
fn status(reason: &str) -> &str {
    let is_status = |word: &&str| {
        let parts: Vec<_> = word.split('.').collect();
        parts.len() == 3 && parts[0] == "5" && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit()))
    };
    // RFC 3463, 3.5: 4.4.7 is the status of mail that was too long on its way.
    reason.split_whitespace().take(2).find(is_status).unwrap_or(if reason.starts_with('5') { "5.0.0" } else { "4.4.7" })
}

/// One line of ASCII.
fn printable(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).take(800).collect()
}

/// The header section at the beginning of a message, with its last CR LF.
fn header_section(message: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(message, b"\r\n\r\n").map(|at| at + 2);
    // Without an end in sight, up to the last whole line.
    let end = end.or_else(|| memchr::memmem::rfind(message, b"\r\n").map(|at| at + 2));
    &message[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};

    fn report(original: &[u8]) -> Vec<u8> {
        let failures = [
            ("u@remote.example".to_owned(), "550 5.1.1 User\r\nunknown".to_owned()),
            ("v@remote.example".to_owned(), "connecting to remote.example:25: refused".to_owned()),
        ];
        let now = SystemTime::UNIX_EPOCH;
        let (name, id, sender) = ("portico.test", "0abc", "alice@portico.test");
        Report { name, id, sender, arrived: now, now, failures: &failures, original }.message()
    }

    #[test]
    fn a_report_has_its_three_parts() {
        let message = report(b"Received: x\r\nSubject: =?utf-8?q?h=69?=\r\nMessage-ID: <1@lab>\r\n\r\nbody\r\n");
        let parsed = MessageParser::new().parse(&message).unwrap();
        assert_eq!(parsed.parts.len(), 4, "the whole and three parts");
        let kinds: Vec<_> = parsed.parts.iter().filter_map(|part| part.content_type()?.subtype()).collect();
        assert_eq!(kinds, ["report", "plain", "delivery-status", "rfc822-headers"]);
        let text = String::from_utf8(message).unwrap();
        assert!(text.contains("Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 User??unknown\r\n"));
        assert!(text.contains("Status: 4.4.7\r\n"));
        assert!(text.contains("References: <1@lab>\r\n") && text.contains("  \"hi\"\r\n"));
        assert!(text.contains("Message-ID: <1@lab>\r\n\r\n--=_0abc--\r\n") && !text.contains("body\r\n"));
        assert!(text.split("\r\n").all(|line| !line.contains(['\r', '\n'])));
    }

    #[test]
    fn an_8_bit_header_is_said_to_be_one() {
        let message = report(b"Subject: bl\xe5\r\n\r\n");
        assert!(memchr::memmem::find(&message, b"Content-Transfer-Encoding: 8bit").is_some());
        assert!(report(b"").is_ascii());
    }
}
