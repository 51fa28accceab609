//! `[pop3]` in `portico.toml`.

use serde::{Deserialize, Serialize};

use crate::units::Span;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Wrong commands and failed logins before the session is ended: against guessing, and
    /// against programs that take this for another protocol.
    pub max_bad_commands: u32,
    /// Offer APOP, for teaching: the banner carries a stamp, and the password never crosses the
    /// wire; but the server must keep it in the clear, and MD5 is broken. Only while every account
    /// has its password in the clear.
    pub apop: bool,
    /// Offer AUTH CRAM-MD5, on the same terms.
    pub cram_md5: bool,
    /// Offer SCRAM-SHA-256-PLUS over TLS 1.3: the login is bound to the connection. Off, since mutt
    /// and others take it wherever they see it, and then have nothing to bind.
    pub scram_plus: bool,
    /// The least time between two logins to one account; 0 for none.
    pub login_delay: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max_bad_commands: 20, apop: false, cram_md5: false, scram_plus: false, login_delay: Span::secs(0) }
    }
}
