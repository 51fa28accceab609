//! Digests of files: HASH (draft-bryan-ftpext-hash), XCRC and its kin.

use std::sync::Arc;

use md5::Digest as _;
use ring::digest::{self, Context};
use tokio::sync::Semaphore;

use super::{
    command::{ByteRange, Digest},
    transfer::{Abort, Failure, read_piece},
};
use crate::store::{VirtualPath, blocking, tree::Tree};

/// Files that are digested at once in the whole process: a few clients that ask for many must not
/// keep the processors from everybody else.
const MAX_AT_ONCE: usize = 2;
/// Octets digested between two looks at whether the client still wants it.
const STEP_OCTETS: u64 = 4 * 1024 * 1024;

static TURNS: Semaphore = Semaphore::const_new(MAX_AT_ONCE);

/// Nobody else digests while this is held.
#[cfg(test)]
pub(super) async fn all_turns() -> tokio::sync::SemaphorePermit<'static> {
    TURNS.acquire_many(MAX_AT_ONCE as u32).await.expect("it is never closed")
}

/// Where the range ends, and its digest in hexadecimal.
pub(super) async fn of_file(
    tree: &Arc<dyn Tree>,
    path: &VirtualPath,
    (digest, range): (Digest, ByteRange),
    abort: &Abort,
) -> Result<(u64, String), Failure> {
    let _turn = abort.unless(TURNS.acquire()).await?;
    let (tree, wanted) = (tree.clone(), path.clone());
    let mut file = blocking(move || tree.open(&wanted)).await?;
    file.facts.octets = range.end(file.facts.octets);
    let (file, mut machine) = (Arc::new(file), Machine::new(digest));
    let mut offset = range.from.min(file.facts.octets);
    loop {
        let file = file.clone();
        let step = blocking(move || {
            let end = offset + STEP_OCTETS;
            while offset < end {
                let piece = read_piece(&file, offset)?;
                if piece.is_empty() {
                    break;
                }
                machine.update(&piece);
                offset += piece.len() as u64;
            }
            Ok::<_, Failure>((machine, offset, offset < end))
        });
        let (after, read, is_over) = abort.unless(step).await??;
        if is_over {
            return Ok((read, after.finish()));
        }
        (machine, offset) = (after, read);
    }
}

enum Machine {
    Ring(Context),
    Md5(md5::Md5),
    Crc32(crc32fast::Hasher),
}

impl Machine {
    fn new(digest: Digest) -> Machine {
        match digest {
            Digest::Sha256 => Machine::Ring(Context::new(&digest::SHA256)),
            Digest::Sha512 => Machine::Ring(Context::new(&digest::SHA512)),
            // Old clients compare files by these; nothing here rests on them.
            Digest::Sha1 => Machine::Ring(Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Digest::Md5 => Machine::Md5(md5::Md5::new()),
            Digest::Crc32 => Machine::Crc32(crc32fast::Hasher::new()),
        }
    }

    fn update(&mut self, octets: &[u8]) {
        match self {
            Machine::Ring(context) => context.update(octets),
            Machine::Md5(md5) => md5.update(octets),
            Machine::Crc32(crc) => crc.update(octets),
        }
    }

    fn finish(self) -> String {
        let hexadecimal = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
        match self {
            Machine::Ring(context) => hexadecimal(context.finish().as_ref()),
            Machine::Md5(md5) => hexadecimal(&md5.finalize()),
            Machine::Crc32(crc) => format!("{:08x}", crc.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_as_the_world_knows_them() {
        for (digest, hexadecimal) in [
            (Digest::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (Digest::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Digest::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Digest::Crc32, "352441c2"),
        ] {
            let mut machine = Machine::new(digest);
            machine.update(b"a");
            machine.update(b"bc");
            assert_eq!(machine.finish(), hexadecimal, "{}", digest.name());
        }
    }
}
