//! `[http]` in `portico.toml`.

use serde::{Deserialize, Serialize};

use crate::units::Size;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The largest request body that is taken.
    pub max_body: Size,
    /// The largest request head; one past it gets 431.
    pub max_head: Size,
    /// Answer TRACE, without the secrets of the request.
    pub trace: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max_body: Size(4_000_000_000), max_head: Size(32 * 1024), trace: false }
    }
}
