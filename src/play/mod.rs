//! The player: runs a script against a server, over either network.
//!
//! It judges what a server sends, so it reads with its own small reader ([`peer`]) and not with the
//! connection type of our servers: it sees every octet, and can send anything. The order of work is
//! in [`player`]; what an HTTP head says about its body in [`body`]; how the two sides of TLS are
//! set up in [`tls`]. Every wait has a limit: a server that hangs gets a verdict like any other.

mod body;
mod expect;
mod log;
mod peer;
mod player;
mod recording;
pub(crate) mod tls;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    net::network::{Listener, Network},
    transcript::{
        matching::Names,
        script::{Content, Mode, Script, Step},
    },
};

/// How long a step may take unless the script says otherwise.
pub(crate) const STEP_TIME: Duration = Duration::from_secs(5);

/// What a script is played on.
pub(crate) struct Stage {
    pub network: Network,
    pub targets: Targets,
    pub tls: tls::PlayerTls,
    pub step_time: Duration,
}

/// Where the services under test are.
#[derive(Clone, Debug)]
pub(crate) enum Targets {
    /// One address, whatever service a script asks for.
    One(SocketAddr),
    Named(BTreeMap<String, SocketAddr>),
}

impl Targets {
    fn of(&self, service: &str) -> Option<SocketAddr> {
        match self {
            Targets::One(at) => Some(*at),
            Targets::Named(targets) => targets.get(service).copied(),
        }
    }
}

/// A script on its way to be played: read, its listeners open, its names known.
pub(crate) struct Play {
    /// The file as it is named in messages.
    file: String,
    script: Script,
    names: Names,
    listeners: BTreeMap<String, Listener>,
}

/// Why a script failed: the first difference, and what led to it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub file: String,
    pub line: usize,
    pub difference: Difference,
    /// The conversations so far, as a transcript.
    pub so_far: String,
}

/// What playing answers.
pub(crate) type Played<T> = Result<T, Box<Failure>>;

/// What was expected, and what came instead.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub what: String,
    pub expected: Vec<String>,
    pub received: Vec<String>,
}

impl Difference {
    pub(crate) fn new(what: impl Into<String>) -> Difference {
        Difference { what: what.into(), ..Difference::default() }
    }

    pub(crate) fn between(what: impl Into<String>, expected: impl Into<String>, received: impl Into<String>) -> Difference {
        Difference { what: what.into(), expected: vec![expected.into()], received: vec![received.into()] }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.file, self.line, self.difference.what)?;
        for (label, lines) in [("expected", &self.difference.expected), ("received", &self.difference.received)] {
            for (index, line) in lines.iter().enumerate() {
                writeln!(f, "  {:<8}  {line}", if index == 0 { label } else { "" })?;
            }
        }
        if !self.so_far.is_empty() {
            write!(f, "the conversation so far:\n{}", self.so_far)?;
        }
        Ok(())
    }
}

/// A content that a script wants in place before it begins.
pub(crate) struct Fixture {
    /// A path of the tree, or an account.
    pub place: String,
    pub content: Vec<u8>,
}

impl Play {
    /// Reads a script.
    pub(crate) fn load(path: &Path) -> Played<Play> {
        let file = path.display().to_string();
        let unreadable = |error: io::Error| failure(&file, 1, format!("the file can't be read: {error}"));
        let source = std::fs::read(path).map_err(unreadable)?;
        let source = String::from_utf8(source).map_err(|error| {
            let line = source_line(error.as_bytes(), error.utf8_error().valid_up_to());
            failure(&file, line, "a transcript is UTF-8; other octets are written \\xHH".into())
        })?;
        Play::parse(&file, &source)
    }

    /// A script that is called `file` in messages.
    pub(crate) fn parse(file: &str, source: &str) -> Played<Play> {
        let script =
            Script::parse(source).map_err(|error| failure(file, error.line, format!("column {}: {}", error.column, error.message)))?;
        let script = if script.recorded().is_some() { recording::loosen(script) } else { script };
        Ok(Play { file: file.to_owned(), script, names: Names::default(), listeners: BTreeMap::new() })
    }

    /// What the script shows, in a sentence.
    pub(crate) fn title(&self) -> &str {
        self.script.title().unwrap_or_default()
    }

    /// The only mode that the script wants to be played in.
    pub(crate) fn only(&self) -> Option<Mode> {
        self.steps().find_map(|(_, step)| match step {
            Step::Only(mode) => Some(*mode),
            _ => None,
        })
    }

    /// Whether the script wants something of the server that only its own tests can give.
    pub(crate) fn needs_our_server(&self) -> bool {
        self.steps().any(|(_, step)| matches!(step, Step::Set { .. } | Step::File { .. } | Step::Mail { .. } | Step::Only(Mode::Memory)))
    }

    /// Opens the listeners that come before the first connection, so that settings can name them.
    pub(crate) fn listen(&mut self, network: &Network) -> Played<()> {
        let early: Vec<_> =
            self.steps().take_while(|(_, step)| !matches!(step, Step::Connect { .. })).map(|(line, step)| (line, step.clone())).collect();
        for (line, step) in early {
            let Step::Listen { name, host } = step else { continue };
            self.open(network, &name, host.as_deref()).map_err(|difference| self.failure(line, difference.what))?;
        }
        Ok(())
    }

    fn open(&mut self, network: &Network, name: &str, host: Option<&str>) -> Result<(), Difference> {
        if self.listeners.contains_key(name) {
            return Ok(());
        }
        let host: IpAddr = host.unwrap_or("127.0.0.1").parse().map_err(|_| Difference::new("`-- listen NAME on HOST` takes an address"))?;
        let listener =
            network.listen(SocketAddr::new(host, 0)).map_err(|error| Difference::new(format!("can't listen on {host}: {error}")))?;
        let at = listener.local_addr().map_err(|error| Difference::new(format!("the listener has no address: {error}")))?;
        self.know(name, at);
        self.names.set(format!("{name}.p1"), (at.port() / 256).to_string());
        self.names.set(format!("{name}.p2"), (at.port() % 256).to_string());
        self.listeners.insert(name.to_owned(), listener);
        Ok(())
    }

    /// Makes `{name.host}` and `{name.port}` known.
    fn know(&mut self, name: &str, at: SocketAddr) {
        self.names.set(format!("{name}.host"), at.ip().to_string());
        self.names.set(format!("{name}.port"), at.port().to_string());
    }

    /// Lets a name stand for a text from the start.
    pub(crate) fn define(&mut self, name: &str, text: &str) {
        self.names.set(name, text);
    }

    /// Makes the addresses of the services known.
    pub(crate) fn know_targets(&mut self, targets: &Targets) {
        if let Targets::Named(targets) = targets {
            targets.iter().for_each(|(name, at)| self.know(name, *at));
        }
    }

    /// The settings that the script wants, as `key=value`.
    pub(crate) fn settings(&self) -> Played<Vec<String>> {
        let filled = self.steps().filter_map(|(line, step)| match step {
            Step::Set { key, value } => Some(match self.names.fill(value) {
                Ok(value) => Ok(format!("{key}={}", String::from_utf8_lossy(&value))),
                Err(unknown) => Err(self.failure(line, unknown)),
            }),
            _ => None,
        });
        filled.collect()
    }

    /// The files that the script wants in the tree.
    pub(crate) fn files(&self) -> Played<Vec<Fixture>> {
        self.fixtures(|step| match step {
            Step::File { path, content } => Some((path, content)),
            _ => None,
        })
    }

    /// The messages that the script wants in maildrops.
    pub(crate) fn mails(&self) -> Played<Vec<Fixture>> {
        self.fixtures(|step| match step {
            Step::Mail { account, content } => Some((account, content)),
            _ => None,
        })
    }

    fn fixtures<'a>(&'a self, wanted: impl Fn(&'a Step) -> Option<(&'a String, &'a Content)>) -> Played<Vec<Fixture>> {
        let fixture = |(line, step)| {
            let (place, content) = wanted(step)?;
            let octets = self.content(content).map_err(|difference| self.failure(line, difference.what));
            Some(octets.map(|content| Fixture { place: place.clone(), content }))
        };
        self.steps().filter_map(fixture).collect()
    }

    /// The octets of a content that is to be said.
    fn content(&self, content: &Content) -> Result<Vec<u8>, Difference> {
        match content {
            Content::Text { text, times } => Ok(self.names.fill(text).map_err(Difference::new)?.repeat(*times)),
            Content::Base64(octets) => Ok(octets.clone()),
            Content::File(path) => {
                let path = Path::new(&self.file).parent().map(PathBuf::from).unwrap_or_default().join(path);
                std::fs::read(&path).map_err(|error| Difference::new(format!("{} can't be read: {error}", path.display())))
            }
        }
    }

    /// Plays the script to its end, or to the first difference.
    pub(crate) async fn run(self, stage: &Stage) -> Played<()> {
        player::Player::new(self, stage).run().await
    }

    fn steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.script.items.iter().map(|item| (item.line, &item.step))
    }

    fn failure(&self, line: usize, what: String) -> Box<Failure> {
        failure(&self.file, line, what)
    }
}

fn failure(file: &str, line: usize, what: String) -> Box<Failure> {
    Box::new(Failure { file: file.to_owned(), line, difference: Difference::new(what), so_far: String::new() })
}

fn source_line(source: &[u8], at: usize) -> usize {
    source[..at].iter().filter(|octet| **octet == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
