//! The origin server: HTTP/1.1 and 1.0 (RFC 9110, RFC 9112) over the shared file tree, plain and
//! under TLS.
//!
//! To follow one request, read [`conversation`] (the loop), then `request` (what was asked),
//! `files` (the file behind it), `answer` (pure: which part of it goes back, or why none) and
//! `reply` (the head and the body that go out). Beside that way stand `write` (PUT and DELETE),
//! `visitor` (cookies) and `form`.
//!
//! It knows nothing of the wire below heads and bodies: that is `crate::http`.

use std::sync::Arc;

use crate::{
    clock::Clock,
    store::{Accounts, tree::Tree, visitors::Visitors},
};

mod answer;
mod audience;
mod body;
mod conversation;
pub(crate) mod cookies;
pub(crate) mod explain;
mod files;
pub(crate) mod form;
mod listing;
mod login;
pub(crate) mod negotiation;
mod page;
mod reply;
pub(crate) mod request;
pub(crate) mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod trace;
mod visitor;
mod write;

use settings::Settings;

/// What the origin server needs.
pub(crate) struct Deps {
    /// The service's name: `http` or `https`.
    pub service: &'static str,
    pub tree: Arc<dyn Tree>,
    pub accounts: Arc<Accounts>,
    pub visitors: Arc<dyn Visitors>,
    pub clock: Clock,
    pub settings: Settings,
    /// Take passwords over plain connections off loopback.
    pub plain_passwords: bool,
}

/// The origin server.
pub(crate) struct Web {
    deps: Deps,
    dates: reply::Dates,
}

impl Web {
    pub(crate) fn new(deps: Deps) -> Web {
        Web { deps, dates: reply::Dates::default() }
    }
}
