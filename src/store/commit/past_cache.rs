//! Large files are written past the system's cache (`O_DIRECT`).
//!
//! What is synced before it is acknowledged gains nothing from a cache of writes: the octets are
//! copied there, push out what others read, and are waited for at the end all the same. Written past
//! it they are on their way to the disk while the next ones arrive.

use std::{
    fs::File,
    io::{self, Write},
};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{RealDisk, Temporary};

/// The first octets of a file go through the cache: a small one is likely to be read soon.
const CACHED_OCTETS: u64 = 8 * 1024 * 1024;
/// Smaller pieces, in octets, are not worth a wait for the disk each.
const LEAST_OCTETS: usize = 256 * 1024;
/// Place in the file, place in memory and length must be multiples of this, in octets. Some disks
/// would take less.
const ALIGNMENT: usize = 4096;

impl Temporary<RealDisk> {
    /// Adds a batch of octets, past the cache where that is worth it and possible.
    pub(crate) fn write_batch(&mut self, octets: &[u8]) -> io::Result<()> {
        let is_worth_it = self.octets >= CACHED_OCTETS && octets.len() >= LEAST_OCTETS;
        let rest = match octets {
            octets if is_worth_it && self.is_aligned(octets) => self.write_past_cache(octets),
            octets => octets,
        };
        self.write_all(rest)
    }

    fn is_aligned(&self, octets: &[u8]) -> bool {
        self.octets.is_multiple_of(ALIGNMENT as u64)
            && octets.len().is_multiple_of(ALIGNMENT)
            && octets.as_ptr().align_offset(ALIGNMENT) == 0
    }

    /// Answers what is left to be written through the cache: where a file system or disk wants
    /// nothing of this, or has no room any more, all of it, and the next write says why.
    fn write_past_cache<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        self.is_synced = false;
        let Ok(_direct) = Direct::begin(&self.file) else { return octets };
        let count = (&self.file).write(octets).unwrap_or(0);
        self.octets += count as u64;
        octets.get(count..).unwrap_or_default()
    }
}

/// While it lives, what is written to the file goes past the cache.
struct Direct<'a> {
    file: &'a File,
    flags: OFlags,
}

impl Direct<'_> {
    fn begin(file: &File) -> io::Result<Direct<'_>> {
        let flags = fcntl_getfl(file)?;
        fcntl_setfl(file, flags | OFlags::DIRECT)?;
        Ok(Direct { file, flags })
    }
}

impl Drop for Direct<'_> {
    fn drop(&mut self) {
        // What could be set can be taken back.
        let _ = fcntl_setfl(self.file, self.flags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::commit::RealFolder;

    /// A multiple of the alignment and above what is worth it.
    const BATCH_OCTETS: usize = 512 * 1024;

    /// Octets that begin at a boundary, each batch different from the next.
    fn aligned(memory: &mut Vec<u8>, fill: u8) -> &[u8] {
        *memory = vec![fill; BATCH_OCTETS + ALIGNMENT];
        let begin = memory.as_ptr().align_offset(ALIGNMENT);
        &memory[begin..begin + BATCH_OCTETS]
    }

    #[test]
    fn a_file_is_the_same_whichever_way_its_octets_went() {
        let folder = tempfile::tempdir().unwrap();
        let folder = RealFolder::open(folder.path()).unwrap();
        let (mut memory, mut wanted) = (Vec::new(), Vec::new());
        let mut file = Temporary::beside(&RealDisk, &folder, 0o600).unwrap();
        for fill in 0..24 {
            let batch = aligned(&mut memory, fill);
            file.write_batch(batch).unwrap();
            wanted.extend_from_slice(batch);
        }
        // From here on no place in the file is at a boundary.
        for fill in 24..28 {
            let batch = &aligned(&mut memory, fill)[..BATCH_OCTETS - 1];
            file.write_batch(batch).unwrap();
            wanted.extend_from_slice(batch);
        }
        assert_eq!(file.octets(), wanted.len() as u64);
        assert!(std::fs::read(folder_path(&file)).unwrap() == wanted);
    }

    fn folder_path(file: &Temporary<RealDisk>) -> std::path::PathBuf {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}", file.file().as_raw_fd()).into()
    }
}
