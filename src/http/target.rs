//! Request targets in their four forms (RFC 9112, 3.2), and the authorities inside them.

use std::ops::Range;

use super::{fault::Fault, head::Method};

/// A request target that fits its method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    text: String,
    form: Form,
    /// Where the authority stands; empty for origin-form and asterisk-form.
    authority: Range<usize>,
    /// Where the path begins; the text's end where there is none.
    path_at: usize,
    /// Where the `?` of a query stands; the text's end where there is none.
    query_at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `/path?query`: what a client says to an origin server.
    Origin,
    /// `http://host/path?query`: what a client says to a proxy.
    Absolute,
    /// `host:port`: CONNECT only.
    Authority,
    /// `*`: OPTIONS only.
    Asterisk,
}

impl Target {
    /// Reads the target of a request with this method.
    pub(crate) fn parse(method: &Method, text: &str) -> Result<Target, Fault> {
        if let Some(octet) = text.bytes().find(|octet| !matches!(octet, 0x21..=0x7e)) {
            return Err(Fault::bad(format!("the octet 0x{octet:02X} in the request target must be percent-encoded"), "RFC 9112, 3.2"));
        }
        if text.contains('#') {
            return Err(Fault::bad("a fragment (`#...`) is the client's own business and is never sent", "RFC 9112, 3.2"));
        }
        let end = text.len();
        let (form, authority, path_at) = match (method, text) {
            (Method::Connect, "") => return Err(Fault::bad("CONNECT names a host and a port", "RFC 9112, 3.2.3")),
            (Method::Connect, _) => (Form::Authority, 0..end, end),
            (Method::Options, "*") => (Form::Asterisk, 0..0, end),
            (_, "*") => return Err(Fault::bad(format!("the target `*` goes with OPTIONS only, not with {method}"), "RFC 9112, 3.2.4")),
            _ if text.starts_with('/') => (Form::Origin, 0..0, 0),
            _ => absolute(text)?,
        };
        let query_at = text[path_at..].find('?').map_or(end, |at| path_at + at);
        let target = Target { text: text.to_owned(), form, authority, path_at, query_at };
        target.check_authority()?;
        Ok(target)
    }

    fn check_authority(&self) -> Result<(), Fault> {
        let Some(authority) = self.authority() else { return Ok(()) };
        let (host, port) = split_authority(authority.as_bytes())
            .ok_or_else(|| Fault::bad("the target's authority is not a host with an optional port", "RFC 9110, 4.2"))?;
        if host.is_empty() {
            return Err(Fault::bad("the target names no host", "RFC 9110, 4.2.1"));
        }
        if self.form == Form::Authority && port.is_none() {
            return Err(Fault::bad("CONNECT wants `host:port`", "RFC 9112, 3.2.3"));
        }
        Ok(())
    }

    /// The target as it came.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// `host:port` of absolute-form and authority-form.
    pub(crate) fn authority(&self) -> Option<&str> {
        (!self.authority.is_empty()).then(|| &self.text[self.authority.clone()])
    }

    /// `name:password` of an `ftp://` address, still percent-encoded.
    pub(crate) fn userinfo(&self) -> Option<&str> {
        let start = self.scheme()?.len() + 3;
        self.text.get(start..self.authority.start.checked_sub(1)?).filter(|_| self.authority.start > start)
    }

    /// The scheme of absolute-form, as it came.
    pub(crate) fn scheme(&self) -> Option<&str> {
        (self.form == Form::Absolute).then(|| self.text.split(':').next().unwrap_or_default())
    }

    /// The path, still percent-encoded; `/` where the target has none.
    pub(crate) fn path(&self) -> &str {
        match &self.text[self.path_at..self.query_at] {
            "" => "/",
            path => path,
        }
    }

    /// Whether there is neither a path nor a query, as in `http://host`.
    pub(crate) fn is_pathless(&self) -> bool {
        self.path_at == self.text.len()
    }

    /// What follows the `?`.
    pub(crate) fn query(&self) -> Option<&str> {
        self.text.get(self.query_at + 1..)
    }

    /// Path and query in origin-form: what a proxy says to the origin.
    pub(crate) fn origin_form(&self) -> String {
        match &self.text[self.path_at..] {
            "" => "/".to_owned(),
            rest if rest.starts_with('?') => format!("/{rest}"),
            rest => rest.to_owned(),
        }
    }
}

fn absolute(text: &str) -> Result<(Form, Range<usize>, usize), Fault> {
    let bad = || Fault::bad("the request target is neither a path (`/...`) nor an absolute URI", "RFC 9112, 3.2");
    let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
    let is_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !is_scheme {
        return Err(bad());
    }
    let start = scheme.len() + 3;
    let end = rest.find(['/', '?']).map_or(text.len(), |at| start + at);
    // In http:// addresses a user's name is refused further down: it only serves to deceive. FTP
    // has no other place for it (RFC 1738, 3.2.1).
    let host = match text[start..end].rfind('@') {
        Some(at) if scheme.eq_ignore_ascii_case("ftp") => start + at + 1,
        _ => start,
    };
    if host == end {
        return Err(Fault::bad("the target names no host", "RFC 9110, 4.2.1"));
    }
    Ok((Form::Absolute, host..end, end))
}

/// Splits `host` or `host:port` and checks both. User names are refused: they dress one host up
/// as another (RFC 9110, 4.2.4). The host keeps the brackets of an IPv6 address and may be empty.
pub(crate) fn split_authority(text: &[u8]) -> Option<(&str, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    let host_end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(host_end);
    let is_host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&octet)) && has_whole_escapes(host),
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some("") => None, // RFC 3986, 3.2.3 allows an empty port
        Some(digits) if digits.bytes().all(|octet| octet.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    is_host.then_some((host, port))
}

/// Whether two hexadecimal digits follow every `%` (RFC 3986, 2.1).
pub(crate) fn has_whole_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|octet| octet.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: Method, text: &str) -> Result<Target, Fault> {
        Target::parse(&method, text)
    }

    #[test]
    fn every_form_where_it_belongs() {
        let target = read(Method::Get, "/a/b?c=d?e").unwrap();
        assert_eq!((target.form(), target.path(), target.query()), (Form::Origin, "/a/b", Some("c=d?e")));
        let target = read(Method::Get, "http://example.org:8080?x").unwrap();
        assert_eq!((target.path(), target.authority(), target.scheme()), ("/", Some("example.org:8080"), Some("http")));
        assert_eq!((target.query(), target.origin_form().as_str()), (Some("x"), "/?x"));
        assert_eq!(read(Method::Get, "HTTP://[::1]/x").unwrap().authority(), Some("[::1]"));
        let target = read(Method::Get, "ftp://bob:hun@gry@example.org/x").unwrap();
        assert_eq!((target.userinfo(), target.authority()), (Some("bob:hun@gry"), Some("example.org")));
        assert_eq!(read(Method::Get, "ftp://example.org/a@b").unwrap().userinfo(), None);
        assert_eq!(read(Method::Connect, "example.org:443").unwrap().form(), Form::Authority);
        assert_eq!(read(Method::Options, "*").unwrap().form(), Form::Asterisk);
        assert_eq!(read(Method::Get, "/?").unwrap().query(), Some(""));
        assert_eq!(read(Method::Get, "/").unwrap().query(), None);
    }

    #[test]
    fn and_nowhere_else() {
        for (method, text) in [
            (Method::Get, "*"),
            (Method::Get, "a/b"),
            (Method::Get, ""),
            (Method::Get, "/a#b"),
            (Method::Get, "/å"),
            (Method::Get, "http:///x"),
            (Method::Get, "http://"),
            (Method::Get, "http://user@host/"),
            (Method::Get, "ftp://user@/"),
            (Method::Get, "1http://host/"),
            (Method::Get, "http://host:0x50/"),
            (Method::Get, "http://host:65536/"),
            (Method::Get, "http://[::g]/"),
            (Method::Get, "http://:80/"),
            (Method::Connect, ""),
            (Method::Connect, "/"),
            (Method::Connect, "host"),
            (Method::Connect, "host:"),
            (Method::Connect, "http://host:80/"),
        ] {
            assert_eq!(read(method, text).expect_err(text).status, 400);
        }
    }
}
