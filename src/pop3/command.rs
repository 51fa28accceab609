//! POP3 commands as they stand on the wire (RFC 1939, 9; RFC 2449, 4; RFC 5034, 4).
//!
//! A line becomes a [`Command`] or a [`Fault`] here; whether the command may come now is decided
//! in `rules`.

use std::{fmt, ops::Range};

use crate::store::Secret;

/// The longest command line with its line end, in octets (RFC 2449, 4).
pub(crate) const LINE_OCTETS: usize = 255;

/// A command that is written correctly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    User(String),
    Pass(Secret),
    /// `digest` shows the password without saying it.
    Apop {
        name: String,
        digest: String,
    },
    /// Without a mechanism: which ones are there (a habit of old clients).
    Auth {
        mechanism: Option<String>,
        initial: Option<Secret>,
    },
    /// RFC 6856, 2.
    Utf8,
    /// RFC 6856, 3: a language tag, or a question for all languages.
    Lang(Option<String>),
    Stls,
    Capa,
    Stat,
    List(Option<Number>),
    Uidl(Option<Number>),
    Retr(Number),
    Top(Number, u64),
    Dele(Number),
    Rset,
    Noop,
    Quit,
}

/// A message number as the client gave it: any number that isn't negative. Those that don't fit
/// into 64 bits are the largest one, which no maildrop reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(pub u64);

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unknown,
    /// The arguments are not what the command takes; how it is to be written.
    Usage(&'static str),
    NotANumber,
    NotText,
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unknown => write!(f, "unknown command"),
            Fault::Usage(usage) => write!(f, "write it as: {usage}"),
            Fault::NotANumber => write!(f, "that is not a number"),
            Fault::NotText => write!(f, "the line is not UTF-8 text"),
            Fault::TooLong => write!(f, "line too long: at most {LINE_OCTETS} octets with its line end"),
        }
    }
}

impl Command {
    /// Reads a line without its end.
    pub(crate) fn parse(line: &[u8]) -> Result<Command, Fault> {
        let line = std::str::from_utf8(line).map_err(|_| Fault::NotText)?;
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        if verb == "PASS" {
            // Everything after the one space is the password, spaces too (RFC 1939, 7).
            let given = line.len() > verb.len();
            return if given { Ok(Command::Pass(Secret(rest.to_owned()))) } else { Err(Fault::Usage("PASS password")) };
        }
        let arguments: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty()).collect();
        match verb.as_str() {
            "USER" => one(&arguments, "USER name").map(|name| Command::User(name.to_owned())),
            "AUTH" => auth(&arguments),
            "APOP" => apop(&arguments),
            "UTF8" => none(&arguments, Command::Utf8, "UTF8"),
            "LANG" => lang(&arguments),
            "LIST" => optional_number(&arguments, "LIST or LIST message").map(Command::List),
            "UIDL" => optional_number(&arguments, "UIDL or UIDL message").map(Command::Uidl),
            "RETR" => one(&arguments, "RETR message").and_then(number).map(Command::Retr),
            "DELE" => one(&arguments, "DELE message").and_then(number).map(Command::Dele),
            "TOP" => top(&arguments),
            "STLS" => none(&arguments, Command::Stls, "STLS"),
            "CAPA" => none(&arguments, Command::Capa, "CAPA"),
            "STAT" => none(&arguments, Command::Stat, "STAT"),
            "RSET" => none(&arguments, Command::Rset, "RSET"),
            "NOOP" => none(&arguments, Command::Noop, "NOOP"),
            "QUIT" => none(&arguments, Command::Quit, "QUIT"),
            _ => Err(Fault::Unknown),
        }
    }
}

/// Which part of a command line the transcript must not show.
pub(crate) fn secret_in(line: &[u8]) -> Option<Range<usize>> {
    let start = line.iter().position(|octet| *octet != b' ')?;
    let word_end = |from: usize| line[from..].iter().position(|octet| *octet == b' ').map(|at| from + at);
    let after_verb = word_end(start)? + 1;
    let verb = &line[start..after_verb - 1];
    if verb.eq_ignore_ascii_case(b"PASS") {
        return Some(after_verb..line.len());
    }
    // After AUTH comes a mechanism, after APOP a name; what follows is secret.
    if verb.eq_ignore_ascii_case(b"AUTH") || verb.eq_ignore_ascii_case(b"APOP") {
        let word = after_verb + line[after_verb..].iter().position(|octet| *octet != b' ')?;
        return Some(word_end(word)? + 1..line.len());
    }
    None
}

fn none(arguments: &[&str], command: Command, usage: &'static str) -> Result<Command, Fault> {
    if arguments.is_empty() { Ok(command) } else { Err(Fault::Usage(usage)) }
}

fn one<'a>(arguments: &[&'a str], usage: &'static str) -> Result<&'a str, Fault> {
    match arguments {
        [argument] => Ok(argument),
        _ => Err(Fault::Usage(usage)),
    }
}

fn optional_number(arguments: &[&str], usage: &'static str) -> Result<Option<Number>, Fault> {
    match arguments {
        [] => Ok(None),
        [argument] => number(argument).map(Some),
        _ => Err(Fault::Usage(usage)),
    }
}

fn top(arguments: &[&str]) -> Result<Command, Fault> {
    match arguments {
        [message, lines] => Ok(Command::Top(number(message)?, number(lines)?.0)),
        _ => Err(Fault::Usage("TOP message lines")),
    }
}

fn auth(arguments: &[&str]) -> Result<Command, Fault> {
    let (mechanism, initial) = match arguments {
        [] => (None, None),
        [mechanism] => (Some((*mechanism).to_owned()), None),
        [mechanism, initial] => (Some((*mechanism).to_owned()), Some(Secret((*initial).to_owned()))),
        _ => return Err(Fault::Usage("AUTH mechanism or AUTH mechanism initial-response")),
    };
    Ok(Command::Auth { mechanism, initial })
}

fn apop(arguments: &[&str]) -> Result<Command, Fault> {
    match arguments {
        [name, digest] => Ok(Command::Apop { name: (*name).to_owned(), digest: (*digest).to_owned() }),
        _ => Err(Fault::Usage("APOP name digest")),
    }
}

fn lang(arguments: &[&str]) -> Result<Command, Fault> {
    match arguments {
        [] => Ok(Command::Lang(None)),
        [tag] => Ok(Command::Lang(Some((*tag).to_owned()))),
        _ => Err(Fault::Usage("LANG or LANG language")),
    }
}

fn number(word: &str) -> Result<Number, Fault> {
    if word.is_empty() || !word.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Fault::NotANumber);
    }
    // Only digits: what fails to parse is too large.
    Ok(Number(word.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_command_is_read_in_any_case() {
        for (line, command) in [
            ("user bob", Command::User("bob".into())),
            ("PASS hungry", Command::Pass(Secret("hungry".into()))),
            ("Pass  two words ", Command::Pass(Secret(" two words ".into()))),
            ("PASS ", Command::Pass(Secret(String::new()))),
            ("AUTH", Command::Auth { mechanism: None, initial: None }),
            ("AUTH plain", Command::Auth { mechanism: Some("plain".into()), initial: None }),
            ("auth LOGIN =", Command::Auth { mechanism: Some("LOGIN".into()), initial: Some(Secret("=".into())) }),
            ("apop bob 0123", Command::Apop { name: "bob".into(), digest: "0123".into() }),
            ("UTF8", Command::Utf8),
            ("LANG", Command::Lang(None)),
            ("lang EN", Command::Lang(Some("EN".into()))),
            ("LIST", Command::List(None)),
            ("LIST ", Command::List(None)),
            ("list 2", Command::List(Some(Number(2)))),
            ("UIDL 007", Command::Uidl(Some(Number(7)))),
            ("RETR 0", Command::Retr(Number(0))),
            ("RETR 99999999999999999999999", Command::Retr(Number(u64::MAX))),
            ("TOP 1 0", Command::Top(Number(1), 0)),
            ("DELE 1", Command::Dele(Number(1))),
            ("quit", Command::Quit),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused_for_its_own_reason() {
        for (line, fault) in [
            (&b""[..], Fault::Unknown),
            (b"HELO", Fault::Unknown),
            (b" STAT", Fault::Unknown),
            (b"APOP bob", Fault::Usage("APOP name digest")),
            (b"LANG en de", Fault::Usage("LANG or LANG language")),
            (b"USER", Fault::Usage("USER name")),
            (b"USER a b", Fault::Usage("USER name")),
            (b"PASS", Fault::Usage("PASS password")),
            (b"RETR", Fault::Usage("RETR message")),
            (b"TOP 1", Fault::Usage("TOP message lines")),
            (b"STAT 1", Fault::Usage("STAT")),
            (b"RETR -1", Fault::NotANumber),
            (b"RETR +1", Fault::NotANumber),
            (b"RETR one", Fault::NotANumber),
            (b"TOP 1 1.5", Fault::NotANumber),
            (b"USER b\xf8b", Fault::NotText),
            (b"AUTH PLAIN a b", Fault::Usage("AUTH mechanism or AUTH mechanism initial-response")),
        ] {
            assert_eq!(Command::parse(line), Err(fault), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn passwords_are_masked_in_every_form() {
        for (line, shown) in [
            ("PASS hungry", "PASS "),
            ("pass  two words", "pass "),
            ("  PASS x", "  PASS "),
            ("AUTH PLAIN AGJvYgBodW5ncnk=", "AUTH PLAIN "),
            ("AUTH  login  Ym9i", "AUTH  login "),
            ("APOP bob c4c9334bac560ecc979e58001b3e22fb", "APOP bob "),
        ] {
            let span = secret_in(line.as_bytes()).unwrap();
            assert_eq!((&line[..span.start], span.end), (shown, line.len()));
        }
        for line in ["", "PASS", "AUTH PLAIN", "USER bob", "AUTH ", "APOP bob", "  "] {
            assert_eq!(secret_in(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _parsed = (Command::parse(&line), secret_in(&line));
        }
    }
}
