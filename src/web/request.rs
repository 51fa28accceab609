//! What was asked: a head that passed every check, and what is known about who sent it.

use std::{net::IpAddr, time::SystemTime};

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::{
    audience::Audience,
    files,
    lab::{self, Exhibit},
    mailbox,
    tracker::{self, Tracker},
};
use crate::{
    http::{Fault, Form, Method, RequestHead, framing, lists, target::has_whole_escapes},
    net::Conn,
    store::VirtualPath,
};

pub(super) struct Request {
    /// The head as it came on the wire.
    pub wire: Bytes,
    pub head: RequestHead,
    pub now: SystemTime,
    pub peer: IpAddr,
    /// It came over TLS.
    pub is_secure: bool,
    /// The folder that is the root for the host it is for; `None`: the tree's own.
    pub root: Option<VirtualPath>,
}

/// What a target names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// `*`: the server as a whole.
    Server,
    /// The cookie page.
    Visitor,
    /// The lab's form.
    Form,
    /// The one who follows visitors from site to site.
    Tracker(Tracker),
    /// The mailbox in the browser.
    Mail(mailbox::Page),
    /// Something else of the lab.
    Exhibit(&'static Exhibit),
    /// A file or folder of the tree.
    File(VirtualPath),
}

/// Paths of the pages that are no files.
pub(super) const VISITOR: &str = "/visitor";
pub(super) const FORM: &str = "/lab/form";

impl Resource {
    /// The methods that it allows, for `Allow` (RFC 9110, 10.2.1).
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Resource::Server => "GET, HEAD, OPTIONS, POST, PUT, DELETE, PATCH",
            Resource::Tracker(_) => "GET, HEAD, OPTIONS",
            Resource::Mail(page) => page.methods(),
            Resource::Exhibit(exhibit) => exhibit.methods,
            Resource::Visitor | Resource::Form => "GET, HEAD, OPTIONS, POST",
            // Nobody replaces or removes the root.
            Resource::File(path) if path.is_root() => "GET, HEAD, OPTIONS",
            Resource::File(_) => "GET, HEAD, OPTIONS, PUT, DELETE",
        }
    }
}

impl Request {
    pub(super) fn new(wire: Bytes, head: RequestHead, conn: &Conn, now: SystemTime) -> Request {
        Request { wire, head, now, peer: conn.peer().ip(), is_secure: conn.tls().is_some(), root: None }
    }

    pub(super) fn resource(&self) -> Result<Resource, Fault> {
        let target = &self.head.target;
        // An absolute URI without a path is what a last proxy would have made `*` of (RFC 9112, 3.2.4).
        let is_pathless = self.head.method == Method::Options && target.form() == Form::Absolute && target.is_pathless();
        if target.form() == Form::Asterisk || is_pathless {
            return Ok(Resource::Server);
        }
        if let Some(scheme) = target.scheme() {
            self.check_scheme(scheme)?;
        }
        match self.head.target.path() {
            VISITOR => Ok(Resource::Visitor),
            FORM => Ok(Resource::Form),
            path => match (tracker::find(path), mailbox::find(path), lab::find(path)) {
                (Some(tracker), ..) => Ok(Resource::Tracker(tracker)),
                (_, Some(page), _) => Ok(Resource::Mail(page)),
                (.., Some(exhibit)) => Ok(Resource::Exhibit(exhibit)),
                _ => Ok(Resource::File(self.placed(self.named(path)?)?)),
            },
        }
    }

    /// The path that a target names. One that no file can have, since it is not UTF-8, too long or
    /// ours alone, is simply not there; but nothing can be put there either.
    fn named(&self, path: &str) -> Result<VirtualPath, Fault> {
        tree_path(path).map_err(|fault| match self.head.method {
            Method::Put if fault.status == 404 => {
                Fault::bad("no file can have this name: names are UTF-8 of at most 255 octets", "RFC 9110, 9.3.4")
            }
            _ => fault,
        })
    }

    /// 421 for resources that are not to be had on this connection: `https` ones on a plain one, where
    /// nobody has proven to be their server (RFC 9110, 7.4).
    fn check_scheme(&self, scheme: &str) -> Result<(), Fault> {
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        if is("http") || (is("https") && self.is_secure) {
            return Ok(());
        }
        Err(Fault::new(421, format!("{scheme} resources are not to be had on this connection"), "RFC 9110, 7.4"))
    }

    /// Where in the tree a path of this request's host lies.
    pub(super) fn placed(&self, path: VirtualPath) -> Result<VirtualPath, Fault> {
        let Some(root) = &self.root else { return Ok(path) };
        path.below(root).map_err(|_| Fault::new(404, format!("there is no {path} on this server"), "RFC 9110, 15.5.5"))
    }

    /// A path of the tree as this request's host shows it.
    pub(super) fn visible(&self, path: &VirtualPath) -> VirtualPath {
        self.root.as_ref().map_or_else(|| path.clone(), |root| path.seen_from(root))
    }

    /// The same for a link or a Location.
    pub(super) fn link(&self, path: &VirtualPath) -> String {
        self.root.as_ref().map_or_else(|| files::encoded(path), |root| files::encoded(&path.seen_from(root)))
    }

    /// Whether a name on the way begins with a dot. `/.well-known/` is there to be found (RFC 8615).
    pub(super) fn is_hidden(&self, path: &VirtualPath) -> bool {
        let depth = self.root.as_ref().map_or(0, |root| root.components().count());
        let mut names = path.components().skip(depth).enumerate();
        names.any(|(at, name)| name.starts_with('.') && !(at == 0 && name == ".well-known"))
    }

    /// Whether the target is written as a folder, with a slash at its end.
    pub(super) fn names_folder(&self) -> bool {
        self.head.target.path().ends_with('/')
    }

    /// For whom an answer is written.
    pub(super) fn audience(&self) -> Audience {
        Audience::of(&self.head.fields)
    }

    pub(super) fn persists(&self) -> bool {
        // After CONNECT a client may go on with something that is no HTTP.
        self.head.method != Method::Connect && framing::persists(self.head.version, &self.head.fields)
    }

    /// The host that the client believes to talk to; an absolute target outranks the Host field
    /// (RFC 9112, 3.2.2).
    pub(super) fn host(&self) -> &str {
        self.head.target.authority().or_else(|| self.head.fields.text("host")).unwrap_or_default()
    }

    /// 501 for a method that no resource here knows (RFC 9110, 15.6.2).
    pub(super) fn check_method(&self) -> Result<(), Fault> {
        match &self.head.method {
            // Only the lab knows PATCH: elsewhere it is known and not allowed.
            Method::Other(name) if name != "PATCH" => {
                Err(Fault::new(501, format!("the method {name} is not implemented"), "RFC 9110, 15.6.2"))
            }
            _ => Ok(()),
        }
    }

    /// 417 for an expectation other than the one that there is (RFC 9110, 10.1.1).
    pub(super) fn check_expectation(&self) -> Result<(), Fault> {
        let mut expected = self.head.fields.get_all("expect").flat_map(lists::elements);
        match expected.find(|value| !value.eq_ignore_ascii_case(b"100-continue")) {
            Some(value) => Err(Fault::new(417, format!("the expectation `{}` can't be met", value.escape_ascii()), "RFC 9110, 10.1.1")),
            None => Ok(()),
        }
    }

    /// 400 for a field that there can be only one of and that is there twice: readers would differ
    /// about which one counts (RFC 9110, 5.3).
    pub(super) fn check_single(&self) -> Result<(), Fault> {
        let is_double = |name: &&str| self.head.fields.get_all(name).nth(1).is_some();
        match ["content-type", "authorization", "origin"].iter().find(|name| is_double(name)) {
            Some(name) => Err(Fault::bad(format!("there is more than one {name} field"), "RFC 9110, 5.3")),
            None => Ok(()),
        }
    }

    /// 403 for an unsafe method that a page of another origin asked the browser for: stops
    /// cross-site request forgery. Programs such as curl send no Origin.
    pub(super) fn check_origin(&self) -> Result<(), Fault> {
        let Some(origin) = self.head.fields.get("origin") else { return Ok(()) };
        let scheme = if self.is_secure { "https" } else { "http" };
        let ours = format!("{scheme}://{}", self.host());
        if self.head.method.is_safe() || origin.eq_ignore_ascii_case(ours.as_bytes()) {
            return Ok(());
        }
        Err(Fault::new(403, format!("a page of `{}` may not change anything here", origin.escape_ascii()), "RFC 6454, 7.3"))
    }
}

/// The path in the tree that a target's path names.
pub(crate) fn tree_path(path: &str) -> Result<VirtualPath, Fault> {
    let not_found = || Fault::new(404, format!("there is no {path} on this server"), "RFC 9110, 15.5.5");
    if !has_whole_escapes(path) {
        return Err(Fault::bad("a `%` in the target is not followed by two hexadecimal digits", "RFC 3986, 2.1"));
    }
    if path.contains("%00") {
        return Err(Fault::bad("no name holds a NUL (`%00`)", "RFC 3986, 7.3"));
    }
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| not_found())?;
    VirtualPath::parse(&decoded).map_err(|_| not_found())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_tree() {
        for (path, expected) in [
            ("/", "/"),
            ("/a%20b", "/a b"),
            ("/%7Ebob/", "/~bob"),
            ("/a/../../b", "/b"),
            ("/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"),
            ("//evil.example/x", "/evil.example/x"),
        ] {
            assert_eq!(tree_path(path).unwrap().as_str(), expected);
        }
        for (path, status) in [("/%", 400), ("/%f", 400), ("/%zz", 400), ("/a%00b", 400), ("/%ff", 404), ("/.portico-x", 404)] {
            assert_eq!(tree_path(path).unwrap_err().status, status, "{path}");
        }
    }
}
