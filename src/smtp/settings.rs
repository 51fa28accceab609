//! `[smtp]` in `portico.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::route::Routes;
use crate::{
    mail::address::Mailbox,
    net::block::AddressBlock,
    store::Accounts,
    units::{Size, Span},
};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Route by DNS: not available yet. Off: domains without a route are refused with 550.
    pub mx: bool,
    /// Networks (`192.0.2.0/24`) that may relay without logging in.
    pub relay_networks: Vec<String>,
    /// Clients on this machine may relay without logging in.
    pub relay_loopback: bool,
    /// Submission: refuse a sender address that isn't the account's own with 553.
    pub own_sender: bool,
    /// Submission: refuse a message whose From and Sender fields are both not the account's own.
    pub own_from: bool,
    /// Test-server mode: mail for any recipient goes to this one mailbox.
    pub catch_all: String,
    /// Whether addresses such as `450-later@...` provoke replies, delays and lost connections.
    pub lab: Lab,
    /// VRFY tells users and this machine who exists (RFC 5321, 3.5.3).
    pub vrfy: bool,
    /// EXPN tells users and this machine who is on a list.
    pub expn: bool,
    /// A CR or LF that stands by itself within a message.
    pub bare_newlines: BareNewlines,
    /// How long the greeting waits for clients that talk before they are greeted: they are refused.
    pub greeting_delay: Span,
    /// Greet with 521: no mail is taken here (RFC 7504).
    pub no_mail: bool,
    /// Domains that take no mail: their recipients get 556 (RFC 7504, 4).
    pub no_mail_domains: Vec<String>,
    /// Domain to next hop (`"127.0.0.1:2626"`); `"*"` is the smarthost.
    pub routes: BTreeMap<String, String>,
    /// Alias or list name to its members.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// The largest message that is taken (RFC 1870).
    pub max_message: Size,
    /// What each maildrop may take, where its account says nothing else; 0 is without bound.
    pub mail_quota: Size,
    /// Offer AUTH CRAM-MD5 too, for teaching: it shows how a password is proven without being said,
    /// and why that asks the server to keep it in the clear.
    pub cram_md5: bool,
    /// Offer SCRAM-SHA-256-PLUS over TLS 1.3: the login is bound to the connection. Off, since mutt
    /// and others take it wherever they see it, and then have nothing to bind.
    pub scram_plus: bool,
    /// Recipients of one message; RFC 5321, 4.5.3.1.8 asks for at least 100.
    pub max_recipients: usize,
    /// Messages in one session. Far more than a client sends that is in order.
    pub max_transactions: usize,
    pub retry: Retry,
}

/// For whom the addresses of the lab work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lab {
    Off,
    /// For clients on this machine.
    Loopback,
    On,
}

/// What becomes of a CR or LF that stands by itself within a message. Neither lets it out again:
/// the next server could take it for a line end, and see another message in ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BareNewlines {
    /// The message is refused with 550 5.6.0.
    Refuse,
    /// It becomes a blank.
    Normalise,
}

/// `[smtp.retry]`: when the queue tries again.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Retry {
    /// The wait after the first failure; it doubles each time.
    pub first: Span,
    /// The longest wait.
    pub most: Span,
    /// After this the message is returned to its sender.
    pub give_up: Span,
}

impl Settings {
    /// Whether the parts that are read later can be read.
    ///
    /// # Errors
    /// A sentence for the person who wrote the settings.
    pub(crate) fn check(&self, accounts: &Accounts) -> Result<(), String> {
        if self.mx {
            return Err("smtp.mx: routes by DNS are not available yet; name next hops in [smtp.routes]".into());
        }
        for network in &self.relay_networks {
            network.parse::<AddressBlock>().map_err(|error| format!("smtp.relay-networks: {error}"))?;
        }
        if !self.catch_all.is_empty() && !accounts.exists(&self.catch_all) {
            return Err(format!("smtp.catch-all: there is no account `{}`", self.catch_all));
        }
        for name in accounts.names() {
            let delivery = accounts.delivery(&name).unwrap_or_default();
            let is_known = |to: &String| Mailbox::parse(to).is_ok() || accounts.exists(to) || self.aliases.contains_key(to);
            if let Some(nobody) = delivery.forward.iter().find(|to| !is_known(to)) {
                return Err(format!("accounts.{name}.forward: `{}` is no address, account or alias", nobody.escape_default()));
            }
        }
        Routes::new(&self.routes).map(drop)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mx: false,
            relay_networks: Vec::new(),
            relay_loopback: false,
            own_sender: false,
            own_from: false,
            catch_all: String::new(),
            lab: Lab::Loopback,
            vrfy: false,
            expn: false,
            bare_newlines: BareNewlines::Refuse,
            greeting_delay: Span::secs(0),
            no_mail: false,
            no_mail_domains: Vec::new(),
            routes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            max_message: Size(50_000_000),
            mail_quota: Size(0),
            cram_md5: false,
            scram_plus: false,
            max_recipients: 1000,
            max_transactions: 100_000,
            retry: Retry::default(),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry { first: Span::secs(300), most: Span::secs(4 * 3600), give_up: Span::secs(5 * 86_400) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        let accounts = Accounts::new(&BTreeMap::new(), true).unwrap();
        let named = |settings: Settings, name: &str| settings.check(&accounts).is_err_and(|error| error.contains(name));
        assert!(Settings::default().check(&accounts).is_ok());
        assert!(named(Settings { mx: true, ..Settings::default() }, "smtp.mx"));
        assert!(named(Settings { relay_networks: vec!["lab".into()], ..Settings::default() }, "smtp.relay-networks"));
        assert!(named(Settings { catch_all: "../bob".into(), ..Settings::default() }, "smtp.catch-all"));
        assert!(named(Settings { routes: [("a.example".into(), ":x".into())].into(), ..Settings::default() }, "a.example"));
    }
}
