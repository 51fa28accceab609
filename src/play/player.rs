//! Plays a script, step by step.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Difference, Play, Stage,
    expect::{Ears, Wanted},
    log::Log,
    peer::{Peer, Silence},
};
use crate::{
    net::{network::Network, wire::Wire},
    transcript::{
        matching::{Expected, ExpectedFields, Names, excerpt, expected},
        record::Side,
        script::{Check, Content, Destination, Handshake, Step},
        text::{Place, Text},
    },
    units::Span,
};

/// Services that begin with TLS. A script can say otherwise (`plain`).
const IMPLICIT_TLS: &[&str] = &["https", "smtps", "pop3s", "ftps"];
/// The name that a certificate must be for, unless the script says otherwise.
pub(super) const SERVER_NAME: &str = "localhost";

pub(super) struct Player<'a> {
    pub play: Play,
    pub stage: &'a Stage,
    pub peers: BTreeMap<String, Peer>,
    /// The service that a connection is with, where a script calls it by its name.
    pub services: BTreeMap<String, String>,
    pub current: String,
    pub log: Log,
    pub step_time: Duration,
    /// When the step that is being played must be done, and when the whole script.
    pub step_until: Instant,
    pub script_until: Instant,
    /// When we said something last.
    pub spoken_at: Instant,
    pub manner: Manner,
    /// The script's explanation of what comes now: a sentence and its source.
    pub because: Option<(String, Option<String>)>,
    /// The last command that we said.
    pub command: Option<String>,
    /// The names as they were before the first line.
    pub fresh: Names,
    /// The line after the one that is being played.
    pub next: usize,
}

/// How the next expectation is to be met.
#[derive(Default)]
pub(super) struct Manner {
    /// From the last thing said on.
    pub within: Option<Span>,
    pub is_optional: bool,
    pub is_repeated: bool,
}

impl Manner {
    /// Whether it is about a step that is an expected line, or one that waits for the peer.
    fn check(&self, is_line: bool, awaits_peer: bool) -> Result<(), Difference> {
        if (self.is_optional || self.is_repeated) && !is_line {
            return Err(Difference::new("`-- optional` and `-- repeated` come directly before a line that is expected"));
        }
        if self.within.is_some() && !is_line && !awaits_peer {
            return Err(Difference::new("`-- within` comes directly before what is expected, after what we said or did"));
        }
        Ok(())
    }
}

impl<'a> Player<'a> {
    pub(super) fn new(mut play: Play, stage: &'a Stage) -> Player<'a> {
        play.know_targets(&stage.targets);
        play.define_defaults();
        let now = Instant::now();
        Player {
            fresh: play.names.clone(),
            play,
            stage,
            peers: BTreeMap::new(),
            services: BTreeMap::new(),
            current: "main".into(),
            log: Log::new(),
            step_time: stage.step_time,
            step_until: now + stage.step_time,
            script_until: now + stage.script_time,
            spoken_at: now,
            manner: Manner::default(),
            because: None,
            command: None,
            next: 0,
        }
    }

    pub(super) async fn step(&mut self, step: Step, manner: &Manner) -> Result<(), Difference> {
        let is_line = matches!(&step, Step::Said { side, .. } if *side != self.peer()?.ours);
        manner.check(is_line, awaits_peer(&step, self.peers.get(&self.current).map(|peer| peer.ours)))?;
        match step {
            Step::Define { value, .. } => self.play.names.fill(&value).map(drop).map_err(Difference::new),
            Step::Connect { to, name, handshake } => self.connect(to, name, handshake).await,
            Step::Listen { name, host } => self.play.open(&self.stage.network, &name, host.as_ref()),
            Step::Accept { listener, name, tls } => self.accept(&listener, name, tls).await,
            Step::On(name) => self.switch(name),
            Step::Said { side, text } if side == self.peer()?.ours => self.say(&text).await,
            Step::Said { text, .. } if is_line => self.hear_as(&text, manner).await,
            Step::Tls { name, or_closed } => self.secure(name.as_ref(), or_closed).await,
            Step::Send(content) => {
                let octets = self.play.content(&content)?;
                self.send(&octets).await
            }
            Step::Octets { side, octets } if side == self.peer()?.ours => self.send(&filler(octets)).await,
            Step::Octets { octets, .. } => self.hear_octets(octets).await,
            Step::Expect(check) => {
                let wanted = self.wanted(check)?;
                self.ears()?.octets(wanted).await
            }
            Step::Body(check) => {
                let wanted = self.wanted(check)?;
                self.ears()?.body(wanted).await
            }
            Step::NoBody => {
                let grace = self.grace();
                self.ears()?.no_body(grace).await
            }
            Step::Message(check) => {
                let wanted = self.wanted(check)?;
                self.ears()?.message(wanted).await
            }
            Step::Wait(span) => {
                tokio::time::sleep_until((Instant::now() + span.0).min(self.script_until)).await;
                Ok(())
            }
            Step::Quiet(span) => {
                let until = (Instant::now() + span.0).min(self.script_until);
                let mut ears = self.ears()?;
                ears.until = until;
                ears.quiet().await
            }
            Step::Timeout(span) => {
                self.step_time = span.0;
                Ok(())
            }
            Step::Close => self.close().await,
            Step::HalfClose => {
                let until = self.until();
                self.log.event(&self.current, "half-close");
                self.peer()?.half_close(until).await;
                Ok(())
            }
            Step::HalfClosed => self.ears()?.closed().await,
            Step::Closed => {
                self.ears()?.closed().await?;
                self.log.event(&self.current, "closed");
                self.peer()?.wire = None;
                Ok(())
            }
            Step::Refused => Err(Difference::new("`-- refused` comes directly after `-- connect`")),
            // Done before the first connection, in the course, or for the reader only.
            _ => Ok(()),
        }
    }

    pub(super) fn until(&self) -> Instant {
        self.step_until
    }

    /// How long to wait for something that should not come. In memory the time is free.
    fn grace(&self) -> Duration {
        match self.stage.network {
            Network::Memory(_) => Duration::from_millis(1),
            Network::Real => Duration::ZERO,
        }
    }

    pub(super) fn peer(&mut self) -> Result<&mut Peer, Difference> {
        let missing = || Difference::new(format!("there is no connection `{}`: `-- connect` comes first", self.current));
        self.peers.get_mut(&self.current).ok_or_else(missing)
    }

    /// The current connection, about to be listened to.
    fn ears(&mut self) -> Result<Ears<'_>, Difference> {
        let until = self.until();
        self.peer()?.is_settled = true;
        let peer = self.peers.get_mut(&self.current).ok_or_else(|| Difference::new("there is no connection"))?;
        Ok(Ears { peer, names: &mut self.play.names, log: &mut self.log, name: &self.current, until })
    }

    async fn connect(&mut self, to: Destination, name: String, handshake: Handshake) -> Result<(), Difference> {
        let (at, implicit) = match &to {
            Destination::Service(service) => {
                let at = self.stage.targets.of(service);
                let at = at.ok_or_else(|| Difference::new(format!("the server under test has no service `{service}`")))?;
                (at, IMPLICIT_TLS.contains(&service.as_str()))
            }
            Destination::Address(address) => (self.address(address)?, false),
        };
        let dialled = timeout_at(self.until(), self.stage.network.dial(at, None)).await;
        self.log.event(&name, &format!("connect {at} as {name}"));
        if self.skip_refused() {
            return match dialled {
                Ok(Ok(_)) => Err(Difference::between("the connection came about", "refused", format!("connected to {at}"))),
                _ => Ok(()),
            };
        }
        let (plain, _) = dialled
            .map_err(|_| Difference::between(format!("no connection to {at} in time"), "a connection", "nothing"))?
            .map_err(|error| Difference::between(format!("no connection to {at}"), "a connection", error.to_string()))?;
        self.peers.insert(name.clone(), Peer::new(Side::Client, Wire::Plain(plain)));
        if let Destination::Service(service) = to {
            self.services.insert(name.clone(), service);
        }
        (self.current, self.spoken_at) = (name, Instant::now());
        match handshake {
            Handshake::Tls => self.secure(None, false).await,
            Handshake::Usual if implicit => self.secure(None, false).await,
            Handshake::Usual | Handshake::Plain => Ok(()),
        }
    }

    /// Whether the next step is `-- refused`; if so it is done with.
    fn skip_refused(&mut self) -> bool {
        let following = self.following().find(|(_, step)| !is_silent(step));
        let Some((index, Step::Refused)) = following else { return false };
        self.next = index + 1;
        true
    }

    /// The items to come with their indexes.
    fn following(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.play.lines.iter().enumerate().skip(self.next).map(|(index, line)| (index, &line.step))
    }

    fn address(&self, address: &Text) -> Result<SocketAddr, Difference> {
        let filled = self.play.names.fill(address).map_err(Difference::new)?;
        let filled = String::from_utf8_lossy(&filled).into_owned();
        parse_address(&filled).ok_or_else(|| Difference::new(format!("`{filled}` is no address such as 127.0.0.1:4*256+5")))
    }

    async fn accept(&mut self, listener: &str, name: String, tls: bool) -> Result<(), Difference> {
        let until = self.until();
        let Some(open) = self.play.listeners.get_mut(listener) else {
            return Err(Difference::new(format!("there is no listener `{listener}`: `-- listen {listener}` comes first")));
        };
        let accepted = timeout_at(until, open.accept()).await;
        let (plain, peer) = accepted
            .map_err(|_| Difference::between("nobody connected in time", format!("a connection to {listener}"), "nothing"))?
            .map_err(|error| Difference::new(format!("the listener broke: {error}")))?;
        self.log.event(&name, &format!("accept {listener} from {peer}"));
        self.peers.insert(name.clone(), Peer::new(Side::Server, Wire::Plain(plain)));
        self.current = name;
        if tls { self.secure(None, false).await } else { Ok(()) }
    }

    fn switch(&mut self, name: String) -> Result<(), Difference> {
        if !self.peers.contains_key(&name) {
            return Err(Difference::new(format!("there is no connection `{name}`")));
        }
        self.current = name;
        Ok(())
    }

    async fn say(&mut self, text: &Text) -> Result<(), Difference> {
        let mut line = self.play.names.fill(text).map_err(Difference::new)?;
        line.extend_from_slice(b"\r\n");
        self.send(&line).await?;
        self.note_command(text);
        Ok(())
    }

    async fn send(&mut self, octets: &[u8]) -> Result<(), Difference> {
        let until = self.until();
        let side = self.peer()?.ours;
        self.log.octets(&self.current, side, octets);
        let peer = self.peer()?;
        if peer.wire.is_none() {
            return Err(Difference::new("this connection is closed"));
        }
        peer.is_settled = false;
        let sent = peer.send(octets, until).await;
        self.spoken_at = Instant::now();
        match sent {
            Err(Silence::TimedOut | Silence::TooMuch) => Err(Difference::between("the peer does not read", excerpt(octets), "nothing")),
            // It may have said why before it hung up; the next expectation will show.
            Err(Silence::Ended(_)) => {
                self.log.event(&self.current, "note the peer is gone: not all of this was sent");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Hears an expected line once, or as often as it may come.
    async fn hear_as(&mut self, text: &Text, manner: &Manner) -> Result<(), Difference> {
        if !manner.is_optional && !manner.is_repeated {
            return self.hear(text).await;
        }
        let (before, after) = (self.play.names.clone(), self.next);
        let mut times = 0;
        while (times == 0 || manner.is_repeated) && self.ears()?.has_next(text, &before).await? {
            // What a repeated line shows differs each time; the last one is remembered.
            (self.play.names, self.next) = (before.clone(), after);
            self.hear(text).await?;
            times += 1;
        }
        match times {
            0 if !manner.is_optional => self.hear(text).await,
            0 if matches!(expected(text), Expected::Head(_)) => {
                self.next = self.fields_of_head()?.1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn hear(&mut self, text: &Text) -> Result<(), Difference> {
        match expected(text) {
            Expected::Head(_) => {
                let (fields, next) = self.fields_of_head()?;
                self.next = next;
                self.ears()?.head(text, &fields).await
            }
            Expected::Lines => {
                let next = self.line_after_lines();
                self.ears()?.lines(next.as_ref()).await
            }
            _ => self.ears()?.said(text).await,
        }
    }

    /// The lines of an expected head after its first one, and where the items after it begin.
    fn fields_of_head(&mut self) -> Result<(ExpectedFields, usize), Difference> {
        let theirs = self.peer()?.ours.other();
        let (mut fields, mut next) = (ExpectedFields::default(), self.next);
        for (index, step) in self.following() {
            match step {
                Step::Said { side, text } if *side == theirs => {
                    next = index + 1;
                    if text.0.is_empty() {
                        break;
                    }
                    fields.add(text).map_err(|what| Difference::new(format!("`{}`: {what}", text.print(Place::Line))))?;
                }
                step if is_silent(step) => {}
                _ => break,
            }
        }
        Ok((fields, next))
    }

    fn line_after_lines(&self) -> Option<Text> {
        self.following().find(|(_, step)| !is_silent(step)).and_then(|(_, step)| match step {
            Step::Said { text, .. } => Some(text.clone()),
            _ => None,
        })
    }

    async fn hear_octets(&mut self, octets: u64) -> Result<(), Difference> {
        let wanted = Wanted::Octets(octets, None);
        let mut ears = self.ears()?;
        if ears.peer.body.is_some() { ears.body(wanted).await } else { ears.octets(wanted).await }
    }

    fn amount(&self, octets: &Text) -> Result<u64, Difference> {
        let filled = self.play.names.fill(octets).map_err(Difference::new)?;
        let number = std::str::from_utf8(&filled).ok().and_then(|digits| digits.trim().parse().ok());
        number.ok_or_else(|| Difference::between("this is no number of octets", octets.print(Place::Line), excerpt(&filled)))
    }

    fn wanted(&self, check: Check) -> Result<Wanted, Difference> {
        Ok(match check {
            Check::Octets { octets, sha256 } => Wanted::Octets(self.amount(&octets)?, sha256),
            Check::Sha256(digest) => Wanted::Sha256(digest),
            Check::Exactly(content) => match self.play.content(&content) {
                Ok(octets) => Wanted::Exactly(octets),
                Err(difference) => Wanted::Fitting(open_text(content, difference)?),
            },
            Check::Contains(content) => match self.play.content(&content) {
                Ok(octets) => Wanted::Containing(Text::plain(octets)),
                Err(difference) => Wanted::Containing(open_text(content, difference)?),
            },
        })
    }

    async fn close(&mut self) -> Result<(), Difference> {
        let until = self.until();
        self.log.event(&self.current, "close");
        self.peer()?.close(until).await;
        Ok(())
    }

    /// After the last step nothing may be left that a peer said and nobody expected.
    pub(super) async fn leftovers(&mut self) -> Result<(), Difference> {
        let until = Instant::now() + self.grace();
        for (name, peer) in &mut self.peers {
            if peer.wire.is_none() || !peer.is_settled || peer.body.is_some() {
                continue;
            }
            if timeout(self.step_time, peer.fill_quietly(until)).await.unwrap_or(false) {
                let said = peer.take_unexpected();
                let theirs = peer.ours.other();
                self.log.octets(name, theirs, &said);
                return Err(Difference::between(
                    format!("the peer of `{name}` says more than the script expects"),
                    "nothing more",
                    excerpt(&said),
                ));
            }
        }
        Ok(())
    }
}

/// A content whose placeholders are to be found out; `difference` says why it isn't plain.
fn open_text(content: Content, difference: Difference) -> Result<Text, Difference> {
    match content {
        Content::Text { text, times: 1 } => Ok(text),
        _ => Err(difference),
    }
}

/// Whether a step waits for what the peer does, other than by a line.
fn awaits_peer(step: &Step, ours: Option<Side>) -> bool {
    match step {
        Step::Octets { side, .. } => Some(*side) != ours,
        Step::Accept { .. } | Step::Tls { .. } | Step::Closed | Step::HalfClosed => true,
        Step::Expect(_) | Step::Body(_) | Step::NoBody | Step::Message(_) => true,
        _ => false,
    }
}

fn is_silent(step: &Step) -> bool {
    matches!(step, Step::Blank | Step::Comment(_) | Step::Note(_) | Step::Data(_) | Step::Because { .. })
}

/// Octets in place of those that a recording didn't keep: lines, since mail must have them.
fn filler(octets: u64) -> Vec<u8> {
    let line = [&[b'x'; 70][..], b"\r\n"].concat();
    let mut filler: Vec<_> = line.into_iter().cycle().take(usize::try_from(octets).unwrap_or(0)).collect();
    if let Some(end) = filler.len().checked_sub(2) {
        filler[end..].copy_from_slice(b"\r\n");
    }
    filler
}

/// `HOST:PORT` with a sum of products for the port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let host: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let product = |text: &str| {
        text.split('*').map(|factor| factor.trim().parse::<u32>().ok()).try_fold(1, |all: u32, factor| all.checked_mul(factor?))
    };
    let sum = port.split('+').map(product).try_fold(0, |all: u32, product| all.checked_add(product?))?;
    Some(SocketAddr::new(host, u16::try_from(sum).ok()?))
}
