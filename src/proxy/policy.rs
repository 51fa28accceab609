//! Who may use the proxy, and for what: the settings that a person wrote, made ready. Pure.

use std::net::{IpAddr, SocketAddr};

use super::{origin::Origin, patterns::Patterns, settings::Settings};
use crate::{
    http::{Fields, basic, target::split_authority},
    net::{
        block::AddressBlock,
        dial::{Gate, is_public},
    },
};

/// Everything about clients and hosts that the settings decide.
pub(crate) struct Policy {
    allow_open: bool,
    allow_private: bool,
    /// Whether clients must log in.
    pub require_login: bool,
    clients: Vec<AddressBlock>,
    private_hosts: Patterns,
    never_forward: Patterns,
    no_cache: Patterns,
    parent: Option<Parent>,
    direct: Patterns,
}

/// The proxy that requests are passed on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub at: Origin,
    /// The value of Proxy-Authorization, where it wants one.
    pub login: Option<String>,
}

impl Parent {
    fn new(settings: &Settings) -> Result<Option<Parent>, String> {
        if settings.parent.is_empty() {
            return Ok(None);
        }
        let wrong = || format!("proxy.parent: `{}` is not a proxy such as \"proxy.example.org:3128\"", settings.parent);
        match split_authority(settings.parent.as_bytes()) {
            Some((host, Some(port))) if !host.is_empty() => {
                let login = (!settings.parent_user.is_empty()).then(|| basic::field(&settings.parent_user, &settings.parent_password));
                Ok(Some(Parent { at: Origin::http(host, port), login }))
            }
            _ => Err(wrong()),
        }
    }
}

impl Policy {
    /// # Errors
    /// A sentence for the person who wrote the settings.
    pub(crate) fn new(settings: &Settings) -> Result<Policy, String> {
        let clients: Result<_, String> = settings.allow_clients.iter().map(|text| text.parse()).collect();
        Ok(Policy {
            allow_open: settings.allow_open,
            allow_private: settings.allow_private,
            require_login: settings.require_login,
            clients: clients.map_err(|error| format!("proxy.allow-clients: {error}"))?,
            private_hosts: Patterns::new(&settings.private_hosts),
            never_forward: Patterns::new(&settings.never_forward),
            no_cache: Patterns::new(&settings.no_cache),
            parent: Parent::new(settings)?,
            direct: Patterns::new(&settings.direct),
        })
    }

    /// Whether a client at this address may use the proxy at all (an open proxy is everybody's
    /// mask). Where clients must log in and no networks are named, any may try.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        let is_any_named = !self.clients.is_empty();
        is_here(peer) || self.allow_open || self.clients.iter().any(|block| block.contains(peer)) || (self.require_login && !is_any_named)
    }

    /// Which addresses a client may reach at this host. One on this machine may go where the
    /// machine may; others must not reach what only it can reach, unless the host is named.
    pub(crate) fn gate(&self, peer: IpAddr, host: &str) -> Gate {
        match is_here(peer) || self.allow_private || self.private_hosts.fit(host) {
            true => Gate::Open,
            false => Gate::Public,
        }
    }

    /// The parent that requests to this host go through, if they do. What has its meaning on this
    /// machine or in its network only (`is_local_name`, private addresses) never does.
    pub(crate) fn parent(&self, host: &str, is_local_name: bool) -> Option<&Parent> {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_near = is_local_name || literal.is_ok_and(|ip| !is_public(ip));
        self.parent.as_ref().filter(|_| !is_near && !self.direct.fit(host))
    }

    /// Whether requests to this host are refused.
    pub(crate) fn refuses(&self, origin: &Origin) -> bool {
        self.never_forward.fit(&origin.host)
    }

    /// Whether what this host sends is never stored.
    pub(crate) fn keeps_nothing_of(&self, origin: &Origin) -> bool {
        self.no_cache.fit(&origin.host)
    }
}

/// Ports whose servers talk in lines, and might take those of a request's body for commands: that is
/// how mail is sent through other people's proxies. From the list of the Fetch standard (2.9).
const NO_WEB_PORTS: &[u16] =
    &[7, 9, 13, 19, 22, 23, 25, 109, 110, 119, 143, 194, 465, 515, 563, 587, 993, 995, 6665, 6666, 6667, 6668, 6669, 6679, 6697];

/// Whether `http://` requests never go to this port.
pub(crate) fn is_no_web_port(port: u16) -> bool {
    NO_WEB_PORTS.contains(&port)
}

/// Whether Host names the proxy by an address, by `localhost`, by its own name, or by a name without
/// a dot. A page of a stranger whose name has been pointed at this machine (DNS rebinding) comes
/// under that name.
pub(crate) fn is_own_name(fields: &Fields, pseudonym: &str) -> bool {
    let Some((host, _)) = fields.only("host").and_then(split_authority) else { return true };
    let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    is_address || !host.contains('.') || host.eq_ignore_ascii_case(pseudonym)
}

/// Whether a client sits on this machine.
pub(crate) fn is_here(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

/// Whether a connection to `to` would come back to the proxy, which listens at `own`: a request
/// must not run in circles. The unspecified address is this machine too.
pub(crate) fn is_ourselves(to: SocketAddr, own: SocketAddr) -> bool {
    let (ip, own_ip) = (to.ip().to_canonical(), own.ip().to_canonical());
    to.port() == own.port() && (ip == own_ip || ip.is_unspecified() || (ip.is_loopback() && own_ip.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn policy(change: impl FnOnce(&mut Settings)) -> Policy {
        let mut settings = Settings::default();
        change(&mut settings);
        Policy::new(&settings).unwrap()
    }

    #[test]
    fn strangers_are_let_in_by_network_by_login_or_by_name() {
        let stranger = ip("192.0.2.7");
        assert!(policy(|_| ()).admits(ip("::ffff:127.0.0.1")) && !policy(|_| ()).admits(stranger));
        assert!(policy(|settings| settings.allow_open = true).admits(stranger));
        assert!(policy(|settings| settings.allow_clients = vec!["192.0.2.0/24".into()]).admits(stranger));
        assert!(!policy(|settings| settings.allow_clients = vec!["198.51.100.0/24".into()]).admits(stranger));
        assert!(policy(|settings| settings.require_login = true).admits(stranger));
        let both = policy(|settings| (settings.require_login, settings.allow_clients) = (true, vec!["198.51.100.0/24".into()]));
        assert!(!both.admits(stranger), "a login does not widen the networks");
        let wrong = Settings { allow_clients: vec!["lab".into()], ..Settings::default() };
        assert!(Policy::new(&wrong).is_err_and(|error| error.contains("proxy.allow-clients")));
    }

    #[test]
    fn private_addresses_are_for_clients_here_and_hosts_that_are_named() {
        let policy = policy(|settings| settings.private_hosts = vec!["*.lab.test".into()]);
        assert_eq!(policy.gate(ip("127.0.0.1"), "a.test"), Gate::Open);
        assert_eq!(policy.gate(ip("192.0.2.7"), "a.test"), Gate::Public);
        assert_eq!(policy.gate(ip("192.0.2.7"), "www.lab.test"), Gate::Open);
    }

    #[test]
    fn the_parent_gets_what_is_not_near() {
        let policy = policy(|settings| {
            settings.parent = "Parent.test:3128".into();
            (settings.parent_user, settings.parent_password) = ("bob".into(), "hungry".into());
            settings.direct = vec!["*.near.test".into()];
        });
        let parent = policy.parent("www.example.org", false).unwrap();
        assert_eq!((parent.at.authority().as_str(), parent.login.as_deref()), ("parent.test:3128", Some("Basic Ym9iOmh1bmdyeQ==")));
        for (host, is_local_name) in [("localhost", true), ("10.0.0.1", false), ("[::1]", false), ("a.near.test", false)] {
            assert_eq!(policy.parent(host, is_local_name), None, "{host}");
        }
        assert!(policy.parent("93.184.216.34", false).is_some());
        let wrong = Settings { parent: "parent.test".into(), ..Settings::default() };
        assert!(Policy::new(&wrong).is_err_and(|error| error.contains("proxy.parent")));
    }

    #[test]
    fn ourselves_in_every_notation() {
        let own: SocketAddr = "127.0.0.1:11128".parse().unwrap();
        for (to, is_own) in [
            ("127.0.0.1:11128", true),
            ("[::1]:11128", true),
            ("127.9.9.9:11128", true),
            ("0.0.0.0:11128", true),
            ("[::]:11128", true),
            ("[::ffff:127.0.0.1]:11128", true),
            ("127.0.0.1:8080", false),
            ("192.0.2.1:11128", false),
        ] {
            assert_eq!(is_ourselves(to.parse().unwrap(), own), is_own, "{to}");
        }
    }
}
