//! The lines of a transcript that begin with `--`.

use std::fmt;

use super::{
    script::{Check, Destination, Handshake, Mode, Step},
    text::{Place, Text, Wrong, is_name},
    words::{Words, not_a_name},
};

/// Every first word of a directive, to name the nearest one to a typing error.
const WORDS: &[&str] = &[
    "set",
    "file",
    "mail",
    "memory",
    "sockets",
    "connect",
    "listen",
    "accept",
    "on",
    "tls",
    "close",
    "half-close",
    "closed",
    "half-closed",
    "refused",
    "send",
    "expect",
    "body",
    "no",
    "wait",
    "quiet",
    "timeout",
    "octets",
    "note",
    "within",
    "optional",
    "repeated",
    "message",
    "include",
    "define",
    "points",
    "because",
    "afresh",
];

/// Parses what comes after `--`.
pub(super) fn parse(source: &str) -> Result<Step, Wrong> {
    let mut words = Words::of(source);
    let word = words.word("a directive")?;
    let step = match word {
        "memory" => words.keyword("only").map(|()| Step::Only(Mode::Memory))?,
        "sockets" => words.keyword("only").map(|()| Step::Only(Mode::Sockets))?,
        "connect" => connect(&mut words)?,
        "listen" => Step::Listen { name: words.name()?, host: if words.skip("on") { Some(words.text("an address")?) } else { None } },
        "accept" => accept(&mut words)?,
        "on" => Step::On(words.name()?),
        "tls" => tls(&mut words)?,
        "close" => Step::Close,
        "half-close" => Step::HalfClose,
        "closed" => Step::Closed,
        "half-closed" => Step::HalfClosed,
        "refused" => Step::Refused,
        "send" => {
            words.skip("raw");
            Step::Send(words.content()?)
        }
        "expect" => {
            words.skip("raw");
            Step::Expect(words.check()?)
        }
        "body" => Step::Body(words.check()?),
        "no" => words.keyword("body").map(|()| Step::NoBody)?,
        "wait" => Step::Wait(words.parsed("a time such as 2s")?),
        "quiet" => Step::Quiet(words.parsed("a time such as 2s")?),
        "timeout" => Step::Timeout(words.parsed("a time such as 30s")?),
        "within" => Step::Within(words.parsed("a time such as 200ms")?),
        "optional" => Step::Optional,
        "repeated" => Step::Repeated,
        "message" => Step::Message(words.check()?),
        "octets" => Step::Octets { side: words.side()?, octets: words.parsed("a number of octets")? },
        "note" => return Ok(Step::Note(words.rest().to_owned())),
        other => match about_the_script(other, &mut words) {
            Some(step) => step?,
            None => return Err(words.before(other, unknown(other))),
        },
    };
    if words.is_done() { Ok(step) } else { Err(words.wrong("nothing more was expected here")) }
}

/// What says something about the script or the server and does nothing by itself.
fn about_the_script(word: &str, words: &mut Words<'_>) -> Option<Result<Step, Wrong>> {
    Some(match word {
        "set" => words.assignment("a setting").map(|(key, value)| Step::Set { key: key.to_owned(), value }),
        "define" => define(words),
        "file" => words.path().and_then(|path| Ok(Step::File { path, content: words.content()? })),
        "mail" => words.text("an account").and_then(|account| Ok(Step::Mail { account, content: words.content()? })),
        "include" => words.plain_text().map(Step::Include),
        "points" => words.parsed("a number of points").and_then(|points| Ok(Step::Points { points, title: words.plain_text()? })),
        "because" => words.plain_text().and_then(|sentence| Ok(Step::Because { sentence, source: words.in_parentheses()? })),
        "afresh" => Ok(Step::Afresh),
        _ => return None,
    })
}

fn define(words: &mut Words<'_>) -> Result<Step, Wrong> {
    let at = words.clone();
    let (name, value) = words.assignment("a name")?;
    if is_name(name) { Ok(Step::Define { name: name.to_owned(), value }) } else { Err(at.wrong(not_a_name(name))) }
}

fn connect(words: &mut Words<'_>) -> Result<Step, Wrong> {
    let to = if words.next_has(':') {
        Destination::Address(words.text("an address")?)
    } else {
        Destination::Service(words.word("a service or an address")?.to_owned())
    };
    let name = if words.skip("as") { words.name()? } else { "main".to_owned() };
    let handshake = match (words.skip("tls"), words.skip("plain")) {
        (true, _) => Handshake::Tls,
        (_, true) => Handshake::Plain,
        _ => Handshake::Usual,
    };
    Ok(Step::Connect { to, name, handshake })
}

fn accept(words: &mut Words<'_>) -> Result<Step, Wrong> {
    let listener = words.name()?;
    let name = if words.skip("as") { words.name()? } else { listener.clone() };
    Ok(Step::Accept { listener, name, tls: words.skip("tls") })
}

fn tls(words: &mut Words<'_>) -> Result<Step, Wrong> {
    let mut or_closed = words.skip("or");
    let name = if or_closed || words.is_done() { None } else { Some(words.text("a server name")?) };
    or_closed |= words.skip("or");
    if or_closed {
        words.keyword("closed")?;
    }
    Ok(Step::Tls { name, or_closed })
}

fn unknown(word: &str) -> String {
    let nearest = WORDS.iter().max_by(|a, b| strsim::jaro_winkler(word, a).total_cmp(&strsim::jaro_winkler(word, b)));
    match nearest {
        Some(near) if strsim::jaro_winkler(word, near) > 0.7 => format!("no directive is called `{word}`; did you mean `{near}`?"),
        _ => format!("no directive is called `{word}`; there are {}", WORDS.join(", ")),
    }
}

/// Prints what comes after `-- `.
pub(super) fn print(step: &Step, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match step {
        Step::Set { key, value } => write!(f, "set {key}={}", value.print(Place::Line)),
        Step::Define { name, value } => write!(f, "define {name}={}", value.print(Place::Line)),
        Step::File { path, content } => write!(f, "file {path} {content}"),
        Step::Mail { account, content } => write!(f, "mail {} {content}", account.print(Place::Line)),
        Step::Include(path) => write!(f, "include {}", quoted(path)),
        Step::Points { points, title } => write!(f, "points {points} {}", quoted(title)),
        Step::Because { sentence, source: None } => write!(f, "because {}", quoted(sentence)),
        Step::Because { sentence, source: Some(source) } => write!(f, "because {} ({source})", quoted(sentence)),
        Step::Only(Mode::Memory) => f.write_str("memory only"),
        Step::Only(Mode::Sockets) => f.write_str("sockets only"),
        Step::Connect { to, name, handshake } => {
            match to {
                Destination::Service(service) => write!(f, "connect {service}")?,
                Destination::Address(address) => write!(f, "connect {}", address.print(Place::Line))?,
            }
            print_name(f, name, "main")?;
            f.write_str(match handshake {
                Handshake::Usual => "",
                Handshake::Tls => " tls",
                Handshake::Plain => " plain",
            })
        }
        Step::Listen { name, host: None } => write!(f, "listen {name}"),
        Step::Listen { name, host: Some(host) } => write!(f, "listen {name} on {}", host.print(Place::Line)),
        Step::Accept { listener, name, tls } => {
            write!(f, "accept {listener}")?;
            print_name(f, name, listener)?;
            f.write_str(if *tls { " tls" } else { "" })
        }
        Step::On(name) => write!(f, "on {name}"),
        Step::Tls { name, or_closed } => {
            f.write_str("tls")?;
            name.as_ref().map_or(Ok(()), |name| write!(f, " {}", name.print(Place::Line)))?;
            f.write_str(if *or_closed { " or closed" } else { "" })
        }
        Step::Send(content) => write!(f, "send raw {content}"),
        Step::Expect(check @ Check::Exactly(_)) => write!(f, "expect raw {check}"),
        Step::Expect(check) => write!(f, "expect {check}"),
        Step::Body(check) => write!(f, "body {check}"),
        Step::Wait(span) => write!(f, "wait {span}"),
        Step::Quiet(span) => write!(f, "quiet {span}"),
        Step::Timeout(span) => write!(f, "timeout {span}"),
        Step::Within(span) => write!(f, "within {span}"),
        Step::Message(check) => write!(f, "message {check}"),
        Step::Octets { side, octets } => write!(f, "octets {side} {octets}"),
        other => f.write_str(bare_word(other)),
    }
}

/// The directives that are nothing but a word.
fn bare_word(step: &Step) -> &'static str {
    match step {
        Step::Close => "close",
        Step::HalfClose => "half-close",
        Step::Closed => "closed",
        Step::HalfClosed => "half-closed",
        Step::Refused => "refused",
        Step::NoBody => "no body",
        Step::Optional => "optional",
        Step::Repeated => "repeated",
        Step::Afresh => "afresh",
        _ => "",
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", Text::plain(text).print(Place::Quotes))
}

fn print_name(f: &mut fmt::Formatter<'_>, name: &str, usual: &str) -> fmt::Result {
    if name == usual { Ok(()) } else { write!(f, " as {name}") }
}
