//! Plays a script, step by step.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Difference, Failure, Play, Played, Stage,
    expect::{Ears, Wanted},
    log::Log,
    peer::{Peer, Silence},
};
use crate::{
    net::{network::Network, wire::Wire},
    transcript::{
        matching::{Expected, ExpectedFields, excerpt, expected},
        record::Side,
        script::{Check, Content, Destination, Handshake, Step},
        text::{Place, Text},
    },
};

/// Services that begin with TLS. A script can say otherwise (`plain`).
const IMPLICIT_TLS: &[&str] = &["https", "smtps", "pop3s", "ftps"];
/// The name that a certificate must be for, unless the script says otherwise.
const SERVER_NAME: &str = "localhost";

/// How long a closing TLS connection still listens.
const TICKET_TIME: Duration = Duration::from_millis(50);

pub(super) struct Player<'a> {
    play: Play,
    stage: &'a Stage,
    peers: BTreeMap<String, Peer>,
    current: String,
    log: Log,
    step_time: Duration,
    /// The item after the one that is being played.
    next: usize,
}

impl<'a> Player<'a> {
    pub(super) fn new(mut play: Play, stage: &'a Stage) -> Player<'a> {
        play.know_targets(&stage.targets);
        Player { play, stage, peers: BTreeMap::new(), current: "main".into(), log: Log::new(), step_time: stage.step_time, next: 0 }
    }

    pub(super) async fn run(mut self) -> Played<()> {
        let mut line = 1;
        while let Some(item) = self.play.script.items.get(self.next) {
            line = item.line;
            let step = item.step.clone();
            self.next += 1;
            if let Err(difference) = self.step(step).await {
                return Err(self.failure(line, difference));
            }
        }
        self.leftovers().await.map_err(|difference| self.failure(line, difference))
    }

    fn failure(&self, line: usize, difference: Difference) -> Box<Failure> {
        Box::new(Failure { file: self.play.file.clone(), line, difference, so_far: self.log.print() })
    }

    async fn step(&mut self, step: Step) -> Result<(), Difference> {
        match step {
            // Done before the first connection, or for the reader only.
            Step::Blank | Step::Comment(_) | Step::Recorded(_) | Step::Note(_) => Ok(()),
            Step::Set { .. } | Step::File { .. } | Step::Mail { .. } | Step::Only(_) => Ok(()),
            Step::Connect { to, name, handshake } => self.connect(to, name, handshake).await,
            Step::Listen { name, host } => self.play.open(&self.stage.network, &name, host.as_deref()),
            Step::Accept { listener, name, tls } => self.accept(&listener, name, tls).await,
            Step::On(name) => self.switch(name),
            Step::Said { side, text } if side == self.peer()?.ours => self.say(&text).await,
            Step::Said { text, .. } => self.hear(&text).await,
            Step::Tls(name) => self.handshake(name.as_deref().unwrap_or(SERVER_NAME)).await,
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
            Step::Wait(span) => {
                tokio::time::sleep(span.0).await;
                Ok(())
            }
            Step::Quiet(span) => {
                let mut ears = self.ears()?;
                ears.until = Instant::now() + span.0;
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
        }
    }

    fn until(&self) -> Instant {
        Instant::now() + self.step_time
    }

    /// How long to wait for something that should not come. In memory the time is free.
    fn grace(&self) -> Duration {
        match self.stage.network {
            Network::Memory(_) => Duration::from_millis(1),
            Network::Real => Duration::ZERO,
        }
    }

    fn peer(&mut self) -> Result<&mut Peer, Difference> {
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
        self.current = name;
        match handshake {
            Handshake::Tls => self.handshake(SERVER_NAME).await,
            Handshake::Usual if implicit => self.handshake(SERVER_NAME).await,
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
        self.play.script.items.iter().enumerate().skip(self.next).map(|(index, item)| (index, &item.step))
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
        if tls { self.handshake(SERVER_NAME).await } else { Ok(()) }
    }

    fn switch(&mut self, name: String) -> Result<(), Difference> {
        if !self.peers.contains_key(&name) {
            return Err(Difference::new(format!("there is no connection `{name}`")));
        }
        self.current = name;
        Ok(())
    }

    async fn handshake(&mut self, server_name: &str) -> Result<(), Difference> {
        let (tls, until) = (self.stage.tls.clone(), self.until());
        let peer = self.peer()?;
        if !peer.input.is_empty() {
            let early = peer.take_unexpected();
            return Err(Difference::between("the peer said something before the TLS handshake", "nothing", excerpt(&early)));
        }
        let Some(Wire::Plain(plain)) = peer.wire.take() else {
            return Err(Difference::new("TLS is there already, or the connection is closed"));
        };
        let ours = peer.ours;
        let shaken = async {
            match ours {
                Side::Client => tls.connect(plain, server_name).await,
                Side::Server => tls.accept(plain).await,
            }
        };
        let wire = timeout_at(until, shaken).await.map_err(|_| Difference::between("no TLS in time", "a TLS handshake", "nothing"))?;
        let wire = wire.map_err(|error| Difference::between("the TLS handshake failed", "TLS", error))?;
        self.log.event(&self.current, "tls");
        *self.peer()? = Peer::new(ours, wire);
        Ok(())
    }

    async fn say(&mut self, text: &Text) -> Result<(), Difference> {
        let mut line = self.play.names.fill(text).map_err(Difference::new)?;
        line.extend_from_slice(b"\r\n");
        self.send(&line).await
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
        match peer.send(octets, until).await {
            Err(Silence::TimedOut | Silence::TooMuch) => Err(Difference::between("the peer does not read", excerpt(octets), "nothing")),
            // It may have said why before it hung up; the next expectation will show.
            Err(Silence::Ended(_)) => {
                self.log.event(&self.current, "note the peer is gone: not all of this was sent");
                Ok(())
            }
            Ok(()) => Ok(()),
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

    fn wanted(&self, check: Check) -> Result<Wanted, Difference> {
        Ok(match check {
            Check::Octets { octets, sha256 } => Wanted::Octets(octets, sha256),
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
        let peer = self.peer()?;
        peer.half_close(until).await;
        if matches!(peer.wire, Some(Wire::Tls(_))) {
            // A TLS 1.3 server may have its tickets still to send (RFC 8446, 4.6.1). Were we gone by
            // then, the reset would take with it what we have said.
            let _drained = peer.rest(Instant::now() + TICKET_TIME).await;
        }
        peer.wire = None;
        peer.take_unexpected();
        Ok(())
    }

    /// After the last step nothing may be left that a peer said and nobody expected.
    async fn leftovers(&mut self) -> Result<(), Difference> {
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

fn is_silent(step: &Step) -> bool {
    matches!(step, Step::Blank | Step::Comment(_) | Step::Note(_))
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
