//! A stored response: what is kept of it and what is worked out once, when it is stored.

use std::{sync::OnceLock, time::SystemTime};

use super::{
    control::Control,
    extent::Extent,
    forward, freshness,
    freshness::Lifetime,
    record,
    rules::{self, NOT_UPDATED},
};
use crate::{
    http::{Fields, ResponseHead},
    store::cache::{Variant, body::Body},
};

/// A response to a GET, or to a POST that names itself in Content-Location, as it is kept.
///
/// Parts are kept under the head that the whole would have: status 200, without Content-Range.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub head: ResponseHead,
    pub body: Body,
    /// Which octets of the representation `body` holds.
    pub extent: Extent,
    /// The request fields that select it; see [`rules::selection`].
    pub selection: Vec<(String, Option<Vec<u8>>)>,
    pub control: Control,
    pub lifetime: Lifetime,
    pub date: SystemTime,
    pub times: Times,
    /// Its age when it arrived, in seconds (RFC 9111, 4.2.3); the Age field is not kept.
    pub initial_age: u64,
    /// The head as it goes out on a hit, up to the fields that change each time.
    prepared: OnceLock<Vec<u8>>,
}

/// What a stored response is made of beside its body: all that has to be written down to have it
/// back. The rest is worked out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub head: ResponseHead,
    pub extent: Extent,
    pub selection: Vec<(String, Option<Vec<u8>>)>,
    pub times: Times,
    pub initial_age: u64,
}

/// When a response was asked for and when its head had come: what its age is worked out from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Times {
    pub requested: SystemTime,
    pub received: SystemTime,
}

impl Stored {
    /// A response whose end-to-end fields are `head.fields`, to a request with fields `asked`.
    /// `targeted` are the fields that are read before Cache-Control; see
    /// [`Control::of_response`].
    pub(crate) fn new(asked: &Fields, mut head: ResponseHead, body: Body, times: Times, targeted: &[String]) -> Stored {
        let initial_age = freshness::initial_age(&head.fields, times.requested, times.received);
        let selection = rules::selection(asked, &head.fields);
        let extent = Extent::of_partial(&head.fields).filter(|_| head.status == 206).unwrap_or_default();
        if head.status == 206 {
            head = ResponseHead { fields: head.fields, ..ResponseHead::new(200) };
            head.fields.remove("content-range");
            head.fields.remove("content-length");
        }
        Stored::restore(Record { head, extent, selection, times, initial_age }, body, targeted)
    }

    /// The response that a record was made of.
    pub(crate) fn restore(record: Record, body: Body, targeted: &[String]) -> Stored {
        let Record { mut head, extent, selection, times, initial_age } = record;
        let control = Control::of_response(&head.fields, targeted);
        for name in rules::unstorable_fields(&control) {
            head.fields.remove(name);
        }
        let lifetime = freshness::lifetime(head.status, &head.fields, &control, times.received);
        let date = freshness::date_of(&head.fields, times.received);
        head.fields.remove("age");
        head.fields = head.fields.compacted();
        Stored { head, body, extent, selection, control, lifetime, date, times, initial_age, prepared: OnceLock::new() }
    }

    /// What has to be written down beside the body.
    pub(crate) fn record(&self) -> Record {
        let Stored { head, extent, selection, times, initial_age, .. } = self.clone();
        Record { head, extent, selection, times, initial_age }
    }

    /// This response after the origin has said that it is still good, to a request with fields
    /// `asked`, which select it from now on.
    pub(crate) fn updated(&self, asked: &Fields, answer: &Fields, times: Times, targeted: &[String]) -> Stored {
        let updated = self.with_fields(answer, times, targeted);
        let selection = rules::selection(asked, &updated.head.fields);
        Stored { selection, ..updated }
    }

    /// This response with the fields of a 304, of a 206 or of an answer to HEAD: they replace
    /// those of their names, but for the ones that describe the body (RFC 9111, 3.2).
    pub(crate) fn with_fields(&self, answer: &Fields, times: Times, targeted: &[String]) -> Stored {
        let mut head = self.head.clone();
        let is_taken = |name: &[u8]| !NOT_UPDATED.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes()));
        for (name, _) in answer.iter().filter(|(name, _)| is_taken(name)) {
            head.fields.remove(&String::from_utf8_lossy(name));
        }
        for (name, value) in answer.iter().filter(|(name, _)| is_taken(name)) {
            head.fields.push(name, value);
        }
        // The age is that of the answer; the one of the stored response is over.
        head.fields.remove("age");
        answer.get_all("age").for_each(|age| head.fields.push("Age", age));
        let initial_age = freshness::initial_age(&head.fields, times.requested, times.received);
        let record = Record { head, times, initial_age, ..self.record() };
        Stored::restore(record, self.body.clone(), targeted)
    }

    /// This response with its body as it is now: once it has come completely.
    pub(crate) fn with_body(&self, body: Body) -> Stored {
        Stored { body, prepared: OnceLock::new(), ..self.clone() }
    }

    /// This response under another head, to be sent and not to be stored.
    pub(crate) fn with_head(&self, head: ResponseHead) -> Stored {
        Stored { head, prepared: OnceLock::new(), ..self.clone() }
    }

    /// Its age in seconds (RFC 9111, 4.2.3).
    pub(crate) fn age(&self, now: SystemTime) -> u64 {
        freshness::current_age(self.initial_age, self.times.received, now)
    }

    /// For how many seconds it stays fresh; negative where it is stale.
    pub(crate) fn ttl(&self, now: SystemTime) -> i64 {
        i64::try_from(self.lifetime.secs).unwrap_or(i64::MAX).saturating_sub_unsigned(self.age(now))
    }

    /// The length of the whole representation, where it is known.
    pub(crate) fn complete_octets(&self) -> Option<u64> {
        self.extent.complete(self.body.octets())
    }

    /// Status line and fields for a hit; Age, Cache-Status, Connection and the empty line follow.
    pub(crate) fn prepared(&self) -> &[u8] {
        self.prepared.get_or_init(|| forward::prepare_stored(self))
    }
}

impl Variant for Stored {
    fn octets(&self) -> u64 {
        const OVERHEAD: usize = 768;
        let fields: usize = self.head.fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        // The prepared head doubles the fields.
        self.body.memory_octets() + (2 * fields + OVERHEAD) as u64
    }

    fn body(&self) -> &Body {
        &self.body
    }

    fn record(&self) -> Vec<u8> {
        record::print(&self.record())
    }
}
