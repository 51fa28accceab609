//! Commands of the client (RFC 5321, 4.1): the table of verbs, and the parser.

use super::reply::{self, Reply};
use crate::mail::address::{Host, Path};

/// RFC 5321, 4.5.3.1.4, raised for the parameters of extensions, in octets without the line end.
const LINE_OCTETS: usize = 1024;
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
    Rset,
    Noop,
    Quit,
    Vrfy,
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
        syntax: "MAIL FROM:<sender> [SIZE=octets] [BODY=7BIT|8BITMIME]",
        needs: &[Need::Hello, Need::Login, Need::NoTransaction],
    },
    Row { verb: Verb::Rcpt, word: "RCPT", syntax: "RCPT TO:<recipient>", needs: &[Need::Hello, Need::Sender] },
    Row { verb: Verb::Data, word: "DATA", syntax: "DATA", needs: &[Need::Hello, Need::Sender, Need::Recipient] },
    Row { verb: Verb::Rset, word: "RSET", syntax: "RSET", needs: &[] },
    Row { verb: Verb::Noop, word: "NOOP", syntax: "NOOP", needs: &[] },
    Row { verb: Verb::Quit, word: "QUIT", syntax: "QUIT", needs: &[] },
    Row { verb: Verb::Vrfy, word: "VRFY", syntax: "VRFY user", needs: &[] },
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
const NOT_IMPLEMENTED: &[&str] = &["EXPN", "TURN", "ETRN", "SEND", "SOML", "SAML", "BDAT", "BURL", "ATRN"];

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
    Mail { sender: Path, parameters: MailParameters },
    Rcpt(Path),
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help(Option<&'static Row>),
    StartTls,
    Auth { mechanism: String, initial: Option<String> },
}

/// The parameters of MAIL that we offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MailParameters {
    /// SIZE: what the client believes the message to have, in octets (RFC 1870).
    pub size: Option<u64>,
}

impl Command {
    pub(crate) fn verb(&self) -> Verb {
        match self {
            Command::Helo(_) => Verb::Helo,
            Command::Ehlo(_) => Verb::Ehlo,
            Command::Mail { .. } => Verb::Mail,
            Command::Rcpt(_) => Verb::Rcpt,
            Command::Data => Verb::Data,
            Command::Rset => Verb::Rset,
            Command::Noop => Verb::Noop,
            Command::Quit => Verb::Quit,
            Command::Vrfy => Verb::Vrfy,
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
    // Octets beyond ASCII are let through to here, so that the reply can name the right mistake.
    arguments(row.verb, &String::from_utf8_lossy(rest))
}

fn arguments(verb: Verb, rest: &str) -> Result<Command, Reply> {
    let alone = |command| if rest.is_empty() { Ok(command) } else { Err(reply::syntax(verb)) };
    match verb {
        Verb::Helo => hello_name(verb, rest).map(Command::Helo),
        Verb::Ehlo => hello_name(verb, rest).map(Command::Ehlo),
        Verb::Mail => mail(rest),
        Verb::Rcpt => recipient(rest),
        Verb::Data => alone(Command::Data),
        Verb::Rset => alone(Command::Rset),
        // RFC 5321, 4.1.1.9: a string after NOOP is ignored.
        Verb::Noop => Ok(Command::Noop),
        Verb::Quit => alone(Command::Quit),
        Verb::Vrfy if rest.is_empty() => Err(reply::syntax(verb)),
        Verb::Vrfy => Ok(Command::Vrfy),
        Verb::Help => Ok(Command::Help(VERBS.iter().find(|row| row.word.eq_ignore_ascii_case(rest)))),
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
    let mut parameters = MailParameters::default();
    for parameter in parameters_of(rest).ok_or_else(|| reply::syntax(Verb::Mail))? {
        let (keyword, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match keyword.to_ascii_uppercase().as_str() {
            "SIZE" => parameters.size = Some(size(value).ok_or_else(|| reply::bad_parameter(parameter))?),
            // Whether the text really is 8-bit is seen when it comes; a declaration adds nothing.
            "BODY" if is_body(value) => {}
            "BODY" => return Err(reply::bad_parameter(parameter)),
            // RFC 4954, 5: who submitted it to whom we got it from; we trust nobody's word on it.
            "AUTH" if !value.is_empty() => {}
            _ => return Err(reply::unknown_parameter(parameter)),
        }
    }
    Ok(Command::Mail { sender, parameters })
}

fn recipient(rest: &str) -> Result<Command, Reply> {
    let path = strip_word(rest, "TO:").ok_or_else(|| reply::syntax(Verb::Rcpt))?;
    let (recipient, rest) = Path::parse(path).map_err(reply::bad_recipient)?;
    if recipient == Path::Null {
        return Err(reply::bad_recipient(crate::mail::address::Fault::NoDomain));
    }
    match parameters_of(rest).ok_or_else(|| reply::syntax(Verb::Rcpt))?.next() {
        None => Ok(Command::Rcpt(recipient)),
        Some(parameter) => Err(reply::unknown_parameter(parameter)),
    }
}

/// What follows `word`. The RFC has no blanks after the colon (3.3), people and the textbook do.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let found = text.get(..word.len())?.eq_ignore_ascii_case(word);
    found.then(|| text[word.len()..].trim_start_matches(' '))
}

/// The parameters after a path, each set off by a blank.
fn parameters_of(rest: &str) -> Option<impl Iterator<Item = &str>> {
    (rest.is_empty() || rest.starts_with(' ')).then(|| rest.split_ascii_whitespace())
}

/// RFC 1870, 4: at most 20 digits.
fn size(value: &str) -> Option<u64> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

/// RFC 6152, 2.
fn is_body(value: &str) -> bool {
    ["7BIT", "8BITMIME"].iter().any(|known| value.eq_ignore_ascii_case(known))
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
            ("help nothing", Verb::Help),
            ("auth plain AGE=", Verb::Auth),
        ] {
            assert_eq!(parse(line.as_bytes()).map(|command| command.verb()), Ok(verb), "{line}");
        }
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (line, expected) in [
            ("", 500),
            ("HELLO lab", 500),
            ("EXPN staff", 502),
            ("bdat 3 LAST", 502),
            ("HELO", 501),
            ("HELO a b", 501),
            ("EHLO [999.1.1.1]", 501),
            ("MAIL", 501),
            ("MAIL FROM <a@b>", 501),
            ("MAIL FROM:a@b", 501),
            ("MAIL FROM:<a@b", 501),
            ("MAIL FROM:<postmaster>", 501),
            ("MAIL FROM:<a@b>SIZE=1", 501),
            ("MAIL FROM:<a@b> SIZE=x", 501),
            ("MAIL FROM:<a@b> SIZE=", 501),
            ("MAIL FROM:<a@b> BODY=9BIT", 501),
            ("MAIL FROM:<a@b> RET=FULL", 555),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a@b> NOTIFY=NEVER", 555),
            ("RCPT FROM:<a@b>", 501),
            ("MAIL FROM:<a@bl\u{e5}>", 501),
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
