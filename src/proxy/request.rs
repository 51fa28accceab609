//! A request for an `http://` address, and its fields as they go up.

use std::{borrow::Cow, sync::OnceLock};

use super::{
    control::Control,
    counters::Outcome,
    entry::Stored,
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
    /// How it was answered, once it is.
    pub outcome: OnceLock<Outcome>,
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
            outcome: OnceLock::new(),
        }
    }

    /// The same request as we ask it ourselves: for the whole and without the client's conditions.
    pub(crate) fn for_ourselves(&self) -> Request {
        let mut head = self.head.clone();
        head.method = Method::Get;
        for name in ["if-none-match", "if-modified-since", "if-range", "range"] {
            head.fields.remove(name);
        }
        let Request { framing, origin, gate, way, key, control, is_uncached, .. } = self;
        Request {
            head,
            framing: *framing,
            origin: origin.clone(),
            gate: *gate,
            way: way.clone(),
            key: key.clone(),
            control: control.clone(),
            takes_trailers: false,
            wants_websocket: false,
            is_uncached: *is_uncached,
            outcome: OnceLock::new(),
        }
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

    /// The client's own entity tags that go up beside the stored one.
    fn other_tags<'a>(&'a self, stored: &Stored) -> impl Iterator<Item = &'a [u8]> {
        let ours = stored.head.fields.get("etag").map(<[u8]>::to_vec);
        let theirs = self.head.fields.get_all("if-none-match").flat_map(lists::elements);
        theirs.filter(move |tag| *tag != b"*" && Some(*tag) != ours.as_deref())
    }

    /// Whether nothing but the validators of this stored response goes up as a condition.
    pub(crate) fn asks_alone(&self, stored: &Stored) -> bool {
        self.other_tags(stored).next().is_none()
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

    /// The fields of the request as it goes up: where something is stored, with its validators in
    /// place of the client's conditions (RFC 9111, 4.3.1).
    pub(crate) fn fields_up(&self, stored: Option<&Stored>) -> Fields {
        let mut fields = forward::request_fields(&self.head);
        if self.framing == Framing::Empty {
            // There is nothing that could wait for a 100 (RFC 9110, 10.1.1).
            fields.remove("expect");
        }
        let Some(stored) = stored.filter(|stored| rules::has_validator(&stored.head.fields)) else { return fields };
        for name in ["if-none-match", "if-modified-since", "if-range", "range"] {
            fields.remove(name);
        }
        if let Some(tag) = stored.head.fields.get("etag") {
            let tags: Vec<&[u8]> = std::iter::once(tag).chain(self.other_tags(stored)).collect();
            fields.push("If-None-Match", tags.join(&b", "[..]));
        }
        if let Some(modified) = stored.head.fields.get("last-modified") {
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
