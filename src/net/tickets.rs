//! TLS tickets that tell connections apart: an FTP data connection may have to resume the session of
//! its own control connection, which proves that the same client is at the other end.

use std::{
    hash::{DefaultHasher, Hasher},
    sync::{Arc, OnceLock},
};

use rustls::server::ProducesTickets;

use super::tls::Resumed;

/// Whose TLS session a connection may resume, and whose its own tickets carry on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tickets {
    /// Anybody's; a session of its own begins. With the number of the connection.
    Own(u64),
    /// That of connection `parent` alone, which goes on: so a ticket of any of its data connections
    /// is as good as its own. `count` are sent once the handshake is over.
    Of { parent: u64, count: usize },
}

/// Tickets with the number of the connection whose session they are of, inside the seal. They hold
/// no secret of the server's that would be used up: one serves as often as it is shown.
#[derive(Debug)]
pub(super) struct NumberedTickets {
    inner: Arc<dyn ProducesTickets>,
    tickets: Tickets,
    /// What the ticket that was taken says.
    resumed: OnceLock<Resumed>,
}

impl NumberedTickets {
    pub(super) fn new(inner: Arc<dyn ProducesTickets>, tickets: Tickets) -> NumberedTickets {
        NumberedTickets { inner, tickets, resumed: OnceLock::new() }
    }

    /// Whose session the client has shown a ticket of, if one was taken.
    pub(super) fn resumed(&self) -> Option<Resumed> {
        self.resumed.get().copied()
    }
}

impl ProducesTickets for NumberedTickets {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.inner.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let (Tickets::Own(number) | Tickets::Of { parent: number, .. }) = self.tickets;
        self.inner.encrypt(&[&number.to_be_bytes(), session].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = self.inner.decrypt(ticket)?;
        let (number, session) = opened.split_first_chunk()?;
        let number = u64::from_be_bytes(*number);
        if matches!(self.tickets, Tickets::Of { parent, .. } if parent != number) {
            return None;
        }
        // Of several tickets the first that opens is taken.
        let _noted = self.resumed.set(Resumed { of: number, ticket: hash(ticket) });
        Some(session.to_vec())
    }
}

/// Nothing rests on it: who makes two tickets look alike, makes his own client look odd.
fn hash(ticket: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(ticket);
    hasher.finish()
}
