//! Expectations: each reads what must come and says how what came differs.

use bytes::BytesMut;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{
    Difference,
    body::{self, Framing, broke_off},
    log::Log,
    peer::{AHEAD_OCTETS, End, Method, Peer, Silence},
};
use crate::transcript::{
    matching::{Expected, ExpectedFields, Names, begins_with_word, ends_reply, excerpt, expected, first_difference},
    record::Side,
    text::{Place, Text, print_octets},
};

/// How many lines that came beside the expected one are shown.
const SHOWN_LINES: usize = 20;
/// How much of a line is shown, in octets.
const SHOWN_OCTETS: usize = 400;
/// The longest HTTP head, in octets.
const HEAD_OCTETS: usize = 4 << 20;
/// The most that is searched for a text, in octets: it is looked through again with each piece.
const SEARCHED_OCTETS: usize = 4 << 20;

/// One step's view of a connection: what it expects must come by `until`.
pub(super) struct Ears<'a> {
    pub peer: &'a mut Peer,
    pub names: &'a mut Names,
    pub log: &'a mut Log,
    /// The connection's name.
    pub name: &'a str,
    pub until: Instant,
}

/// What octets are compared with, its file read and its names filled in as far as they are known.
pub(super) enum Wanted {
    Exactly(Vec<u8>),
    /// Placeholders are open still.
    Fitting(Text),
    Containing(Text),
    Octets(u64, Option<String>),
    Sha256(String),
}

impl Ears<'_> {
    fn theirs(&self) -> Side {
        self.peer.ours.other()
    }

    fn shown(&self, text: &Text) -> String {
        format!("{}: {}", self.theirs(), text.print(Place::Line))
    }

    fn shown_line(&self, line: &[u8]) -> String {
        let shown = print_octets(&line[..line.len().min(SHOWN_OCTETS)], Place::Line, false);
        let cut = if line.len() > SHOWN_OCTETS { format!("... ({} octets)", line.len()) } else { String::new() };
        format!("{}: {shown}{cut}", self.theirs())
    }

    /// The next line, noted and with its end checked.
    async fn line(&mut self, wanted: &str) -> Result<Vec<u8>, Difference> {
        let line = self.peer.line(self.until).await.map_err(|silence| broke_off(wanted, &silence, &self.peer.input))?;
        self.log.said(self.name, self.theirs(), &line.text);
        if line.has_cr {
            return Ok(line.text);
        }
        Err(Difference::between("the line ends in a bare LF, without CR", wanted, self.shown_line(&line.text)))
    }

    /// `line` is not what was wanted: shown with the lines that have come with it.
    async fn other(&mut self, what: &str, wanted: &str, line: &[u8]) -> Difference {
        let mut received = vec![self.shown_line(line)];
        while received.len() < SHOWN_LINES && memchr::memchr(b'\n', &self.peer.input).is_some() {
            let Ok(line) = self.peer.line(self.until).await else { break };
            self.log.said(self.name, self.theirs(), &line.text);
            received.push(self.shown_line(&line.text));
        }
        Difference { what: what.into(), expected: vec![wanted.into()], received }
    }

    /// A line that stands for itself, or for a reply.
    pub(super) async fn said(&mut self, text: &Text) -> Result<(), Difference> {
        self.peer.body = None;
        let wanted = self.shown(text);
        let line = self.line(&wanted).await?;
        let fits = match expected(text) {
            Expected::Reply(codes) if codes.begin(&line) => return self.rest_of_reply(line, &wanted).await,
            Expected::Reply(_) => false,
            Expected::Status(word) => begins_with_word(word, &line),
            _ => self.names.fits(text, &line),
        };
        if fits { Ok(()) } else { Err(self.other("the line differs", &wanted, &line).await) }
    }

    async fn rest_of_reply(&mut self, first: Vec<u8>, wanted: &str) -> Result<(), Difference> {
        let mut line = first.clone();
        while !ends_reply(&first, &line) {
            line = self.line(&format!("{wanted} (the rest of the reply)")).await?;
        }
        Ok(())
    }

    /// Whether the next line is one that fits `text`. That none comes, or the end, is an answer too.
    pub(super) async fn has_next(&mut self, text: &Text, names: &Names) -> Result<bool, Difference> {
        if matches!(expected(text), Expected::Head(_)) {
            self.skip_body().await?;
        }
        match self.peer.peek_line(self.until).await {
            Ok(line) => Ok(is_next(text, names, &line)),
            Err(Silence::TimedOut | Silence::Ended(_)) => Ok(false),
            Err(silence) => Err(broke_off(&self.shown(text), &silence, &self.peer.input)),
        }
    }

    /// A content that a line with nothing but a dot ends. The dots put in front are taken away, by
    /// the rule for whoever reads: each line that begins with one has one too many (RFC 5321, 4.5.2;
    /// RFC 1939, 3).
    pub(super) async fn message(&mut self, wanted: Wanted) -> Result<(), Difference> {
        self.peer.body = None;
        let mut message = Vec::new();
        loop {
            let line = self.line("lines up to the one that is a dot").await?;
            match &line[..] {
                b"." => break,
                [b'.', rest @ ..] => message.extend_from_slice(rest),
                line => message.extend_from_slice(line),
            }
            message.extend_from_slice(b"\r\n");
            if message.len() > AHEAD_OCTETS {
                return Err(broke_off("lines up to the one that is a dot", &Silence::TooMuch, b""));
            }
        }
        compare(wanted, &message, self.names)
    }

    /// Any lines, up to the one that fits `next`; without one, up to the end of the connection.
    pub(super) async fn lines(&mut self, next: Option<&Text>) -> Result<(), Difference> {
        self.peer.body = None;
        loop {
            let wanted = next.map_or("lines up to the end".to_owned(), |next| format!("lines, then {}", self.shown(next)));
            let line = match self.peer.peek_line(self.until).await {
                Ok(line) => line,
                Err(Silence::Ended(_)) if next.is_none() && self.peer.input.is_empty() => return Ok(()),
                Err(silence) => return Err(broke_off(&wanted, &silence, &self.peer.input)),
            };
            if next.is_some_and(|next| is_next(next, self.names, &line)) {
                return Ok(());
            }
            self.line(&wanted).await?;
        }
    }

    /// An HTTP head. The body that it announces is remembered.
    pub(super) async fn head(&mut self, start: &Text, fields: &ExpectedFields) -> Result<(), Difference> {
        let wanted = self.shown(start);
        self.skip_body().await?;
        let first = self.line(&wanted).await?;
        if !self.names.fits(start, &first) {
            return Err(self.other("the first line of the head differs", &wanted, &first).await);
        }
        let lines = self.field_lines().await?;
        self.peer.body = Some(self.framing(&first, &lines));
        let wrong = fields.compare(&lines, self.names);
        if wrong.is_empty() {
            return Ok(());
        }
        let expected = wrong.iter().map(|line| format!("{}: {line}", self.theirs())).collect();
        let received = lines.iter().map(|line| self.shown_line(line)).collect();
        Err(Difference { what: "the head differs".into(), expected, received })
    }

    /// The lines of a head after its first one.
    async fn field_lines(&mut self) -> Result<Vec<Vec<u8>>, Difference> {
        const REST: &str = "the rest of the head, up to an empty line";
        let (mut lines, mut octets) = (Vec::new(), 0);
        loop {
            let line = self.line(REST).await?;
            octets += line.len() + 2;
            match line {
                line if line.is_empty() => return Ok(lines),
                _ if octets > HEAD_OCTETS => return Err(broke_off(REST, &Silence::TooMuch, b"")),
                line => lines.push(line),
            }
        }
    }

    fn framing(&mut self, first: &[u8], lines: &[Vec<u8>]) -> Framing {
        if self.peer.ours == Side::Server {
            return body::of_request(lines);
        }
        // An interim response is not the answer yet (RFC 9110, 15.2).
        let is_interim = first.split(|octet| *octet == b' ').nth(1).is_some_and(|status| status.starts_with(b"1"));
        let asked = self.peer.requests.front().copied().unwrap_or(Method::Other);
        if !is_interim {
            self.peer.requests.pop_front();
        }
        body::of_response(first, lines, asked)
    }

    /// Skips a body that the script did not look at.
    pub(super) async fn skip_body(&mut self) -> Result<(), Difference> {
        match self.peer.body.take() {
            Some(framing) => self.read_body(framing).await.map(drop),
            None => Ok(()),
        }
    }

    async fn read_body(&mut self, framing: Framing) -> Result<Vec<u8>, Difference> {
        let body = body::read(self.peer, framing, self.until).await?;
        if !body.is_empty() {
            self.log.octets(self.name, self.theirs(), &body);
        }
        Ok(body)
    }

    /// The body after a head; everything up to the end where there was no head.
    pub(super) async fn body(&mut self, wanted: Wanted) -> Result<(), Difference> {
        let framing = self.peer.body.take().unwrap_or(Framing::ToEnd);
        let body = self.read_body(framing).await?;
        compare(wanted, &body, self.names)
    }

    /// Nothing after a head.
    pub(super) async fn no_body(&mut self, grace: std::time::Duration) -> Result<(), Difference> {
        let framing = self.peer.body.take().unwrap_or(Framing::None);
        let mut body = self.read_body(framing).await?;
        if framing == Framing::None && self.peer.fill_quietly(Instant::now() + grace).await {
            body = self.peer.input.split().to_vec();
        }
        if body.is_empty() { Ok(()) } else { Err(Difference::between("there is a body", "no body", excerpt(&body))) }
    }

    /// Octets as they are on the wire.
    pub(super) async fn octets(&mut self, wanted: Wanted) -> Result<(), Difference> {
        self.peer.body = None;
        let received = match &wanted {
            Wanted::Exactly(octets) => self.exactly(octets).await?,
            Wanted::Octets(octets, _) => {
                let count = usize::try_from(*octets).map_err(|_| Difference::new("that is more than there can be"))?;
                let read = self.peer.octets(count, self.until).await;
                read.map_err(|silence| broke_off(&format!("{octets} octets"), &silence, &self.peer.input))?
            }
            Wanted::Fitting(text) => self.until_it_fits(text, |names, text, octets| names.fits(text, octets)).await?,
            Wanted::Containing(text) => self.until_it_fits(text, |names, text, octets| names.fits_inside(text, octets)).await?,
            Wanted::Sha256(_) => match self.peer.rest(self.until).await {
                Ok((octets, _)) => octets,
                Err(silence) => return Err(broke_off("octets up to the end", &silence, &self.peer.input)),
            },
        };
        self.log.octets(self.name, self.theirs(), &received);
        compare(wanted, &received, self.names)
    }

    /// As many octets as are wanted, fewer where the difference shows before.
    async fn exactly(&mut self, wanted: &[u8]) -> Result<Vec<u8>, Difference> {
        loop {
            let have = self.peer.input.len().min(wanted.len());
            if have == wanted.len() || self.peer.input[..have] != wanted[..have] {
                return Ok(self.peer.input.split_to(have).to_vec());
            }
            if let Err(silence) = self.peer.fill(self.until).await {
                return Err(broke_off(&excerpt(wanted), &silence, &self.peer.input));
            }
        }
    }

    async fn until_it_fits(&mut self, text: &Text, fits: impl Fn(&mut Names, &Text, &[u8]) -> bool) -> Result<Vec<u8>, Difference> {
        while !fits(&mut self.names.clone(), text, &self.peer.input) {
            if self.peer.input.len() > SEARCHED_OCTETS {
                return Err(broke_off(&format!("\"{}\"", text.print(Place::Quotes)), &Silence::TooMuch, &self.peer.input));
            }
            let filled = self.peer.fill(self.until).await;
            filled.map_err(|silence| broke_off(&format!("\"{}\"", text.print(Place::Quotes)), &silence, &self.peer.input))?;
        }
        Ok(self.peer.input.split().to_vec())
    }

    /// The peer closes, or says that no more comes.
    pub(super) async fn closed(&mut self) -> Result<(), Difference> {
        self.skip_body().await?;
        let (rest, end) = match self.peer.rest(self.until).await {
            Ok(ended) => ended,
            Err(silence) if self.peer.input.is_empty() && silence == Silence::TimedOut => {
                return Err(Difference::between("the connection is still open", "closed", "neither octets nor the end"));
            }
            Err(silence) => return Err(broke_off("closed", &silence, &self.peer.input)),
        };
        if !rest.is_empty() {
            self.log.octets(self.name, self.theirs(), &rest);
            return Err(Difference::between("the peer says more before it closes", "closed", excerpt(&rest)));
        }
        match end {
            End::Truncated => Err(Difference::between("TLS was cut off", "closed", "the end of the stream without close_notify")),
            End::Broken(why) => Err(Difference::between("the connection broke", "closed", why)),
            End::Closed | End::Reset => Ok(()),
        }
    }

    /// Nothing arrives until the time is over.
    pub(super) async fn quiet(&mut self) -> Result<(), Difference> {
        self.skip_body().await?;
        if self.peer.input.is_empty() {
            match self.peer.fill(self.until).await {
                Err(Silence::TimedOut) => return Ok(()),
                Err(silence) => return Err(broke_off("silence", &silence, b"")),
                Ok(()) => {}
            }
        }
        let said = self.peer.input.split();
        self.log.octets(self.name, self.theirs(), &said);
        Err(Difference::between("the peer is not quiet", "nothing", excerpt(&said)))
    }
}

impl Peer {
    /// Reads what is there already; tells whether there is anything.
    pub(super) async fn fill_quietly(&mut self, until: Instant) -> bool {
        if self.input.is_empty() {
            let _nothing = self.fill(until).await;
        }
        !self.input.is_empty()
    }

    /// What came that nobody waits for.
    pub(super) fn take_unexpected(&mut self) -> BytesMut {
        self.input.split()
    }
}

/// Whether a line is the beginning of what is expected.
fn is_next(text: &Text, names: &Names, line: &[u8]) -> bool {
    match expected(text) {
        Expected::Reply(codes) => codes.begin(line),
        Expected::Status(word) => begins_with_word(word, line),
        _ => names.clone().fits(text, line),
    }
}

fn compare(wanted: Wanted, received: &[u8], names: &mut Names) -> Result<(), Difference> {
    let digest = |octets: &[u8]| Sha256::digest(octets).iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let (fits, wanted) = match wanted {
        Wanted::Exactly(octets) if octets == received => return Ok(()),
        Wanted::Exactly(octets) => {
            let what = first_difference(&octets, received);
            return Err(Difference::between(what, excerpt(&octets), excerpt(received)));
        }
        Wanted::Fitting(text) => (names.fits(&text, received), format!("\"{}\"", text.print(Place::Quotes))),
        Wanted::Containing(text) => (names.fits_inside(&text, received), format!("something with \"{}\"", text.print(Place::Quotes))),
        Wanted::Octets(octets, None) => (received.len() as u64 == octets, format!("{octets} octets")),
        Wanted::Octets(octets, Some(sha256)) if received.len() as u64 == octets => (digest(received) == sha256, format!("sha256 {sha256}")),
        Wanted::Octets(octets, Some(_)) => (false, format!("{octets} octets")),
        Wanted::Sha256(sha256) => (digest(received) == sha256, format!("sha256 {sha256}")),
    };
    if fits {
        return Ok(());
    }
    let received = format!("{} octets, sha256 {}: {}", received.len(), digest(received), excerpt(received));
    Err(Difference::between("the content differs", wanted, received))
}
