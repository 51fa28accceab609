//! The lab: addresses that answer in a way that somebody wants to test a client, a proxy or their
//! own understanding with.
//!
//! Each of them is an [`Exhibit`]: a row in [`table`] with a function that is handed all that is
//! known about the request (a [`Call`], its body included) and says what is to happen (an
//! [`Act`](call::Act)). These functions are pure; waiting, interim responses and hanging up are done here.
//! There is one file per group of exhibits, and `index` lists them all.
//!
//! What an exhibit sends back of what a client sent can do no harm: pages are escaped and run
//! nothing, everything else carries a media type that browsers must not guess at (`nosniff`).

mod auth;
mod caching;
mod call;
mod codings;
mod content;
mod cookies;
mod index;
mod inspect;
mod parameters;
mod statuses;
mod table;
#[cfg(test)]
mod tests;
mod timing;

use std::time::Duration;

use sha2::{Digest, Sha256};

use self::call::{Before, Call, Received, Wire};
pub(super) use self::table::{Exhibit, find};
use super::{
    Web,
    body::RequestBody,
    reply::{Halt, Reply},
    request::Request,
    stream,
};
use crate::{
    http::{Fault, Version},
    net::Conn,
};

/// How much of a request's body is shown, in octets; all of it is counted and digested.
const SHOWN_OCTETS: usize = 64 * 1024;

impl Web {
    /// Answers a request for an exhibit.
    pub(super) async fn lab(
        &self,
        conn: &mut Conn,
        request: &Request,
        body: &mut RequestBody,
        exhibit: &'static Exhibit,
    ) -> Result<Reply, Halt> {
        self.check_lab(request)?;
        let received = receive(conn, body).await?;
        let wire = Wire { client: conn.peer(), server: conn.local(), conn: conn.id(), tls: conn.tls().cloned() };
        let act = (exhibit.act)(&Call::new(exhibit, request, received, wire)?)?;
        for before in act.before {
            match before {
                Before::Pause(span) => conn.pause(span).await?,
                // A client of version 1.0 doesn't know that there is such a thing (RFC 9110, 15.2).
                Before::Interim(head) if request.head.version >= Version::Http11 => conn.say(head),
                Before::Interim(_) => {}
            }
        }
        act.reply.ok_or_else(|| Halt::Ended(stream::cut()))
    }

    /// The lab is for clients on this machine, or for those whom the settings let in.
    pub(super) fn check_lab(&self, request: &Request) -> Result<(), Fault> {
        let local = "the lab is for clients on this machine; `http.lab = \"everybody\"` opens it";
        self.deps.settings.lab.admits(request.peer, local, "the lab is closed by the setting `http.lab`")
    }
}

/// Reads the body to its end. However long it is, only the beginning is kept.
async fn receive(conn: &mut Conn, body: &mut RequestBody) -> Result<Received, Halt> {
    body.keep_wire(SHOWN_OCTETS);
    let (mut content, mut octets, mut digest) = (Vec::new(), 0, Sha256::new());
    while let Some(piece) = body.next(conn).await? {
        digest.update(&piece);
        octets += piece.len() as u64;
        content.extend_from_slice(&piece[..piece.len().min(SHOWN_OCTETS - content.len())]);
    }
    Ok(Received { content, octets, digest: digest.finalize().into(), wire: body.take_wire(), trailers: body.trailers().clone() })
}

/// A span of so many seconds.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
