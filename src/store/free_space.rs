//! How much room a file system has left, looked up at most once a second.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::commit::RealFolder;

/// A look may be so old: within a second no disk fills up unnoticed, and each write is checked anyway.
const AGE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct FreeSpace(Mutex<Option<(Instant, u64)>>);

impl FreeSpace {
    /// The octets that may still be written where `folder` is.
    pub(crate) fn at(&self, folder: &RealFolder, now: Instant) -> io::Result<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, octets)) = *last
            && now.duration_since(at) < AGE
        {
            return Ok(octets);
        }
        let found = rustix::fs::fstatvfs(folder.file())?;
        // What is kept for the system administrator is not for mail.
        let octets = found.f_bavail.saturating_mul(found.f_frsize);
        *last = Some((now, octets));
        Ok(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_look_within_a_second_asks_nobody() {
        let folder = RealFolder::open(&std::env::temp_dir()).unwrap();
        let now = Instant::now();
        let space = FreeSpace(Mutex::new(Some((now, 7))));
        assert_eq!(space.at(&folder, now + AGE / 2).unwrap(), 7);
        assert_ne!(space.at(&folder, now + AGE).unwrap(), 7);
    }
}
