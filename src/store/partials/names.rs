//! What the files of partials are called: a digest of where the upload is to stand, and whether it was
//! synced.

use std::{ffi::OsStr, io, os::unix::fs::MetadataExt, sync::OnceLock, time::UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::index::Key;
use crate::store::commit::{RealDisk, RealFolder, Spot};

/// Digits of the digest of a folder, and of a name in it.
const HALF_DIGITS: usize = 32;
/// Digits that say which partial a file is, in its name.
const DIGEST_DIGITS: usize = 2 * HALF_DIGITS;

/// Names may be as long as the file system allows, and two accounts may call their files alike.
pub(super) fn digest_of(at: &Spot<RealDisk>) -> io::Result<String> {
    Ok(digest_of_folder(&at.folder)? + &half_of(Sha256::digest(at.name.as_encoded_bytes())))
}

/// A folder by what it is and not by what it is called: one that is moved takes its partials with
/// it, and one that is made under its old name has none. The number of a folder that has gone is
/// given to another, so its time of birth counts too, where the file system keeps one.
pub(super) fn digest_of_folder(folder: &RealFolder) -> io::Result<String> {
    let metadata = folder.file().metadata()?;
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let mut digest = Sha256::new();
    digest.update(metadata.ino().to_be_bytes());
    digest.update(born.as_nanos().to_be_bytes());
    Ok(half_of(digest.finalize()))
}

fn half_of(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().take(HALF_DIGITS / 2).map(|octet| format!("{octet:02x}")).collect()
}

pub(super) fn is_of_another_boot(name: &OsStr) -> bool {
    name.to_str().and_then(|name| name.split_once('.')).is_some_and(|(_, boot)| boot != boot_tag())
}

pub(super) fn growing_name(digest: &str) -> String {
    format!("{digest}.{}", boot_tag())
}

pub(super) fn overtaken_name(digest: &str) -> String {
    format!("{digest}.overtaken")
}

/// Which partial a file in the folder of an account is.
pub(super) fn key_of(account: &OsStr, name: &OsStr) -> Option<Key> {
    let digest = name.to_str()?.get(..DIGEST_DIGITS)?.to_owned();
    Some(Key { digest, account: account.to_owned() })
}

/// Tells this life of the machine from the last. Where the system doesn't say, every start counts
/// as one.
fn boot_tag() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(|| {
        let said = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = said.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        if digits.len() == 16 { digits } else { format!("{:016x}", rand::random::<u64>()) }
    })
}
