//! FTP (RFC 959, 1123) with extensions: TLS (RFC 4217), EPRT and EPSV (RFC 2428), FEAT (RFC 2389),
//! facts, sizes, times and restart (RFC 3659), UTF-8 names (RFC 2640).
//!
//! Two connections: commands on one, files and listings on others that come and go. Read
//! [`conversation`] for the control connection's loop, [`rules`] for what a command means when,
//! [`carry`] for a transfer from 150 to 226, [`data`] for how a data connection comes about,
//! [`transfer`] and [`upload`] for what goes over it.

pub(crate) mod address;
pub(crate) mod ascii;
mod batch;
mod carry;
pub(crate) mod command;
mod conversation;
mod data;
pub(crate) mod deflate;
mod digest;
mod directory;
pub(crate) mod explain;
mod files;
pub(crate) mod listing;
pub(crate) mod powers;
mod reply;
mod rules;
pub(crate) mod settings;
pub(crate) mod stamp;
mod tickets;
mod transfer;
mod upload;
mod waiting;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use conversation::Ftp;
pub(crate) use tickets::CONTROL_TICKETS;

use crate::{
    clock::Clock,
    net::{dial::Dialer, tls::TlsServer},
    store::{Accounts, tree::Tree},
};

/// What the server needs.
pub(crate) struct Deps {
    /// `ftp` or `ftps`.
    pub service: &'static str,
    /// The server's names; it greets with the first.
    pub hosts: Arc<[String]>,
    pub settings: Arc<settings::Settings>,
    pub accounts: Arc<Accounts>,
    pub tree: Arc<dyn Tree>,
    pub clock: Clock,
    /// Makes active data connections; passive ones are awaited on its network.
    pub dialer: Dialer,
    /// TLS for data connections; without it none is offered at all.
    pub tls: Option<TlsServer>,
    /// Take passwords in the clear from other machines too.
    pub plain_passwords: bool,
}
