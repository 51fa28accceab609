//! Who lives here: turns the recipient of an RCPT command into the mailboxes that get a copy.
//!
//! Nothing here looks *into* a local part for a route: `user%remote@here`, `"user@remote"@here`
//! and `remote!user@here` are local users of odd names, whom nobody knows. So none of the old
//! spellings makes a relay of us.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{
    route::{Destination, Routes},
    settings::Settings,
};
use crate::{
    mail::address::{Host, Mailbox, Path, fold},
    net::block::AddressBlock,
    store::{Accounts, VirtualPath, accounts::Delivery},
};

/// The lists that were met on the way to a recipient's targets, and whether each is still open:
/// its members are being looked at.
type Met = BTreeMap<String, bool>;

/// Everything that decides where mail may go. Pure but for the question who has an account.
pub(crate) struct Directory {
    /// The first one is our name.
    pub domains: Vec<String>,
    /// Domains that take no mail.
    pub closed: Vec<String>,
    pub aliases: BTreeMap<String, Vec<String>>,
    pub catch_all: Option<String>,
    pub routes: Routes,
    pub relay_networks: Vec<AddressBlock>,
    pub relay_loopback: bool,
    /// What a maildrop may take where its account says nothing else, in octets; 0 is without bound.
    pub mail_quota: u64,
    pub people: Box<dyn People>,
}

/// Who has a mailbox.
pub(crate) trait People: Send + Sync {
    /// The account of this name, in whatever case.
    fn named(&self, name: &str) -> Option<String>;
    /// Who reads mail to the postmaster where no alias says so.
    fn postmaster(&self) -> Option<String>;
    /// What the settings of an account say of its mail.
    fn delivery(&self, _account: &str) -> Option<Arc<Delivery>> {
        None
    }
}

/// One copy of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Into the maildrop of `account`, delivered to the address `mailbox`.
    Account { account: String, mailbox: Mailbox },
    /// Elsewhere, by the queue.
    Remote(Mailbox),
}

/// What a recipient's address comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Ours: these get a copy.
    Here(Vec<Target>),
    /// Ours, but there is nobody of this name.
    Unknown,
    /// Not ours.
    Elsewhere(Mailbox),
}

impl Directory {
    /// # Errors
    /// A sentence for the person who wrote the settings.
    pub(crate) fn new(settings: &Settings, domains: &[String], people: Box<dyn People>) -> Result<Directory, String> {
        let networks: Result<_, String> = settings.relay_networks.iter().map(|text| text.parse()).collect();
        Ok(Directory {
            domains: domains.iter().map(|domain| canonical(domain)).collect(),
            closed: settings.no_mail_domains.iter().map(|domain| canonical(domain)).collect(),
            aliases: settings.aliases.iter().map(|(name, members)| (fold(name), members.clone())).collect(),
            catch_all: Some(settings.catch_all.clone()).filter(|account| !account.is_empty()),
            routes: Routes::new(settings)?,
            relay_networks: networks.map_err(|error| format!("smtp.relay-networks: {error}"))?,
            relay_loopback: settings.relay_loopback,
            mail_quota: settings.mail_quota.0,
            people,
        })
    }

    /// Our name in greetings and trace fields.
    pub(crate) fn name(&self) -> &str {
        self.domains.first().map_or("localhost", String::as_str)
    }

    /// Whether this client may send mail elsewhere without logging in.
    pub(crate) fn relays_for(&self, peer: IpAddr) -> bool {
        let listed = self.relay_networks.iter().any(|network| network.contains(peer));
        listed || self.relay_loopback && peer.to_canonical().is_loopback()
    }

    /// Looks a recipient up. `own` is the address that the client connected to: a mailbox at that
    /// address literal is ours, too (RFC 5321, 4.1.3).
    pub(crate) fn find(&self, recipient: &Path, own: IpAddr) -> Found {
        let mailbox = match recipient {
            Path::Mailbox(mailbox) => mailbox.clone(),
            Path::Null => return Found::Unknown,
            Path::Postmaster => match Mailbox::parse(&format!("postmaster@{}", self.name())) {
                Ok(mailbox) => mailbox,
                Err(_) => return Found::Unknown,
            },
        };
        if let Some(account) = &self.catch_all {
            let target = |account| Found::Here(vec![Target::Account { account, mailbox }]);
            return self.people.named(account).map_or(Found::Unknown, target);
        }
        if !self.is_local(mailbox.host(), own) {
            return Found::Elsewhere(mailbox);
        }
        let mut targets = Vec::new();
        self.expand(mailbox.local(), &mailbox, &mut Met::new(), &mut targets);
        if targets.is_empty() { Found::Unknown } else { Found::Here(targets) }
    }

    /// The members of a list or alias, as they are written in the settings.
    pub(crate) fn members(&self, name: &str) -> Option<&[String]> {
        self.aliases.get(&fold(name)).map(Vec::as_slice)
    }

    /// Whether this domain is known to take no mail.
    pub(crate) fn is_closed(&self, host: &Host) -> bool {
        matches!(host, Host::Name(name) if self.closed.contains(name))
    }

    /// Whether mail for `host` is for us.
    pub(crate) fn is_local(&self, host: &Host, own: IpAddr) -> bool {
        match host {
            Host::Name(name) => self.domains.contains(name),
            Host::V4(ip) => own.to_canonical() == IpAddr::V4(*ip),
            Host::V6(ip) => own.to_canonical() == IpAddr::V6(*ip),
        }
    }

    /// Where the queue's mail for a domain goes; the empty domain is that of reports.
    pub(crate) fn destination(&self, domain: &str) -> Destination {
        if domain.is_empty() {
            return Destination::Sender;
        }
        let host = Mailbox::parse(&format!("x@{domain}")).ok();
        host.and_then(|mailbox| self.routes.next(mailbox.host())).unwrap_or(Destination::Nowhere)
    }

    /// Whether the mailbox `sender` belongs to `account`.
    pub(crate) fn owns(&self, account: &str, sender: &Mailbox, own: IpAddr) -> bool {
        let found = self.find(&Path::Mailbox(sender.clone()), own);
        matches!(found, Found::Here(targets) if targets.iter().any(|target| matches!(target, Target::Account { account: name, .. } if name == account)))
    }

    /// Adds the targets of a local name; lists by way of their members.
    ///
    /// Each list is gone through once, so that none goes round for ever. Where a list leads back to
    /// its own name the account of that name is meant: `bob = ["bob", "alice"]` is a copy for alice.
    fn expand(&self, name: &str, mailbox: &Mailbox, met: &mut Met, targets: &mut Vec<Target>) {
        let key = fold(name);
        if let Some(members) = self.aliases.get(&key) {
            match met.get(&key) {
                None => {
                    met.insert(key.clone(), true);
                    members.iter().for_each(|member| self.expand_member(member, mailbox, met, targets));
                    met.insert(key, false);
                    return;
                }
                Some(false) => return,
                Some(true) => {}
            }
        }
        let account = self.people.named(name).or_else(|| {
            // Sub-addressing (RFC 5233): bob+anything is bob's.
            let (user, _) = name.split_once('+').filter(|(user, _)| !user.is_empty())?;
            self.people.named(user)
        });
        let account = account.or_else(|| if key == "postmaster" { self.people.postmaster() } else { None });
        if let Some(account) = account {
            add(targets, Target::Account { account, mailbox: mailbox.clone() });
        }
    }

    /// A member of a list: a local name, or an address anywhere.
    fn expand_member(&self, member: &str, mailbox: &Mailbox, met: &mut Met, targets: &mut Vec<Target>) {
        match Mailbox::parse(member) {
            Ok(address) if matches!(address.host(), Host::Name(name) if self.domains.contains(name)) => {
                self.expand(address.local(), mailbox, met, targets);
            }
            Ok(address) => add(targets, Target::Remote(address)),
            Err(_) => self.expand(member, mailbox, met, targets),
        }
    }
}

/// A domain of the settings as addresses have it, in A-labels (RFC 6531, 3.2).
fn canonical(domain: &str) -> String {
    Host::parse(domain).map_or_else(|_| domain.to_ascii_lowercase(), |host| host.to_string())
}

/// Adds a target unless the same mailbox gets a copy already.
fn add(targets: &mut Vec<Target>, target: Target) {
    if !targets.iter().any(|other| other.is_same_mailbox(&target)) {
        targets.push(target);
    }
}

impl Target {
    pub(crate) fn is_same_mailbox(&self, other: &Target) -> bool {
        match (self, other) {
            (Target::Account { account, .. }, Target::Account { account: other, .. }) => account == other,
            (target, other) => target == other,
        }
    }
}

impl People for Arc<Accounts> {
    fn named(&self, name: &str) -> Option<String> {
        self.account(name).map(|account| account.name.clone())
    }

    fn delivery(&self, account: &str) -> Option<Arc<Delivery>> {
        Accounts::delivery(self, account)
    }

    fn postmaster(&self) -> Option<String> {
        let root = VirtualPath::root();
        let may_write_everywhere = |name: &String| self.account(name).is_some_and(|account| account.may_write(&root));
        self.names().into_iter().find(may_write_everywhere).or_else(|| self.named("alice"))
    }
}
