//! What every change of the tree goes through.

use std::{ffi::OsString, io, sync::Arc};

use super::extending::Extending;
use crate::store::{
    StoreError, VirtualPath,
    commit::{Committer, Disk, Identity, RealDisk, RealFolder, Spot, recover},
    partials::{Forgotten, Partials, Turn},
    path::RESERVED_PREFIX,
    places::{Held, Places},
    usage::Usage,
};

/// Where the undo records of files that are being added to are, at the root of the tree: in one
/// place, so that a start finds them without looking through everything.
const RECORDS: &str = ".portico-undo";

pub(super) struct Writing {
    root: RealFolder,
    pub commits: Committer<RealDisk>,
    /// By folder and name, so that two paths to one folder are one.
    pub places: Arc<Places<(Identity, OsString)>>,
    pub partials: Arc<Partials>,
    pub extending: Arc<Extending>,
    pub usage: Arc<Usage>,
}

impl Writing {
    /// Cuts back first what a dead process was adding to.
    pub(super) fn open(root: RealFolder) -> io::Result<Writing> {
        match root.folder(RECORDS) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            records => {
                let records = records?;
                let count = recover(&RealDisk, &records, records.names()?)?;
                if count > 0 {
                    tracing::warn!(count, "files were being added to when the last process died: they are as before");
                }
            }
        }
        Ok(Writing {
            commits: Committer::new(RealDisk, root.clone()),
            places: Arc::default(),
            partials: Partials::open(root.clone())?,
            extending: Arc::default(),
            usage: Arc::default(),
            root,
        })
    }

    /// The folder of undo records.
    pub(super) fn records(&self) -> io::Result<RealFolder> {
        self.root.folder_made(RECORDS)
    }

    /// Waits until nobody else changes what stands at these names.
    pub(super) fn hold<const N: usize>(&self, spots: [&Spot<RealDisk>; N]) -> Result<Held<'_, (Identity, OsString)>, StoreError> {
        self.places.hold(spots.map(key))
    }

    /// Something comes to stand at a spot, or goes from there: uploads that broke off don't go on
    /// under its name. To be said while the spot is held.
    pub(super) fn forget_partials(&self, at: &Spot<RealDisk>, but: Option<&Turn>) -> io::Result<()> {
        self.account_for(self.partials.forget(at, but)?);
        Ok(())
    }

    /// The same for everything in a folder, which has gone.
    pub(super) fn forget_partials_below(&self, folder: &RealFolder) -> io::Result<()> {
        self.account_for(self.partials.forget_below(folder)?);
        Ok(())
    }

    fn account_for(&self, forgotten: Vec<Forgotten>) {
        for (account, octets) in forgotten {
            self.usage.kept(&account, octets, 0);
        }
    }

    /// What an account's quota is about: the files below its folders, and its kept partials.
    pub(super) fn count(&self, account: &str, folders: &[VirtualPath]) -> u64 {
        let is_outermost = |folder: &&VirtualPath| !folders.iter().any(|other| other != *folder && folder.is_within(other));
        let below = folders.iter().filter(is_outermost).map(|folder| self.octets_below(folder)).fold(0, u64::saturating_add);
        below.saturating_add(self.partials.octets(account))
    }

    /// Links are not followed; what can't be read counts for nothing.
    fn octets_below(&self, folder: &VirtualPath) -> u64 {
        let top = folder.components().try_fold(self.root.clone(), |folder, name| folder.folder(name));
        let (mut waiting, mut octets) = (Vec::from_iter(top.ok()), 0_u64);
        while let Some(folder) = waiting.pop() {
            for name in folder.names().unwrap_or_default() {
                if name.as_encoded_bytes().starts_with(RESERVED_PREFIX.as_bytes()) {
                    continue;
                }
                let Ok(stat) = rustix::fs::statat(folder.file(), &name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else { continue };
                match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
                    rustix::fs::FileType::RegularFile => octets = octets.saturating_add(stat.st_size.unsigned_abs()),
                    rustix::fs::FileType::Directory => waiting.extend(folder.folder(&name).ok()),
                    _ => {}
                }
            }
        }
        octets
    }
}

pub(super) fn key(spot: &Spot<RealDisk>) -> (Identity, OsString) {
    (RealDisk.identity(&spot.folder), spot.name.clone())
}
