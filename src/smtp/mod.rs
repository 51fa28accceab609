//! SMTP (RFC 5321): takes mail for our domains, takes anybody's from those who have logged in, and
//! brings it to its next hop.
//!
//! To follow a message: [`conversation`] reads commands and asks the [`rules`], which look
//! recipients up in the [`directory`] and have others asked what they can't know ([`question`]);
//! [`receive`] reads the text, and [`incoming`] checks it on its way; [`delivery`] follows the
//! settings of the accounts, and [`parcel`] says where the copies go; the store makes them safe.
//! What is for elsewhere lies in the queue, where [`relay`] finds it, asks [`route`] for the next hop
//! and brings it there, or back where that is hopeless.

pub(crate) mod command;
pub(crate) mod conversation;
mod delivery;
#[cfg(test)]
mod delivery_tests;
pub(crate) mod directory;
#[cfg(test)]
mod directory_tests;
pub(crate) mod explain;
pub(crate) mod incoming;
mod lab;
mod login;
mod parameters;
pub(crate) mod parcel;
mod question;
mod receive;
pub(crate) mod relay;
pub(crate) mod reply;
pub(crate) mod route;
pub(crate) mod rules;
pub(crate) mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use conversation::Smtp;
pub(crate) use rules::Role;

use crate::{
    clock::Clock,
    net::resolve::Resolver,
    store::{Accounts, mail::MailStore},
};

/// Everything that the server needs.
pub(crate) struct Deps {
    /// The service's name in the registry.
    pub service: &'static str,
    pub role: Role,
    pub settings: settings::Settings,
    /// The domains whose mail is ours; the first is our name.
    pub domains: Vec<String>,
    pub accounts: Arc<Accounts>,
    pub mail: Arc<dyn MailStore>,
    pub clock: Clock,
    pub wake: relay::Wake,
    /// The names of the settings, of which the DNS is not asked.
    pub resolver: Resolver,
    /// Passwords are taken over plain connections from anywhere, not from this machine alone.
    pub plain_passwords: bool,
}
