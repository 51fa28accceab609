//! The lines of a transcript that begin with `--`.

use std::fmt;

use super::{
    record::Side,
    script::{Check, Content, Destination, Handshake, Mode, Step},
    text::{Part, Place, Text, Wrong, is_name},
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
];

/// Parses what comes after `--`.
pub(super) fn parse(source: &str) -> Result<Step, Wrong> {
    let mut words = Words { source, at: 0 };
    let word = words.word("a directive")?;
    let step = match word {
        "set" => words.set()?,
        "file" => Step::File { path: words.path()?, content: words.content()? },
        "mail" => Step::Mail { account: words.word("an account")?.to_owned(), content: words.content()? },
        "memory" => words.keyword("only").map(|()| Step::Only(Mode::Memory))?,
        "sockets" => words.keyword("only").map(|()| Step::Only(Mode::Sockets))?,
        "connect" => words.connect()?,
        "listen" => Step::Listen { name: words.name()?, host: words.option("on")? },
        "accept" => words.accept()?,
        "on" => Step::On(words.name()?),
        "tls" => Step::Tls(if words.is_done() { None } else { Some(words.word("a server name")?.to_owned()) }),
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
        "octets" => Step::Octets { side: words.side()?, octets: words.parsed("a number of octets")? },
        "note" => return Ok(Step::Note(words.rest().to_owned())),
        other => return Err(words.before(other, unknown(other))),
    };
    if words.is_done() { Ok(step) } else { Err(words.wrong("nothing more was expected here")) }
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
        Step::File { path, content } => write!(f, "file {path} {content}"),
        Step::Mail { account, content } => write!(f, "mail {account} {content}"),
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
        Step::Listen { name, host: Some(host) } => write!(f, "listen {name} on {host}"),
        Step::Accept { listener, name, tls } => {
            write!(f, "accept {listener}")?;
            print_name(f, name, listener)?;
            f.write_str(if *tls { " tls" } else { "" })
        }
        Step::On(name) => write!(f, "on {name}"),
        Step::Tls(None) => f.write_str("tls"),
        Step::Tls(Some(name)) => write!(f, "tls {name}"),
        Step::Send(content) => write!(f, "send raw {content}"),
        Step::Expect(check @ Check::Exactly(_)) => write!(f, "expect raw {check}"),
        Step::Expect(check) => write!(f, "expect {check}"),
        Step::Body(check) => write!(f, "body {check}"),
        Step::Wait(span) => write!(f, "wait {span}"),
        Step::Quiet(span) => write!(f, "quiet {span}"),
        Step::Timeout(span) => write!(f, "timeout {span}"),
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
        _ => "",
    }
}

fn print_name(f: &mut fmt::Formatter<'_>, name: &str, usual: &str) -> fmt::Result {
    if name == usual { Ok(()) } else { write!(f, " as {name}") }
}

/// Takes a directive apart.
struct Words<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = self.source[self.at..].trim_start();
        self.at = self.source.len() - rest.len();
        rest
    }

    fn is_done(&mut self) -> bool {
        self.rest().is_empty()
    }

    fn wrong(&mut self, what: impl Into<String>) -> Wrong {
        self.rest();
        Wrong { at: self.at, what: what.into() }
    }

    /// An error about the word that was taken last.
    fn before(&self, word: &str, what: String) -> Wrong {
        Wrong { at: self.at - word.len(), what }
    }

    fn word(&mut self, what: &str) -> Result<&'a str, Wrong> {
        let word = self.rest().split(' ').next().unwrap_or_default();
        if word.is_empty() {
            return Err(self.wrong(format!("{what} is missing")));
        }
        self.at += word.len();
        Ok(word)
    }

    /// Takes `word` if it is next.
    fn skip(&mut self, word: &str) -> bool {
        let next = self.rest().split(' ').next() == Some(word);
        if next {
            self.at += word.len();
        }
        next
    }

    fn keyword(&mut self, word: &str) -> Result<(), Wrong> {
        if self.skip(word) { Ok(()) } else { Err(self.wrong(format!("`{word}` was expected here"))) }
    }

    fn name(&mut self) -> Result<String, Wrong> {
        let word = self.word("a name")?;
        if is_name(word) {
            Ok(word.to_owned())
        } else {
            Err(self.before(word, format!("`{word}` is no name: a letter, then letters, digits, `-`, `_` or `.`")))
        }
    }

    fn option(&mut self, keyword: &str) -> Result<Option<String>, Wrong> {
        if self.skip(keyword) { self.word("a word").map(|word| Some(word.to_owned())) } else { Ok(None) }
    }

    fn path(&mut self) -> Result<String, Wrong> {
        let word = self.word("a path")?;
        if word.starts_with('/') { Ok(word.to_owned()) } else { Err(self.before(word, "a path begins with `/`".into())) }
    }

    fn side(&mut self) -> Result<Side, Wrong> {
        match self.word("`C` or `S`")? {
            "C" => Ok(Side::Client),
            "S" => Ok(Side::Server),
            other => Err(self.before(other, "`C` or `S` was expected here".into())),
        }
    }

    fn parsed<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, Wrong> {
        let word = self.word(what)?;
        word.parse().map_err(|_| self.before(word, format!("`{word}` is not {what}")))
    }

    /// `key=value`, where the value goes on to the end of the line.
    fn set(&mut self) -> Result<Step, Wrong> {
        let rest = self.rest();
        let Some((key, value)) = rest.split_once('=') else {
            return Err(self.wrong("a setting is written key=value"));
        };
        let start = self.at + key.len() + 1;
        let value = Text::parse(value.trim()).map_err(|wrong| Wrong { at: wrong.at + start, ..wrong })?;
        self.at = self.source.len();
        Ok(Step::Set { key: key.trim().to_owned(), value })
    }

    fn connect(&mut self) -> Result<Step, Wrong> {
        let word = self.word("a service or an address")?;
        let to = if word.contains(':') {
            let start = self.at - word.len();
            let address = Text::parse(word).map_err(|wrong| Wrong { at: wrong.at + start, ..wrong })?;
            let is_printable = |part: &Part| !matches!(part, Part::Literal(octets) if !octets.iter().all(u8::is_ascii_graphic));
            if !address.0.iter().all(is_printable) {
                return Err(Wrong { at: start, what: "an address holds neither blanks nor control characters".to_owned() });
            }
            Destination::Address(address)
        } else {
            Destination::Service(word.to_owned())
        };
        let name = if self.skip("as") { self.name()? } else { "main".to_owned() };
        let handshake = match (self.skip("tls"), self.skip("plain")) {
            (true, _) => Handshake::Tls,
            (_, true) => Handshake::Plain,
            _ => Handshake::Usual,
        };
        Ok(Step::Connect { to, name, handshake })
    }

    fn accept(&mut self) -> Result<Step, Wrong> {
        let listener = self.name()?;
        let name = if self.skip("as") { self.name()? } else { listener.clone() };
        Ok(Step::Accept { listener, name, tls: self.skip("tls") })
    }

    fn check(&mut self) -> Result<Check, Wrong> {
        if self.skip("contains") {
            return self.content().map(Check::Contains);
        }
        if self.skip("sha256") {
            return self.digest().map(Check::Sha256);
        }
        if !self.rest().starts_with(|c: char| c.is_ascii_digit()) {
            return self.content().map(Check::Exactly);
        }
        let octets = self.parsed("a number of octets")?;
        self.keyword("octets")?;
        let sha256 = if self.skip("sha256") { Some(self.digest()?) } else { None };
        Ok(Check::Octets { octets, sha256 })
    }

    fn digest(&mut self) -> Result<String, Wrong> {
        let word = self.word("a digest")?;
        if word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(word.to_ascii_lowercase())
        } else {
            Err(self.before(word, "a SHA-256 digest has 64 hexadecimal digits".into()))
        }
    }

    fn content(&mut self) -> Result<Content, Wrong> {
        if self.skip("base64") {
            return self.base64();
        }
        if self.skip("file") {
            let path = self.plain_string()?;
            return String::from_utf8(path).map(Content::File).map_err(|_| self.wrong("a path is UTF-8"));
        }
        let text = self.strings()?;
        let times = if self.skip("x") { self.parsed("how many times")? } else { 1 };
        Ok(Content::Text { text, times })
    }

    fn base64(&mut self) -> Result<Content, Wrong> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let start = self.at;
        let encoded = self.plain_string()?;
        STANDARD.decode(encoded).map(Content::Base64).map_err(|error| Wrong { at: start + 1, what: format!("not base64: {error}") })
    }

    fn plain_string(&mut self) -> Result<Vec<u8>, Wrong> {
        let start = self.at;
        let text = self.strings()?;
        text.as_plain().map(<[u8]>::to_vec).ok_or(Wrong { at: start + 1, what: "no placeholders are filled in here".into() })
    }

    /// One string, or several that follow each other.
    fn strings(&mut self) -> Result<Text, Wrong> {
        let mut text = self.string()?;
        while self.rest().starts_with('"') {
            text.append(self.string()?);
        }
        Ok(text)
    }

    fn string(&mut self) -> Result<Text, Wrong> {
        let Some(inside) = self.rest().strip_prefix('"') else {
            return Err(self.wrong("a string in quotes was expected here"));
        };
        let start = self.at + 1;
        let (text, taken) = Text::parse_until(inside, Some('"')).map_err(|wrong| Wrong { at: wrong.at + start, ..wrong })?;
        if !inside[taken..].starts_with('"') {
            return Err(Wrong { at: self.at, what: "this string has no end".into() });
        }
        self.at = start + taken + 1;
        Ok(text)
    }
}
