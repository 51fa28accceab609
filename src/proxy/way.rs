//! The way that a request takes: to its origin, or through a parent proxy, and for whom.

use std::net::SocketAddr;

use super::{Proxy, origin::Origin, policy::Parent};
use crate::net::{Conn, dial::Gate};

/// Where a request goes next, and on whose behalf.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub parent: Option<Parent>,
    /// Which addresses the client may reach.
    pub gate: Gate,
    /// Where the client has reached the proxy.
    pub own: SocketAddr,
    /// The client's connection.
    pub asker: u64,
}

impl Way {
    /// Whom to connect to.
    pub(crate) fn next<'a>(&'a self, origin: &'a Origin) -> &'a Origin {
        self.parent.as_ref().map_or(origin, |parent| &parent.at)
    }
}

impl Proxy {
    /// The way from this client to `origin`.
    pub(super) fn way(&self, client: &Conn, origin: &Origin) -> Way {
        let is_local_name = self.dialer.resolver.is_local_name(&origin.host);
        Way {
            parent: self.policy.parent(&origin.host, is_local_name).cloned(),
            gate: self.policy.gate(client.peer().ip(), &origin.host),
            own: client.local(),
            asker: client.id(),
        }
    }
}
