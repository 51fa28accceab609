//! TLS in front of a broken server: both sides are secured, so that what passes can be spoilt, and
//! the change from plain to TLS can be done wrong.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Fault,
    layer::{line, text},
    serve::{Front, Passing},
};
use crate::net::wire::{Plain, Wire};

/// The name in the certificate of servers in memory.
const SERVER_NAME: &str = "localhost";
/// The most that is remembered of what was said before TLS, in lines.
const REMEMBERED_LINES: usize = 100;
/// What leaves something behind that TLS should make forgotten.
const REMEMBERED: [&str; 6] = ["EHLO", "HELO", "MAIL", "RCPT", "USER", "PASS"];

/// How far a conversation is on its way from plain to TLS.
#[derive(Default)]
pub(super) struct Upgrade {
    /// STARTTLS or its like was said, and not answered yet.
    pub is_awaited: bool,
    is_done: bool,
    /// What the client said before, for [`Fault::RemembersAll`].
    said: Vec<Vec<u8>>,
}

impl Front {
    pub(super) async fn secure(&self, client: Plain, server: Plain) -> io::Result<(Wire, Wire)> {
        let accepted = async { self.tls.accept(client).await.map_err(io::Error::other) };
        tokio::try_join!(accepted, self.secure_server(server))
    }

    pub(super) async fn secure_server(&self, server: Plain) -> io::Result<Wire> {
        self.tls.connect(server, SERVER_NAME).await.map_err(io::Error::other)
    }

    /// Whether a line asks for TLS from here on.
    fn asks_for_tls(&self, said: &[u8]) -> bool {
        let said = text(said).to_ascii_uppercase();
        match self.service {
            "smtp" | "submission" => said == "STARTTLS",
            "pop3" => said == "STLS",
            "ftp" => said == "AUTH TLS",
            _ => false,
        }
    }
}

impl Passing<'_> {
    /// Looks at a line of the client; answers whether it has been dealt with.
    pub(super) async fn hears_upgrade(&mut self, said: &[u8]) -> io::Result<bool> {
        if self.upgrade.is_done {
            return Ok(false);
        }
        if !self.front.asks_for_tls(said) {
            self.remember(said);
            return Ok(false);
        }
        if matches!(self.front.fault, Fault::StaysPlain) {
            let reply = match self.front.service {
                "pop3" => "+OK go ahead",
                "ftp" => "234 Go ahead",
                _ => "220 Go ahead",
            };
            self.client.write_all(&line(reply)).await?;
            self.client.flush().await?;
            return Ok(true);
        }
        if !self.upgrade.said.is_empty() && self.front.service == "smtp" {
            // STARTTLS is refused within a transaction; this one comes back under TLS.
            self.ask_quietly(b"RSET\r\n").await?;
        }
        self.upgrade.is_awaited = true;
        Ok(false)
    }

    fn remember(&mut self, said: &[u8]) {
        let verb = text(said).split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let is_kept = matches!(self.front.fault, Fault::RemembersAll) && REMEMBERED.contains(&verb.as_str());
        if is_kept && self.upgrade.said.len() < REMEMBERED_LINES {
            self.upgrade.said.push(said.to_vec());
        }
    }

    /// The reply to STARTTLS has gone out. What the client has said ahead in the clear is forgotten,
    /// as it should be, unless that is the fault.
    pub(super) async fn upgrade(&mut self, is_granted: bool, said_ahead: &mut BytesMut) -> io::Result<()> {
        self.upgrade.is_awaited = false;
        if !is_granted {
            return Ok(());
        }
        self.upgrade.is_done = true;
        if !matches!(self.front.fault, Fault::TakesInjected) {
            said_ahead.clear();
        }
        let nowhere = || Wire::Plain(Plain::Memory(tokio::io::duplex(1).0));
        let (client, server) = (std::mem::replace(&mut self.client, nowhere()), std::mem::replace(&mut self.server, nowhere()));
        let (Wire::Plain(client), Wire::Plain(server)) = (client, server) else { return Err(io::Error::other("TLS inside TLS")) };
        (self.client, self.server) = self.front.secure(client, server).await?;
        self.say_again().await
    }

    /// Tells the server, which has rightly forgotten it, what the client said before TLS.
    async fn say_again(&mut self) -> io::Result<()> {
        for line in std::mem::take(&mut self.upgrade.said) {
            self.ask_quietly(&line).await?;
        }
        Ok(())
    }

    /// Says a line to the server and keeps the reply to itself.
    async fn ask_quietly(&mut self, said: &[u8]) -> io::Result<()> {
        self.server.write_all(said).await?;
        self.server.flush().await?;
        let mut heard = BytesMut::new();
        loop {
            match memchr::memchr(b'\n', &heard).map(|at| heard.split_to(at + 1)) {
                Some(reply) if reply.get(3) != Some(&b'-') => return Ok(()),
                Some(_) => {}
                None if self.server.read_buf(&mut heard).await? == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        }
    }
}
