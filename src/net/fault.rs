//! Faults on order: the lab's owner has a service fail at a place of his choosing, to show what
//! clients make of it.
//!
//! [`FaultSpec`] says what, where and how often. [`Faults`] keeps those that are set, from the
//! settings and from `portico fault add`, and decides which one strikes. What a fault then does to
//! a connection stands in [`super::suffer`]. While none is set, a command costs one look at an
//! atomic.

use std::{
    collections::VecDeque,
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::block::AddressBlock;
use crate::units::{Size, Span};

/// Faults that may be set at a time: each command is held against every one.
const MAX_FAULTS: usize = 100;
/// Connections that a fault remembers the numbers of, and that have something ordered for their
/// next data connection.
const REMEMBERED: usize = 4096;
/// The longest delay: no client waits longer, and clocks can be added to it.
const LONGEST_DELAY: Duration = Duration::from_secs(86_400);

/// `[[faults]]` in `portico.toml`, and what `portico fault add` sends. What is left out fits
/// everything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct FaultSpec {
    /// What happens; see [`Act`].
    #[serde(rename = "do")]
    pub act: Act,
    pub service: String,
    /// The connection's account, once it has logged in.
    pub account: String,
    /// The client's address or network.
    pub peer: String,
    /// The command (`RCPT`), its beginning (`GET /big*`), or `connect`.
    pub at: String,
    /// The connection, counted from 1 since the fault was set; 0: every one.
    pub connection: u64,
    /// So many times it lets pass what fits.
    pub skip: u64,
    /// So many times it strikes; 0: always.
    pub times: u64,
    /// How likely it strikes, in per cent, drawn from `seed`; always where it is left out.
    pub chance: Option<u8>,
    pub seed: u64,
}

/// What happens to a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Act {
    /// This is answered in place of the service; the command goes no further.
    Answer(String),
    /// The command waits before the service gets it.
    Delay(Span),
    /// The connection breaks off, by a reset.
    #[default]
    Drop,
    /// It breaks off when so much of the body of the answer has gone out.
    Cut(Size),
    /// Letters of the first line of the answer are others.
    Garble,
    /// The data connection for this command does not come about.
    RefuseData,
    /// Nothing is answered any more.
    Stall,
}

impl FromStr for Act {
    type Err = String;

    fn from_str(text: &str) -> Result<Act, String> {
        let (what, how) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        match (what.to_ascii_lowercase().as_str(), how.trim()) {
            ("answer", reply) if !reply.is_empty() && !reply.contains(char::is_control) => Ok(Act::Answer(reply.to_owned())),
            ("delay", span) => span.parse().map(Act::Delay),
            ("cut", size) => size.parse().map(Act::Cut),
            ("drop", "") => Ok(Act::Drop),
            ("garble", "") => Ok(Act::Garble),
            ("refuse-data", "") => Ok(Act::RefuseData),
            ("stall", "") => Ok(Act::Stall),
            _ => Err(format!(
                "`{}` is no fault: there are answer REPLY, delay TIME, drop, cut SIZE, garble, refuse-data and stall",
                super::escape::escape(text)
            )),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Answer(reply) => write!(f, "answer {reply}"),
            Act::Delay(span) => write!(f, "delay {span}"),
            Act::Drop => f.write_str("drop"),
            Act::Cut(size) => write!(f, "cut {size}"),
            Act::Garble => f.write_str("garble"),
            Act::RefuseData => f.write_str("refuse-data"),
            Act::Stall => f.write_str("stall"),
        }
    }
}

impl Serialize for Act {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Act {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Act, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl FaultSpec {
    /// Whether it can be used.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.peer.is_empty() {
            self.peer.parse::<AddressBlock>()?;
        }
        if self.at.contains(char::is_control) {
            return Err("a command is a line: no control character can be in it".into());
        }
        match (&self.act, self.chance) {
            (Act::Delay(span), _) if span.0 > LONGEST_DELAY => Err(format!("a delay is at most {}", Span(LONGEST_DELAY))),
            (_, Some(0)) => Err("a chance of 0 per cent is never".into()),
            (_, Some(chance @ 101..)) => Err(format!("a chance of {chance} per cent is more than always")),
            _ => Ok(()),
        }
    }

    fn fits(&self, whom: &Whom<'_>, moment: &Moment<'_>) -> bool {
        let is_account = self.account.is_empty() || whom.account.is_some_and(|account| self.account.eq_ignore_ascii_case(account));
        is_account && moment.fits(&self.at)
    }

    /// Whether connections like this one are counted, whatever is said on them.
    fn counts(&self, whom: &Whom<'_>) -> bool {
        let is_service = self.service.is_empty() || self.service == whom.service;
        is_service && (self.peer.is_empty() || self.peer.parse::<AddressBlock>().is_ok_and(|block| block.contains(whom.peer)))
    }
}

/// When a fault may strike.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment<'a> {
    /// The connection begins.
    Connect,
    /// A command or a request line has come.
    Command(&'a [u8]),
}

impl Moment<'_> {
    fn fits(self, at: &str) -> bool {
        match self {
            Moment::Connect => at.eq_ignore_ascii_case("connect"),
            Moment::Command(_) if at.is_empty() => true,
            Moment::Command(line) => {
                let (wanted, is_open) = at.strip_suffix('*').map_or((at, false), |wanted| (wanted, true));
                let begins = line.get(..wanted.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(wanted.as_bytes()));
                begins && (is_open || line.get(wanted.len()).is_none_or(|next| b" :\r\n".contains(next)))
            }
        }
    }
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whom<'a> {
    pub service: &'a str,
    pub account: Option<&'a str>,
    pub peer: IpAddr,
    pub conn: u64,
}

/// The faults of the house.
#[derive(Default)]
pub(crate) struct Faults {
    is_armed: AtomicBool,
    next_id: AtomicU64,
    set: Mutex<Vec<Fault>>,
    /// What is to happen to the next data connection of a control connection, newest last.
    data: Mutex<VecDeque<(u64, Act)>>,
}

/// A fault that is set.
struct Fault {
    id: u64,
    spec: FaultSpec,
    fitted: u64,
    struck: u64,
    connections: u64,
    /// The numbers of the connections that it has seen, newest last.
    numbers: VecDeque<(u64, u64)>,
    draws: Xoshiro256PlusPlus,
}

/// A fault that strikes now.
#[derive(Debug, PartialEq)]
pub(crate) struct Strike {
    pub id: u64,
    pub act: Act,
    /// For what it draws itself.
    pub seed: u64,
}

/// A fault as it is listed.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Listed {
    pub id: u64,
    /// How often it has struck.
    pub struck: u64,
    #[serde(flatten)]
    pub spec: FaultSpec,
}

impl Faults {
    /// Sets those of the settings.
    ///
    /// # Errors
    /// As [`Faults::add`].
    pub(crate) fn new(specs: &[FaultSpec]) -> Result<Arc<Faults>, String> {
        let faults = Arc::new(Faults::default());
        specs.iter().try_for_each(|spec| faults.add(spec.clone()).map(drop))?;
        Ok(faults)
    }

    /// Sets a fault and answers its number.
    ///
    /// # Errors
    /// It can't be used, or there are too many.
    pub(crate) fn add(&self, spec: FaultSpec) -> Result<u64, String> {
        spec.check()?;
        let mut set = lock(&self.set);
        if set.len() >= MAX_FAULTS {
            return Err(format!("there are {MAX_FAULTS} faults already; `portico fault clear` removes them"));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let draws = Xoshiro256PlusPlus::seed_from_u64(spec.seed);
        set.push(Fault { id, spec, fitted: 0, struck: 0, connections: 0, numbers: VecDeque::new(), draws });
        self.is_armed.store(true, Ordering::Relaxed);
        Ok(id)
    }

    pub(crate) fn list(&self) -> Vec<Listed> {
        lock(&self.set).iter().map(|fault| Listed { id: fault.id, struck: fault.struck, spec: fault.spec.clone() }).collect()
    }

    /// Removes the fault of that number, or all; answers how many there were.
    pub(crate) fn clear(&self, id: Option<u64>) -> usize {
        let mut set = lock(&self.set);
        let before = set.len();
        set.retain(|fault| id.is_some_and(|id| id != fault.id));
        self.is_armed.store(!set.is_empty(), Ordering::Relaxed);
        before - set.len()
    }

    pub(super) fn is_armed(&self) -> bool {
        self.is_armed.load(Ordering::Relaxed)
    }

    /// The first fault that strikes here and now.
    pub(crate) fn strike(&self, whom: &Whom<'_>, moment: &Moment<'_>) -> Option<Strike> {
        lock(&self.set).iter_mut().find_map(|fault| fault.strike(whom, moment))
    }

    /// The next data connection of control connection `conn` is to suffer this. Orders of
    /// connections that never open one fall out in time.
    pub(super) fn order_data(&self, conn: u64, act: Act) {
        let mut data = lock(&self.data);
        data.retain(|(ordered, _)| *ordered != conn);
        if data.len() >= REMEMBERED {
            data.pop_front();
        }
        data.push_back((conn, act));
    }

    /// What the data connection that control connection `conn` opens now is to suffer.
    pub(super) fn ordered_data(&self, conn: u64) -> Option<Act> {
        let mut data = lock(&self.data);
        let at = data.iter().rposition(|(ordered, _)| *ordered == conn)?;
        data.remove(at).map(|(_, act)| act)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fault {
    fn strike(&mut self, whom: &Whom<'_>, moment: &Moment<'_>) -> Option<Strike> {
        let number = self.number_of(whom)?;
        let is_its_turn = self.spec.connection == 0 || self.spec.connection == number;
        if !is_its_turn || !self.spec.fits(whom, moment) {
            return None;
        }
        self.fitted += 1;
        let is_used_up = self.spec.times > 0 && self.struck >= self.spec.times;
        if self.fitted <= self.spec.skip || is_used_up || !self.draw() {
            return None;
        }
        self.struck += 1;
        Some(Strike { id: self.id, act: self.spec.act.clone(), seed: self.spec.seed.wrapping_add(self.struck) })
    }

    fn draw(&mut self) -> bool {
        self.spec.chance.is_none_or(|chance| self.draws.random_range(0..100) < chance)
    }

    /// Which connection of the service, and of the peers meant, it is since the fault was set: it is
    /// counted when it begins, or, where it stood already, at its first command.
    fn number_of(&mut self, whom: &Whom<'_>) -> Option<u64> {
        if !self.spec.counts(whom) {
            return None;
        }
        if let Some((_, number)) = self.numbers.iter().rev().find(|(conn, _)| *conn == whom.conn) {
            return Some(*number);
        }
        if self.numbers.len() >= REMEMBERED {
            self.numbers.pop_front();
        }
        self.connections += 1;
        self.numbers.push_back((whom.conn, self.connections));
        Some(self.connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom(service: &str, conn: u64) -> Whom<'_> {
        Whom { service, account: None, peer: IpAddr::from([192, 0, 2, 7]), conn }
    }

    fn spec(toml: &str) -> FaultSpec {
        toml::from_str(toml).unwrap()
    }

    fn strikes(faults: &Faults, whom: &Whom<'_>, line: &str) -> bool {
        faults.strike(whom, &Moment::Command(line.as_bytes())).is_some()
    }

    #[test]
    fn what_happens_is_written_and_read() {
        for text in ["answer 451 4.3.0 Later", "delay 2s", "drop", "cut 1kB", "garble", "refuse-data", "stall"] {
            assert_eq!(text.parse::<Act>().unwrap().to_string(), text);
        }
        assert_eq!("STALL".parse(), Ok(Act::Stall));
        for wrong in ["", "answer", "answer 250 a\r\nb", "answer \x1b[2J", "delay", "cut 7", "explode", "drop it"] {
            assert!(wrong.parse::<Act>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_command_is_matched_by_its_beginning() {
        for (at, line, fits) in [
            ("RCPT", "rcpt TO:<bob@x>", true),
            ("RCPT", "RCPTX", false),
            ("QUIT", "QUIT", true),
            ("GET /big*", "GET /big.jpg HTTP/1.1\r\n", true),
            ("GET /big", "GET /big.jpg HTTP/1.1\r\n", false),
            ("GET", "GET / HTTP/1.1\r\n", true),
            ("", "anything", true),
            ("connect", "connect", true),
        ] {
            assert_eq!(Moment::Command(line.as_bytes()).fits(at), fits, "{at}: {line}");
        }
        assert!(Moment::Connect.fits("connect") && !Moment::Connect.fits("") && !Moment::Connect.fits("RCPT"));
    }

    #[test]
    fn it_strikes_where_when_and_as_often_as_it_should() {
        let faults = Faults::new(&[spec("do = 'drop'\nservice = 'smtp'\nat = 'RCPT'\nconnection = 2\nskip = 1\ntimes = 1")]).unwrap();
        let (first, second) = (whom("smtp", 70), whom("smtp", 99));
        assert!(!strikes(&faults, &first, "RCPT TO:<a>") && !strikes(&faults, &whom("pop3", 71), "RCPT"));
        let counted: Vec<_> = ["EHLO x", "RCPT TO:<a>", "RCPT TO:<b>", "RCPT TO:<c>"].map(|line| strikes(&faults, &second, line)).into();
        assert_eq!(counted, [false, false, true, false]);
        assert_eq!(faults.list()[0].struck, 1);
        assert_eq!((faults.clear(Some(7)), faults.clear(None), faults.is_armed()), (0, 1, false));
    }

    #[test]
    fn peer_and_account_must_be_right() {
        let mut who = whom("pop3", 1);
        let faults = Faults::new(&[spec("do = 'drop'\naccount = 'bob'\npeer = '192.0.2.0/24'")]).unwrap();
        assert!(!strikes(&faults, &who, "LIST"));
        who.account = Some("bob");
        assert!(strikes(&faults, &who, "LIST"));
        who.peer = IpAddr::from([198, 51, 100, 1]);
        assert!(!strikes(&faults, &who, "LIST"));
    }

    #[test]
    fn connections_are_counted_among_those_of_the_peer() {
        let faults = Faults::new(&[spec("do = 'drop'\npeer = '::ffff:192.0.2.7'\nconnection = 1")]).unwrap();
        let other = Whom { peer: IpAddr::from([198, 51, 100, 1]), ..whom("pop3", 1) };
        assert!(!strikes(&faults, &other, "LIST"));
        assert!(strikes(&faults, &whom("pop3", 2), "LIST"));
        assert!(!strikes(&faults, &whom("pop3", 3), "LIST"));
    }

    #[test]
    fn orders_for_data_connections_that_never_come_do_not_pile_up() {
        let faults = Faults::default();
        (0..2 * REMEMBERED as u64).for_each(|conn| faults.order_data(conn, Act::RefuseData));
        assert_eq!(lock(&faults.data).len(), REMEMBERED);
        assert_eq!(faults.ordered_data(0), None, "the oldest fell out");
        let newest = 2 * REMEMBERED as u64 - 1;
        faults.order_data(newest, Act::Drop);
        assert_eq!((faults.ordered_data(newest), faults.ordered_data(newest)), (Some(Act::Drop), None));
    }

    #[test]
    fn a_chance_is_drawn_from_the_seed() {
        let draw = |seed| {
            let faults = Faults::new(&[spec(&format!("do = 'drop'\nchance = 30\nseed = {seed}"))]).unwrap();
            (0..1000).map(|_| strikes(&faults, &whom("ftp", 1), "NOOP")).collect::<Vec<_>>()
        };
        let some = draw(1);
        let count = some.iter().filter(|strikes| **strikes).count();
        assert!((250..350).contains(&count), "{count}");
        assert_eq!(some, draw(1));
        assert_ne!(some, draw(2));
    }

    #[test]
    fn what_can_not_be_used_is_refused() {
        for wrong in ["chance = 101", "chance = 0", "peer = 'lab'", "at = \"RCPT\\r\\n\""].map(|wrong| format!("do = 'drop'\n{wrong}")) {
            assert!(Faults::new(&[spec(&wrong)]).is_err(), "{wrong}");
        }
        assert!(Faults::new(&[spec("do = 'delay 25h'")]).is_err());
        let faults = Faults::default();
        (0..MAX_FAULTS).for_each(|_| assert!(faults.add(FaultSpec::default()).is_ok()));
        assert!(faults.add(FaultSpec::default()).is_err());
    }
}
