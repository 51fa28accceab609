//! CONNECT: a tunnel to an origin, or through the parent proxy (RFC 9110, 9.3.6).

use tokio::time::timeout;

use super::{
    Proxy,
    conversation::Next,
    exchange,
    origin::Origin,
    pages::{Failure, Page},
    policy::Parent,
    reply::{self, Ending},
    way::Way,
};
use crate::{
    http::{Fault, RequestHead, framing::Framing, target::split_authority},
    net::{Conn, Ended},
};

impl Proxy {
    /// `CONNECT host:port`.
    pub(super) async fn connect(&self, conn: &mut Conn, head: &RequestHead, framing: Framing, ending: Ending) -> Result<Next, Ended> {
        let Some((host, Some(port))) = head.target.authority().and_then(|text| split_authority(text.as_bytes())) else {
            return Ok(self.refuse(conn, &Fault::bad("CONNECT wants `host:port`", "RFC 9112, 3.2.3")));
        };
        let origin = Origin::http(host, port);
        if framing != Framing::Empty {
            return Ok(self.refuse(conn, &Fault::bad("CONNECT has no content", "RFC 9110, 9.3.6")));
        }
        if !self.settings.allows_connect(origin.port) {
            // A tunnel to port 25 is how spam is sent from other people's machines.
            let page = Page::new(403, &format!("CONNECT to port {} is not allowed.", origin.port));
            return Ok(self.say_page(conn, head, framing, &page, ending));
        }
        if self.policy.refuses(&origin) {
            return Ok(self.say_page(conn, head, framing, &Page::never_forwarded(&origin), ending));
        }
        match self.dig(&origin, &self.way(conn, &origin)).await {
            Ok(tunnel) => {
                conn.say("HTTP/1.1 200 Connection established\r\n\r\n");
                Ok(Next::Tunnel(Box::new(tunnel)))
            }
            Err(failure) => Ok(self.say_page(conn, head, framing, &failure.page(&origin), ending)),
        }
    }

    /// The far end of a tunnel.
    async fn dig(&self, origin: &Origin, way: &Way) -> Result<Conn, Failure> {
        let conn = self.reach(origin, way).await?;
        let Some(parent) = &way.parent else { return Ok(conn) };
        let answered = timeout(self.settings.first_byte_timeout.0, ask_parent(conn, origin, parent)).await;
        answered.unwrap_or(Err(Failure::NoAnswer))
    }
}

/// Asks the parent proxy for a tunnel. What comes right behind its head belongs to the tunnel.
async fn ask_parent(mut conn: Conn, origin: &Origin, parent: &Parent) -> Result<Conn, Failure> {
    let target = format!("{}:{}", origin.host, origin.port);
    let login = parent.login.as_ref().map(|login| format!("Proxy-Authorization: {login}\r\n")).unwrap_or_default();
    reply::say_head(&mut conn, format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n").as_bytes());
    let head = exchange::receive_final_head(&mut conn).await?;
    if matches!(head.status, 200..=299) { Ok(conn) } else { Err(Failure::Parent(head.status)) }
}
