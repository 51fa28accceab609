//! Refusals: our own pages, or those that the settings put in their place.

use super::{
    Web,
    audience::Audience,
    page,
    reply::{Body, Reply},
    request::Request,
};
use crate::{http::Fault, store::VirtualPath};

/// The largest page of the tree that is taken for a refusal, in octets: it is read at once.
const PAGE_OCTETS: u64 = 256 * 1024;

impl Web {
    /// The answer to a request that is refused. Programs that ask for JSON get a problem document
    /// whatever the settings say.
    pub(super) fn refusal(&self, request: &Request, fault: &Fault) -> Reply {
        let pages = &self.rules.error_pages;
        match pages.get(&fault.status).filter(|_| request.audience() != Audience::Program) {
            Some(path) => self.own_page(request, fault, path).unwrap_or_else(|| page::refusal(fault, request.audience())),
            None => page::refusal(fault, request.audience()),
        }
    }

    fn own_page(&self, request: &Request, fault: &Fault, path: &VirtualPath) -> Option<Reply> {
        let file = self.deps.tree.open(&request.placed(path.clone()).ok()?).ok()?;
        if file.facts.octets > PAGE_OCTETS {
            return None;
        }
        // Programs get something else (above).
        let reply = Reply::new(fault.status).with("Vary", "Accept").with("Content-Type", self.rules.media.of(path.name()));
        Some(page::with_duties(reply.with_body(Body::Octets(file.read().ok()?.to_vec())), fault))
    }
}
