//! `[[http.redirect]]`: what has moved (RFC 9110, 15.4).
//!
//! `from` is a path, or a path that ends in `/*` and means everything below; then the `*` at the
//! end of `to` stands for what was found below. There are no other patterns: whoever reads the
//! settings can see where a request ends up.

use percent_encoding::utf8_percent_encode;

use super::is_field_text;
use crate::{
    http::target::split_authority,
    store::VirtualPath,
    web::{files::PATH, settings::RedirectSettings},
};

pub(in crate::web) struct Redirects(Vec<Redirect>);

struct Redirect {
    from: VirtualPath,
    /// Everything below `from` has moved too.
    is_whole_folder: bool,
    /// Up to its `*`.
    to: String,
    /// What was found below goes where `to` ends.
    takes_rest: bool,
    status: u16,
}

/// Where a resource is now.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::web) struct Moved {
    pub status: u16,
    pub location: String,
}

impl Redirects {
    pub(super) fn new(settings: &[RedirectSettings]) -> Result<Redirects, String> {
        settings.iter().map(Redirect::new).collect::<Result<_, _>>().map(Redirects)
    }

    pub(in crate::web) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the first redirect that fits sends a request for `path`; `slash` tells whether it was
    /// written with one at its end.
    pub(in crate::web) fn of(&self, path: &VirtualPath, slash: bool, query: Option<&str>) -> Option<Moved> {
        self.0.iter().find(|redirect| redirect.fits(path)).map(|redirect| redirect.moved(path, slash, query))
    }
}

impl Redirect {
    fn new(settings: &RedirectSettings) -> Result<Redirect, String> {
        let RedirectSettings { from, to, status } = settings;
        let wrong = |why: &str| Err(format!("`http.redirect` from \"{from}\" to \"{to}\": {why}"));
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return wrong("the status is none of 301, 302, 303, 307, 308");
        }
        let (from_path, is_whole_folder) = match from.strip_suffix("/*") {
            Some(folder) => (folder, true),
            None => (from.as_str(), false),
        };
        let (to_prefix, takes_rest) = match to.strip_suffix("/*") {
            Some(folder) => (format!("{folder}/"), true),
            None => (to.clone(), false),
        };
        let parsed = VirtualPath::parse(from_path);
        let Some(path) = parsed.ok().filter(|_| from.starts_with('/') && !from_path.contains(['*', '?', '#', '%'])) else {
            return wrong("`from` is a path such as \"/old\", or \"/old/*\" for everything below; without a query and not percent-encoded");
        };
        if takes_rest && !is_whole_folder {
            return wrong("`to` ends in /*, but `from` does not");
        }
        if !is_destination(&to_prefix) {
            return wrong("`to` is a path such as \"/new\" or an address such as \"https://www.example.org/new\", percent-encoded");
        }
        let redirect = Redirect { from: path, is_whole_folder, to: to_prefix, takes_rest, status: *status };
        if redirect.leads_to_itself() {
            return wrong("it would lead to itself for ever");
        }
        Ok(redirect)
    }

    fn leads_to_itself(&self) -> bool {
        let path = self.to.split('?').next().unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        path.starts_with('/') && VirtualPath::parse(&decoded).is_ok_and(|to| self.fits(&to))
    }

    fn fits(&self, path: &VirtualPath) -> bool {
        *path == self.from || (self.is_whole_folder && path.is_within(&self.from))
    }

    fn moved(&self, path: &VirtualPath, slash: bool, query: Option<&str>) -> Moved {
        let mut location = self.to.clone();
        if self.takes_rest {
            // A path has no empty parts and the prefix ends in a slash: no request makes another
            // host of `//evil.example`, nor of `@evil.example` ("open redirect").
            let rest = path.as_str().get(self.from.as_str().len()..).unwrap_or_default().trim_start_matches('/');
            location.extend(utf8_percent_encode(rest, PATH));
            if slash && !rest.is_empty() {
                location.push('/');
            }
        }
        if let Some(query) = query {
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str(query);
        }
        Moved { status: self.status, location }
    }
}

/// A path, or an http address with a host and a path.
fn is_destination(to: &str) -> bool {
    if !is_field_text(to) || to.contains([' ', '*', '#', '\\', '"', '<', '>']) {
        return false;
    }
    match to.strip_prefix("http://").or_else(|| to.strip_prefix("https://")) {
        None => to.starts_with('/') && !to.starts_with("//"),
        Some(rest) => {
            let (authority, _path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            split_authority(authority.as_bytes()).is_some_and(|(host, _)| !host.is_empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirects(from: &str, to: &str, status: u16) -> Result<Redirects, String> {
        Redirects::new(&[RedirectSettings { from: from.into(), to: to.into(), status }])
    }

    fn location(from: &str, to: &str, path: &str) -> Option<String> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let parsed = VirtualPath::parse(path).unwrap();
        redirects(from, to, 308).unwrap().of(&parsed, path.ends_with('/'), query).map(|moved| moved.location)
    }

    #[test]
    fn what_was_below_goes_along_and_so_does_the_query() {
        for (from, to, path, expected) in [
            ("/old", "/new", "/old", Some("/new")),
            ("/old", "/new?a=b", "/old?c=d", Some("/new?a=b&c=d")),
            ("/old", "/new", "/old/x", None),
            ("/old/*", "/new/*", "/old/a b/c?d", Some("/new/a%20b/c?d")),
            ("/old/*", "/new/*", "/old/a/", Some("/new/a/")),
            ("/old/*", "/new/*", "/old/", Some("/new/")),
            ("/old/*", "/new/*", "/older", None),
            ("/old/*", "/new", "/old/a", Some("/new")),
            ("/a/*", "https://b.example/*", "/a/c?", Some("https://b.example/c?")),
            ("/a/*", "/*", "/a//evil.example/", Some("/evil.example/")),
            ("/a/*", "/*", "/a/\\evil.example", Some("/%5Cevil.example")),
            ("/a/*", "https://b.example/*", "/a/@evil.example", Some("https://b.example/@evil.example")),
        ] {
            assert_eq!(location(from, to, path).as_deref(), expected, "{from} {to} {path}");
        }
    }

    #[test]
    fn what_can_not_work_is_refused() {
        for (from, to, status) in [
            ("/a", "/b", 300),
            ("/a", "/b", 200),
            ("a", "/b", 301),
            ("/a*", "/b", 301),
            ("/a", "/b/*", 301),
            ("/a/*", "//b.example/*", 301),
            ("/a/*", "https://b.example*", 301),
            ("/a", "https:///x", 301),
            ("/a", "https://user@b.example/", 301),
            ("/a", "javascript:alert(1)", 301),
            ("/a", "/b\r\nX: y", 301),
            ("/a", "/b c", 301),
            ("/a", "/a", 301),
            ("/a/*", "/a/b/*", 301),
            ("/a/*", "/a", 301),
        ] {
            assert!(redirects(from, to, status).is_err(), "{from} {to} {status}");
        }
    }
}
