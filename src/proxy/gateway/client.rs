//! The client side of an FTP control connection.

use std::{fmt, net::SocketAddr, ops::Range, time::SystemTime};

use super::{
    path::Kind,
    reply::{Line, Reply},
};
use crate::net::{
    Conn, Ended, Received,
    dial::{DialError, Dialer, Gate},
};

/// The longest line of a reply, in octets, and the most lines of one.
const LINE_OCTETS: usize = 4096;
const REPLY_LINES: usize = 500;

/// A conversation with an FTP server.
pub(super) struct Client {
    conn: Conn,
    dialer: Dialer,
    gate: Gate,
    /// Whether the server knows EPSV, as far as we know.
    is_extended: bool,
}

/// Why something could not be had from the server.
pub(super) enum Trouble {
    Connect(DialError),
    /// It said no.
    Refused(Reply),
    /// The connection broke off or stalled.
    Lost(Ended),
    /// It does not talk FTP.
    Broken(&'static str),
}

impl Trouble {
    /// The HTTP status that says the same.
    pub(super) fn status(&self) -> u16 {
        match self {
            Trouble::Connect(DialError::Forbidden(_)) => 403,
            Trouble::Connect(DialError::TimedOut) | Trouble::Lost(Ended::Slow(_)) => 504,
            Trouble::Refused(reply) => reply.status(),
            _ => 502,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Connect(DialError::Forbidden(_)) => write!(f, "this proxy does not connect its clients to that address"),
            Trouble::Connect(error) => write!(f, "the FTP server can not be reached ({error})"),
            Trouble::Refused(reply) => write!(f, "the FTP server says: {} {}", reply.code, reply.text),
            Trouble::Lost(Ended::Slow(_)) => write!(f, "the FTP server did not answer in time"),
            Trouble::Lost(_) => write!(f, "the FTP server closed the connection before it had answered"),
            Trouble::Broken(what) => write!(f, "the FTP server can not be understood: {what}"),
        }
    }
}

impl From<DialError> for Trouble {
    fn from(error: DialError) -> Trouble {
        Trouble::Connect(error)
    }
}

impl From<Ended> for Trouble {
    fn from(ended: Ended) -> Trouble {
        Trouble::Lost(ended)
    }
}

impl Client {
    /// Waits for the greeting of a server that was connected to.
    pub(super) async fn greet(conn: Conn, dialer: Dialer, gate: Gate) -> Result<Client, Trouble> {
        let mut client = Client { conn, dialer, gate, is_extended: true };
        let mut greeting = client.reply().await?;
        if greeting.code == 120 {
            // "Ready in some minutes": the greeting itself follows.
            greeting = client.reply().await?;
        }
        expect(greeting, 220).map(|_| client)
    }

    pub(super) async fn log_in(&mut self, name: &str, password: &str) -> Result<(), Trouble> {
        let reply = self.ask(format!("USER {name}").as_bytes(), None).await?;
        let reply = match reply.code {
            331 => self.ask(format!("PASS {password}").as_bytes(), Some(5..5 + password.len())).await?,
            _ => reply,
        };
        match reply.code {
            // 202: a password was not even needed.
            202 | 230 => Ok(()),
            _ => Err(Trouble::Refused(reply)),
        }
    }

    pub(super) async fn set_type(&mut self, kind: Kind) -> Result<(), Trouble> {
        let command: &[u8] = if kind == Kind::Image { b"TYPE I" } else { b"TYPE A" };
        let reply = self.ask(command, None).await?;
        expect(reply, 200).map(drop)
    }

    /// How long a file is; `None` where the server can't tell.
    pub(super) async fn size(&mut self, name: &[u8]) -> Result<Option<u64>, Trouble> {
        let reply = self.ask(&[b"SIZE ", name].concat(), None).await?;
        match reply.code {
            213 => Ok(reply.octets()),
            500..=504 => Ok(None),
            _ => Err(Trouble::Refused(reply)),
        }
    }

    /// When a file was modified; `None` where the server can't tell.
    pub(super) async fn modified(&mut self, name: &[u8]) -> Result<Option<SystemTime>, Trouble> {
        let reply = self.ask(&[b"MDTM ", name].concat(), None).await?;
        Ok(reply.time().filter(|_| reply.code == 213))
    }

    /// Enters a folder.
    pub(super) async fn enter(&mut self, name: &[u8]) -> Result<(), Trouble> {
        let reply = self.ask(&[b"CWD ", name].concat(), None).await?;
        if matches!(reply.code, 200 | 250) { Ok(()) } else { Err(Trouble::Refused(reply)) }
    }

    /// Begins a transfer to us and answers its data connection.
    pub(super) async fn transfer(&mut self, command: &[u8]) -> Result<Conn, Trouble> {
        let port = self.passive_port().await?;
        // The very address of the control connection, which the gate has let through.
        let to = SocketAddr::new(self.conn.peer().ip(), port);
        let data = self.dialer.connect_to(to, None, self.gate, "proxy-ftp-data", Some(self.conn.id())).await?;
        let reply = self.ask(command, None).await?;
        if matches!(reply.code, 125 | 150) { Ok(data) } else { Err(Trouble::Refused(reply)) }
    }

    async fn passive_port(&mut self) -> Result<u16, Trouble> {
        if self.is_extended {
            let reply = self.ask(b"EPSV", None).await?;
            if reply.code == 229 {
                return reply.extended_port().ok_or(Trouble::Broken("its reply to EPSV names no port"));
            }
            self.is_extended = false;
        }
        let reply = self.ask(b"PASV", None).await?;
        expect(reply, 227)?.passive_port().ok_or(Trouble::Broken("its reply to PASV names no port"))
    }

    /// Waits for the word that the transfer is complete.
    pub(super) async fn finished(&mut self) -> Result<(), Trouble> {
        let reply = self.reply().await?;
        if matches!(reply.code, 226 | 250) { Ok(()) } else { Err(Trouble::Refused(reply)) }
    }

    /// Says goodbye without waiting for the answer.
    pub(super) fn quit(mut self) {
        self.conn.say("QUIT\r\n");
        tokio::spawn(async move {
            // Who does not hear it sees the connection end.
            let _said = self.conn.finish().await;
        });
    }

    /// Says a command, with a part that transcripts must not show, and waits for its reply.
    async fn ask(&mut self, command: &[u8], secret: Option<Range<usize>>) -> Result<Reply, Trouble> {
        let line = [command, b"\r\n"].concat();
        match secret {
            Some(span) => self.conn.say_masked(&line, [&line[..span.start], b"****\r\n"].concat()),
            None => self.conn.say(&line),
        }
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Reply, Trouble> {
        let mut begun = None;
        for _ in 0..REPLY_LINES {
            let Received::Whole(line) = self.conn.more(LINE_OCTETS, |_| None).await? else {
                return Err(Trouble::Broken("a line of its reply is too long"));
            };
            match (Line::parse(&line.text), begun) {
                (Line::Last(reply), None) => return Ok(reply),
                (Line::Last(reply), Some(code)) if reply.code == code => return Ok(reply),
                (Line::More(code), None) => begun = Some(code),
                (_, Some(_)) => {}
                (Line::Text, None) => return Err(Trouble::Broken("what it says is no reply")),
            }
        }
        Err(Trouble::Broken("its reply does not end"))
    }
}

fn expect(reply: Reply, code: u16) -> Result<Reply, Trouble> {
    if reply.code == code { Ok(reply) } else { Err(Trouble::Refused(reply)) }
}
