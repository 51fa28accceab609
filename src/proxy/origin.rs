//! Where a request goes, and the key that its response is stored under.

use crate::http::{Target, target::split_authority};

/// An origin server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// In lower case; IPv6 addresses in brackets.
    pub host: String,
    pub port: u16,
}

/// A scheme that the proxy does not fetch itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfetchable(pub String);

impl Origin {
    /// The origin of an `http://` target.
    ///
    /// # Errors
    /// The scheme, where it is another one.
    pub(crate) fn of(target: &Target) -> Result<Origin, Unfetchable> {
        let scheme = target.scheme().unwrap_or_default().to_ascii_lowercase();
        match target.authority().and_then(|authority| split_authority(authority.as_bytes())) {
            Some((host, port)) if scheme == "http" => Ok(Origin { host: host.to_ascii_lowercase(), port: port.unwrap_or(80) }),
            _ => Err(Unfetchable(scheme)),
        }
    }

    /// As it stands in Host: the port only where it is not the default (RFC 9110, 4.2.3).
    pub(crate) fn authority(&self) -> String {
        match self.port {
            80 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// The key of a target at this origin: its URI in normal form. The path stays as it came, for
    /// origins are free to tell `%7E` from `~`.
    pub(crate) fn key(&self, origin_form: &str) -> String {
        format!("http://{}{origin_form}", self.authority())
    }

    /// The key of a URI reference in a response about this origin, such as Location; `None` where
    /// it points elsewhere: one site must not wipe out what is stored for another (RFC 9111, 4.4).
    pub(crate) fn key_of_reference(&self, base: &str, reference: &[u8]) -> Option<String> {
        let reference = std::str::from_utf8(reference).ok()?.split('#').next()?;
        if reference.starts_with('/') && !reference.starts_with("//") {
            return Some(self.key(reference));
        }
        let absolute = match reference.strip_prefix("//") {
            Some(rest) => format!("http://{rest}"),
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
