//! A line protocol spoken by hand over a raw socket.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::PATIENCE;

/// One connection. `say`, `hear` and the others fail the test with the dialogue so far; `try_...`
/// answer `None` when the connection is lost.
pub struct Dialogue {
    lines: BufReader<TcpStream>,
    so_far: String,
}

impl Dialogue {
    pub fn with(address: SocketAddr) -> Dialogue {
        Dialogue::try_with(address).unwrap_or_else(|| panic!("nobody listens on {address}"))
    }

    pub fn try_with(address: SocketAddr) -> Option<Dialogue> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Dialogue { lines: BufReader::new(stream), so_far: String::new() })
    }

    pub fn say(&mut self, line: &str) -> &mut Dialogue {
        self.so_far += &format!("C: {line}\n");
        self.try_send(format!("{line}\r\n").as_bytes()).unwrap_or_else(|| panic!("lost:\n{}", self.so_far));
        self
    }

    /// The next line must begin with this; the line is answered.
    pub fn hear(&mut self, start: &str) -> String {
        let line = self.try_line();
        match &line {
            Some(line) => self.so_far += &format!("S: {line}\n"),
            None => self.so_far += "-- lost\n",
        }
        line.filter(|line| line.starts_with(start)).unwrap_or_else(|| panic!("expected {start:?}:\n{}", self.so_far))
    }

    /// Lines up to the one that is this.
    pub fn hear_until(&mut self, end: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.hear("");
            if line == end {
                return lines;
            }
            lines.push(line);
        }
    }

    pub fn ended(&mut self) {
        let mut rest = Vec::new();
        let read = self.lines.read_to_end(&mut rest);
        assert!(read.is_ok() && rest.is_empty(), "expected the end:\n{}S: {}", self.so_far, rest.escape_ascii());
    }

    pub fn try_send(&mut self, octets: &[u8]) -> Option<()> {
        self.lines.get_mut().write_all(octets).ok()
    }

    /// The next line, if it comes whole.
    pub fn try_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).ok()?;
        let text = line.strip_suffix(b"\r\n")?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Says a line and hears the whole reply to it: whether it came, and was this one.
    pub fn try_ask(&mut self, line: &str, reply: &str) -> Option<()> {
        self.try_send(format!("{line}\r\n").as_bytes())?;
        self.try_reply(reply).map(|_| ())
    }

    /// The last line of the next reply, which must begin so.
    pub fn try_reply(&mut self, reply: &str) -> Option<String> {
        loop {
            let line = self.try_line()?;
            assert!(line.starts_with(reply), "expected {reply:?}, heard {line:?}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(line);
            }
        }
    }

    pub fn try_octets(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut octets = vec![0; count];
        self.lines.read_exact(&mut octets).ok()?;
        Some(octets)
    }
}
