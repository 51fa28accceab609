//! The player: runs a script against a server, over either network.
//!
//! It judges what a server sends, so it reads with its own small reader ([`peer`]) and not with the
//! connection type of our servers: it sees every octet, and can send anything. The order of work is
//! in [`player`]; what an HTTP head says about its body in [`body`]; how the two sides of TLS are
//! set up in [`tls`]. Every wait has a limit: a server that hangs gets a verdict like any other.

mod because;
mod body;
pub(crate) mod broken;
mod course;
mod expect;
mod grade;
mod load;
mod log;
mod peer;
mod player;
mod recording;
mod siblings;
pub(crate) mod suites;
pub(crate) mod tls;
pub(crate) mod wiretap;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    net::network::{Listener, Network},
    transcript::{
        matching::Names,
        script::{Content, Destination, Mode, Step},
        text::{Place, Text},
    },
};

pub(crate) use grade::{Ending, Grade, Part};
use load::{Placed, Shelf, failure};

/// How long a step may take unless the script says otherwise.
pub(crate) const STEP_TIME: Duration = Duration::from_secs(5);
/// How long a script may take for which nobody sets a bound: longer than any clock in memory jumps.
pub(crate) const ANY_TIME: Duration = Duration::from_secs(365 * 86_400);
/// The most octets that a script says at once: they are all in memory.
const CONTENT_OCTETS: usize = 1 << 30;

/// What a script is played on.
pub(crate) struct Stage {
    pub network: Network,
    pub targets: Targets,
    pub tls: tls::PlayerTls,
    pub step_time: Duration,
    /// How long a whole script may take.
    pub script_time: Duration,
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
    lines: Vec<Placed>,
    names: Names,
    listeners: BTreeMap<String, Listener>,
}

/// Why a script failed: the first difference, and what led to it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub file: String,
    pub line: usize,
    pub difference: Difference,
    /// Why something else was expected, with the section that says so.
    pub because: Option<String>,
    /// The conversations so far, as a transcript; of a script that is wrong, the line.
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
        if let Some(because) = &self.because {
            writeln!(f, "  because   {}", because.replace('\n', "\n            "))?;
        }
        let is_conversation = !self.so_far.is_empty() && !self.difference.what.starts_with("column ");
        write!(f, "{}{}", if is_conversation { "the conversation so far:\n" } else { "" }, self.so_far)
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
        let play = load::load(path, Shelf::Disk).map(|lines| Play::of(path.display().to_string(), lines))?;
        let is_played = |step: &Step| matches!(step, Step::Connect { .. } | Step::Accept { .. });
        if play.steps().any(|(_, step)| is_played(step)) {
            return Ok(play);
        }
        // A verdict on nothing would look like one on the server.
        let what = "there is nothing to play: a transcript has a `-- connect` (or `-- accept`), and lines behind it";
        Err(play.failure(play.lines.last().map_or(1, |line| line.line), what.into()))
    }

    /// A suite that is built into the binary.
    pub(crate) fn suite(name: &str) -> Played<Play> {
        let file = format!("{name}.txt");
        load::load(Path::new(&file), Shelf::BuiltIn).map(|lines| Play::of(name.to_owned(), lines))
    }

    /// A script that is called `file` in messages.
    #[cfg(test)]
    pub(crate) fn parse(file: &str, source: &str) -> Played<Play> {
        load::expand(Path::new(file), source, Shelf::BuiltIn).map(|lines| Play::of(file.to_owned(), lines))
    }

    fn of(file: String, lines: Vec<Placed>) -> Play {
        Play { file, lines, names: Names::default(), listeners: BTreeMap::new() }
    }

    /// What the script shows, in a sentence.
    pub(crate) fn title(&self) -> &str {
        let title = self.steps().find_map(|(_, step)| match step {
            Step::Comment(comment) => Some(comment.as_str()),
            _ => None,
        });
        title.unwrap_or_default()
    }

    /// The only mode that the script wants to be played in.
    pub(crate) fn only(&self) -> Option<Mode> {
        self.steps().find_map(|(_, step)| match step {
            Step::Only(mode) => Some(*mode),
            _ => None,
        })
    }

    /// Whether the script wants something of the server that only its own tests can give. What it
    /// wants is in place where the server `is_prepared`.
    pub(crate) fn needs_our_server(&self, is_prepared: bool) -> bool {
        self.steps().any(|(_, step)| match step {
            Step::Set { .. } | Step::File { .. } | Step::Mail { .. } => !is_prepared,
            Step::Only(Mode::Memory) => true,
            _ => false,
        })
    }

    /// Opens the listeners that come before the first connection, so that settings can name them.
    pub(crate) fn listen(&mut self, network: &Network) -> Played<()> {
        self.define_defaults();
        let early: Vec<_> =
            self.steps().take_while(|(_, step)| !matches!(step, Step::Connect { .. })).map(|(line, step)| (line, step.clone())).collect();
        for (line, step) in early {
            let Step::Listen { name, host } = step else { continue };
            self.open(network, &name, host.as_ref()).map_err(|difference| self.failure(line, difference.what))?;
        }
        self.define_defaults();
        Ok(())
    }

    fn open(&mut self, network: &Network, name: &str, host: Option<&Text>) -> Result<(), Difference> {
        if self.listeners.contains_key(name) {
            return Ok(());
        }
        let host = host.map_or(Ok(b"127.0.0.1".to_vec()), |host| self.names.fill(host)).map_err(Difference::new)?;
        let host = String::from_utf8_lossy(&host);
        let at = host.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0)).or_else(|_| host.parse());
        let at = at.map_err(|_| Difference::new(format!("`-- listen NAME on HOST` takes an address, not `{host}`")))?;
        let listener = network.listen(at).map_err(|error| Difference::new(format!("can't listen on {at}: {error}")))?;
        self.keep(name.to_owned(), listener);
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

    /// Lets the names that the script defines stand for its own texts where nobody has said otherwise
    /// and all that a text consists of is known.
    pub(crate) fn define_defaults(&mut self) {
        for line in &self.lines {
            let Step::Define { name, value } = &line.step else { continue };
            if let (false, Ok(text)) = (self.names.has(name), self.names.fill(value)) {
                self.names.set(name, text);
            }
        }
    }

    /// Forgets all names but these and those of listeners, and who has connected to them.
    fn forget(&mut self, known: &Names) {
        self.names = known.clone();
        for (name, listener) in std::mem::take(&mut self.listeners) {
            self.keep(name, listener);
        }
    }

    fn keep(&mut self, name: String, mut listener: Listener) {
        while let Ok(Some(_stale)) = listener.accept_now() {}
        if let Ok(at) = listener.local_addr() {
            self.know(&name, at);
            self.names.set(format!("{name}.p1"), (at.port() / 256).to_string());
            self.names.set(format!("{name}.p2"), (at.port() % 256).to_string());
        }
        self.listeners.insert(name, listener);
    }

    /// The services that the script connects to.
    pub(crate) fn services(&self) -> std::collections::BTreeSet<String> {
        let service = |(_, step): (usize, &Step)| match step {
            Step::Connect { to: Destination::Service(service), .. } => Some(service.clone()),
            _ => None,
        };
        self.steps().filter_map(service).collect()
    }

    /// The points that can be had.
    pub(crate) fn points(&self) -> u32 {
        let points = self.steps().filter_map(|(_, step)| if let Step::Points { points, .. } = step { Some(*points) } else { None });
        points.fold(0, u32::saturating_add)
    }

    /// The names that the script defines, each with its text and what the comment above says of it.
    pub(crate) fn definitions(&self) -> Vec<(&str, String, Option<&str>)> {
        let mut above = None;
        let mut found = Vec::new();
        for (_, step) in self.steps() {
            if let Step::Define { name, value } = step {
                found.push((name.as_str(), value.print(Place::Line), above));
            }
            above = if let Step::Comment(comment) = step { Some(comment.as_str()) } else { None };
        }
        found
    }

    /// Makes the addresses of the services known.
    pub(crate) fn know_targets(&mut self, targets: &Targets) {
        match targets {
            Targets::Named(targets) => targets.iter().for_each(|(name, at)| self.know(name, *at)),
            Targets::One(at) => {
                for service in self.services() {
                    self.know(&service, *at);
                }
            }
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

    /// Why no server could be made ready for the script, shown at the first line that asks something of it.
    pub(crate) fn unready(&self, what: String) -> Box<Failure> {
        let asks = |step: &Step| matches!(step, Step::Set { .. } | Step::File { .. } | Step::Mail { .. });
        let line = self.steps().find(|(_, step)| asks(step)).map_or(1, |(line, _)| line);
        self.failure(line, what)
    }

    /// The files that the script wants in the tree.
    pub(crate) fn files(&self) -> Played<Vec<Fixture>> {
        self.fixtures(|step| match step {
            Step::File { path, content } => Some((path.clone(), content)),
            _ => None,
        })
    }

    /// The messages that the script wants in maildrops.
    pub(crate) fn mails(&self) -> Played<Vec<Fixture>> {
        self.fixtures(|step| match step {
            Step::Mail { account, content } => {
                let account = self
                    .names
                    .fill(account)
                    .map_or_else(|_| account.print(Place::Line), |name| String::from_utf8_lossy(&name).into_owned());
                Some((account, content))
            }
            _ => None,
        })
    }

    fn fixtures<'a>(&'a self, wanted: impl Fn(&'a Step) -> Option<(String, &'a Content)>) -> Played<Vec<Fixture>> {
        let fixture = |(line, step)| {
            let (place, content) = wanted(step)?;
            let octets = self.content(content).map_err(|difference| self.failure(line, difference.what));
            Some(octets.map(|content| Fixture { place, content }))
        };
        self.steps().filter_map(fixture).collect()
    }

    /// The octets of a content that is to be said.
    fn content(&self, content: &Content) -> Result<Vec<u8>, Difference> {
        match content {
            Content::Text { text, times } => repeated(&self.names.fill(text).map_err(Difference::new)?, *times),
            Content::Base64(octets) => Ok(octets.clone()),
            Content::File(path) => {
                let path = Path::new(&self.file).parent().map(PathBuf::from).unwrap_or_default().join(path);
                std::fs::read(&path).map_err(|error| Difference::new(format!("{} can't be read: {error}", path.display())))
            }
        }
    }

    /// Plays the script to its end, or to the first difference.
    pub(crate) async fn run(self, stage: &Stage) -> Played<()> {
        self.grade(stage).await.into_first_failure().map_or(Ok(()), Err)
    }

    /// Plays the script and tells how each of its parts did.
    pub(crate) async fn grade(self, stage: &Stage) -> Grade {
        player::Player::new(self, stage).run().await
    }

    fn steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.lines.iter().map(|line| (line.line, &line.step))
    }

    fn failure(&self, line: usize, what: String) -> Box<Failure> {
        failure(&self.file, line, what)
    }
}

fn repeated(octets: &[u8], times: usize) -> Result<Vec<u8>, Difference> {
    let is_kept = octets.len().checked_mul(times).is_some_and(|octets| octets <= CONTENT_OCTETS);
    if is_kept { Ok(octets.repeat(times)) } else { Err(Difference::new(format!("a content has at most {CONTENT_OCTETS} octets"))) }
}

/// A recording with nothing in it but what is the same each time: codes, and names of fields.
pub(crate) fn loosened(script: crate::transcript::script::Script) -> crate::transcript::script::Script {
    recording::loosen(script)
}

#[cfg(test)]
mod tests;
