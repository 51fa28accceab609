//! The shared storage: one file tree, one Maildir per account, the queue, accounts, visitors, the
//! proxy's cache. It knows no protocol and no network.
//!
//! The traits are small and synchronous; a protocol gets only the stores it uses. What may sync,
//! scan or hash is called through [`blocking`]. Each trait has an implementation on disk and a
//! double in [`memory`], and one contract suite runs against both.

pub(crate) mod accounts;
#[cfg(test)]
mod accounts_tests;
pub(crate) mod cache;
pub(crate) mod commit;
#[cfg(test)]
mod contract;
pub(crate) mod disk_mail;
pub(crate) mod disk_tree;
mod disk_walk;
pub(crate) mod envelope;
pub(crate) mod error;
mod free_space;
pub(crate) mod intake;
pub(crate) mod lines;
pub(crate) mod mail;
pub(crate) mod maildir;
mod maildir_listing;
pub(crate) mod maildir_name;
mod maildir_sizes;
#[cfg(test)]
mod maildir_tests;
mod maildir_usage;
mod maildirs;
pub(crate) mod memory;
mod open_files;
mod partials;
pub(crate) mod password;
pub(crate) mod path;
mod places;
pub(crate) mod queue;
pub(crate) mod queue_index;
mod roster;
pub(crate) mod sasl;
mod spool;
mod staging;
pub(crate) mod tree;
pub(crate) mod turns;
mod usage;
pub(crate) mod visitors;

pub(crate) use accounts::{Account, Accounts, Secret};
pub(crate) use error::StoreError;
pub(crate) use path::VirtualPath;

/// Runs `work` where it may block.
///
/// # Panics
/// Passes on a panic of `work`.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down; nobody will look at the answer.
            Err(_) => std::future::pending().await,
        },
    }
}
