//! A message while it arrives: small ones stay in memory, large ones go to a file without a name,
//! so that memory is bounded and nothing is left behind by a crash.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
};

use super::{
    StoreError,
    commit::{RealDisk, RealFolder, Temporary},
    mail::Spool,
    maildir::FILE_MODE,
};

/// What is kept in memory at most: nine messages in ten are smaller.
const MEMORY_OCTETS: usize = 256 << 10;

pub(crate) struct DiskSpool {
    folder: RealFolder,
    octets: u64,
    place: Place,
}

enum Place {
    Memory(Vec<u8>),
    File(File),
}

impl DiskSpool {
    /// Large messages will lie in `folder`.
    pub(crate) fn new(folder: RealFolder) -> DiskSpool {
        DiskSpool { folder, octets: 0, place: Place::Memory(Vec::new()) }
    }
}

impl Spool for DiskSpool {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        match &mut self.place {
            Place::Memory(held) if held.len() + octets.len() <= MEMORY_OCTETS => held.extend_from_slice(octets),
            Place::Memory(held) => {
                let mut file = Temporary::beside(&RealDisk, &self.folder, FILE_MODE)?.into_nameless()?;
                file.write_all(held)?;
                file.write_all(octets)?;
                self.place = Place::File(file);
            }
            Place::File(file) => file.write_all(octets)?,
        }
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
        }
    }
}
