//! The conversation of the capitalising server (Kurose & Ross, section 2.7).

use std::net::IpAddr;

use crate::net::{Conn, Ended, Entry, Exit, Farewell, Protocol, Received, drive::Datagrams};

/// The longest line that is capitalised, in octets.
const LINE_OCTETS: usize = 4096;

/// The capitalising server over TCP: keeps the connection for as many lines as the client likes.
pub(crate) struct CapitalTcp;

impl Protocol for CapitalTcp {
    fn name(&self) -> &str {
        "capital-tcp"
    }

    async fn converse(&self, conn: &mut Conn, _entry: Entry) -> Result<Exit, Ended> {
        loop {
            match conn.command(LINE_OCTETS, |_| None).await {
                Ok(Received::Whole(line)) => {
                    let mut reply = capitalise(&line.text);
                    reply.extend_from_slice(b"\r\n");
                    conn.say(&reply);
                }
                Ok(Received::TooLong) => conn.say("LINE TOO LONG: AT MOST 4096 OCTETS\r\n"),
                Err(Ended::Closed) => return Ok(Exit::Done),
                Err(ended) => return Err(ended),
            }
        }
    }

    fn farewell(&self, _ended: &Ended) -> Option<Farewell> {
        None
    }

    fn busy(&self, _peer: IpAddr) -> Option<Farewell> {
        Some(b"TOO MANY CONNECTIONS, TRY AGAIN LATER\r\n".into())
    }
}

/// The capitalising server over UDP: each datagram comes back in capitals.
pub(crate) struct CapitalUdp;

impl Datagrams for CapitalUdp {
    fn answer(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        Some(capitalise(datagram))
    }
}

/// The text in capitals; octets that are not UTF-8 stay as they are.
fn capitalise(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.to_uppercase().into_bytes(),
        Err(_) => text.to_ascii_uppercase(),
    }
}
