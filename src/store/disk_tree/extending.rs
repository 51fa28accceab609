//! Files that are being added to in place: until the addition is durable everybody sees them as
//! they were, so that a reader gets the length, the validators and the octets of one and the same
//! state, and nobody is told of octets that an abort takes back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use cap_std::fs::{Metadata, MetadataExt};

use crate::store::{StoreError, tree::FileFacts};

/// Device and inode of a file.
pub(super) type FileId = (u64, u64);

/// How the files that are being added to have stood before.
#[derive(Debug, Default)]
pub(in crate::store) struct Extending {
    files: RwLock<BTreeMap<FileId, FileFacts>>,
    /// How many additions have ended.
    ended: AtomicU64,
}

/// Shows a file as it was until this is dropped.
pub(super) struct Mask {
    extending: Arc<Extending>,
    id: FileId,
}

impl Extending {
    pub(super) fn mask(self: &Arc<Extending>, id: FileId, facts: FileFacts) -> Mask {
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(id, facts);
        Mask { extending: self.clone(), id }
    }

    /// The facts of what `look` looks at, or how they were before.
    pub(in crate::store) fn facts(&self, look: impl Fn() -> Result<Metadata, StoreError>) -> Result<FileFacts, StoreError> {
        self.seen(|| {
            let metadata = look()?;
            Ok(((metadata.dev(), metadata.ino()), super::facts(&metadata)?))
        })
    }

    /// What `look` finds, or how that was before.
    pub(super) fn seen(&self, look: impl Fn() -> Result<(FileId, FileFacts), StoreError>) -> Result<FileFacts, StoreError> {
        loop {
            let ended = self.ended.load(Ordering::SeqCst);
            let (id, facts) = look()?;
            if let Some(before) = self.files.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
                return Ok(before.clone());
            }
            // An addition that ended between the look and the question was seen half done.
            if self.ended.load(Ordering::SeqCst) == ended {
                return Ok(facts);
            }
        }
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        self.extending.ended.fetch_add(1, Ordering::SeqCst);
        self.extending.files.write().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
