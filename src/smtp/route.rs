//! Where mail for a domain goes next: `[smtp.routes]` in the settings, or the DNS where they allow
//! it. Pure; what the DNS says is asked in `relay`.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::settings::{RouteSettings, RouteTls, Settings};
use crate::{mail::address::Host, store::Secret};

/// The port of SMTP between servers (RFC 5321, 4.5.4.2).
pub(super) const SMTP_PORT: u16 = 25;
/// The port where TLS comes first (RFC 8314, 3.3).
const SMTPS_PORT: u16 = 465;

/// The DNS server that the settings name.
pub(super) fn dns_server(settings: &Settings) -> Option<SocketAddr> {
    Some(settings.dns_server.as_str()).filter(|server| !server.is_empty()).and_then(parse_server)
}

/// A server that the settings name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hop {
    /// A name, which the resolver looks up (`[hosts]` first), or an address.
    pub host: String,
    pub port: u16,
    pub tls: RouteTls,
    /// TLS before everything else.
    pub implicit: bool,
    /// How we log in there.
    pub login: Option<Login>,
}

/// Account and password at another server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Login {
    pub user: String,
    pub password: Secret,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// Where mail goes next. All mail for one destination shares its connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Destination {
    /// The settings name the server.
    Hop(Arc<Hop>),
    /// The servers that the DNS names for this domain.
    Domain(Arc<str>),
    /// `user@[192.0.2.1]`: this one (RFC 5321, 4.1.3).
    Literal(IpAddr),
    /// Back to the sender: a report.
    Sender,
    /// There was a way when the mail came, and there is none now.
    Nowhere,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Hop(hop) => hop.fmt(f),
            Destination::Domain(domain) => f.write_str(domain),
            Destination::Literal(ip) => write!(f, "[{ip}]"),
            Destination::Sender => f.write_str("the sender"),
            Destination::Nowhere => f.write_str("nowhere"),
        }
    }
}

/// All routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    by_domain: BTreeMap<String, Arc<Hop>>,
    /// The route of `*`: everything else.
    smarthost: Option<Arc<Hop>>,
    /// Ask the DNS for what has no route.
    mx: bool,
}

impl Routes {
    /// Reads the routes of the settings.
    ///
    /// # Errors
    /// A sentence that names the route.
    pub(crate) fn new(settings: &Settings) -> Result<Routes, String> {
        let mut routes = Routes { mx: settings.mx, ..Routes::default() };
        for (domain, route) in &settings.routes {
            let hop = Arc::new(hop(route).map_err(|why| format!("smtp.routes.\"{domain}\": {why}"))?);
            match domain.as_str() {
                "*" => routes.smarthost = Some(hop),
                _ => drop(routes.by_domain.insert(ascii(domain), hop)),
            }
        }
        Ok(routes)
    }

    /// Where mail to `host` goes: by the domain's own route, by that of a domain above it that is
    /// written with a dot in front, by the smarthost, by the DNS. `None` where there is no way, and
    /// no mail is taken.
    pub(crate) fn next(&self, host: &Host) -> Option<Destination> {
        let name = ascii(&host.to_string());
        let above = name.match_indices('.').filter_map(|(at, _)| self.by_domain.get(&name[at..]));
        let named = self
            .by_domain
            .get(&name)
            .or_else(|| {
                let mut above = above;
                above.next()
            })
            .or(self.smarthost.as_ref());
        match (named, host) {
            (Some(hop), _) => Some(Destination::Hop(hop.clone())),
            (None, _) if !self.mx => None,
            (None, Host::Name(_)) => Some(Destination::Domain(name.into())),
            (None, Host::V4(ip)) => Some(Destination::Literal(IpAddr::V4(*ip))),
            (None, Host::V6(ip)) => Some(Destination::Literal(IpAddr::V6(*ip))),
        }
    }
}

/// A domain as the DNS has it: small letters, beyond ASCII as A-labels (RFC 5890, 2.3.2.1).
fn ascii(domain: &str) -> String {
    if domain.is_ascii() {
        return domain.to_ascii_lowercase();
    }
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_lowercase())
}

fn hop(route: &RouteSettings) -> Result<Hop, String> {
    let (host, port) = parse_host(&route.host).ok_or_else(|| format!("`{}` is not HOST or HOST:PORT", route.host))?;
    let login = match (route.user.is_empty(), route.password.is_empty()) {
        (true, true) => None,
        (false, false) => Some(Login { user: route.user.clone(), password: Secret(route.password.clone()) }),
        _ => return Err("user and password belong together".into()),
    };
    if route.implicit && route.tls == RouteTls::Never {
        return Err("implicit is TLS, and tls = \"never\" forbids it".into());
    }
    let usual = if route.implicit { SMTPS_PORT } else { SMTP_PORT };
    Ok(Hop { host: host.to_owned(), port: port.unwrap_or(usual), tls: route.tls, implicit: route.implicit, login })
}

/// `name`, `name:port`, `192.0.2.1:port`, `[2001:db8::1]:port`.
fn parse_host(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => (host, Some(rest.strip_prefix(':')?)),
        Some(None) => return None,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(str::parse).transpose().ok()?;
    let sane = !host.is_empty() && host.bytes().all(|octet| octet.is_ascii_graphic());
    sane.then_some((host, port))
}

/// The address of a DNS server: `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:5353`.
pub(crate) fn parse_server(text: &str) -> Option<SocketAddr> {
    /// RFC 1035, 4.2.
    const DNS_PORT: u16 = 53;
    text.parse().ok().or_else(|| text.parse().ok().map(|ip| SocketAddr::new(ip, DNS_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(pairs: &[(&str, &str)]) -> Result<Routes, String> {
        let routes = pairs.iter().map(|(domain, hop)| (domain.to_string(), RouteSettings::to(hop)));
        Routes::new(&Settings { routes: routes.collect(), ..Settings::default() })
    }

    fn next(routes: &Routes, host: &str) -> Option<String> {
        routes.next(&Host::parse(host).unwrap()).map(|next| next.to_string())
    }

    #[test]
    fn the_nearest_route_wins_and_the_smarthost_comes_last() {
        let pairs = [
            ("Remote.Example", "127.0.0.1:2626"),
            ("*", "[::1]:2525"),
            ("other.example", "mx.other.example"),
            (".deep.example", "a:1"),
            (".very.deep.example", "b:2"),
            ("[192.0.2.7]", "c:3"),
        ];
        let routes = routes(&pairs).unwrap();
        for (host, hop) in [
            ("remote.example", "127.0.0.1:2626"),
            ("other.example", "mx.other.example:25"),
            ("sub.remote.example", "[::1]:2525"),
            ("[192.0.2.1]", "[::1]:2525"),
            ("[192.0.2.7]", "c:3"),
            ("deep.example", "[::1]:2525"),
            ("x.deep.example", "a:1"),
            ("x.y.deep.example", "a:1"),
            ("x.very.deep.example", "b:2"),
        ] {
            assert_eq!(next(&routes, host).as_deref(), Some(hop), "{host}");
        }
    }

    #[test]
    fn without_a_route_the_dns_is_asked_where_the_settings_allow_it() {
        let mut routes = routes(&[("remote.example", "127.0.0.1")]).unwrap();
        assert_eq!(next(&routes, "other.example"), None);
        routes.mx = true;
        assert_eq!(next(&routes, "Other.example").as_deref(), Some("other.example"));
        assert_eq!(next(&routes, "[192.0.2.1]").as_deref(), Some("[192.0.2.1]"));
        assert_eq!(next(&routes, "remote.example").as_deref(), Some("127.0.0.1:25"));
    }

    #[test]
    fn a_bad_route_is_named() {
        for hop in ["", ":25", "host:port", "[::1", "[::1]25", "::1", "a b:25"] {
            assert!(routes(&[("x.example", hop)]).unwrap_err().contains("x.example"), "{hop}");
        }
        let half = RouteSettings { user: "bob".into(), ..RouteSettings::to("a") };
        assert!(hop(&half).is_err());
        assert!(hop(&RouteSettings { implicit: true, tls: RouteTls::Never, ..RouteSettings::to("a") }).is_err());
        assert_eq!(hop(&RouteSettings { implicit: true, ..RouteSettings::to("a") }).unwrap().port, 465);
    }

    #[test]
    fn a_dns_server_has_an_address_and_perhaps_a_port() {
        for (text, server) in [("127.0.0.1", "127.0.0.1:53"), ("127.0.0.1:5353", "127.0.0.1:5353"), ("::1", "[::1]:53")] {
            assert_eq!(parse_server(text), server.parse().ok());
        }
        assert_eq!(parse_server("dns.example"), None);
    }
}
