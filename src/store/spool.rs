//! A message while it arrives: small ones stay in memory, large ones go to a file, so that memory
//! is bounded. A file without a name leaves nothing behind in a crash; where it is known into which
//! mailbox the message goes, the file is written as it will lie there, once.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    mem,
    sync::Arc,
    time::SystemTime,
};

use super::{
    StoreError,
    commit::{Change, RealDisk, Temporary},
    lines::WireReader,
    mail::{LocalDelivery, Spool},
    maildir::{Draft, FILE_MODE},
    maildirs::Maildirs,
    queue::DiskQueue,
};

/// What is kept in memory at most: nine messages in ten are smaller.
const MEMORY_OCTETS: usize = 256 << 10;

pub(super) struct DiskSpool {
    maildirs: Arc<Maildirs>,
    queue: Arc<DiskQueue>,
    /// The mailbox that it will go to, if nothing comes between.
    bound_for: Option<LocalDelivery>,
    octets: u64,
    place: Place,
}

enum Place {
    Memory(Vec<u8>),
    File(File),
    Draft(Draft<RealDisk>),
}

impl DiskSpool {
    pub(super) fn new(maildirs: Arc<Maildirs>, queue: Arc<DiskQueue>, bound_for: Option<LocalDelivery>) -> DiskSpool {
        DiskSpool { maildirs, queue, bound_for, octets: 0, place: Place::Memory(Vec::new()) }
    }

    /// The message as it was written for `delivery` already, if it was. It can't be read afterwards.
    pub(super) fn written_for(&mut self, delivery: &LocalDelivery, now: SystemTime) -> Option<io::Result<Change<RealDisk>>> {
        if self.bound_for.as_ref() != Some(delivery) || !matches!(self.place, Place::Draft(_)) {
            return None;
        }
        match mem::replace(&mut self.place, Place::Memory(Vec::new())) {
            Place::Draft(draft) => Some(draft.finish(now)),
            _ => None,
        }
    }

    /// Where a message goes on that is too long for memory.
    fn file(&self) -> io::Result<Place> {
        if let Some(delivery) = &self.bound_for
            && let Ok(entrance) = self.maildirs.entrance_at_once(&delivery.account, 1)
            && let Ok(draft) = Draft::begin(&RealDisk, &entrance, &delivery.prefix)
        {
            return Ok(Place::Draft(draft));
        }
        Ok(Place::File(Temporary::beside(&RealDisk, &self.queue.staging_folder(1)?, FILE_MODE)?.into_nameless()?))
    }
}

impl Place {
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Place::Memory(held) => held.extend_from_slice(octets),
            Place::File(file) => file.write_all(octets)?,
            Place::Draft(draft) => draft.write(octets)?,
        }
        Ok(())
    }
}

impl Spool for DiskSpool {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        if let Place::Memory(held) = &self.place
            && held.len() + octets.len() > MEMORY_OCTETS
        {
            let mut file = self.file()?;
            file.write(held)?;
            self.place = file;
        }
        self.place.write(octets)?;
        self.octets += octets.len() as u64;
        Ok(())
    }

    fn octets(&self) -> u64 {
        self.octets
    }

    fn reader(&mut self) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        match &mut self.place {
            Place::Memory(held) => Ok(Box::new(&held[..])),
            Place::File(file) => {
                file.seek(SeekFrom::Start(0))?;
                // Not further: a write that failed half-way is no part of the message.
                Ok(Box::new(file.take(self.octets)))
            }
            Place::Draft(draft) => Ok(Box::new(WireReader::new(draft.reader()?, self.octets))),
        }
    }
}
