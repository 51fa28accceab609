//! POP3 (RFC 1939) with CAPA (RFC 2449), STLS (RFC 2595), AUTH (RFC 5034), the response codes of
//! RFC 3206, and UTF8 and LANG (RFC 6856).
//!
//! A session is an authorisation, a transaction on a locked maildrop, and the update at QUIT, when
//! the messages marked as deleted go. Read `conversation` for the loop, `rules` for what may come
//! when, `transfer` for how a message goes out. Mail comes here only through the store: this
//! knows nothing of SMTP.

mod auth;
pub(crate) mod command;
mod conversation;
pub(crate) mod explain;
mod marks;
mod reply;
mod rules;
pub(crate) mod settings;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::Arc;

pub(crate) use conversation::Pop3;

use crate::store::{Accounts, mail::MailStore, turns::Turns};

/// What the server needs.
pub(crate) struct Deps {
    /// `pop3` or `pop3s`.
    pub service: &'static str,
    pub settings: settings::Settings,
    pub accounts: Arc<Accounts>,
    pub mail: Arc<dyn MailStore>,
    /// Shared by all services that open maildrops.
    pub turns: Turns,
    /// Take passwords in the clear from other machines too.
    pub plain_passwords: bool,
}
