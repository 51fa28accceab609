//! Where a body goes out to a client: in chunks or not, compressed or not.
//!
//! Compression runs right here, between two writes, and not on a thread of its own: at these
//! levels a step takes some hundred microseconds, so others hardly wait for it, and a client that
//! is slow holds no thread. In a coded body nothing waits for company: whenever more would have
//! to be waited for, the client gets what there is.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use super::{compress::Coder, exchange::push_piece, serving};
use crate::{
    http::encoder::Encoder,
    net::{Conn, Ended},
};

/// What is compressed at once, in octets; then others have their turn.
const STEP_OCTETS: usize = 16 * 1024;

pub(super) struct Outlet<'a> {
    client: &'a mut Conn,
    is_chunked: bool,
    /// Present for a body that is compressed, with the right to do so.
    encoder: Option<(Encoder, Coder)>,
}

impl<'a> Outlet<'a> {
    /// # Errors
    /// Where there is no memory for an encoder.
    pub(super) fn new(client: &'a mut Conn, is_chunked: bool, coder: Option<Coder>) -> Result<Outlet<'a>, Ended> {
        match coder.map(|coder| Ok((Encoder::new(coder.coding)?, coder))).transpose() {
            Ok(encoder) => Ok(Outlet { client, is_chunked, encoder }),
            Err(error) => Err(broken(client, is_chunked, error)),
        }
    }

    /// Whether it is compressed, so that files can't go out as they are.
    pub(super) fn is_coded(&self) -> bool {
        self.encoder.is_some()
    }

    /// The client itself, for what goes to it past all this.
    pub(super) fn client(&mut self) -> &mut Conn {
        self.client
    }

    /// Sends a piece, no faster than the client takes it.
    pub(super) async fn push(&mut self, piece: &[u8]) -> Result<(), Ended> {
        if self.encoder.is_none() {
            push_piece(self.client, Some(piece), self.is_chunked);
            return self.client.flush_if_large().await;
        }
        for step in piece.chunks(STEP_OCTETS) {
            self.encode(|encoder| encoder.write(step))?;
            self.client.flush_if_large().await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Sends a part of a file, compressed.
    pub(super) async fn push_file(&mut self, file: &File, part: Range<u64>) -> Result<(), Ended> {
        let mut buffer = vec![0; STEP_OCTETS];
        let mut at = part.start;
        while at < part.end {
            let step = usize::try_from(part.end - at).unwrap_or(usize::MAX).min(STEP_OCTETS);
            let octets = buffer.get_mut(..step).unwrap_or_default();
            if file.read_exact_at(octets, at).is_err() {
                // Somebody has cut it while it was sent.
                return Err(self.cut(false).await);
            }
            self.push(octets).await?;
            at += step as u64;
        }
        Ok(())
    }

    /// Whether the client lacks something of what was pushed.
    pub(super) fn is_waiting(&self) -> bool {
        self.client.unsent() > 0 || self.encoder.as_ref().is_some_and(|(encoder, _)| encoder.is_holding())
    }

    /// Gives the client all of what was pushed. Cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), Ended> {
        if self.encoder.as_ref().is_some_and(|(encoder, _)| encoder.is_holding()) {
            self.encode(Encoder::flush)?;
        }
        self.client.flush().await
    }

    /// Ends the content; what ends its framing is for the caller.
    pub(super) fn finish(&mut self) -> Result<(), Ended> {
        let Some((encoder, _place)) = self.encoder.take() else { return Ok(()) };
        match encoder.finish() {
            Ok(rest) => self.push_coded(&rest),
            Err(error) => return Err(broken(self.client, self.is_chunked, error)),
        }
        Ok(())
    }

    /// Ends a body that is not whole so that nobody takes it for whole. `has_length`: the origin
    /// announced how long it is.
    pub(super) async fn cut(&mut self, has_length: bool) -> Ended {
        let is_measured = self.is_chunked || (has_length && !self.is_coded());
        serving::cut(self.client, is_measured).await
    }

    fn encode(&mut self, work: impl FnOnce(&mut Encoder) -> io::Result<()>) -> Result<(), Ended> {
        let Some((encoder, _)) = &mut self.encoder else { return Ok(()) };
        if let Err(error) = work(encoder) {
            return Err(broken(self.client, self.is_chunked, error));
        }
        let octets = encoder.take();
        self.push_coded(&octets);
        Ok(())
    }

    fn push_coded(&mut self, octets: &[u8]) {
        // An empty chunk would be the last one.
        if !octets.is_empty() {
            push_piece(self.client, Some(octets), self.is_chunked);
        }
    }
}

/// The encoder failed: the body must not look complete.
fn broken(client: &mut Conn, is_chunked: bool, error: io::Error) -> Ended {
    if !is_chunked {
        client.abort();
    }
    Ended::Io(error)
}
