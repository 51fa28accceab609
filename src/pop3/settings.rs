//! `[pop3]` in `portico.toml`.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Wrong commands and failed logins before the session is ended: against guessing, and
    /// against programs that take this for another protocol.
    pub max_bad_commands: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max_bad_commands: 20 }
    }
}
