//! `[ftp]` in `portico.toml`.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// `"0"` (any), or a range `"40000-40100"`.
    pub passive_ports: String,
    /// The address that PASV announces, where it differs (NAT).
    pub passive_address: String,
    /// Data connections must resume the control connection's TLS session.
    pub require_tls_reuse: bool,
    /// Whether `anonymous` may log in and read.
    pub anonymous: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { passive_ports: "0".into(), passive_address: String::new(), require_tls_reuse: false, anonymous: true }
    }
}
