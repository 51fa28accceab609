//! What goes into the cache, and what is thrown out of it.

use std::sync::Arc;

use super::{
    Proxy,
    control::Control,
    entry::{Stored, Times},
    extent::Extent,
    forgotten::Moment,
    freshness,
    request::{Request, public_slot, uri_of},
    rules::{self, HeadEffect},
};
use crate::{
    http::{Fields, Method, ResponseHead, framing::Framing},
    store::{blocking, cache::Variants},
};

/// Variants kept under one key: a Vary on something that differs from client to client must not
/// fill the cache with one page.
const MAX_VARIANTS: usize = 16;

impl Proxy {
    /// Whether this response may be stored, with the rules that only we know: those about the
    /// method, the size, and parts.
    pub(super) fn may_store(&self, request: &Request, head: &ResponseHead, framing: Framing, times: Times) -> Result<(), &'static str> {
        let control = Control::of_response(&head.fields, &self.settings.targeted);
        let lifetime = freshness::lifetime(head.status, &head.fields, &control, times.received);
        match request.head.method {
            _ if request.is_uncached => return Err(""),
            Method::Get if request.framing == Framing::Empty => {}
            Method::Post if lifetime.rule.is_explicit() && head.status == 200 && is_of_target(request, &head.fields) => {}
            _ => return Err(""),
        }
        rules::may_store(&request.head.fields, head.status, &head.fields, &control, lifetime)?;
        if head.status == 206 {
            may_store_part(request, head, framing)?;
        }
        if self.cache.forgotten.is_after(&request.key, self.asked(request)) {
            // It may be what the address stood for before.
            return Err("invalidated");
        }
        match framing {
            Framing::Length(octets) if octets > self.settings.max_object.0 => Err("too-large"),
            _ => Ok(()),
        }
    }

    /// Stores a response: in place of the one it freshens, or of those that the same requests
    /// would select. A part is put together with what is stored of the same representation.
    pub(super) async fn replace(&self, key: &str, asked: Moment, old: Option<&Arc<Stored>>, new: Arc<Stored>) {
        if new.extent.held().is_some_and(|held| new.body.octets().is_some_and(|octets| octets != held)) {
            // Its Content-Range and its length tell two stories.
            return;
        }
        // What can only be told by looking at the disk is looked at off the reactor.
        let known = self.variants(key).await;
        let same = known.iter().find(|one| one.selection == new.selection && !new.extent.is_whole());
        let new = match same.cloned() {
            Some(same) => self.combined(same, new.clone()).await.map_or(new, Arc::new),
            None => new,
        };
        self.cache.store.change(key, &mut |known| {
            if self.cache.forgotten.is_after(uri_of(key), asked) {
                // While it came, its address was changed.
                return known.to_vec();
            }
            let is_other = |one: &&Arc<Stored>| one.selection != new.selection && !old.is_some_and(|old| Arc::ptr_eq(old, one));
            let others = known.iter().filter(is_other).take(MAX_VARIANTS - 1).cloned();
            std::iter::once(new.clone()).chain(others).collect()
        });
    }

    /// When what a request brings was asked for. An unsafe request brings what it has made itself.
    pub(super) fn asked(&self, request: &Request) -> Moment {
        match request.head.method.is_safe() {
            true => request.asked,
            false => self.cache.forgotten.moment(),
        }
    }

    /// Puts what was updated in place of what is stored, unless the fields that have come with the
    /// update forbid it: then it is for this client alone. Tells whether it is stored.
    pub(super) async fn keep_updated(&self, request: &Request, old: Option<&Arc<Stored>>, new: &Arc<Stored>) -> bool {
        let asked = &request.head.fields;
        match rules::may_store(asked, new.head.status, &new.head.fields, &new.control, new.lifetime) {
            Ok(()) => {
                self.replace(&request.slot(), request.asked, old, new.clone()).await;
                true
            }
            // That is this client's affair: what is stored stays as it was.
            Err("authorization" | "request-no-store") => false,
            Err(_) => {
                self.forget(&request.key);
                false
            }
        }
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

    /// A 304 with a strong entity tag freshens whatever is stored with this tag, for whomever it
    /// was selected (RFC 9111, 4.3.4).
    pub(super) async fn freshen_others(&self, key: &str, answer: &Fields, times: Times, done: &Arc<Stored>) {
        let is_meant = |one: &Arc<Stored>| !Arc::ptr_eq(one, done) && rules::shares_strong_tag(answer, one);
        if !self.variants(key).await.iter().any(is_meant) {
            return;
        }
        let freshened = |one: &Arc<Stored>| match is_meant(one) {
            true => Arc::new(one.with_fields(answer, times, &self.settings.targeted)),
            false => one.clone(),
        };
        self.cache.store.change(key, &mut |known| known.iter().map(freshened).collect());
    }

    /// A 200 to HEAD tells about the response that is stored for GET: it updates its head, or
    /// shows that there is another one now (RFC 9111, 4.3.5).
    pub(super) async fn compare_with_head(&self, request: &Request, head: &ResponseHead, times: Times) {
        let (asked, slot) = (&request.head.fields, request.slot());
        let variants = self.variants(&slot).await;
        let Some(stored) = variants.iter().find(|stored| rules::matches_selection(asked, &stored.selection)) else { return };
        match rules::head_effect(&head.fields, stored) {
            HeadEffect::Nothing => {}
            HeadEffect::Invalidate => drop(self.forget(&request.key)),
            HeadEffect::Update => {
                let updated = stored.updated(asked, &head.fields, times, &self.settings.targeted);
                self.keep_updated(request, Some(stored), &Arc::new(updated)).await;
            }
        }
    }

    /// A success of an unsafe method makes what is stored for its target worthless, and for what
    /// it points to on the same origin (RFC 9111, 4.4).
    pub(super) fn invalidate(&self, request: &Request, answer: &ResponseHead) {
        if request.head.method.is_safe() || !matches!(answer.status, 200..=399) {
            return;
        }
        self.change(&request.key);
        let base = request.head.target.origin_form();
        for reference in ["location", "content-location"].into_iter().filter_map(|name| answer.fields.get(name)) {
            if let Some(key) = request.origin.key_of_reference(&base, reference) {
                self.change(&key);
            }
        }
    }

    /// Forgets what is stored for a URI and what is on its way for it.
    pub(super) fn change(&self, key: &str) -> bool {
        // In this order: what is stored between the two goes as well.
        self.cache.forgotten.note(key);
        self.forget(key)
    }

    /// Forgets what is stored for a URI, for all clients; tells whether there was anything.
    pub(super) fn forget(&self, key: &str) -> bool {
        // Both, whatever the first says.
        self.cache.store.remove(key) | self.cache.store.remove(&public_slot(key))
    }
}

/// Whether a response to POST says that it is what a GET of the same target would bring: then it
/// may be stored for that (RFC 9110, 9.3.3).
fn is_of_target(request: &Request, fields: &Fields) -> bool {
    let base = request.head.target.origin_form();
    let location = fields.only("content-location");
    location.and_then(|location| request.origin.key_of_reference(&base, location)).as_deref() == Some(&*request.key)
}

/// Whether a 206 is a part that we can keep: one that was asked for, that says which one it is, and
/// whose length agrees with that.
fn may_store_part(request: &Request, head: &ResponseHead, framing: Framing) -> Result<(), &'static str> {
    let extent = Extent::of_partial(&head.fields).filter(|_| request.head.fields.contains("range")).ok_or("content-range")?;
    let (held, complete) = (extent.held(), extent.complete(None));
    match framing {
        Framing::Length(octets) if held.or(complete).is_none_or(|held| held == octets) => Ok(()),
        _ => Err("content-range"),
    }
}
