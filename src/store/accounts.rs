//! The accounts that submission, POP3, FTP and HTTP share, and their rights.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::VirtualPath;

/// A password on its way; prints as asterisks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// Somebody who has logged in.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub name: String,
    /// Where FTP begins: `/~name` where that folder may be written, else `/`.
    pub home: VirtualPath,
    /// Folders below which this account may write.
    pub write: Vec<VirtualPath>,
}

impl Account {
    pub(crate) fn may_write(&self, path: &VirtualPath) -> bool {
        self.write.iter().any(|folder| path.is_within(folder))
    }
}

/// `[accounts.<name>]` in `portico.toml`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct AccountSettings {
    /// In the clear: for the lab only.
    pub password: Option<String>,
    /// `$argon2id$...` or `$scram-sha-256$...`, as `portico account` writes them.
    pub password_hash: Option<String>,
    /// Folders of the tree below which the account may write.
    pub write: Vec<String>,
    /// Off: the account does not exist, not even as a sample.
    pub enabled: Option<bool>,
}

/// All accounts.
pub(crate) struct Accounts {}

impl Accounts {
    /// Whether there is an account of this name (mail for it can be delivered).
    pub(crate) fn exists(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Checks a password. A failure is delayed, more with each one per (address, account); a
    /// right password never is. An unknown account costs as much as a known one.
    pub(crate) async fn login(&self, from: IpAddr, name: &str, password: &Secret) -> Option<Arc<Account>> {
        let _ = (from, name, password);
        None
    }
}
