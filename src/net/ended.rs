//! Why a conversation is over.

use std::{fmt, io};

/// The reason why a conversation came to its end before it said goodbye.
///
/// A refusal (a 550, a 404) is not one of these: it is a value that the conversation sends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The peer closed its side between two commands: an ordinary end.
    Closed,
    /// The peer closed its side in the middle of something (a line, a body, a TLS record).
    Truncated,
    /// No command came within the idle time.
    Idle,
    /// A phase that must be complete in its time was not, however steadily it dripped.
    Slow(Phase),
    /// The peer sent something that can't be skipped or answered in order; the text says what.
    Abuse(&'static str),
    /// The server is stopping.
    Shutdown,
    /// The TLS handshake or a TLS record failed.
    Tls(String),
    /// The operating system reported an error on the connection.
    Io(io::Error),
    /// The conversation panicked: a mistake in Portico, never the peer's.
    Panicked,
}

/// What a conversation was waiting for when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A line or head that had begun.
    Line,
    /// The next piece of a body or a file from the peer.
    Body,
    /// The peer taking what was sent to it.
    Write,
    /// A TLS handshake.
    Handshake,
}

impl Ended {
    /// Sorts an error of the wire: a peer that went away is no failure of ours.
    pub(crate) fn from_read(error: io::Error) -> Ended {
        match error.kind() {
            // rustls reports a TLS stream without close_notify so: the end can't be trusted.
            io::ErrorKind::UnexpectedEof => Ended::Truncated,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => Ended::Truncated,
            io::ErrorKind::InvalidData => Ended::Tls(error.to_string()),
            _ => Ended::Io(error),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Closed => write!(f, "closed by peer"),
            Ended::Truncated => write!(f, "lost: the peer went away in the middle"),
            Ended::Idle => write!(f, "idle for too long"),
            Ended::Slow(phase) => write!(f, "too slow ({phase:?})"),
            Ended::Abuse(what) => write!(f, "hung up on: {what}"),
            Ended::Shutdown => write!(f, "server is stopping"),
            Ended::Tls(error) => write!(f, "TLS failed: {error}"),
            Ended::Io(error) => write!(f, "failed: {error}"),
            Ended::Panicked => write!(f, "ended by a fault of the server"),
        }
    }
}
