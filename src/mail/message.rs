//! The fields that servers put in front of a message: trace fields (RFC 5321, 4.4) and what
//! delivery adds.

use std::{net::IpAddr, time::SystemTime};

use super::{
    address::{Host, Mailbox, Path},
    date,
};

/// What a Received field says: who brought the message, who took it, how, and when.
pub(crate) struct Received<'a> {
    /// What the client called itself in HELO or EHLO.
    pub hello: &'a str,
    pub peer: IpAddr,
    /// Our own name.
    pub by: &'a str,
    pub with: With,
    /// Version and cipher suite.
    pub tls: Option<(&'a str, &'a str)>,
    pub id: &'a str,
    /// Named only where there is one recipient: more would tell them of each other (7.2).
    pub recipient: Option<&'a Mailbox>,
    pub at: SystemTime,
}

/// How the client spoke, for the `with` clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct With {
    pub extended: bool,
    pub tls: bool,
    pub authenticated: bool,
    /// The transaction has SMTPUTF8.
    pub utf8: bool,
}

impl With {
    /// The registered name (RFC 3848; RFC 6531, 4.3).
    pub(crate) fn name(self) -> &'static str {
        match (self.extended, self.utf8, self.tls, self.authenticated) {
            (false, false, _, _) => "SMTP",
            (true, false, false, false) => "ESMTP",
            (true, false, true, false) => "ESMTPS",
            (true, false, false, true) => "ESMTPA",
            (true, false, true, true) => "ESMTPSA",
            (_, true, false, false) => "UTF8SMTP",
            (_, true, true, false) => "UTF8SMTPS",
            (_, true, false, true) => "UTF8SMTPA",
            (_, true, true, true) => "UTF8SMTPSA",
        }
    }
}

impl Received<'_> {
    /// The field, folded, with its CR LF.
    pub(crate) fn field(&self) -> String {
        let hello: String = self.hello.chars().map(|c| if is_host_character(c) { c } else { '?' }).collect();
        let tls = self.tls.map(|(version, cipher)| format!("\r\n\t({version} {cipher})")).unwrap_or_default();
        let recipient = self.recipient.map(|mailbox| format!("\r\n\tfor <{mailbox}>")).unwrap_or_default();
        format!(
            "Received: from {hello} ({peer})\r\n\tby {by} (Portico) with {with}{tls}\r\n\tid {id}{recipient};\r\n\t{date}\r\n",
            peer = literal(self.peer),
            by = self.by,
            with = self.with.name(),
            id = self.id,
            date = date::format(self.at),
        )
    }
}

/// `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321, 4.1.3).
pub(crate) fn literal(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Host::V4(ip).to_string(),
        IpAddr::V6(ip) => Host::V6(ip).to_string(),
    }
}

/// The fields of final delivery: the reverse path, so that it is not lost with the envelope
/// (4.4), and the mailbox that this copy was delivered to.
pub(crate) fn delivery_fields(sender: &Path, recipient: &Mailbox) -> String {
    format!("Return-Path: {sender}\r\nDelivered-To: {recipient}\r\n")
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._:[]".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn received<'a>(hello: &'a str, recipient: Option<&'a Mailbox>, with: With) -> String {
        Received {
            hello,
            peer: "::ffff:127.0.0.1".parse().unwrap(),
            by: "portico.test",
            with,
            tls: with.tls.then_some(("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
            id: "abc",
            recipient,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777),
        }
        .field()
    }

    #[test]
    fn the_trace_field_is_exact() {
        let bob = Mailbox::parse("bob@portico.test").unwrap();
        assert_eq!(
            received("lab", Some(&bob), With { extended: true, tls: true, authenticated: true, utf8: false }),
            "Received: from lab ([127.0.0.1])\r\n\tby portico.test (Portico) with ESMTPSA\r\n\
             \t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n\tid abc\r\n\tfor <bob@portico.test>;\r\n\
             \tSun, 06 Nov 1994 08:49:37 +0000\r\n"
        );
        assert_eq!(
            received("a b(c)\u{e5}", None, With { extended: false, tls: false, authenticated: false, utf8: false }),
            "Received: from a?b?c?? ([127.0.0.1])\r\n\tby portico.test (Portico) with SMTP\r\n\
             \tid abc;\r\n\tSun, 06 Nov 1994 08:49:37 +0000\r\n"
        );
    }

    #[test]
    fn a_null_reverse_path_is_kept_at_delivery() {
        let bob = Mailbox::parse("bob@portico.test").unwrap();
        assert_eq!(delivery_fields(&Path::Null, &bob), "Return-Path: <>\r\nDelivered-To: bob@portico.test\r\n");
    }
}
