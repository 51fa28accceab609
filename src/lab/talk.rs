//! A client of the protocols of lines, SMTP and FTP: commands, and replies with three digits.

use std::net::SocketAddr;

use super::stage::connect;
use crate::net::{Conn, Received, dial::Dialer};

const REPLY_OCTETS: usize = 64 * 1024;

/// A control connection.
pub(super) struct Talk(Conn);

impl Talk {
    /// Connects and hears the greeting.
    pub(super) async fn to(dialer: &Dialer, at: SocketAddr) -> Result<Talk, String> {
        let mut talk = Talk(connect(dialer, at).await?);
        talk.expect('2').await?;
        Ok(talk)
    }

    /// Says a line and answers the reply, which must begin with that digit.
    pub(super) async fn say(&mut self, line: &str, digit: char) -> Result<String, String> {
        self.send(format!("{line}\r\n").as_bytes());
        self.expect(digit).await.map_err(|reply| format!("{line}: {reply}"))
    }

    pub(super) fn send(&mut self, octets: &[u8]) {
        self.0.push(octets);
    }

    /// The next reply.
    pub(super) async fn expect(&mut self, digit: char) -> Result<String, String> {
        let received = self.0.answer(REPLY_OCTETS, |input, _| reply_end(input)).await.map_err(|ended| ended.to_string())?;
        let Received::Whole(reply) = received else { return Err("the reply is too long".into()) };
        let reply = String::from_utf8_lossy(&reply).into_owned();
        if reply.starts_with(digit) { Ok(reply) } else { Err(reply) }
    }
}

/// Where a reply ends: at the line whose three digits a hyphen doesn't follow (RFC 959, 4.2).
fn reply_end(input: &[u8]) -> Option<usize> {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', input) {
        let line = input.get(start..=end)?;
        let is_last = line.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit)) && line.get(3) != Some(&b'-');
        if is_last {
            return Some(end + 1);
        }
        start = end + 1;
    }
    None
}
