//! Commands of the client (RFC 5321, 4.1): the table of verbs, and the parser.

use super::{
    parameters::{self, Declared},
    reply::{self, Reply},
};
use crate::{
    mail::address::{Host, Path},
    store::envelope::RcptParameters,
};

/// RFC 5321, 4.5.3.1.4 has 512; extensions raise it for their parameters (AUTH and ORCPT by 500
/// each, ENVID by 100, and so on). In octets without the line end.
const LINE_OCTETS: usize = 2048;
/// RFC 4954, 4: AUTH lines may be this long.
pub(crate) const AUTH_LINE_OCTETS: usize = 12_288;
/// RFC 5321, 4.5.3.1.2.
const HELLO_OCTETS: usize = 255;

/// Every verb that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Helo,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
    Auth,
}

/// What must be so before a verb is allowed. They are checked in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// HELO or EHLO was said.
    Hello,
    /// EHLO was said: this verb belongs to an extension.
    ExtendedHello,
    /// The client has logged in, on a submission port.
    Login,
    NotLoggedIn,
    /// TLS is off.
    Plain,
    /// A mail transaction has begun.
    Sender,
    NoTransaction,
    /// The transaction has a recipient.
    Recipient,
    /// No part of the message has come by BDAT.
    NoChunks,
    /// No BDAT of this transaction has failed.
    NoFailure,
}

/// One verb of the table.
pub(crate) struct Row {
    pub verb: Verb,
    pub word: &'static str,
    pub syntax: &'static str,
    pub needs: &'static [Need],
}

/// The verbs and their preconditions (RFC 5321, 4.1.4). What is not listed may come at any time.
pub(crate) const VERBS: &[Row] = &[
    Row { verb: Verb::Helo, word: "HELO", syntax: "HELO your.host.name", needs: &[] },
    Row { verb: Verb::Ehlo, word: "EHLO", syntax: "EHLO your.host.name", needs: &[] },
    Row {
        verb: Verb::Mail,
        word: "MAIL",
        syntax: "MAIL FROM:<sender> [SIZE=octets] [BODY=7BIT|8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=xtext] [MT-PRIORITY=number] [AUTH=xtext]",
        needs: &[Need::Hello, Need::Login, Need::NoTransaction],
    },
    Row {
        verb: Verb::Rcpt,
        word: "RCPT",
        syntax: "RCPT TO:<recipient> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;xtext]",
        needs: &[Need::Hello, Need::Sender, Need::NoChunks, Need::NoFailure],
    },
    Row {
        verb: Verb::Data,
        word: "DATA",
        syntax: "DATA",
        needs: &[Need::Hello, Need::Sender, Need::NoChunks, Need::NoFailure, Need::Recipient],
    },
    Row {
        verb: Verb::Bdat,
        word: "BDAT",
        syntax: "BDAT octets [LAST]",
        needs: &[Need::Hello, Need::Sender, Need::NoFailure, Need::Recipient],
    },
    Row { verb: Verb::Rset, word: "RSET", syntax: "RSET", needs: &[] },
    Row { verb: Verb::Noop, word: "NOOP", syntax: "NOOP", needs: &[] },
    Row { verb: Verb::Quit, word: "QUIT", syntax: "QUIT", needs: &[] },
    Row { verb: Verb::Vrfy, word: "VRFY", syntax: "VRFY user [SMTPUTF8]", needs: &[] },
    Row { verb: Verb::Expn, word: "EXPN", syntax: "EXPN list [SMTPUTF8]", needs: &[] },
    Row { verb: Verb::Help, word: "HELP", syntax: "HELP [verb]", needs: &[] },
    Row { verb: Verb::StartTls, word: "STARTTLS", syntax: "STARTTLS", needs: &[Need::ExtendedHello, Need::Plain, Need::NoTransaction] },
    Row {
        verb: Verb::Auth,
        word: "AUTH",
        syntax: "AUTH mechanism [initial-response]",
        needs: &[Need::ExtendedHello, Need::NotLoggedIn, Need::NoTransaction],
    },
];

/// Verbs of the RFCs that are known and not offered: 502 instead of 500 (RFC 5321, 4.2.4).
pub(crate) const NOT_IMPLEMENTED: &[&str] = &["TURN", "ETRN", "SEND", "SOML", "SAML", "BURL", "ATRN"];

impl Verb {
    pub(crate) fn row(self) -> &'static Row {
        VERBS.iter().find(|row| row.verb == self).expect("the table has every verb")
    }
}

/// A command, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Helo(String),
    Ehlo(String),
    Mail {
        sender: Path,
        declared: Declared,
    },
    Rcpt {
        recipient: Path,
        parameters: RcptParameters,
        /// It is spelt in UTF-8: only for transactions with SMTPUTF8.
        utf8: bool,
    },
    Data,
    /// So many octets of the message follow at once (RFC 3030).
    Bdat {
        octets: u64,
        last: bool,
    },
    Rset,
    Noop,
    Quit,
    Vrfy(Asked),
    Expn(Asked),
    Help(Option<&'static Row>),
    StartTls,
    Auth {
        mechanism: String,
        initial: Option<String>,
    },
}

/// Whom VRFY or EXPN ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// A user, a list or an address, without brackets.
    pub name: String,
    /// SMTPUTF8: the reply may hold UTF-8 (RFC 6531, 3.7.4.2).
    pub utf8: bool,
}

impl Command {
    pub(crate) fn verb(&self) -> Verb {
        match self {
            Command::Helo(_) => Verb::Helo,
            Command::Ehlo(_) => Verb::Ehlo,
            Command::Mail { .. } => Verb::Mail,
            Command::Rcpt { .. } => Verb::Rcpt,
            Command::Data => Verb::Data,
            Command::Bdat { .. } => Verb::Bdat,
            Command::Rset => Verb::Rset,
            Command::Noop => Verb::Noop,
            Command::Quit => Verb::Quit,
            Command::Vrfy(_) => Verb::Vrfy,
            Command::Expn(_) => Verb::Expn,
            Command::Help(_) => Verb::Help,
            Command::StartTls => Verb::StartTls,
            Command::Auth { .. } => Verb::Auth,
        }
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.verb == other.verb
    }
}

impl Eq for Row {}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word)
    }
}

/// Reads a command line without its line end, or says what is wrong with it.
pub(crate) fn parse(line: &[u8]) -> Result<Command, Reply> {
    let line = line.trim_ascii_end();
    let (word, rest) = match memchr::memchr(b' ', line) {
        Some(space) => (&line[..space], line[space..].trim_ascii_start()),
        None => (line, &b""[..]),
    };
    let Some(row) = VERBS.iter().find(|row| word.eq_ignore_ascii_case(row.word.as_bytes())) else {
        let known = NOT_IMPLEMENTED.iter().find(|known| word.eq_ignore_ascii_case(known.as_bytes()));
        return Err(known.map_or_else(reply::unknown_command, |known| reply::not_implemented(known)));
    };
    if line.len() > LINE_OCTETS && row.verb != Verb::Auth {
        return Err(reply::line_too_long());
    }
    match std::str::from_utf8(rest) {
        Ok(rest) => arguments(row.verb, rest),
        Err(_) if row.verb == Verb::Noop => Ok(Command::Noop),
        Err(_) => Err(reply::not_utf8()),
    }
}

fn arguments(verb: Verb, rest: &str) -> Result<Command, Reply> {
    let alone = |command| if rest.is_empty() { Ok(command) } else { Err(reply::syntax(verb)) };
    match verb {
        Verb::Helo => hello_name(verb, rest).map(Command::Helo),
        Verb::Ehlo => hello_name(verb, rest).map(Command::Ehlo),
        Verb::Mail => mail(rest),
        Verb::Rcpt => recipient(rest),
        Verb::Data => alone(Command::Data),
        Verb::Bdat => chunk(rest).ok_or_else(reply::unreadable_chunk),
        Verb::Rset => alone(Command::Rset),
        // RFC 5321, 4.1.1.9: a string after NOOP is ignored.
        Verb::Noop => Ok(Command::Noop),
        Verb::Quit => alone(Command::Quit),
        Verb::Vrfy => asked(verb, rest).map(Command::Vrfy),
        Verb::Expn => asked(verb, rest).map(Command::Expn),
        Verb::Help if rest.is_empty() => Ok(Command::Help(None)),
        Verb::Help => {
            let row = VERBS.iter().find(|row| row.word.eq_ignore_ascii_case(rest));
            row.map(|row| Command::Help(Some(row))).ok_or_else(reply::no_help)
        }
        Verb::StartTls => alone(Command::StartTls),
        Verb::Auth => auth(rest),
    }
}

/// The name in HELO or EHLO. It is not checked against the DNS, nor strictly against the grammar:
/// many honest clients send a name with an underscore (RFC 5321, 4.1.4).
fn hello_name(verb: Verb, rest: &str) -> Result<String, Reply> {
    let sane = !rest.is_empty() && rest.len() <= HELLO_OCTETS && rest.bytes().all(|octet| octet.is_ascii_graphic());
    let literal = !rest.starts_with('[') || Host::parse(rest).is_ok();
    if sane && literal { Ok(rest.to_owned()) } else { Err(reply::syntax(verb)) }
}

fn mail(rest: &str) -> Result<Command, Reply> {
    let path = strip_word(rest, "FROM:").ok_or_else(|| reply::syntax(Verb::Mail))?;
    let (sender, rest) = Path::parse(path).map_err(reply::bad_sender)?;
    if sender == Path::Postmaster {
        return Err(reply::bad_sender(crate::mail::address::Fault::NoDomain));
    }
    let declared = parameters::of_mail(rest)?;
    if !path.is_ascii() && !declared.parameters.smtputf8 { Err(reply::utf8_not_declared()) } else { Ok(Command::Mail { sender, declared }) }
}

fn recipient(rest: &str) -> Result<Command, Reply> {
    let path = strip_word(rest, "TO:").ok_or_else(|| reply::syntax(Verb::Rcpt))?;
    let (recipient, rest) = Path::parse(path).map_err(reply::bad_recipient)?;
    if recipient == Path::Null {
        return Err(reply::bad_recipient(crate::mail::address::Fault::NoDomain));
    }
    Ok(Command::Rcpt { recipient, parameters: parameters::of_rcpt(rest)?, utf8: !path.is_ascii() })
}

/// `BDAT octets [LAST]` (RFC 3030, 2).
fn chunk(rest: &str) -> Option<Command> {
    let mut words = rest.split_ascii_whitespace();
    let octets = parameters::number(words.next()?)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some(Command::Bdat { octets, last })
}

/// The argument of VRFY or EXPN: a name or an address, with or without brackets.
fn asked(verb: Verb, rest: &str) -> Result<Asked, Reply> {
    let (name, utf8) = match rest.rsplit_once(' ') {
        Some((name, word)) if word.eq_ignore_ascii_case("SMTPUTF8") => (name.trim_end(), true),
        _ => (rest, false),
    };
    let name = name.strip_prefix('<').and_then(|name| name.strip_suffix('>')).unwrap_or(name);
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(reply::syntax(verb));
    }
    if !name.is_ascii() && !utf8 {
        return Err(reply::utf8_not_declared());
    }
    Ok(Asked { name: name.to_owned(), utf8 })
}

/// What follows `word`. The RFC has no blanks after the colon (3.3), people and the textbook do.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let found = text.get(..word.len())?.eq_ignore_ascii_case(word);
    found.then(|| text[word.len()..].trim_start_matches(' '))
}

fn auth(rest: &str) -> Result<Command, Reply> {
    let mut words = rest.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => {
            Ok(Command::Auth { mechanism: mechanism.to_ascii_uppercase(), initial: initial.map(str::to_owned) })
        }
        _ => Err(reply::syntax(Verb::Auth)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(line: &str) -> u16 {
        parse(line.as_bytes()).map_or_else(|reply| reply.code(), |_| 250)
    }

    #[test]
    fn commands_are_understood_in_any_case_and_with_trailing_blanks() {
        for (line, verb) in [
            ("helo lab", Verb::Helo),
            ("EHLO [127.0.0.1]", Verb::Ehlo),
            ("MAIL FROM:<>", Verb::Mail),
            ("Mail From: <alice@crepes.fr>  ", Verb::Mail),
            ("MAIL FROM:<a@b> SIZE=12 body=8bitmime AUTH=<>", Verb::Mail),
            ("rcpt to:<postmaster>", Verb::Rcpt),
            ("DATA \t", Verb::Data),
            ("NOOP what ever", Verb::Noop),
            ("help data", Verb::Help),
            ("auth plain AGE=", Verb::Auth),
            ("bdat 3 last", Verb::Bdat),
            ("BDAT 0", Verb::Bdat),
            ("EXPN staff", Verb::Expn),
            ("VRFY <bl\u{e5}@a.b> SMTPUTF8", Verb::Vrfy),
            ("MAIL FROM:<bl\u{e5}@a.b> SMTPUTF8", Verb::Mail),
            ("NOOP\r", Verb::Noop),
        ] {
            assert_eq!(parse(line.as_bytes()).map(|command| command.verb()), Ok(verb), "{line}");
        }
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (line, expected) in [
            ("", 500),
            ("HELLO lab", 500),
            ("TURN", 502),
            ("ETRN x", 502),
            ("BDAT", 501),
            ("BDAT x", 501),
            ("BDAT -1", 501),
            ("BDAT 1 FIRST", 501),
            ("BDAT 1 LAST LAST", 501),
            ("HELP nothing", 504),
            ("EXPN", 501),
            ("VRFY bl\u{e5}", 553),
            ("HELO", 501),
            ("HELO a b", 501),
            ("EHLO [999.1.1.1]", 501),
            ("MAIL", 501),
            ("MAIL FROM <a@b>", 501),
            ("MAIL FROM:a@b", 501),
            ("MAIL FROM:<a@b", 501),
            ("MAIL FROM:<postmaster>", 501),
            ("RCPT TO:<>", 501),
            ("RCPT FROM:<a@b>", 501),
            ("MAIL FROM:<a@bl\u{e5}>", 553),
            ("DATA now", 501),
            ("QUIT now", 501),
            ("VRFY", 501),
            ("AUTH", 501),
            ("AUTH PLAIN a b", 501),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
    }

    #[test]
    fn a_line_is_taken_at_its_limit_and_refused_one_past_it() {
        let noop = |octets: usize| format!("NOOP {}", "x".repeat(octets - 5));
        assert_eq!(code(&noop(LINE_OCTETS)), 250);
        assert_eq!(code(&noop(LINE_OCTETS + 1)), 500);
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in proptest::collection::vec(any::<u8>(), 0..80), tail in "\\PC{0,40}") {
            let _parsed = (parse(&line), parse(format!("MAIL FROM:{tail}").as_bytes()), parse(format!("RCPT T{tail}").as_bytes()));
        }
    }
}
