//! What can go wrong in the storage, as far as a protocol has to tell it apart.

use std::{fmt, io};

/// Each protocol maps these to its replies in exactly one function.
#[derive(Debug)]
pub(crate) enum StoreError {
    NotFound,
    /// The file system or the sandbox says no.
    Denied,
    Exists,
    /// A directory where a file is wanted.
    IsFolder,
    /// A file where a directory is wanted.
    NotFolder,
    /// The directory still has entries.
    NotEmpty,
    /// No space left.
    Full,
    /// The account may not keep more.
    OverQuota,
    /// What stands there is not in the state that the change was made for.
    Changed,
    /// In use by another session.
    Busy,
    /// Anything else: an I/O error, a damaged file. Goes to the log in full.
    Broken(io::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        use rustix::io::Errno;
        // Links that lead out of the sandbox or round in circles, sockets, devices without a driver.
        if let Some(Errno::XDEV | Errno::LOOP | Errno::NXIO | Errno::NODEV) = Errno::from_io_error(&error) {
            return StoreError::Denied;
        }
        match error.kind() {
            Kind::NotFound => StoreError::NotFound,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => StoreError::Denied,
            Kind::AlreadyExists => StoreError::Exists,
            Kind::IsADirectory => StoreError::IsFolder,
            Kind::NotADirectory => StoreError::NotFolder,
            Kind::DirectoryNotEmpty => StoreError::NotEmpty,
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => StoreError::Full,
            Kind::InvalidFilename | Kind::InvalidInput => StoreError::NotFound,
            _ => StoreError::Broken(error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::NotFound => write!(f, "not found"),
            StoreError::Denied => write!(f, "permission denied"),
            StoreError::Exists => write!(f, "exists already"),
            StoreError::IsFolder => write!(f, "is a folder"),
            StoreError::NotFolder => write!(f, "is not a folder"),
            StoreError::NotEmpty => write!(f, "folder is not empty"),
            StoreError::OverQuota => write!(f, "over the account's quota"),
            StoreError::Full => write!(f, "no space left"),
            StoreError::Changed => write!(f, "changed meanwhile"),
            StoreError::Busy => write!(f, "in use"),
            StoreError::Broken(error) => write!(f, "storage failed: {error}"),
        }
    }
}
