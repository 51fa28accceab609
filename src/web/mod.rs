//! The origin server: HTTP/1.1 and 1.0 (RFC 9110, RFC 9112) over the shared file tree, plain and
//! under TLS.
//!
//! To follow one request, read [`conversation`] (the loop), then `request` (what was asked), `moved`
//! (is it here at all?), `files` and `folders` (what is behind it), `representation` (plain or
//! compressed), `answer` (pure: which part of it goes back, or why none) and `reply` (the head and
//! the body that go out). What the settings say of paths and names stands in `rules`. Beside that
//! way stand `write` (PUT and DELETE), `visitor` (cookies), `tracker` (other people's cookies),
//! `form`, [`mailbox`], and the exhibits of [`lab`].
//!
//! It knows nothing of the wire below heads and bodies: that is `crate::http`.

use std::sync::Arc;

use crate::{
    clock::Clock,
    store::{Accounts, mail::MailStore, tree::Tree, turns::Turns, visitors::Visitors},
};

pub(crate) mod access;
mod answer;
mod audience;
mod beside;
mod body;
mod compressed;
mod conversation;
pub(crate) mod cookies;
pub(crate) mod explain;
mod files;
mod folders;
pub(crate) mod form;
mod lab;
mod listing;
mod login;
pub(crate) mod mailbox;
mod moved;
pub(crate) mod negotiation;
mod noting;
mod page;
mod parts;
mod ready;
mod refusal;
mod reply;
mod representation;
pub(crate) mod request;
mod rules;
mod sent;
pub(crate) mod settings;
#[cfg(test)]
mod split_tests;
mod stream;
#[cfg(test)]
mod tests;
mod trace;
mod tracker;
mod visitor;
mod write;

use access::AccessLog;
use rules::Rules;
use settings::Settings;

/// What the origin server needs.
pub(crate) struct Deps {
    /// The service's name: `http` or `https`.
    pub service: &'static str,
    pub tree: Arc<dyn Tree>,
    pub accounts: Arc<Accounts>,
    pub visitors: Arc<dyn Visitors>,
    /// The mailboxes; its spools also take the files that forms send.
    pub mail: Arc<dyn MailStore>,
    /// Whose turn it is at each of them; POP3 takes turns too.
    pub turns: Turns,
    pub clock: Clock,
    pub settings: Settings,
    /// What http and https share.
    pub shared: Arc<Shared>,
    /// Our own names, the first of them first.
    pub domains: Vec<String>,
    /// Take passwords over plain connections off loopback.
    pub plain_passwords: bool,
}

/// What http and https share beside the stores.
pub(crate) struct Shared {
    absent: beside::Absent,
    compressed: compressed::Compressed,
    listings: folders::Turns,
    mailboxes: mailbox::Mailboxes,
    log: Option<AccessLog>,
}

impl Shared {
    pub(crate) fn new(settings: &Settings, log: Option<AccessLog>) -> Shared {
        Shared {
            absent: beside::Absent::default(),
            compressed: compressed::Compressed::new(settings.compress_memory.0),
            listings: folders::Turns::default(),
            mailboxes: mailbox::Mailboxes::default(),
            log,
        }
    }

    pub(crate) fn log(&self) -> Option<&AccessLog> {
        self.log.as_ref()
    }
}

/// The origin server.
pub(crate) struct Web {
    deps: Deps,
    shared: Arc<Shared>,
    rules: Rules,
    dates: reply::Dates,
    ready: ready::ReadyReplies,
}

impl Web {
    pub(crate) fn new(deps: Deps) -> Web {
        let rules = Rules::new(&deps.settings, &deps.domains).expect("start-up has checked the settings");
        let (dates, ready) = Default::default();
        Web { shared: deps.shared.clone(), rules, deps, dates, ready }
    }
}
