//! Every reply that the server sends: code, enhanced code (RFC 3463) and text, in one place.
//!
//! The texts follow the textbook's dialogue where the RFC leaves them free.

mod farewell;

use std::fmt::{self, Display, Write};

pub(crate) use farewell::*;

use super::command::Verb;
use crate::{
    mail::address::{Fault, Mailbox, Path},
    net::escape::is_deceptive,
    store::StoreError,
};

/// RFC 5321, 4.5.3.1.5: the longest reply line, with code and CR LF, in octets.
const LINE_OCTETS: usize = 512;

/// A reply. Its lines cannot hold CR, LF or any other control character, so that no text from the
/// network, quoted in a reply, can look like a further reply (response splitting). Beyond ASCII they
/// are printed only to clients that have said SMTPUTF8 (RFC 6531, 3.7.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    code: u16,
    /// Subject and detail; the class is the code's first digit. `None` where RFC 2034 has none.
    enhanced: Option<(u8, u8)>,
    lines: Vec<String>,
    utf8: bool,
    /// Whatever its code.
    closes: bool,
}

impl Reply {
    fn plain(code: u16, text: impl Display) -> Reply {
        Reply { code, enhanced: None, lines: vec![clean(&text.to_string())], utf8: false, closes: false }
    }

    fn new(code: u16, subject: u8, detail: u8, text: impl Display) -> Reply {
        Reply { enhanced: Some((subject, detail)), ..Reply::plain(code, text) }
    }

    fn with_lines(mut self, lines: impl IntoIterator<Item = String>) -> Reply {
        self.lines.extend(lines.into_iter().map(|line| clean(&line)));
        self
    }

    /// The same, for a client that takes UTF-8.
    pub(crate) fn in_utf8(mut self, utf8: bool) -> Reply {
        self.utf8 = utf8;
        self
    }

    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    pub(crate) fn is_ascii(&self) -> bool {
        self.lines.iter().all(|line| line.is_ascii())
    }

    /// Whether the connection is closed after it (RFC 5321, 3.8).
    pub(crate) fn closes(&self) -> bool {
        self.closes || matches!(self.code, 221 | 421 | 521)
    }

    /// Whether it says that the client made a mistake, and not the mail system.
    pub(crate) fn is_protocol_error(&self) -> bool {
        matches!(self.code, 500..=504 | 530 | 535 | 538 | 555)
    }
}

impl Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            let mut out = format!("{}{}", self.code, if at == last { ' ' } else { '-' });
            if let Some((subject, detail)) = self.enhanced {
                write!(out, "{}.{subject}.{detail} ", self.code / 100)?;
            }
            out.extend(line.chars().map(|c| if self.utf8 || c.is_ascii() { c } else { '?' }));
            let fits = out.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LINE_OCTETS - 2).last();
            out.truncate(fits.unwrap_or(0));
            write!(f, "{out}\r\n")?;
        }
        Ok(())
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') || !c.is_ascii() && !is_deceptive(c) { c } else { '?' }).collect()
}

// Greeting, hello, goodbye.

pub(crate) fn greeting(name: &str) -> Reply {
    Reply::plain(220, format_args!("{name} ESMTP Portico"))
}

pub(crate) fn hello(client: &str) -> Reply {
    Reply::plain(250, format_args!("Hello {client}, pleased to meet you"))
}

/// RFC 5321, 4.1.1.1: the first line begins with our name; then one keyword a line.
pub(crate) fn extended_hello(name: &str, client: &str, keywords: Vec<String>) -> Reply {
    Reply::plain(250, format_args!("{name} Hello {client}, pleased to meet you")).with_lines(keywords)
}

pub(crate) fn goodbye(name: &str) -> Reply {
    Reply::new(221, 0, 0, format_args!("{name} closing connection"))
}

// Mail transactions.

pub(crate) fn sender_ok(sender: &Path) -> Reply {
    Reply::new(250, 1, 0, format_args!("{}... Sender ok", bare(sender)))
}

pub(crate) fn recipient_ok(recipient: &Path) -> Reply {
    Reply::new(250, 1, 5, format_args!("{}... Recipient ok", bare(recipient)))
}

pub(crate) fn enter_mail() -> Reply {
    Reply::plain(354, "Enter mail, end with \".\" on a line by itself")
}

pub(crate) fn accepted(id: &str) -> Reply {
    Reply::new(250, 0, 0, format_args!("Message accepted for delivery (id {id})"))
}

pub(crate) fn reset() -> Reply {
    Reply::new(250, 0, 0, "Reset, start over with MAIL")
}

pub(crate) fn noop() -> Reply {
    Reply::new(250, 0, 0, "OK")
}

pub(crate) fn cannot_verify() -> Reply {
    Reply::new(252, 1, 5, "Cannot VRFY user, but will accept mail and try to deliver it")
}

pub(crate) fn cannot_expand() -> Reply {
    Reply::new(252, 1, 5, "Cannot EXPN list, but will accept mail and try to deliver it")
}

pub(crate) fn verified(mailbox: &Mailbox) -> Reply {
    Reply::new(250, 1, 5, format_args!("<{mailbox}>"))
}

/// RFC 5321, 3.4.
pub(crate) fn will_forward(mailbox: &Mailbox) -> Reply {
    Reply::new(251, 1, 5, format_args!("User not local; will forward to <{mailbox}>"))
}

pub(crate) fn not_local(mailbox: &Mailbox) -> Reply {
    Reply::new(551, 1, 6, format_args!("User not local; please try <{mailbox}>"))
}

/// `members` are addresses in brackets; not none.
pub(crate) fn expanded(members: Vec<String>) -> Reply {
    let lines = members.iter().map(|member| clean(member)).collect();
    Reply { code: 250, enhanced: Some((1, 5)), lines, utf8: false, closes: false }
}

pub(crate) fn no_such_user(name: &str) -> Reply {
    Reply::new(550, 1, 1, format_args!("{name}... User unknown"))
}

/// RFC 5321, 3.5.1: EXPN of a user.
pub(crate) fn no_list(name: &str) -> Reply {
    Reply::new(550, 1, 1, format_args!("{name}... That is no mailing list"))
}

/// RFC 6531, 3.7.4.2: the answer would hold UTF-8, and the client did not ask for it.
pub(crate) fn utf8_reply() -> Reply {
    Reply::new(553, 6, 8, "The answer is beyond ASCII, ask again with SMTPUTF8")
}

pub(crate) fn chunk(octets: u64) -> Reply {
    Reply::new(250, 0, 0, format_args!("{octets} octets received"))
}

/// RFC 6710, 4.1: the client may not have the priority that it asked for.
pub(crate) fn accepted_with_priority(id: &str, priority: i8) -> Reply {
    Reply::new(250, 3, 6, format_args!("Message accepted for delivery (id {id}), {priority} is the new priority assigned to it"))
}

pub(crate) fn help(lines: Vec<String>) -> Reply {
    Reply::new(214, 0, 0, "This is Portico").with_lines(lines)
}

// The mailbox or the relay says no.

pub(crate) fn user_unknown(recipient: &Path) -> Reply {
    Reply::new(550, 1, 1, format_args!("{}... User unknown", bare(recipient)))
}

pub(crate) fn relaying_denied(recipient: &Path) -> Reply {
    Reply::new(550, 7, 1, format_args!("{}... Relaying denied", bare(recipient)))
}

pub(crate) fn no_route(host: &impl Display) -> Reply {
    Reply::new(550, 1, 2, format_args!("{host}... Host unknown: there is no route to it"))
}

pub(crate) fn not_your_address(sender: &Path, account: &str) -> Reply {
    Reply::new(553, 7, 1, format_args!("{}... is not an address of {account}", bare(sender)))
}

pub(crate) fn too_many_recipients() -> Reply {
    Reply::new(452, 5, 3, "Too many recipients, send the rest in another transaction")
}

pub(crate) fn message_too_big(limit: u64) -> Reply {
    Reply::new(552, 3, 4, format_args!("Message too big, at most {limit} octets are taken"))
}

pub(crate) fn header_too_big() -> Reply {
    Reply::new(552, 3, 4, "Header section too big")
}

/// RFC 3463, 3.3 (X.2.2). For now: its owner may make room, and the sender's server tries again.
pub(super) fn mailbox_full() -> Reply {
    Reply::new(452, 2, 2, "Mailbox full, try again later")
}

pub(super) fn larger_than_mailbox(quota: u64) -> Reply {
    Reply::new(552, 2, 2, format_args!("Message larger than the whole mailbox may be, {quota} octets"))
}

/// Something in the maildrop is not as it should be, which its owner's server must mend first.
pub(super) fn mailbox_unwritable() -> Reply {
    Reply::new(451, 2, 0, "Mailbox can't be written at this moment, try again later")
}

/// In a report: the other recipients have the message, and nobody will send it again for this one.
pub(super) fn mailbox_full_for_good() -> Reply {
    Reply::new(552, 2, 2, "Mailbox full")
}

pub(crate) fn bare_line_end() -> Reply {
    Reply::new(550, 6, 0, "Message refused: a CR or LF stands by itself, lines end in CR LF")
}

pub(crate) fn loop_detected() -> Reply {
    Reply::new(554, 4, 6, "Message refused: it has passed too many servers, this is a loop")
}

pub(crate) fn not_your_name(account: &str) -> Reply {
    Reply::new(550, 7, 1, format_args!("Message refused: neither From nor Sender is an address of {account}"))
}

/// RFC 7504, 3: no mail is taken here at all.
pub(crate) fn no_mail_here(name: &str) -> Reply {
    Reply::plain(521, format_args!("{name} does not accept mail"))
}

/// RFC 7504, 4 and 7505, 4.1: no mail is taken for this domain.
pub(crate) fn no_mail_there(host: &impl Display) -> Reply {
    Reply::new(556, 1, 10, format_args!("{host}... Domain does not accept mail"))
}

/// RFC 7505, 4.2: nobody could answer, or be told that the message did not arrive.
pub(crate) fn no_mail_back(host: &impl Display) -> Reply {
    Reply::new(550, 7, 27, format_args!("{host}... Sender's domain does not accept mail"))
}

/// What an address of the lab asks for.
pub(crate) fn wished(code: u16, words: &str) -> Reply {
    Reply::new(code, 0, 0, format_args!("{words} (as the address asks)"))
}

pub(crate) fn no_valid_recipients() -> Reply {
    Reply::new(554, 5, 1, "No valid recipients")
}

pub(crate) fn no_space() -> Reply {
    Reply::new(452, 3, 1, "Insufficient system storage, try again later")
}

/// THE mapping of storage errors: temporary all of them, so that the client keeps the message.
pub(crate) fn storage(error: &StoreError) -> Reply {
    match error {
        StoreError::Full => no_space(),
        // A disk that could not write or sync: what it still holds is uncertain.
        StoreError::Broken(_) => Reply::new(452, 3, 0, "Mail storage has failed, try again later"),
        _ => Reply::new(451, 3, 0, "Local error in processing, try again later"),
    }
}

// The client's mistakes.

pub(crate) fn unknown_command() -> Reply {
    Reply::new(500, 5, 1, "Command unknown, try HELP")
}

pub(crate) fn line_too_long() -> Reply {
    Reply::new(500, 5, 6, "Line too long")
}

pub(crate) fn not_implemented(verb: &str) -> Reply {
    Reply::new(502, 5, 1, format_args!("{verb} is not implemented"))
}

pub(crate) fn not_utf8() -> Reply {
    Reply::new(501, 5, 2, "This is neither ASCII nor UTF-8")
}

pub(crate) fn no_help() -> Reply {
    Reply::new(504, 5, 4, "There is no help on that, HELP alone lists the verbs")
}

/// RFC 6531, 3.5.
pub(crate) fn utf8_not_declared() -> Reply {
    Reply::new(553, 6, 7, "Addresses beyond ASCII need SMTPUTF8")
}

pub(crate) fn repeated_parameter(keyword: &str) -> Reply {
    Reply::new(501, 5, 4, format_args!("{keyword} is given twice"))
}

pub(crate) fn within_chunks() -> Reply {
    Reply::new(503, 5, 1, "A part of the message has come by BDAT, the rest must too")
}

/// RFC 3030, 3: after a chunk that failed the transaction is over.
pub(crate) fn chunk_failed() -> Reply {
    Reply::new(503, 5, 1, "An earlier BDAT has failed, RSET starts over")
}

pub(crate) fn syntax(verb: Verb) -> Reply {
    Reply::new(501, 5, 4, format_args!("Syntax: {}", verb.row().syntax))
}

/// RFC 3030, 2: octets follow, and nobody knows how many. What is text could be taken for commands.
pub(crate) fn unreadable_chunk() -> Reply {
    let syntax = Verb::Bdat.row().syntax;
    Reply {
        closes: true,
        ..Reply::new(501, 5, 4, format_args!("Syntax: {syntax}; closing connection, since nobody can tell where the chunk ends"))
    }
}

pub(crate) fn bad_sender(fault: Fault) -> Reply {
    Reply::new(501, 1, 7, format_args!("Bad sender address: {fault}"))
}

pub(crate) fn bad_recipient(fault: Fault) -> Reply {
    Reply::new(501, 1, 3, format_args!("Bad recipient address: {fault}"))
}

pub(crate) fn bad_parameter(parameter: &str) -> Reply {
    Reply::new(501, 5, 4, format_args!("Bad value in {parameter}"))
}

pub(crate) fn unknown_parameter(parameter: &str) -> Reply {
    Reply::new(555, 5, 4, format_args!("Parameter not recognized: {parameter}"))
}

pub(crate) fn hello_first() -> Reply {
    Reply::new(503, 5, 1, "Polite people say HELO first")
}

pub(crate) fn extended_hello_first() -> Reply {
    Reply::new(503, 5, 1, "Say EHLO first")
}

pub(crate) fn sender_given_already() -> Reply {
    Reply::new(503, 5, 1, "Sender already specified, RSET starts over")
}

pub(crate) fn sender_first() -> Reply {
    Reply::new(503, 5, 1, "Need MAIL before this")
}

pub(crate) fn recipient_first() -> Reply {
    Reply::new(503, 5, 1, "Need RCPT before this")
}

pub(crate) fn within_transaction() -> Reply {
    Reply::new(503, 5, 1, "Not within a mail transaction")
}

// TLS and logging in.

pub(crate) fn start_tls() -> Reply {
    Reply::new(220, 0, 0, "Ready to start TLS")
}

pub(crate) fn tls_already() -> Reply {
    Reply::new(503, 5, 1, "TLS is on already")
}

/// `question` is base64.
pub(crate) fn challenge(question: &str) -> Reply {
    Reply::plain(334, question)
}

pub(crate) fn login_ok(account: &str) -> Reply {
    Reply::new(235, 7, 0, format_args!("Authentication successful, welcome {account}"))
}

pub(crate) fn login_failed() -> Reply {
    Reply::new(535, 7, 8, "Authentication credentials invalid")
}

pub(crate) fn login_required() -> Reply {
    Reply::new(530, 7, 0, "Authentication required")
}

pub(crate) fn login_already() -> Reply {
    Reply::new(503, 5, 1, "Authenticated already")
}

pub(crate) fn login_cancelled() -> Reply {
    Reply::new(501, 0, 0, "Authentication cancelled")
}

pub(crate) fn bad_base64() -> Reply {
    Reply::new(501, 5, 2, "This is not base64")
}

/// RFC 4954, 4: a response that can't be understood.
pub(crate) fn bad_login_message(why: &str) -> Reply {
    Reply::new(501, 5, 2, format_args!("Not understood: {why}"))
}

pub(crate) fn unknown_mechanism() -> Reply {
    Reply::new(504, 5, 4, "Authentication mechanism not known")
}

pub(crate) fn encryption_required() -> Reply {
    Reply::new(538, 7, 11, "Encryption required, say STARTTLS first")
}

/// A path as the replies quote it: without brackets, unless there is nothing in them.
fn bare(path: &Path) -> String {
    match path {
        Path::Null => "<>".into(),
        Path::Postmaster => "postmaster".into(),
        Path::Mailbox(mailbox) => mailbox.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_printed_as_the_rfc_has_it() {
        assert_eq!(greeting("portico.test").to_string(), "220 portico.test ESMTP Portico\r\n");
        assert_eq!(noop().to_string(), "250 2.0.0 OK\r\n");
        let keywords = vec!["PIPELINING".into(), "8BITMIME".into()];
        let lines = "250-portico.test Hello lab, pleased to meet you\r\n250-PIPELINING\r\n250 8BITMIME\r\n";
        assert_eq!(extended_hello("portico.test", "lab", keywords).to_string(), lines);
        assert_eq!(help(vec!["NOOP".into()]).to_string(), "214-2.0.0 This is Portico\r\n214 2.0.0 NOOP\r\n");
    }

    #[test]
    fn no_text_can_break_out_of_its_line() {
        let reply = hello("x\r\n250 forged\0\u{e5}");
        assert_eq!(reply.to_string(), "250 Hello x??250 forged??, pleased to meet you\r\n");
        let long = hello(&"x".repeat(2000)).to_string();
        assert!(long.len() == 512 && long.ends_with("\r\n"));
    }
}
