//! Where a request goes, and the key that its response is stored under.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::http::{Target, target::split_authority};

/// An origin server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub scheme: Scheme,
    /// Whose files are meant, at an FTP server; empty for its visitors, and in HTTP.
    pub user: String,
    /// In lower case; IPv6 addresses in brackets.
    pub host: String,
    pub port: u16,
}

/// What an origin speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Ftp,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Ftp => "ftp",
        }
    }

    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Ftp => 21,
        }
    }
}

/// A scheme that the proxy does not fetch itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfetchable(pub String);

impl Origin {
    pub(crate) fn http(host: &str, port: u16) -> Origin {
        Origin { scheme: Scheme::Http, user: String::new(), host: host.to_ascii_lowercase(), port }
    }

    /// The origin of an `http://` or `ftp://` target.
    ///
    /// # Errors
    /// The scheme, where it is another one.
    pub(crate) fn of(target: &Target) -> Result<Origin, Unfetchable> {
        let name = target.scheme().unwrap_or_default().to_ascii_lowercase();
        let scheme = [Scheme::Http, Scheme::Ftp].into_iter().find(|scheme| scheme.as_str() == name);
        match (target.authority().and_then(|authority| split_authority(authority.as_bytes())), scheme) {
            (Some((host, port)), Some(scheme)) => Ok(Origin { scheme, ..Origin::http(host, port.unwrap_or(scheme.port())) }),
            _ => Err(Unfetchable(name)),
        }
    }

    /// As it stands in Host: the port only where it is not the default (RFC 9110, 4.2.3).
    pub(crate) fn authority(&self) -> String {
        match self.port == self.scheme.port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Scheme and authority: what stands before the path.
    pub(crate) fn base(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }

    /// The key of a target at this origin: its URI in normal form. The path stays as it came, for
    /// origins are free to tell `%7E` from `~`.
    pub(crate) fn key(&self, origin_form: &str) -> String {
        match self.user.is_empty() {
            true => format!("{}{origin_form}", self.base()),
            false => format!(
                "{}://{}@{}{origin_form}",
                self.scheme.as_str(),
                utf8_percent_encode(&self.user, NON_ALPHANUMERIC),
                self.authority()
            ),
        }
    }

    /// The key of a URI reference in a response about this origin, such as Location; `None` where
    /// it points elsewhere: one site must not wipe out what is stored for another (RFC 9111, 4.4).
    pub(crate) fn key_of_reference(&self, base: &str, reference: &[u8]) -> Option<String> {
        let reference = std::str::from_utf8(reference).ok()?.split('#').next()?;
        if reference.starts_with('/') && !reference.starts_with("//") {
            return Some(self.key(reference));
        }
        let absolute = match reference.strip_prefix("//") {
            Some(rest) => format!("{}://{rest}", self.scheme.as_str()),
            None if reference.contains("://") => reference.to_owned(),
            None => {
                // Relative to the folder of the target.
                let path = base.split('?').next()?;
                let folder = &path[..=path.rfind('/')?];
                return Some(self.key(&format!("{folder}{reference}")));
            }
        };
        let target = Target::parse(&crate::http::Method::Get, &absolute).ok()?;
        (Origin::of(&target).ok()? == *self).then(|| self.key(&target.origin_form()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;

    fn origin(text: &str) -> Result<Origin, Unfetchable> {
        Origin::of(&Target::parse(&Method::Get, text).unwrap())
    }

    #[test]
    fn one_key_for_all_spellings_of_an_authority() {
        for text in ["http://A.test", "HTTP://a.TEST:80/", "http://a.test:/"] {
            let target = Target::parse(&Method::Get, text).unwrap();
            assert_eq!(origin(text).unwrap().key(&target.origin_form()), "http://a.test/", "{text}");
        }
        assert_eq!(origin("http://[::1]:8080/x").unwrap().authority(), "[::1]:8080");
        let ftp = origin("FTP://bob:x@a.test:21/x").unwrap();
        assert_eq!((ftp.authority().as_str(), ftp.key("/x")), ("a.test", "ftp://a.test/x".into()));
        assert_eq!(Origin { user: "b@b".into(), ..ftp }.key("/x"), "ftp://b%40b@a.test/x");
        assert_eq!(origin("https://a.test/"), Err(Unfetchable("https".into())));
    }

    #[test]
    fn references_stay_on_their_origin() {
        let here = origin("http://a.test/").unwrap();
        for (reference, key) in [
            ("/x", Some("http://a.test/x")),
            ("http://a.test:80/x#y", Some("http://a.test/x")),
            ("//a.test/x", Some("http://a.test/x")),
            ("x?y", Some("http://a.test/folder/x?y")),
            ("http://b.test/x", None),
            ("//b.test/x", None),
            ("http://a.test:81/x", None),
            ("https://a.test/x", None),
            ("\u{fffd}://", None),
        ] {
            assert_eq!(here.key_of_reference("/folder/page?q", reference.as_bytes()).as_deref(), key, "{reference}");
        }
    }
}
