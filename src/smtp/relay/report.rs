//! What a sender is told of a message: that it failed, is late, or has arrived (RFC 3461 to 3464, in
//! UTF-8 where it must be: RFC 6533). Pure.
//!
//! It goes out with the null reverse path, and none is ever written about a message that had one:
//! two servers would else return mail to each other for ever (RFC 5321, 4.5.5).

use std::{fmt::Write, net::IpAddr, time::SystemTime};

use mail_parser::{Message, MessageParser};

use super::answer::enhanced_code;
use crate::{
    mail::date,
    store::envelope::{self, Envelope, Recipient, RecipientState},
};

/// How much of the original's header section is returned, in octets.
pub(super) const HEADER_OCTETS: u64 = 64 * 1024;
/// The largest message that is returned as a whole (`RET=FULL`), in octets: a report is no way to
/// make a server send big mail to whom somebody else has named.
pub(super) const WHOLE_OCTETS: u64 = 1 << 20;
/// The longest reply that is passed on, in characters.
const REPLY_CHARACTERS: usize = 800;

/// What a report says; one report for all recipients of whom the same is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Failed,
    Delayed,
    Success,
}

impl Kind {
    pub(super) fn of(report: envelope::Report) -> Kind {
        match report {
            envelope::Report::Failed => Kind::Failed,
            envelope::Report::Delayed => Kind::Delayed,
            envelope::Report::Delivered | envelope::Report::Relayed | envelope::Report::Expanded => Kind::Success,
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Kind::Failed => "Returned mail: could not be delivered",
            Kind::Delayed => "Delayed mail: not delivered yet",
            Kind::Success => "Delivery report: your message has arrived",
        }
    }
}

/// What a report is about.
pub(super) struct Report<'a> {
    /// Our name.
    pub name: &'a str,
    /// The report's own id.
    pub id: &'a str,
    pub envelope: &'a Envelope,
    pub kind: Kind,
    pub about: &'a [&'a Recipient],
    pub now: SystemTime,
    /// When it will not be tried any more.
    pub give_up: SystemTime,
    /// The original, `whole` or the beginning: its header section or a part of it.
    pub original: &'a [u8],
    pub whole: bool,
}

impl Report<'_> {
    /// The whole message, with CR LF line ends.
    pub(super) fn message(&self) -> Vec<u8> {
        let returned = if self.whole { self.original } else { header_section(self.original) };
        let parsed = MessageParser::new().parse_headers(header_section(self.original));
        let explanation = self.explanation(parsed.as_ref());
        let is_ascii = returned.is_ascii() && !self.is_utf8();
        let mut text = self.header(if is_ascii { "7bit" } else { "8bit" }, parsed.as_ref());
        text.push_str(&self.part(
            if explanation.is_ascii() { "text/plain; charset=us-ascii" } else { "text/plain; charset=utf-8" },
            explanation.is_ascii(),
        ));
        text.push_str(&explanation);
        text.push_str(
            &self.part(if self.is_utf8() { "message/global-delivery-status" } else { "message/delivery-status" }, !self.is_utf8()),
        );
        text.push_str(&self.status());
        text.push_str(&self.part(self.kind_of_original(returned), returned.is_ascii()));
        let mut message = text.into_bytes();
        message.extend_from_slice(returned);
        let end = if returned.is_empty() || returned.ends_with(b"\r\n") { "" } else { "\r\n" };
        message.extend_from_slice(format!("{end}\r\n--{}--\r\n", self.boundary()).as_bytes());
        message
    }

    /// Whether only a server that knows SMTPUTF8 may get it (RFC 6533, 6).
    pub(super) fn is_utf8(&self) -> bool {
        let original = |recipient: &Recipient| recipient.parameters.orcpt.as_ref().is_none_or(|orcpt| orcpt.address.is_ascii());
        let plain = |recipient: &&Recipient| recipient.address.is_ascii() && original(recipient);
        !(self.envelope.sender.is_ascii() && self.about.iter().all(plain))
    }

    fn kind_of_original(&self, returned: &[u8]) -> &'static str {
        let header_is_ascii = header_section(returned).is_ascii();
        match (self.whole, self.is_utf8() || self.envelope.parameters.smtputf8 && !header_is_ascii) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        }
    }

    fn header(&self, encoding: &str, original: Option<&Message<'_>>) -> String {
        let Report { name, id, .. } = self;
        // So that mail readers show the report beside the message (RFC 5322, 3.6.4).
        let references = original.and_then(Message::message_id).map(|id| format!("References: <{}>\r\n", printable(id, false)));
        format!(
            "From: Mail Delivery System <MAILER-DAEMON@{name}>\r\n\
             To: <{sender}>\r\n\
             Subject: {subject}\r\n\
             Date: {date}\r\n\
             Message-ID: <{id}@{name}>\r\n\
             {references}\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type={report};\r\n\tboundary=\"{boundary}\"\r\n\
             Content-Transfer-Encoding: {encoding}\r\n",
            sender = self.envelope.sender,
            subject = self.kind.subject(),
            date = date::format(self.now),
            references = references.unwrap_or_default(),
            report = if self.is_utf8() { "global-delivery-status" } else { "delivery-status" },
            boundary = self.boundary(),
        )
    }

    /// For a person.
    fn explanation(&self, original: Option<&Message<'_>>) -> String {
        let mut text = format!("This is the mail server {}. Your message\r\n", self.name);
        if let Some(subject) = original.and_then(Message::subject) {
            text.push_str(&format!("\r\n  \"{}\"\r\n", printable(subject, self.is_utf8())));
        }
        text.push_str(match self.kind {
            Kind::Failed => "\r\ncould not be delivered to\r\n\r\n",
            Kind::Delayed => "\r\ncould not be delivered yet to\r\n\r\n",
            Kind::Success => "\r\nhas been taken for\r\n\r\n",
        });
        for recipient in self.about {
            let said = match (recipient.report, said(recipient)) {
                (Some(envelope::Report::Delivered), _) => "in the mailbox here",
                (Some(envelope::Report::Expanded), _) => "sent on to the members of a list",
                (Some(envelope::Report::Relayed), _) => "passed on to a server that sends no reports of success",
                (_, Some(said)) => said,
                (_, None) => "no reason was given",
            };
            push(&mut text, format_args!("  <{}>\r\n    {}\r\n\r\n", recipient.address, printable(said, self.is_utf8())));
        }
        text.push_str(match self.kind {
            Kind::Failed => "It will not be tried again. ",
            Kind::Delayed => "You need not do anything. ",
            Kind::Success => "",
        });
        if self.kind == Kind::Delayed {
            push(&mut text, format_args!("It will be tried until {}. ", date::format(self.give_up)));
        }
        text.push_str(if self.whole { "Your message follows below.\r\n" } else { "The header of your message follows below.\r\n" });
        text
    }

    /// For a program (RFC 3464, 2).
    fn status(&self) -> String {
        let Envelope { arrived, parameters, .. } = self.envelope;
        let mut text = String::new();
        if let Some(envid) = &parameters.envid {
            push(&mut text, format_args!("Original-Envelope-Id: {}\r\n", printable(envid, false)));
        }
        push(&mut text, format_args!("Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n", self.name, date::format(*arrived)));
        for recipient in self.about {
            text.push_str("\r\n");
            self.recipient_status(&mut text, recipient);
        }
        text
    }

    fn recipient_status(&self, text: &mut String, recipient: &Recipient) {
        if let Some(orcpt) = &recipient.parameters.orcpt {
            push(text, format_args!("Original-Recipient: {}; {}\r\n", printable(&orcpt.kind, false), printable(&orcpt.address, true)));
        }
        let kind = if recipient.address.is_ascii() { "rfc822" } else { "utf-8" };
        let said = said(recipient).unwrap_or_default();
        let (action, status) = action_and_status(recipient, said);
        push(text, format_args!("Final-Recipient: {kind}; {}\r\nAction: {action}\r\nStatus: {status}\r\n", recipient.address));
        if let Some(remote) = &recipient.progress.remote {
            push(text, format_args!("Remote-MTA: dns; {}\r\n", domain_or_literal(remote)));
        }
        if !said.is_empty() {
            // Only what another server said is an SMTP reply (RFC 3464, 2.3.6).
            let from = if is_reply(said) && recipient.progress.remote.is_some() { "smtp" } else { "x-portico" };
            push(text, format_args!("Diagnostic-Code: {from}; {}\r\n", printable(said, false)));
        }
        push(text, format_args!("Last-Attempt-Date: {}\r\n", date::format(recipient.progress.last_attempt.unwrap_or(self.now))));
        if self.kind == Kind::Delayed {
            push(text, format_args!("Will-Retry-Until: {}\r\n", date::format(self.give_up)));
        }
    }

    /// The head of the next part, and what ends the part before it.
    fn part(&self, kind: &str, is_ascii: bool) -> String {
        let encoding = if is_ascii { "" } else { "Content-Transfer-Encoding: 8bit\r\n" };
        format!("\r\n--{}\r\nContent-Type: {kind}\r\n{encoding}\r\n", self.boundary())
    }

    /// Random as the id is, so that nobody can write it into a message beforehand.
    fn boundary(&self) -> String {
        format!("=_{}", self.id)
    }
}

/// A name of the DNS, or an address in brackets (RFC 3464, 2.2.2).
fn domain_or_literal(remote: &str) -> String {
    match remote.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => format!("[{ip}]"),
        Ok(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        Err(_) => printable(remote, false),
    }
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes all");
}

/// The last that was said of a recipient.
fn said(recipient: &Recipient) -> Option<&str> {
    match &recipient.state {
        RecipientState::Waiting { last_reply } => last_reply.as_deref(),
        RecipientState::Delivered => None,
        RecipientState::Failed(why) => Some(why),
    }
}

fn action_and_status<'a>(recipient: &Recipient, said: &'a str) -> (&'static str, &'a str) {
    match recipient.report {
        Some(envelope::Report::Delivered) => ("delivered", "2.0.0"),
        Some(envelope::Report::Relayed) => ("relayed", "2.0.0"),
        Some(envelope::Report::Expanded) => ("expanded", "2.0.0"),
        // RFC 3463, 3.5: 4.4.7 is the status of mail that is too long on its way, 4.4.1 that of a
        // server that does not answer.
        Some(envelope::Report::Delayed) => ("delayed", status(said, '4').unwrap_or(if is_reply(said) { "4.0.0" } else { "4.4.1" })),
        Some(envelope::Report::Failed) | None => {
            ("failed", status(said, '5').unwrap_or(if is_reply(said) && said.starts_with('5') { "5.0.0" } else { "4.4.7" }))
        }
    }
}

/// The enhanced code in a reply (`550 5.1.1 ...`) of this class.
fn status(said: &str, class: char) -> Option<&str> {
    let text = if is_reply(said) { said.get(4..)? } else { said };
    enhanced_code(text).filter(|code| code.starts_with(class))
}

fn is_reply(said: &str) -> bool {
    said.get(..4).is_some_and(|code| code.bytes().take(3).all(|octet| octet.is_ascii_digit()) && code.ends_with(' '))
}

/// One line; in ASCII unless `utf8`.
fn printable(text: &str, utf8: bool) -> String {
    let plain = |c: char| matches!(c, ' '..='~') || utf8 && !c.is_ascii() && !c.is_control();
    text.chars().map(|c| if plain(c) { c } else { '?' }).take(REPLY_CHARACTERS).collect()
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
    use crate::store::envelope::{MailParameters, OriginalRecipient, Progress, RcptParameters};
    use mail_parser::MimeHeaders;

    fn recipient(address: &str, state: RecipientState, report: envelope::Report) -> Recipient {
        let orcpt = OriginalRecipient { kind: "rfc822".into(), address: "List@portico.test".into() };
        let parameters = RcptParameters { notify: None, orcpt: Some(orcpt) };
        let progress = Progress { remote: Some("mx.remote.example".into()), ..Progress::default() };
        Recipient { address: address.into(), state, parameters, report: Some(report), progress }
    }

    fn failed(address: &str, why: &str) -> Recipient {
        recipient(address, RecipientState::Failed(why.into()), envelope::Report::Failed)
    }

    fn written(recipients: Vec<Recipient>, original: &[u8], whole: bool) -> Vec<u8> {
        let now = SystemTime::UNIX_EPOCH;
        let envelope = Envelope {
            id: "1".into(),
            sender: "alice@portico.test".into(),
            recipients,
            eight_bit: false,
            arrived: now,
            attempts: 1,
            next_attempt: now,
            held: false,
            parameters: MailParameters { envid: Some("QQ+1".into()), ..MailParameters::default() },
        };
        let about: Vec<_> = envelope.recipients.iter().collect();
        let kind = Kind::of(about[0].report.unwrap());
        Report { name: "portico.test", id: "0abc", envelope: &envelope, kind, about: &about, now, give_up: now, original, whole }.message()
    }

    #[test]
    fn a_report_has_its_three_parts() {
        let recipients = vec![
            failed("u@remote.example", "550 5.1.1 User\r\nunknown"),
            failed("v@remote.example", "connecting to remote.example:25: refused"),
        ];
        let message = written(recipients, b"Received: x\r\nSubject: =?utf-8?q?h=69?=\r\nMessage-ID: <1@lab>\r\n\r\nbody\r\n", false);
        let parsed = MessageParser::new().parse(&message).unwrap();
        assert_eq!(parsed.parts.len(), 4, "the whole and three parts");
        let kinds: Vec<_> = parsed.parts.iter().filter_map(|part| part.content_type()?.subtype()).collect();
        assert_eq!(kinds, ["report", "plain", "delivery-status", "rfc822-headers"]);
        let text = String::from_utf8(message).unwrap();
        for line in [
            "Original-Envelope-Id: QQ+1\r\nReporting-MTA: dns; portico.test\r\n",
            "Original-Recipient: rfc822; List@portico.test\r\nFinal-Recipient: rfc822; u@remote.example\r\nAction: failed\r\n",
            "Status: 5.1.1\r\nRemote-MTA: dns; mx.remote.example\r\nDiagnostic-Code: smtp; 550 5.1.1 User??unknown\r\n",
            "Status: 4.4.7\r\n",
            "Diagnostic-Code: x-portico; connecting to remote.example:25: refused\r\n",
            "References: <1@lab>\r\n",
            "  \"hi\"\r\n",
            "Message-ID: <1@lab>\r\n\r\n--=_0abc--\r\n",
        ] {
            assert!(text.contains(line), "{line:?} in\n{text}");
        }
        assert!(!text.contains("body\r\n"));
        assert!(text.split("\r\n").all(|line| !line.contains(['\r', '\n'])));
    }

    #[test]
    fn the_whole_message_comes_back_where_it_was_asked_for() {
        let message = written(vec![failed("u@remote.example", "550 no")], b"Subject: x\r\n\r\nbody", true);
        let text = String::from_utf8(message).unwrap();
        assert!(text.contains("Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nbody\r\n\r\n--=_0abc--\r\n"), "{text}");
        assert!(text.contains("Status: 5.0.0\r\n"));
    }

    #[test]
    fn delays_and_successes_say_so() {
        let waiting = RecipientState::Waiting { last_reply: Some("450 4.2.0 greylisted".into()) };
        let text = String::from_utf8(written(vec![recipient("u@b", waiting, envelope::Report::Delayed)], b"", false)).unwrap();
        assert!(text.contains("Action: delayed\r\nStatus: 4.2.0\r\n") && text.contains("Will-Retry-Until: Thu, 01 Jan 1970"), "{text}");
        let text = written(vec![recipient("u@b", RecipientState::Delivered, envelope::Report::Relayed)], b"", false);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("Action: relayed\r\nStatus: 2.0.0\r\n") && !text.contains("Diagnostic-Code"), "{text}");
    }

    #[test]
    fn an_8_bit_header_is_said_to_be_one() {
        let message = written(vec![failed("u@b", "550 no")], b"Subject: bl\xe5\r\n\r\n", false);
        assert!(memchr::memmem::find(&message, b"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit").is_some());
        assert!(written(vec![failed("u@b", "550 no")], b"", false).is_ascii());
    }

    #[test]
    fn an_address_beyond_ascii_makes_a_report_in_utf_8() {
        let message =
            String::from_utf8(written(vec![failed("jos\u{e9}@b.example", "553 5.6.7 no")], b"Subject: x\r\n\r\n", false)).unwrap();
        for line in [
            "report-type=global-delivery-status",
            "Content-Type: message/global-delivery-status\r\n",
            "Final-Recipient: utf-8; jos\u{e9}@b.example\r\n",
            "Content-Type: message/global-headers\r\n",
        ] {
            assert!(message.contains(line), "{line:?} in\n{message}");
        }
    }
}
