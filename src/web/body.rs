//! The body of a request: read piece by piece where it is wanted, else drained so that the next
//! request on the connection is not read from inside it.

use bytes::Bytes;

use super::reply::Halt;
use crate::{
    http::{
        Fault, Fields, RequestHead, Version,
        body::{self, Decoder, Step},
        framing::Framing,
        secrets,
    },
    net::{Conn, Parse},
};

/// An unwanted body is read up to this many octets to save the connection; beyond that a new
/// connection is cheaper.
const DRAIN_OCTETS: u64 = 256 * 1024;

pub(super) struct RequestBody {
    decoder: Decoder,
    /// As announced; `None` for chunks.
    length: Option<u64>,
    max_octets: u64,
    taken: u64,
    /// The client waits for `100 (Continue)` before it sends.
    awaits_go_ahead: bool,
    is_broken: bool,
    /// The body as it comes on the wire, where somebody wants to see that, and how much of it.
    wire: Option<(Vec<u8>, usize)>,
}

impl RequestBody {
    pub(super) fn new(framing: Framing, head: &RequestHead, max_octets: u64) -> RequestBody {
        let length = match framing {
            Framing::Length(octets) => Some(octets),
            Framing::Empty => Some(0),
            Framing::Chunked | Framing::UntilClose => None,
        };
        // An expectation in a 1.0 request is to be ignored (RFC 9110, 10.1.1).
        let awaits_go_ahead = length != Some(0) && head.version >= Version::Http11 && head.fields.contains("expect");
        RequestBody { decoder: Decoder::new(framing), length, max_octets, taken: 0, awaits_go_ahead, is_broken: false, wire: None }
    }

    /// Whether the request has none.
    pub(super) fn is_empty(&self) -> bool {
        self.length == Some(0)
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self, conn: &mut Conn) -> Result<Option<Bytes>, Halt> {
        if self.length.is_some_and(|octets| octets > self.max_octets) {
            return Err(self.too_large());
        }
        if std::mem::take(&mut self.awaits_go_ahead) && conn.buffered().is_empty() {
            conn.say("HTTP/1.1 100 Continue\r\n\r\n");
        }
        loop {
            match self.step(conn).await? {
                (Step::Data(_), octets) => {
                    self.taken += octets.len() as u64;
                    return if self.taken > self.max_octets { Err(self.too_large()) } else { Ok(Some(octets)) };
                }
                (Step::End(_), _) => {
                    self.note(conn);
                    return Ok(None);
                }
                // Nobody need send a chunk that will not be taken.
                (Step::Framing(_), _) if self.taken.saturating_add(self.decoder.announced()) > self.max_octets => {
                    return Err(self.too_large());
                }
                (Step::Framing(_) | Step::More, _) => {}
            }
        }
    }

    /// Notes a body that is over in the transcript. Its trailers are shown and mean nothing here.
    fn note(&self, conn: &Conn) {
        conn.tap().received_bytes(usize::try_from(self.taken).unwrap_or(usize::MAX));
        if conn.tap().is_open() {
            for (name, value) in self.decoder.trailers().iter() {
                let line = [name, b": ", value].concat();
                conn.tap().received(&line, secrets::secret_in(&line));
            }
        }
    }

    async fn step(&mut self, conn: &mut Conn) -> Result<(Step, Bytes), Halt> {
        let decoder = &mut self.decoder;
        let look = |input: &[u8]| match decoder.step(input) {
            Ok(Step::More) => Parse::More,
            Ok(step) => Parse::Got { consumed: step.octets(), value: Ok(step) },
            Err(fault) => Parse::Got { consumed: 0, value: Err(fault) },
        };
        let (octets, step) = conn.parse(look).await?;
        let step = step.and_then(|step| self.check_trailers(step));
        self.is_broken |= step.is_err();
        if let Some((kept, limit)) = &mut self.wire {
            kept.extend_from_slice(&octets[..octets.len().min(*limit - kept.len())]);
        }
        Ok((step?, octets))
    }

    /// 400 for a trailer section that tries to say what only a head may say.
    fn check_trailers(&self, step: Step) -> Result<Step, Fault> {
        match body::misplaced_in(self.decoder.trailers()) {
            Some(name) if matches!(step, Step::End(_)) => {
                Err(Fault::bad(format!("the field {name} has no place among trailers"), "RFC 9110, 6.5.1"))
            }
            _ => Ok(step),
        }
    }

    /// From now on the body is kept as it comes, framing and all, up to `limit` octets.
    pub(super) fn keep_wire(&mut self, limit: usize) {
        self.wire = Some((Vec::new(), limit));
    }

    pub(super) fn take_wire(&mut self) -> Vec<u8> {
        self.wire.take().unwrap_or_default().0
    }

    pub(super) fn trailers(&self) -> &Fields {
        self.decoder.trailers()
    }

    /// Takes less than the settings allow.
    pub(super) fn limit(&mut self, octets: u64) {
        self.max_octets = self.max_octets.min(octets);
    }

    fn too_large(&self) -> Halt {
        Fault::new(413, format!("the body is larger than {} octets", self.max_octets), "RFC 9110, 15.5.14").into()
    }

    /// The whole body, where it is at most `limit` octets long.
    pub(super) async fn collect(&mut self, conn: &mut Conn, limit: u64) -> Result<Vec<u8>, Halt> {
        self.limit(limit);
        let mut whole = Vec::new();
        while let Some(octets) = self.next(conn).await? {
            whole.extend_from_slice(&octets);
        }
        Ok(whole)
    }

    /// Reads what nobody read. Answers whether the next request can be found after it; refuses a
    /// body whose framing is broken, which had better not been answered at all.
    pub(super) async fn finish(&mut self, conn: &mut Conn) -> Result<bool, Halt> {
        if self.is_broken || self.decoder.is_over() {
            return Ok(!self.is_broken);
        }
        let left = self.length.map(|octets| octets.saturating_sub(self.taken));
        // A client that waits for leave may never send the body, or may: nobody can tell.
        let waits_in_vain = self.awaits_go_ahead && conn.buffered().is_empty();
        if waits_in_vain || left.is_some_and(|octets| octets > DRAIN_OCTETS) {
            return Ok(false);
        }
        let limit = self.taken.saturating_add(DRAIN_OCTETS);
        while !self.decoder.is_over() && self.taken.saturating_add(self.decoder.announced()) <= limit {
            let (_, octets) = self.step(conn).await?;
            self.taken += octets.len() as u64;
        }
        Ok(self.decoder.is_over())
    }
}
