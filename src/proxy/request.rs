//! A request for an `http://` address, and its fields as they go up.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::{
    control::Control,
    counters::Outcome,
    entry::Stored,
    forgotten::Moment,
    forward,
    origin::Origin,
    rules::{self, Wish},
    way::Way,
};
use crate::{
    http::{Fields, Method, RequestHead, framing::Framing, lists},
    net::dial::Gate,
};

/// A request for an `http://` address.
#[derive(Clone)]
pub(crate) struct Request {
    pub head: RequestHead,
    pub framing: Framing,
    pub origin: Origin,
    pub gate: Gate,
    pub way: Way,
    /// The target's URI in normal form.
    pub key: String,
    pub control: Control,
    /// Whether the client takes trailers.
    pub takes_trailers: bool,
    /// Whether it wants to go on as a WebSocket.
    pub wants_websocket: bool,
    /// Whether the settings keep this host out of the cache.
    pub is_uncached: bool,
    /// With which requests it can share a fetch, where more than the address is known.
    pub flight: Option<String>,
    /// When it came: before or after what is stored for the address was last changed.
    pub asked: Moment,
    /// How it was answered, once it is.
    pub outcome: Arc<OnceLock<Outcome>>,
    /// What is stored for the address under other values of the fields that select: the origin is
    /// asked whether one of these is meant.
    pub variants: Vec<Arc<Stored>>,
    /// What a stored part lacks for the answer.
    pub missing: Option<Range<u64>>,
}

impl Request {
    pub(crate) fn new(mut head: RequestHead, framing: Framing, origin: Origin, way: Way) -> Request {
        let takes_trailers = forward::takes_trailers(&head);
        let wants_websocket = forward::wants_websocket(&head, framing);
        if forward::drops_named_fields(&head.fields) {
            // The origin won't see them, so they must not select what is stored either: else
            // `Connection: accept-language` files the wrong language (cache poisoning).
            head.fields = forward::end_to_end(&head.fields);
        }
        let key = origin.key(&head.target.origin_form());
        let control = Control::parse(head.fields.get_all("cache-control"));
        let gate = way.gate;
        Request {
            head,
            framing,
            origin,
            gate,
            way,
            key,
            control,
            takes_trailers,
            wants_websocket,
            is_uncached: false,
            flight: None,
            asked: Moment::default(),
            outcome: Arc::default(),
            variants: Vec::new(),
            missing: None,
        }
    }

    /// This request, to be sent up as the client made it.
    pub(crate) fn as_it_came(&self) -> Request {
        Request { variants: Vec::new(), missing: None, ..self.clone() }
    }

    /// The same request as we ask it ourselves: for the whole, and without what only the client
    /// wants.
    pub(crate) fn for_ourselves(&self) -> Request {
        let mut head = self.head.clone();
        head.method = Method::Get;
        for name in ["if-none-match", "if-modified-since", "if-range", "range", "cache-control", "pragma"] {
            head.fields.remove(name);
        }
        let (control, outcome) = (Control::default(), Arc::default());
        Request { head, control, outcome, takes_trailers: false, wants_websocket: false, ..self.as_it_came() }
    }

    /// What the response is stored under. Clients that may not reach private addresses have a
    /// cache of their own: else they could read there what others fetched.
    pub(crate) fn slot(&self) -> Cow<'_, str> {
        match self.gate {
            Gate::Open => Cow::Borrowed(&self.key),
            _ => Cow::Owned(public_slot(&self.key)),
        }
    }

    /// What it asks of the cache.
    pub(crate) fn wish(&self) -> Wish<'_> {
        let fields = &self.head.fields;
        Wish {
            control: &self.control,
            // It counts only without Cache-Control (RFC 9111, 5.4).
            pragma: lists::contains_token(fields.get_all("pragma"), "no-cache"),
            is_conditional: fields.contains("if-none-match") || fields.contains("if-modified-since"),
        }
    }

    /// Whom the request is said to: the origin, or the parent proxy.
    pub(crate) fn next(&self) -> &Origin {
        self.way.next(&self.origin)
    }

    /// The head of the request as it goes up, with these fields. To a proxy the whole address is
    /// said (RFC 9112, 3.2.2).
    pub(crate) fn head_up(&self, pseudonym: &str, fields: &Fields) -> Vec<u8> {
        let host = self.origin.authority();
        let mut fields = fields.clone();
        self.push_options(&mut fields);
        let Some(parent) = &self.way.parent else {
            return forward::request(&self.head, (&forward::target(&self.head), &host), self.framing, pseudonym, &fields);
        };
        if let Some(login) = &parent.login {
            fields.push("Proxy-Authorization", login);
        }
        let target = match forward::target(&self.head) {
            target if target == "*" => self.origin.base(),
            target => format!("{}{target}", self.origin.base()),
        };
        forward::request(&self.head, (&target, &host), self.framing, pseudonym, &fields)
    }

    /// Entity tags that go up beside that of the stored response: the client's own and those of
    /// the other variants.
    fn other_tags<'a>(&'a self, stored: Option<&Stored>) -> Vec<&'a [u8]> {
        let ours = stored.and_then(|stored| stored.head.fields.get("etag")).map(<[u8]>::to_vec);
        let theirs = self.head.fields.get_all("if-none-match").flat_map(lists::elements).filter(|tag| *tag != b"*");
        let others = self.variants.iter().filter_map(|variant| variant.head.fields.get("etag"));
        let mut tags: Vec<&[u8]> = theirs.chain(others).filter(|tag| Some(*tag) != ours.as_deref()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Whether nothing but the validators of this stored response goes up as a condition.
    pub(crate) fn asks_alone(&self, stored: &Stored) -> bool {
        self.other_tags(Some(stored)).is_empty()
    }

    /// The options of the connection to the next server: nothing of the client's own is copied.
    fn push_options(&self, fields: &mut Fields) {
        let mut options = Vec::new();
        if self.takes_trailers {
            fields.push("TE", "trailers");
            options.push("TE");
        }
        if self.wants_websocket {
            fields.push("Upgrade", "websocket");
            options.push("Upgrade");
        }
        if self.framing == Framing::Chunked {
            self.head.fields.get_all("trailer").for_each(|names| fields.push("Trailer", names));
        }
        if !options.is_empty() {
            fields.push("Connection", options.join(", "));
        }
    }

    /// The fields of the request as it goes up. Where something is stored, what is asked is
    /// whether that is still good, or the part that it lacks, in place of the client's own
    /// conditions and range (RFC 9111, 4.3.1 and 3.4).
    pub(crate) fn fields_up(&self, stored: Option<&Stored>) -> Fields {
        let mut fields = forward::request_fields(&self.head);
        if self.framing == Framing::Empty {
            // There is nothing that could wait for a 100 (RFC 9110, 10.1.1).
            fields.remove("expect");
        }
        let stored = stored.filter(|stored| rules::has_validator(&stored.head.fields));
        if stored.is_none() && self.variants.is_empty() {
            return fields;
        }
        for name in ["if-none-match", "if-modified-since", "if-range", "range"] {
            fields.remove(name);
        }
        let tag = stored.and_then(|stored| stored.head.fields.get("etag"));
        if let (Some(tag), Some(missing)) = (tag, &self.missing) {
            let is_rest = stored.is_some_and(|stored| stored.complete_octets() == Some(missing.end));
            let last = if is_rest { String::new() } else { missing.end.saturating_sub(1).to_string() };
            fields.push("Range", format!("bytes={}-{last}", missing.start));
            fields.push("If-Range", tag);
            return fields;
        }
        let tags: Vec<&[u8]> = tag.into_iter().chain(self.other_tags(stored)).collect();
        if !tags.is_empty() {
            fields.push("If-None-Match", tags.join(&b", "[..]));
        }
        if let Some(modified) = stored.and_then(|stored| stored.head.fields.get("last-modified")) {
            fields.push("If-Modified-Since", modified);
        }
        fields
    }
}

/// What the slots of clients behind the gate begin with.
pub(crate) const PUBLIC: &str = "public ";

/// The slot of clients behind the gate.
pub(crate) fn public_slot(key: &str) -> String {
    format!("{PUBLIC}{key}")
}

/// The URI that a slot is for.
pub(crate) fn uri_of(slot: &str) -> &str {
    slot.strip_prefix(PUBLIC).unwrap_or(slot)
}
