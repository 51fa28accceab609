//! Leads FTP's data connections through here: the addresses in PORT and EPRT, and in the replies to
//! PASV and EPSV, are replaced by addresses of our own.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{net::TcpListener, time::timeout};

use super::{Way, Wiretap};
use crate::transcript::record::Side;

/// How long a data connection may be waited for.
const ARRIVAL_TIME: Duration = Duration::from_secs(60);
/// A longer line is passed on as it is, in octets.
const LINE_OCTETS: usize = 8 * 1024;

/// Where data connections of one session come from and go to.
#[derive(Clone)]
pub(super) struct DataWays {
    pub tap: Wiretap,
    /// The control connection.
    pub parent: u64,
    /// Our address as the client sees it, and as the server sees it.
    pub toward_client: IpAddr,
    pub toward_server: IpAddr,
    pub server: IpAddr,
    pub client: IpAddr,
}

impl DataWays {
    /// Opens a port for a data connection that goes on to a port of the server (passive), and
    /// answers its address.
    async fn toward_server(&self, port: u16) -> Option<SocketAddr> {
        let listener = TcpListener::bind((self.toward_client, 0)).await.ok()?;
        let at = listener.local_addr().ok()?;
        self.lead(listener, Way { to: SocketAddr::new(self.server, port), shown: at });
        Some(at)
    }

    /// Opens a port for a data connection that goes on to a port of the client (active).
    async fn toward_client(&self, port: u16) -> Option<SocketAddr> {
        let listener = TcpListener::bind((self.toward_server, 0)).await.ok()?;
        let at = listener.local_addr().ok()?;
        let to = SocketAddr::new(self.client, port);
        self.lead(listener, Way { to, shown: to });
        Some(at)
    }

    /// Passes one connection on.
    fn lead(&self, listener: TcpListener, way: Way) {
        let (tap, parent) = (self.tap.clone(), self.parent);
        tokio::spawn(async move {
            if let Ok(Ok((from, _))) = timeout(ARRIVAL_TIME, listener.accept()).await {
                tap.carry(from, way, parent).await;
            }
        });
    }
}

/// One direction of a control connection.
pub(super) struct Addresses {
    ways: DataWays,
    side: Side,
    partial: Vec<u8>,
    /// TLS, or no lines at all: nothing can be replaced.
    is_dark: bool,
}

impl Addresses {
    pub(super) fn new(ways: DataWays, side: Side) -> Addresses {
        Addresses { ways, side, partial: Vec::new(), is_dark: false }
    }

    /// What is to be passed on. Nothing more comes after an empty piece.
    pub(super) async fn lead_here(&mut self, octets: &[u8]) -> Vec<u8> {
        self.partial.extend_from_slice(octets);
        self.is_dark |= matches!(self.partial[..], [0x16, 0x03, ..]) || self.partial.len() > LINE_OCTETS;
        if self.is_dark || octets.is_empty() {
            return std::mem::take(&mut self.partial);
        }
        let mut passed = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &self.partial) {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            match self.replace(&line).await {
                Some(other) => passed.extend_from_slice(format!("{other}\r\n").as_bytes()),
                None => passed.extend_from_slice(&line),
            }
        }
        passed
    }

    /// The line with our address in place of theirs, where it has one.
    async fn replace(&self, line: &[u8]) -> Option<String> {
        let line = std::str::from_utf8(line).ok()?.trim_end();
        match self.side {
            Side::Server => self.replace_in_reply(line).await,
            Side::Client => self.replace_in_command(line).await,
        }
    }

    async fn replace_in_reply(&self, line: &str) -> Option<String> {
        let ways = &self.ways;
        if line.starts_with("227 ") {
            let at = six_numbers(line)?;
            let here = ways.toward_server(at.port()).await?;
            return Some(format!("227 Entering Passive Mode ({})", as_six_numbers(here)?));
        }
        if line.starts_with("229 ") {
            let port = line.split('|').nth(3)?.parse().ok()?;
            let here = ways.toward_server(port).await?;
            return Some(format!("229 Entering Extended Passive Mode (|||{}|)", here.port()));
        }
        None
    }

    async fn replace_in_command(&self, line: &str) -> Option<String> {
        let (verb, rest) = line.split_once(' ')?;
        let ways = &self.ways;
        if verb.eq_ignore_ascii_case("PORT") {
            let at = six_numbers(rest)?;
            let here = ways.toward_client(at.port()).await?;
            return Some(format!("PORT {}", as_six_numbers(here)?));
        }
        if verb.eq_ignore_ascii_case("EPRT") {
            let port = rest.split('|').nth(3)?.parse().ok()?;
            let here = ways.toward_client(port).await?;
            let family = if here.is_ipv4() { 1 } else { 2 };
            return Some(format!("EPRT |{family}|{}|{}|", here.ip(), here.port()));
        }
        None
    }
}

/// `h1,h2,h3,h4,p1,p2` wherever it stands (RFC 959, 4.1.2).
fn six_numbers(text: &str) -> Option<SocketAddr> {
    let begins = |text: &&str| text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(',');
    let list = text.split(|c: char| !c.is_ascii_digit() && c != ',').find(begins)?;
    let numbers = list.split(',').map(|number| number.parse().ok()).collect::<Option<Vec<u8>>>()?;
    let [a, b, c, d, high, low] = numbers[..] else { return None };
    Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
}

fn as_six_numbers(at: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = at.ip() else { return None };
    let [a, b, c, d] = ip.octets();
    let [high, low] = at.port().to_be_bytes();
    Some(format!("{a},{b},{c},{d},{high},{low}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_numbers_are_found_in_every_reply() {
        for text in ["227 Entering Passive Mode (127,0,0,1,4,1).", "227 =127,0,0,1,4,1", "127,0,0,1,4,1"] {
            assert_eq!(six_numbers(text), Some(SocketAddr::from(([127, 0, 0, 1], 1025))), "{text}");
        }
        for text in ["227 (1,2,3,4,5)", "1,2,3,4,256,1", "", "227"] {
            assert_eq!(six_numbers(text), None, "{text}");
        }
        assert_eq!(as_six_numbers(SocketAddr::from(([127, 0, 0, 1], 1025))).as_deref(), Some("127,0,0,1,4,1"));
    }
}
