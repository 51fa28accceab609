//! A body that comes in its own time: dripped, in chunks with extensions, or cut short on purpose.
//!
//! It is described as a row of pieces, so that whoever describes it needs neither a connection nor
//! a clock; the sending stands here. To a client of version 1.1 a body whose length nobody has
//! told goes in chunks (RFC 9112, 7.1), to one of version 1.0 its end is the end of the connection.

use std::{io, time::Duration};

use crate::{
    http::Version,
    net::{Conn, Ended},
};

/// A body in the making.
pub(super) struct Stream {
    /// Told in `Content-Length`; `None` where the body tells its own end.
    pub length: Option<u64>,
    pub pieces: Box<dyn Iterator<Item = Piece> + Send>,
    /// Field lines after the last chunk; left out where there are no chunks.
    pub trailers: Vec<(String, String)>,
}

pub(super) enum Piece {
    Octets(Vec<u8>),
    /// A chunk of its own, with extensions such as `;name=value`.
    Chunk(Vec<u8>, String),
    /// Everything so far goes out, then this time passes.
    Pause(Duration),
    /// The connection breaks off here.
    Cut,
}

impl Stream {
    pub(super) fn new(pieces: impl Iterator<Item = Piece> + Send + 'static) -> Stream {
        Stream { length: None, pieces: Box::new(pieces), trailers: Vec::new() }
    }

    pub(super) fn with_length(self, octets: u64) -> Stream {
        Stream { length: Some(octets), ..self }
    }

    /// Whether it goes in chunks to a client of this version.
    pub(super) fn is_chunked_for(&self, version: Version) -> bool {
        self.length.is_none() && version >= Version::Http11
    }

    pub(super) async fn send(self, conn: &mut Conn, version: Version) -> Result<(), Ended> {
        let is_chunked = self.is_chunked_for(version);
        for piece in self.pieces {
            match piece {
                Piece::Octets(octets) if is_chunked => push_chunk(conn, &octets, ""),
                Piece::Chunk(octets, extensions) if is_chunked => push_chunk(conn, &octets, &extensions),
                Piece::Octets(octets) | Piece::Chunk(octets, _) => conn.push(&octets),
                Piece::Pause(span) => conn.pause(span).await?,
                Piece::Cut => {
                    conn.flush().await?;
                    return Err(cut());
                }
            }
            conn.flush_if_large().await?;
        }
        if is_chunked {
            conn.push(b"0\r\n");
            for (name, value) in &self.trailers {
                conn.push(format!("{name}: {value}\r\n").as_bytes());
            }
            conn.push(b"\r\n");
        }
        Ok(())
    }
}

/// An empty chunk would be the last one.
fn push_chunk(conn: &mut Conn, octets: &[u8], extensions: &str) {
    if !octets.is_empty() {
        conn.push(format!("{:x}{extensions}\r\n", octets.len()).as_bytes());
        conn.push(octets);
        conn.push(b"\r\n");
    }
}

/// What ends a connection that the client asked to be cut.
pub(super) fn cut() -> Ended {
    Ended::Io(io::Error::other("cut, as the client asked"))
}
