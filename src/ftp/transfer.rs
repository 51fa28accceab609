//! What goes out over a data connection, with an abort that every wait listens to.

use std::{future::Future, os::unix::fs::FileExt};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use super::{
    ascii::ToWire,
    data::{DataPort, Parent, Way},
    deflate::Deflater,
    directory::Listing,
};
use crate::{
    net::{Conn, Ended},
    store::{
        StoreError, blocking,
        tree::{Content, OpenFile},
    },
};

/// How much of a file is read at once for conversion, in octets.
const PIECE_OCTETS: usize = 64 * 1024;

/// Why a transfer did not come to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no data connection (425).
    Unopened,
    /// ABOR, or the control connection is gone (426).
    Aborted,
    /// The data connection broke or stood still (426).
    Lost(Ended),
    /// The file tree failed us (451, 452).
    Store(StoreError),
    /// The file became shorter while it was sent (451).
    Shrunk,
    /// What came is no zlib stream (451).
    Garbled,
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Failure {
        Failure::Lost(ended)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

/// Stops a transfer at its next wait.
#[derive(Default)]
pub(super) struct Abort(Notify);

impl Abort {
    pub(super) fn signal(&self) {
        self.0.notify_one();
    }

    /// Runs `work` unless the signal comes first, which then counts as used up.
    pub(super) async fn unless<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.0.notified() => Err(Failure::Aborted),
            done = work => Ok(done),
        }
    }
}

/// How much of what was asked for has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// A listing that reached its bound.
    Cut,
}

/// Something to send.
pub(super) enum Source {
    /// Octets of a file as they are, from this one on.
    File {
        file: OpenFile,
        from: u64,
    },
    /// A file as text; so many octets of the text are left out.
    Text {
        file: OpenFile,
        skip: u64,
    },
    Listing(Listing),
}

/// Opens the data connection, sends and closes it.
///
/// Tells whether all of it went out; a recursive listing has a bound.
pub(super) async fn send(port: DataPort, parent: &Parent, source: Source, abort: &Abort) -> Result<Extent, Failure> {
    let data = abort.unless(port.open(parent, Way::Out)).await?.ok_or(Failure::Unopened)?;
    let begun = Instant::now();
    let mut outlet = Outlet { data, deflater: parent.deflate_level.map(Deflater::new) };
    let work = async {
        let extent = match source {
            Source::File { file, from } => outlet.send_file(&file, from).await.map(|()| Extent::Whole),
            Source::Text { file, skip } => outlet.send_text(&file, skip).await.map(|()| Extent::Whole),
            Source::Listing(listing) => outlet.send_listing(listing).await,
        }?;
        outlet.end().await?;
        Ok(extent)
    };
    let sent = abort.unless(work).await.and_then(|sent| sent);
    parent.note(&outlet.data, "sent", outlet.data.written(), begun.elapsed());
    if matches!(sent, Err(Failure::Shrunk)) {
        // A clean end would tell the client that it has it all.
        outlet.data.abort();
    }
    let extent = sent?;
    abort.unless(outlet.data.finish()).await??;
    Ok(extent)
}

/// Where a transfer goes out: a data connection, through the coder of MODE Z where that is the mode.
struct Outlet {
    data: Conn,
    deflater: Option<Deflater>,
}

impl Outlet {
    async fn put(&mut self, octets: &[u8]) -> Result<(), Failure> {
        match &mut self.deflater {
            None => self.data.push(octets),
            Some(deflater) => {
                let mut wire = Vec::new();
                deflater.push(octets, &mut wire);
                self.data.push(&wire);
            }
        }
        Ok(self.data.flush().await?)
    }

    /// All that was put is on its way.
    async fn end(&mut self) -> Result<(), Failure> {
        if let Some(deflater) = &mut self.deflater {
            let mut wire = Vec::new();
            deflater.finish(&mut wire);
            self.data.push(&wire);
        }
        Ok(self.data.flush().await?)
    }

    async fn send_file(&mut self, file: &OpenFile, from: u64) -> Result<(), Failure> {
        let octets = file.facts.octets;
        if let (Content::Disk(disk), None) = (&file.content, &self.deflater) {
            let wanted = octets.saturating_sub(from);
            let sent = self.data.send_file(disk, from, wanted).await?;
            return if sent < wanted { Err(Failure::Shrunk) } else { Ok(()) };
        }
        let mut offset = from;
        while offset < octets {
            let piece = read_piece(file, offset)?;
            if piece.is_empty() {
                return Err(Failure::Shrunk);
            }
            offset += piece.len() as u64;
            self.put(&piece).await?;
        }
        Ok(())
    }

    async fn send_text(&mut self, file: &OpenFile, mut skip: u64) -> Result<(), Failure> {
        let (mut machine, mut offset, mut text) = (ToWire::default(), 0, Vec::new());
        while offset < file.facts.octets {
            let piece = read_piece(file, offset)?;
            if piece.is_empty() {
                return Err(Failure::Shrunk);
            }
            offset += piece.len() as u64;
            text.clear();
            machine.convert(&piece, &mut text);
            let skipped = text.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= skipped as u64;
            self.put(&text[skipped..]).await?;
        }
        Ok(())
    }

    async fn send_listing(&mut self, mut listing: Listing) -> Result<Extent, Failure> {
        loop {
            let (after, lines) = blocking(move || {
                let lines = listing.next();
                (listing, lines)
            })
            .await;
            listing = after;
            match lines? {
                Some(lines) => self.put(&lines).await?,
                None if listing.is_cut() => return Ok(Extent::Cut),
                None => return Ok(Extent::Whole),
            }
        }
    }
}

/// The next octets of a file; none at its end. What is being added to it is beyond its end.
pub(super) fn read_piece(file: &OpenFile, offset: u64) -> Result<Bytes, StoreError> {
    let wanted = usize::try_from(file.facts.octets.saturating_sub(offset)).unwrap_or(usize::MAX).min(PIECE_OCTETS);
    match &file.content {
        Content::Memory(octets) => {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(octets.len());
            Ok(octets.slice(start..octets.len().min(start.saturating_add(wanted))))
        }
        Content::Disk(file) => {
            let mut piece = vec![0; wanted];
            let count = file.read_at(&mut piece, offset)?;
            piece.truncate(count);
            Ok(piece.into())
        }
    }
}
