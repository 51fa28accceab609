//! The body of a stored response, wherever it is.

use std::sync::Arc;

use bytes::Bytes;

use super::growing::Growing;

/// A body. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// In memory.
    Whole(Bytes),
    /// Still on its way from the origin.
    Growing(Arc<Growing>),
}

impl Body {
    /// Its length; `None` where that is not known yet.
    pub(crate) fn octets(&self) -> Option<u64> {
        match self {
            Body::Whole(octets) => Some(octets.len() as u64),
            Body::Growing(growing) => growing.octets(),
        }
    }

    /// What it takes in memory.
    pub(crate) fn memory_octets(&self) -> u64 {
        self.whole().map_or(0, |octets| octets.len() as u64)
    }

    /// The body where it is whole and in memory.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match self {
            Body::Whole(octets) => Some(octets),
            _ => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(octets: Bytes) -> Body {
        Body::Whole(octets)
    }
}
