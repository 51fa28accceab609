//! VRFY and EXPN (RFC 5321, 3.5): who is told what.
//!
//! Off by default, and never answered to strangers: they would collect addresses (7.3).

use super::Session;
use crate::{
    mail::address::{Mailbox, Path},
    smtp::{
        command::Asked,
        directory::{Found, Target},
        reply::{self, Reply},
    },
};

impl Session {
    /// VRFY.
    pub(super) fn verify(&self, asked: &Asked) -> Reply {
        if !self.policy.vrfy || !self.is_trusted() {
            return reply::cannot_verify();
        }
        let Some(mailbox) = self.mailbox(&asked.name) else { return reply::no_such_user(&asked.name).in_utf8(asked.utf8) };
        let directory = &self.policy.directory;
        let reply = match directory.find(&Path::Mailbox(mailbox.clone()), self.link.local) {
            Found::Unknown => return reply::no_such_user(&asked.name).in_utf8(asked.utf8),
            Found::Here(targets) => match targets.as_slice() {
                [Target::Remote(other)] => reply::will_forward(other),
                _ => reply::verified(&mailbox),
            },
            Found::Elsewhere(mailbox) if directory.routes.next(mailbox.host()).is_some() => return reply::cannot_verify(),
            Found::Elsewhere(mailbox) => reply::not_local(&mailbox),
        };
        readable(reply, asked)
    }

    /// EXPN.
    pub(super) fn expand(&self, asked: &Asked) -> Reply {
        if !self.policy.expn {
            return reply::not_implemented("EXPN");
        }
        if !self.is_trusted() {
            return reply::cannot_expand();
        }
        let Some(list) = self.mailbox(&asked.name) else { return reply::no_such_user(&asked.name).in_utf8(asked.utf8) };
        let directory = &self.policy.directory;
        let found = directory.find(&Path::Mailbox(list.clone()), self.link.local);
        match found {
            Found::Here(targets) if directory.members(list.local()).is_some() => {
                readable(reply::expanded(targets.iter().map(|target| self.member(target)).collect()), asked)
            }
            Found::Here(_) => reply::no_list(&asked.name).in_utf8(asked.utf8),
            Found::Unknown | Found::Elsewhere(_) => reply::no_such_user(&asked.name).in_utf8(asked.utf8),
        }
    }

    fn member(&self, target: &Target) -> String {
        match target {
            Target::Account { account, .. } => format!("<{account}@{}>", self.policy.directory.name()),
            Target::Remote(mailbox) => format!("<{mailbox}>"),
        }
    }

    /// An address, or a name at our first domain.
    fn mailbox(&self, name: &str) -> Option<Mailbox> {
        let whole = if name.contains('@') { name.to_owned() } else { format!("{name}@{}", self.policy.directory.name()) };
        Mailbox::parse(&whole).ok()
    }

    /// Who has logged in, or sits at this machine.
    pub(super) fn is_trusted(&self) -> bool {
        self.account.is_some() || self.link.peer.to_canonical().is_loopback()
    }
}

/// RFC 6531, 3.7.4.2: an answer beyond ASCII is for those who asked for it.
fn readable(reply: Reply, asked: &Asked) -> Reply {
    if asked.utf8 || reply.is_ascii() { reply.in_utf8(asked.utf8) } else { reply::utf8_reply() }
}
