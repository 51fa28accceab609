//! Where mail for a domain goes next: `[smtp.routes]` in the settings. Pure.

use std::{collections::BTreeMap, fmt};

use crate::mail::address::Host;

/// The port of SMTP between servers (RFC 5321, 4.5.4.2).
const SMTP_PORT: u16 = 25;

/// A server that takes mail from us.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hop {
    /// A name, which the resolver looks up (`[hosts]` first), or an address.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// All routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    by_domain: BTreeMap<String, Hop>,
    /// The route of `*`: everything else.
    smarthost: Option<Hop>,
}

impl Routes {
    /// Reads the routes of the settings.
    ///
    /// # Errors
    /// A sentence that names the route.
    pub(crate) fn new(settings: &BTreeMap<String, String>) -> Result<Routes, String> {
        let mut routes = Routes::default();
        for (domain, hop) in settings {
            let hop = parse_hop(hop).ok_or_else(|| format!("smtp.routes.\"{domain}\": `{hop}` is not HOST or HOST:PORT"))?;
            match domain.as_str() {
                "*" => routes.smarthost = Some(hop),
                _ => drop(routes.by_domain.insert(domain.to_ascii_lowercase(), hop)),
            }
        }
        Ok(routes)
    }

    /// The next hop for mail to `host`; `None` where there is no route, and no mail is taken.
    pub(crate) fn hop(&self, host: &Host) -> Option<&Hop> {
        self.by_domain.get(&host.to_string()).or(self.smarthost.as_ref())
    }
}

/// `name`, `name:port`, `192.0.2.1:port`, `[2001:db8::1]:port`.
fn parse_hop(text: &str) -> Option<Hop> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => (host, Some(rest.strip_prefix(':')?)),
        Some(None) => return None,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(SMTP_PORT), str::parse).ok()?;
    let sane = !host.is_empty() && host.bytes().all(|octet| octet.is_ascii_graphic());
    sane.then(|| Hop { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(pairs: &[(&str, &str)]) -> Result<Routes, String> {
        Routes::new(&pairs.iter().map(|(domain, hop)| (domain.to_string(), hop.to_string())).collect())
    }

    #[test]
    fn the_domain_itself_comes_before_the_smarthost() {
        let routes = routes(&[("Remote.Example", "127.0.0.1:2626"), ("*", "[::1]:2525"), ("other.example", "mx.other.example")]).unwrap();
        let hop = |host| routes.hop(&Host::parse(host).unwrap()).unwrap().to_string();
        assert_eq!(hop("remote.example"), "127.0.0.1:2626");
        assert_eq!(hop("other.example"), "mx.other.example:25");
        assert_eq!(hop("sub.remote.example"), "[::1]:2525");
        assert_eq!(hop("[192.0.2.1]"), "[::1]:2525");
    }

    #[test]
    fn without_a_route_there_is_none() {
        let routes = routes(&[("remote.example", "127.0.0.1")]).unwrap();
        assert_eq!(routes.hop(&Host::parse("other.example").unwrap()), None);
    }

    #[test]
    fn a_bad_route_is_named() {
        for hop in ["", ":25", "host:port", "[::1", "[::1]25", "::1", "a b:25"] {
            assert!(routes(&[("x.example", hop)]).unwrap_err().contains("x.example"), "{hop}");
        }
    }
}
