//! A request for an `http://` address, and its fields as they go up.

use std::borrow::Cow;

use bytes::Bytes;

use super::{control::Control, entry::Stored, forward, origin::Origin, rules};
use crate::{
    http::{Fields, RequestHead, framing::Framing, lists},
    net::dial::Gate,
};

/// A request for an `http://` address.
pub(crate) struct Request {
    pub head: RequestHead,
    pub framing: Framing,
    pub origin: Origin,
    pub gate: Gate,
    /// The target's URI in normal form.
    pub key: String,
    pub control: Control,
}

impl Request {
    pub(crate) fn new(mut head: RequestHead, framing: Framing, origin: Origin, gate: Gate) -> Request {
        if forward::drops_named_fields(&head.fields) {
            // The origin won't see them, so they must not select what is stored either: else
            // `Connection: accept-language` files the wrong language (cache poisoning).
            head.fields = forward::end_to_end(&head.fields);
        }
        let key = origin.key(&head.target.origin_form());
        let control = Control::parse(head.fields.get_all("cache-control"));
        Request { head, framing, origin, gate, key, control }
    }

    /// What the response is stored under. Clients that may not reach private addresses have a
    /// cache of their own: else they could read there what others fetched.
    pub(crate) fn slot(&self) -> Cow<'_, str> {
        match self.gate {
            Gate::Open => Cow::Borrowed(&self.key),
            _ => Cow::Owned(public_slot(&self.key)),
        }
    }

    /// `Pragma: no-cache`, which counts only without Cache-Control (RFC 9111, 5.4).
    pub(crate) fn has_pragma(&self) -> bool {
        lists::contains_token(self.head.fields.get_all("pragma"), "no-cache")
    }

    /// The fields of the request as it goes up: where something is stored, with its validators in
    /// place of the client's conditions (RFC 9111, 4.3.1).
    pub(crate) fn fields_up(&self, stored: Option<&Stored>) -> Fields {
        let mut fields = forward::request_fields(&self.head);
        let Some(stored) = stored.filter(|stored| rules::has_validator(&stored.head.fields)) else { return fields };
        let tag = stored.head.fields.get("etag");
        let modified = stored.head.fields.get("last-modified");
        let theirs: Vec<u8> = fields.get_all("if-none-match").filter(|tags| *tags != b"*").collect::<Vec<_>>().join(&b", "[..]);
        for name in ["if-none-match", "if-modified-since", "if-range", "range"] {
            fields.remove(name);
        }
        if let Some(tag) = tag {
            let tags = if theirs.is_empty() { Bytes::copy_from_slice(tag) } else { [tag, b", ", &theirs].concat().into() };
            fields.push("If-None-Match", tags);
        }
        if let Some(modified) = modified {
            fields.push("If-Modified-Since", modified);
        }
        fields
    }
}

/// The slot of clients behind the gate.
pub(crate) fn public_slot(key: &str) -> String {
    format!("public {key}")
}
