//! What settings can't work, and which of them aren't safe.
//!
//! **Safe by default**: an address off loopback turns the lab into a server for strangers. What
//! is handy in the lab and harmful there must be allowed by name.

use std::net::IpAddr;

use super::Settings;
use crate::{
    error::StartError,
    net::{fault::FaultSpec, link},
    proxy::policy::Policy,
    services::{self, Kind, REGISTRY},
    store::{Accounts, VirtualPath},
};

/// Checks what each value means by itself.
pub(crate) fn check(settings: &Settings) -> Result<(), StartError> {
    let wrong = |what: String| Err(StartError(what));
    if settings.domains.is_empty() {
        return wrong("`domains` is empty: name at least one domain, such as \"portico.test\"".into());
    }
    if let Some(domain) = settings.domains.iter().find(|domain| !is_domain(domain)) {
        return wrong(format!("`domains` holds \"{}\", which is no domain name", crate::net::escape::escape(domain)));
    }
    if settings.host.is_empty() {
        return wrong("`host` is empty: name at least one address, such as \"127.0.0.1\"".into());
    }
    for (name, account) in &settings.accounts {
        if let Some(folder) = account.write.iter().find(|folder| !folder.starts_with('/') || VirtualPath::parse(folder).is_err()) {
            return wrong(format!("`accounts.{name}.write` holds \"{folder}\", which is no folder of www/; write it as \"/~{name}/\""));
        }
    }
    settings.faults.iter().try_for_each(check_fault)?;
    settings.links.keys().try_for_each(|name| check_link(name))?;
    let accounts = Accounts::new(&settings.accounts, settings.sample_accounts).map_err(StartError)?;
    Policy::new(&settings.proxy).map_err(StartError)?;
    settings.http.check().map_err(StartError)?;
    settings.smtp.check(&accounts).map_err(StartError)
}

fn check_fault(fault: &FaultSpec) -> Result<(), StartError> {
    services::check_fault(fault).map_err(|why| StartError(format!("a fault can't be used: {why}")))
}

/// A link is a stream service's, or that of what we dial.
fn check_link(name: &str) -> Result<(), StartError> {
    let outgoing = [link::PROXY_OUT, link::RELAY_OUT];
    let streams = REGISTRY.iter().filter(|row| matches!(row.kind, Kind::Stream(_))).map(|row| row.name);
    let known: Vec<_> = streams.chain(outgoing).collect();
    match known.contains(&name) {
        true => Ok(()),
        false => {
            Err(StartError(format!("there is no link for `{}`: links are for {}", crate::net::escape::escape(name), known.join(", "))))
        }
    }
}

/// Refuses what would be dangerous on the addresses that are listened on.
pub(crate) fn check_safety<'a>(
    settings: &Settings,
    accounts: &Accounts,
    addresses: impl Iterator<Item = (&'a str, IpAddr)>,
) -> Result<(), StartError> {
    for (service, ip) in addresses.filter(|(_, ip)| !ip.to_canonical().is_loopback()) {
        if let (Some(name), false) = (accounts.with_sample_passwords().first(), settings.allow_sample_passwords) {
            return Err(StartError(format!(
                "refusing to serve {service} on {ip}, off loopback, while {name} has a sample password: change it by `portico account passwd {name}`, \
                 set `sample-accounts = false`, or allow it by `allow-sample-passwords = true`"
            )));
        }
        if service == "proxy" {
            check_proxy(settings, ip)?;
        }
    }
    Ok(())
}

/// Off loopback a proxy serves the networks that are named, or who logs in, or everybody if that
/// is what somebody wants.
fn check_proxy(settings: &Settings, ip: IpAddr) -> Result<(), StartError> {
    let proxy = &settings.proxy;
    if proxy.allow_clients.is_empty() && !proxy.require_login && !proxy.allow_open {
        return Err(StartError(format!(
            "refusing to serve an open proxy on {ip}, off loopback: leave it out by --without proxy, move it by --listen proxy=127.0.0.1:PORT, \
             name its clients by `proxy.allow-clients = [\"192.0.2.0/24\"]`, or allow it by `proxy.allow-open = true`"
        )));
    }
    if proxy.require_login && !settings.allow_plain_passwords {
        return Err(StartError(format!(
            "refusing to take passwords for the proxy on {ip}, off loopback, where anyone on the way can read them: leave out \
             `proxy.require-login`, or allow it by `allow-plain-passwords = true`"
        )));
    }
    Ok(())
}

/// Letters, digits, hyphens and dots (RFC 1034, 3.5).
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
