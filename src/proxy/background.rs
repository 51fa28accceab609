//! Fetches for nobody in particular: while a stale response is sent, the origin is asked whether it
//! is still good (RFC 5861, 3). One for each address at a time, and not too many at all.

use std::sync::{Arc, Weak};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    Proxy,
    entry::{Stored, Times},
    exchange::Trouble,
    fetch::Fetched,
    flights::{Landing, Leader},
    forward,
    request::Request,
    rules::{self, Why},
};
use crate::http::framing::{self, Framing};

/// Validations in the background at a time: each takes a connection to an origin.
pub(super) const MAX_BACKGROUND: usize = 64;

/// A validation to be done when the client has its answer: it is let go first.
pub(super) struct Validation {
    proxy: Weak<Proxy>,
    request: Request,
    stored: Arc<Stored>,
    leader: Leader,
    _permit: OwnedSemaphorePermit,
}

impl Proxy {
    /// Validates what is stored, in a task of its own; does nothing where somebody does so already.
    pub(super) fn validate_behind(&self, request: &Request, stored: &Arc<Stored>) {
        let Some(leader) = self.flights.lead(&self.flight(request)) else { return };
        let Ok(permit) = self.background.clone().try_acquire_owned() else { return };
        let validation =
            Validation { proxy: self.this.clone(), request: request.for_ourselves(), stored: stored.clone(), leader, _permit: permit };
        tokio::spawn(validation.run());
    }

    async fn validate(&self, request: &Request, stored: Arc<Stored>, leader: Leader) {
        let requested = self.clock.now();
        let (origin, answer) = match self.ask(None, request, Some(&stored)).await {
            Ok(asked) => asked,
            Err(Trouble::Origin(failure)) => {
                tracing::info!(key = request.key, "not validated: {failure}");
                return leader.land(Landing::Failed(Arc::new(failure)));
            }
            Err(_) => return,
        };
        let times = Times { requested, received: self.clock.now() };
        let status = answer.head.status;
        let why = Why { fwd: "stale", detail: "stale-while-revalidate" };
        let fetched = Fetched { request, why, stored: Some(stored.clone()), answer, times, leader: Some(leader) };
        tracing::debug!(key = request.key, "validated in the background: {status}");
        if status == 304 {
            if rules::validates(&fetched.answer.head.fields, &stored, request.asks_alone(&stored)) {
                self.put_back(origin, &fetched, Framing::Empty);
                self.freshen(&stored, &fetched).await;
            }
            return;
        }
        let Ok(framing) = framing::of_response(&request.head.method, &fetched.answer.head) else { return };
        let head = forward::response(&fetched.answer.head, &self.pseudonym, times.received);
        match self.may_store(request, &head, framing, times) {
            Ok(()) => self.take_in_alone(origin, fetched, framing, head).await,
            Err(_) if rules::is_origin_error(status) => fetched.land(Landing::Erred(status)),
            Err(_) => {
                self.forget(&request.key);
                fetched.land(Landing::Alone);
            }
        }
    }
}

impl Validation {
    async fn run(self) {
        if let Some(proxy) = self.proxy.upgrade() {
            proxy.validate(&self.request, self.stored, self.leader).await;
        }
    }
}
