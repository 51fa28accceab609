//! Clears away what a dead process left half written.

use std::{
    ffi::{CStr, OsStr},
    io,
    os::unix::ffi::OsStrExt,
};

use rustix::fs::FileType;

use super::{Disk, RealDisk, RealFolder, Spot, process_tag};
use crate::store::path::RESERVED_PREFIX;

/// Removes the temporaries of other processes in `root` and below. Links are not followed: a
/// link out of the tree must not let us remove anything there.
pub(crate) fn sweep(root: &RealFolder) -> io::Result<()> {
    let mut waiting = vec![root.clone()];
    while let Some(folder) = waiting.pop() {
        for entry in rustix::fs::Dir::read_from(folder.file())? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            match entry.file_type() {
                FileType::Directory if name != "." && name != ".." => waiting.extend(folder.folder(name).ok()),
                FileType::RegularFile if is_stale(entry.file_name()) => RealDisk.remove(&Spot::new(&folder, name))?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn is_stale(name: &CStr) -> bool {
    name.to_bytes().strip_prefix(RESERVED_PREFIX.as_bytes()).is_some_and(|rest| !rest.starts_with(process_tag().as_bytes()))
}
