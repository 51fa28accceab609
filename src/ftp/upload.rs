//! What comes in over a data connection.
//!
//! It is gathered in one [`Batch`] while another is on its way to the disk. Both serve the whole
//! transfer, so a client that is faster than the disk waits, and memory stays constant. The caller
//! commits, when the data connection has ended well.

use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::Instant;

use super::{
    ascii::FromWire,
    batch::Batch,
    command::Representation,
    data::{DataPort, Parent, Way},
    deflate::{Broken, Inflater},
    transfer::{Abort, Failure},
};
use crate::{
    net::{Conn, Ended},
    store::{StoreError, blocking, tree::Upload},
};

/// How long after the end of a data connection the end of its control connection may come, when a
/// client is killed that had both: a part of the time that the upload took, since nobody is killed
/// in the middle of many that take a millisecond. It passes while the disk works, on a thread that has
/// a finer clock than the runtime's timer, whose steps would be most of what a small upload takes.
fn second_end_time(took: Duration) -> Duration {
    (took / 8).clamp(Duration::from_micros(300), Duration::from_millis(20))
}

/// What came of an upload.
pub(super) struct Received {
    /// Complete and not committed, or with what has come.
    pub upload: Option<Box<dyn Upload>>,
    pub result: Result<(), Failure>,
}

/// Opens the data connection and receives all that comes.
pub(super) async fn receive(
    port: DataPort,
    parent: &Parent,
    upload: Box<dyn Upload>,
    representation: Representation,
    abort: &Abort,
) -> Received {
    let decoder = Decoder::for_transfer(parent, representation);
    let mut sink = Sink { upload: Some(upload), decoder, batch: Batch::default(), spare: Batch::default(), octets: 0 };
    let begun = Instant::now();
    let mut result = receive_into(&mut sink, port, parent, abort).await;
    if !matches!(result, Err(Failure::Store(_))) {
        // What came before it broke off is worth keeping too.
        let last = if result.is_ok() { Last::After(begun.elapsed()) } else { Last::No };
        result = result.and(sink.write_rest(last).await);
    }
    Received { upload: sink.upload, result }
}

async fn receive_into(sink: &mut Sink, port: DataPort, parent: &Parent, abort: &Abort) -> Result<(), Failure> {
    let mut data = abort.unless(port.open(parent, Way::In)).await?.ok_or(Failure::Unopened)?;
    let begun = Instant::now();
    let gathered = sink.gather_all(&mut data, abort).await;
    parent.note(&data, "received", sink.octets, begun.elapsed());
    gathered?;
    // All that mattered has come; a client that is gone already is no failure.
    let _finished = data.finish().await;
    Ok(())
}

/// Where the octets of an upload go: on the blocking pool, never dropped half-way.
struct Sink {
    upload: Option<Box<dyn Upload>>,
    decoder: Option<Decoder>,
    /// For the file, and not written yet.
    batch: Batch,
    /// The one that was written before.
    spare: Batch,
    /// Octets that came over the wire.
    octets: u64,
}

impl Sink {
    async fn gather_all(&mut self, data: &mut Conn, abort: &Abort) -> Result<(), Failure> {
        let mut is_more = abort.unless(self.gather(data)).await??;
        while is_more {
            let full = std::mem::replace(&mut self.batch, std::mem::take(&mut self.spare));
            let Some(upload) = self.upload.take() else { return Err(Failure::Aborted) };
            let (gathered, written) = tokio::join!(abort.unless(self.gather(data)), write(upload, full, Last::No));
            self.take_back(written)?;
            is_more = gathered??;
        }
        Ok(())
    }

    /// Fills the batch. Answers whether there may be more; what has come stays in the batch
    /// whatever happens.
    async fn gather(&mut self, data: &mut Conn) -> Result<bool, Failure> {
        while !self.batch.room().is_empty() {
            let count = match &mut self.decoder {
                None => {
                    let count = data.bytes_into(self.batch.room()).await?;
                    self.batch.filled(count);
                    count
                }
                Some(decoder) => {
                    if decoder.pull(&mut self.batch)? {
                        continue;
                    }
                    decoder.receive(data).await?
                }
            };
            if count == 0 {
                return self.decoder.as_mut().map_or(Ok(()), |decoder| decoder.finish(&mut self.batch)).map(|()| false);
            }
            data.tap().received_bytes(count);
            self.octets += count as u64;
        }
        Ok(true)
    }

    async fn write_rest(&mut self, last: Last) -> Result<(), Failure> {
        let Some(upload) = self.upload.take() else { return Err(Failure::Aborted) };
        let written = write(upload, std::mem::take(&mut self.batch), last).await;
        self.take_back(written)
    }

    fn take_back(&mut self, (upload, batch, result): Written) -> Result<(), Failure> {
        (self.upload, self.spare) = (Some(upload), batch);
        Ok(result?)
    }
}

/// Whether the file is complete with this batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// It is, after so long.
    After(Duration),
    No,
}

/// What was lent to the blocking pool, and how it went there.
type Written = (Box<dyn Upload>, Batch, Result<(), StoreError>);

async fn write(mut upload: Box<dyn Upload>, mut batch: Batch, last: Last) -> Written {
    blocking(move || {
        let mut result = upload.write(batch.octets());
        batch.empty();
        if let Last::After(took) = last {
            let ended = std::time::Instant::now();
            result = result.and_then(|()| upload.sync_ahead());
            std::thread::sleep(second_end_time(took).saturating_sub(ended.elapsed()));
        }
        (upload, batch, result)
    })
    .await
}

/// Makes octets of the file of those on the wire: MODE Z first, then TYPE A.
struct Decoder {
    inflater: Option<Inflater>,
    text: Option<FromWire>,
    /// Received and not decoded yet.
    wire: Bytes,
    /// Decoded and not in the batch yet.
    file: Bytes,
}

impl Decoder {
    /// `None` where the file has the very octets of the wire.
    fn for_transfer(parent: &Parent, representation: Representation) -> Option<Decoder> {
        let text = (representation == Representation::Ascii).then(FromWire::default);
        let inflater = parent.deflate_level.map(|_| Inflater::new());
        (text.is_some() || inflater.is_some()).then(|| Decoder { inflater, text, wire: Bytes::new(), file: Bytes::new() })
    }

    /// Waits for more once all that had come is decoded. Answers how many octets came, 0 at the end.
    async fn receive(&mut self, data: &mut Conn) -> Result<usize, Ended> {
        self.wire = data.bytes().await?.unwrap_or_default();
        Ok(self.wire.len())
    }

    /// Brings some of what has come into the batch. Answers whether there may be more of it.
    fn pull(&mut self, batch: &mut Batch) -> Result<bool, Failure> {
        if self.file.is_empty() {
            self.file = self.decode()?.into();
        }
        let moved = batch.push(&self.file);
        self.file.advance(moved);
        Ok(moved > 0 || !self.wire.is_empty())
    }

    /// The next piece of the file; none where nothing can be made of what has come.
    fn decode(&mut self) -> Result<Vec<u8>, Failure> {
        let mut piece = Vec::new();
        if let Some(inflater) = &mut self.inflater {
            let used = inflater.pull(&self.wire, &mut piece).map_err(|Broken| Failure::Garbled)?;
            self.wire.advance(used);
        }
        let Some(text) = &mut self.text else { return Ok(piece) };
        let mut converted = Vec::new();
        let octets = if self.inflater.is_some() { piece.into() } else { std::mem::take(&mut self.wire) };
        text.convert(&octets, &mut converted);
        Ok(converted)
    }

    /// The end of the wire has come, and the batch has room for an octet.
    fn finish(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        if self.inflater.as_ref().is_some_and(|inflater| !inflater.is_over()) {
            return Err(Failure::Lost(Ended::Truncated));
        }
        let mut last = Vec::new();
        if let Some(text) = &mut self.text {
            text.finish(&mut last);
        }
        batch.push(&last);
        Ok(())
    }
}
