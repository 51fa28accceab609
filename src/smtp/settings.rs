//! `[smtp]` in `portico.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use super::relay::settings::{Retry, RouteSettings, RouteTls};
use super::{
    relay::mx,
    route::{self, Routes},
};
use crate::{
    mail::address::{Mailbox, fold},
    net::block::AddressBlock,
    store::Accounts,
    units::{Size, Span},
};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Mail for domains without a route goes where the DNS says. Off: it is refused with 550.
    pub mx: bool,
    /// MX records beside those of the DNS: domain to `["10 mx.example", "20 other.example:2525"]`.
    pub mx_records: BTreeMap<String, Vec<String>>,
    /// The port of the servers that MX records name.
    pub mx_port: u16,
    /// MX records may lead to addresses that are not public: to a lab.
    pub mx_private: bool,
    /// The DNS server to ask (`"127.0.0.1:8053"`); none: those of the system.
    pub dns_server: String,
    /// Conversations with one destination at a time.
    pub connections_per_destination: usize,
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
    /// Refuse senders whose domain says by a null MX record that it takes no mail (RFC 7505).
    pub refuse_null_mx_senders: bool,
    /// Domain to next hop (`"127.0.0.1:2626"`); `"*"` is the smarthost.
    pub routes: BTreeMap<String, RouteSettings>,
    /// Alias or list name to its members.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// The largest message that is taken (RFC 1870).
    pub max_message: Size,
    /// What has to be free on the disk beside the message that is announced: mail that waits in the
    /// queue needs room to be settled, and sessions under way need theirs.
    pub min_free: Size,
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
    /// Failed logins in one session; the last of them closes it. Mail programs try two or three
    /// mechanisms with one wrong password.
    pub max_failed_logins: u32,
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

impl Settings {
    /// Whether the parts that are read later can be read.
    ///
    /// # Errors
    /// A sentence for the person who wrote the settings.
    pub(crate) fn check(&self, accounts: &Accounts) -> Result<(), String> {
        if !self.dns_server.is_empty() && route::parse_server(&self.dns_server).is_none() {
            return Err(format!("smtp.dns-server: `{}` is not an address such as \"127.0.0.1:8053\"", self.dns_server));
        }
        if let Some(record) = self.mx_records.values().flatten().find(|record| mx::parse(record).is_none()) {
            return Err(format!("smtp.mx-records: `{record}` is not a record such as \"10 mx.example\""));
        }
        if self.connections_per_destination == 0 {
            return Err("smtp.connections-per-destination: with none no mail would ever leave".into());
        }
        if self.max_failed_logins == 0 {
            return Err("smtp.max-failed-logins: with none nobody could log in".into());
        }
        for network in &self.relay_networks {
            network.parse::<AddressBlock>().map_err(|error| format!("smtp.relay-networks: {error}"))?;
        }
        if !self.catch_all.is_empty() && !accounts.exists(&self.catch_all) {
            return Err(format!("smtp.catch-all: there is no account `{}`", self.catch_all));
        }
        for (alias, members) in &self.aliases {
            if let Some(nobody) = members.iter().find(|member| !self.is_member(member, accounts)) {
                let (alias, nobody) = (alias.escape_default(), nobody.escape_default());
                return Err(format!("smtp.aliases.\"{alias}\": `{nobody}` is no address, account or alias"));
            }
        }
        for name in accounts.names() {
            let delivery = accounts.delivery(&name).unwrap_or_default();
            let is_known = |to: &String| Mailbox::parse(to).is_ok() || accounts.exists(to) || self.aliases.contains_key(to);
            if let Some(nobody) = delivery.forward.iter().find(|to| !is_known(to)) {
                return Err(format!("accounts.{name}.forward: `{}` is no address, account or alias", nobody.escape_default()));
            }
        }
        Routes::new(self).map(drop)
    }

    /// Whether mail for this member of a list would reach anybody, as far as can be said here.
    fn is_member(&self, member: &str, accounts: &Accounts) -> bool {
        let user = member.split_once('+').map_or(member, |(user, _)| user);
        let key = fold(member);
        let is_alias = || self.aliases.keys().any(|alias| fold(alias) == key);
        Mailbox::parse(member).is_ok() || accounts.exists(member) || accounts.exists(user) || key == "postmaster" || is_alias()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mx: false,
            mx_records: BTreeMap::new(),
            mx_port: route::SMTP_PORT,
            mx_private: false,
            dns_server: String::new(),
            connections_per_destination: 4,
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
            refuse_null_mx_senders: false,
            routes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            max_message: Size(50_000_000),
            min_free: Size(16_000_000),
            mail_quota: Size(0),
            cram_md5: false,
            scram_plus: false,
            max_recipients: 1000,
            max_transactions: 100_000,
            max_failed_logins: 5,
            retry: Retry::default(),
        }
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
        assert!(named(Settings { dns_server: "dns".into(), ..Settings::default() }, "smtp.dns-server"));
        assert!(named(Settings { mx_records: [("a".into(), vec!["mx".into()])].into(), ..Settings::default() }, "smtp.mx-records"));
        assert!(named(Settings { connections_per_destination: 0, ..Settings::default() }, "smtp.connections-per-destination"));
        assert!(named(Settings { relay_networks: vec!["lab".into()], ..Settings::default() }, "smtp.relay-networks"));
        assert!(named(Settings { catch_all: "../bob".into(), ..Settings::default() }, "smtp.catch-all"));
        let staff = |member: &str| [("staff".into(), vec!["Alice".into(), member.into()])].into();
        for member in ["bob", "bob+lists", "STAFF", "postmaster", "carol@remote.example"] {
            assert_eq!(Settings { aliases: staff(member), ..Settings::default() }.check(&accounts), Ok(()), "{member}");
        }
        assert!(named(Settings { aliases: staff("bbo"), ..Settings::default() }, "bbo"));
        assert!(named(Settings { routes: [("a.example".into(), RouteSettings::to(":x"))].into(), ..Settings::default() }, "a.example"));
    }
}
