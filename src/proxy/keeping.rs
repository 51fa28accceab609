//! What goes into the cache, and what is thrown out of it.

use std::sync::Arc;

use super::{
    Proxy,
    control::Control,
    entry::{Stored, Times},
    freshness,
    request::{Request, public_slot},
    rules,
};
use crate::{
    http::{Method, ResponseHead, framing::Framing},
    store::{blocking, cache::Variants},
};

/// Variants kept under one key: a Vary on something that differs from client to client must not
/// fill the cache with one page.
const MAX_VARIANTS: usize = 16;

impl Proxy {
    /// Whether this response may be stored, with the size rule that only we know.
    pub(super) fn may_store(&self, request: &Request, head: &ResponseHead, framing: Framing, times: Times) -> Result<(), &'static str> {
        if request.is_uncached || request.head.method != Method::Get || request.framing != Framing::Empty {
            return Err("");
        }
        let control = Control::of_response(&head.fields, &self.settings.targeted);
        let lifetime = freshness::lifetime(head.status, &head.fields, &control, times.received);
        rules::may_store(&request.head.fields, head.status, &head.fields, &control, lifetime)?;
        match framing {
            // Parts are not combined yet.
            _ if head.status == 206 => Err("status"),
            Framing::Length(octets) if octets > self.settings.max_object.0 => Err("too-large"),
            _ => Ok(()),
        }
    }

    /// Stores a response: in place of the one it freshens, or of those that the same requests
    /// would select.
    pub(super) async fn replace(&self, key: &str, old: Option<&Arc<Stored>>, new: Arc<Stored>) {
        // What can only be told by looking at the disk is looked at off the reactor.
        self.variants(key).await;
        self.cache.store.change(key, &mut |known| {
            let is_other = |one: &&Arc<Stored>| one.selection != new.selection && !old.is_some_and(|old| Arc::ptr_eq(old, one));
            let others = known.iter().filter(is_other).take(MAX_VARIANTS - 1).cloned();
            std::iter::once(new.clone()).chain(others).collect()
        });
    }

    /// What is stored under a key.
    pub(super) async fn variants(&self, key: &str) -> Variants<Stored> {
        match self.cache.store.variants(key) {
            Some(variants) => variants,
            None => {
                let (cache, key) = (self.cache.clone(), key.to_owned());
                Box::pin(blocking(move || cache.store.load(&key))).await
            }
        }
    }

    /// A success of an unsafe method makes what is stored for its target worthless, and for what
    /// it points to on the same origin (RFC 9111, 4.4).
    pub(super) fn invalidate(&self, request: &Request, answer: &ResponseHead) {
        if request.head.method.is_safe() || !matches!(answer.status, 200..=399) {
            return;
        }
        self.forget(&request.key);
        let base = request.head.target.origin_form();
        for reference in ["location", "content-location"].into_iter().filter_map(|name| answer.fields.get(name)) {
            if let Some(key) = request.origin.key_of_reference(&base, reference) {
                self.forget(&key);
            }
        }
    }

    /// Forgets what is stored for a URI, for all clients; tells whether there was anything.
    pub(super) fn forget(&self, key: &str) -> bool {
        // Both, whatever the first says.
        self.cache.store.remove(key) | self.cache.store.remove(&public_slot(key))
    }
}
