//! The body of a stored response, wherever it is.

use std::{io, sync::Arc};

use bytes::Bytes;

pub(crate) use super::filed::Filed;
use super::growing::Growing;

/// A body. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// In memory.
    Whole(Bytes),
    /// On disk; too long to be held in memory.
    File(Arc<Filed>),
    /// Still on its way from the origin.
    Growing(Arc<Growing>),
}

impl Body {
    /// Its length; `None` where that is not known yet.
    pub(crate) fn octets(&self) -> Option<u64> {
        match self {
            Body::Whole(octets) => Some(octets.len() as u64),
            Body::File(filed) => Some(filed.octets()),
            Body::Growing(growing) => growing.octets(),
        }
    }

    /// What it takes in memory.
    pub(crate) fn memory_octets(&self) -> u64 {
        match self {
            Body::Whole(octets) => octets.len() as u64,
            Body::File(_) => 256,
            Body::Growing(_) => 0,
        }
    }

    /// The body where it is whole and in memory.
    #[cfg(test)]
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match self {
            Body::Whole(octets) => Some(octets),
            _ => None,
        }
    }

    /// All of it, read from the disk where need be; at most `limit` octets. May block.
    ///
    /// # Errors
    /// Where it is not there any more, damaged, on its way, or too long.
    pub(crate) fn read(&self, limit: u64) -> io::Result<Bytes> {
        match self {
            Body::Whole(octets) => Ok(octets.clone()),
            Body::File(filed) if filed.octets() <= limit => filed.read(),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl From<Bytes> for Body {
    fn from(octets: Bytes) -> Body {
        Body::Whole(octets)
    }
}
