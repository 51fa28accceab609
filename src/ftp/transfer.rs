//! What goes over a data connection, in both directions, with an abort that every wait listens to.
//!
//! An upload is handed to the disk in batches and nothing is read meanwhile, so that a client
//! faster than the disk waits, and memory stays constant. It is committed by the caller, when the
//! data connection has ended well.

use std::{future::Future, os::unix::fs::FileExt};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{sync::Notify, time::Instant};

use super::{
    ascii::{FromWire, ToWire},
    command::Representation,
    data::{DataPort, Parent, Way},
    deflate::{Broken, Deflater, Inflater},
    directory::Listing,
};
use crate::{
    net::{Conn, Ended},
    store::{
        StoreError, blocking,
        tree::{Content, OpenFile, Upload},
    },
};

/// How much of an upload is written at once, in octets.
const BATCH_OCTETS: usize = 256 * 1024;
/// A piece of an upload that is smaller is copied, in octets.
const SMALL_OCTETS: usize = 16 * 1024;
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

/// Opens the data connection and receives all that comes. Answers the upload in any case: complete
/// and not committed, or with what has come of it.
pub(super) async fn receive(
    port: DataPort,
    parent: &Parent,
    upload: Box<dyn Upload>,
    representation: Representation,
    abort: &Abort,
) -> (Option<Box<dyn Upload>>, Result<(), Failure>) {
    let text = (representation == Representation::Ascii).then(FromWire::default);
    let inflater = parent.deflate_level.map(|_| Inflater::new());
    let mut sink = Sink { upload: Some(upload), inflater, packed: Bytes::new(), text, batch: Batch::default(), octets: 0 };
    let mut received = receive_into(&mut sink, port, parent, abort).await;
    if !matches!(received, Err(Failure::Store(_))) {
        // What came before it broke off is worth keeping too.
        received = received.and(sink.write().await);
    }
    (sink.upload, received)
}

async fn receive_into(sink: &mut Sink, port: DataPort, parent: &Parent, abort: &Abort) -> Result<(), Failure> {
    let mut data = abort.unless(port.open(parent, Way::In)).await?.ok_or(Failure::Unopened)?;
    let begun = Instant::now();
    let gathered = sink.gather_all(&mut data, abort).await;
    parent.note(&data, "received", sink.octets, begun.elapsed());
    gathered?;
    sink.end_text();
    // All that mattered has come; a client that is gone already is no failure.
    let _finished = data.finish().await;
    Ok(())
}

/// Where the octets of an upload go: on the blocking pool, never dropped half-way.
struct Sink {
    upload: Option<Box<dyn Upload>>,
    /// MODE Z.
    inflater: Option<Inflater>,
    /// Received and not inflated yet.
    packed: Bytes,
    text: Option<FromWire>,
    /// Received and not written yet.
    batch: Batch,
    /// Octets that came over the wire.
    octets: u64,
}

impl Sink {
    async fn gather_all(&mut self, data: &mut Conn, abort: &Abort) -> Result<(), Failure> {
        while abort.unless(self.gather(data)).await?? {
            self.write().await?;
        }
        Ok(())
    }

    /// Fills the batch. Answers whether there may be more; what has come stays in the batch
    /// whatever happens.
    async fn gather(&mut self, data: &mut Conn) -> Result<bool, Failure> {
        while self.batch.octets < BATCH_OCTETS {
            if self.inflate()? {
                continue;
            }
            let Some(octets) = data.bytes().await? else {
                let is_cut = self.inflater.as_ref().is_some_and(|inflater| !inflater.is_over());
                return if is_cut { Err(Failure::Lost(Ended::Truncated)) } else { Ok(false) };
            };
            data.tap().received_bytes(octets.len());
            self.octets += octets.len() as u64;
            match self.inflater {
                Some(_) => self.packed = octets,
                None => self.add(octets),
            }
        }
        Ok(true)
    }

    /// Inflates a piece of what has come. Answers whether there was any.
    fn inflate(&mut self) -> Result<bool, Failure> {
        let Some(inflater) = &mut self.inflater else { return Ok(false) };
        let mut piece = Vec::new();
        let used = inflater.pull(&self.packed, &mut piece).map_err(|Broken| Failure::Garbled)?;
        self.packed.advance(used);
        let came = used > 0 || !piece.is_empty();
        self.add(piece.into());
        Ok(came)
    }

    fn add(&mut self, octets: Bytes) {
        let Some(machine) = &mut self.text else { return self.batch.push(octets) };
        let mut text = Vec::new();
        machine.convert(&octets, &mut text);
        self.batch.push(text.into());
    }

    fn end_text(&mut self) {
        if let Some(machine) = &mut self.text {
            let mut text = Vec::new();
            machine.finish(&mut text);
            self.batch.push(text.into());
        }
    }

    async fn write(&mut self) -> Result<(), Failure> {
        let (batch, Some(mut upload)) = (std::mem::take(&mut self.batch), self.upload.take()) else { return Err(Failure::Aborted) };
        let (upload, written) = blocking(move || {
            let written = batch.pieces.iter().try_for_each(|piece| upload.write(piece));
            (upload, written)
        })
        .await;
        self.upload = Some(upload);
        Ok(written?)
    }
}

/// Octets for the disk in the pieces they came in, so that nothing is copied on the way.
#[derive(Default)]
struct Batch {
    pieces: Vec<Bytes>,
    octets: usize,
}

impl Batch {
    fn push(&mut self, piece: Bytes) {
        self.octets += piece.len();
        match self.pieces.last_mut() {
            // A small piece may hold a large buffer: of a client that drips, copies are kept.
            Some(last) if piece.len() < SMALL_OCTETS && last.len() < PIECE_OCTETS => *last = joined(std::mem::take(last), &piece),
            None if piece.len() < SMALL_OCTETS => self.pieces.push(joined(Bytes::new(), &piece)),
            _ => self.pieces.push(piece),
        }
    }
}

fn joined(first: Bytes, second: &[u8]) -> Bytes {
    // Grows in place unless somebody else reads it.
    let mut both = BytesMut::from(first);
    both.extend_from_slice(second);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_drips_holds_little() {
        let mut batch = Batch::default();
        let drop = |length: usize| Bytes::from(vec![b'x'; 64 * 1024]).slice(..length);
        for _ in 0..10_000 {
            batch.push(drop(7));
        }
        batch.push(drop(64 * 1024));
        batch.push(drop(1));
        let lengths: Vec<_> = batch.pieces.iter().map(Bytes::len).collect();
        assert_eq!((lengths.iter().sum(), lengths.len()), (batch.octets, 4), "{lengths:?}");
        assert!(lengths[0] >= PIECE_OCTETS && lengths[0] < PIECE_OCTETS + 7, "{lengths:?}");
    }
}
