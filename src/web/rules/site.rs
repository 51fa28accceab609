//! `[http.sites]`: virtual hosts. A name means a folder of the tree (RFC 9110, 7.2).

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    http::{Fault, target::split_authority},
    net::escape::escape,
    store::VirtualPath,
    web::settings::SiteSettings,
};

pub(in crate::web) struct Sites {
    /// In lower case; `*.example.org` stands for all names below, `*` for all other names.
    roots: BTreeMap<String, VirtualPath>,
    /// The names beside those of the sites that are ours too; `None`: every name will do.
    domains: Option<Vec<String>>,
}

impl Sites {
    pub(super) fn new(settings: &BTreeMap<String, SiteSettings>, strict: bool, domains: &[String]) -> Result<Sites, String> {
        let roots = settings.iter().map(|(name, site)| root(name, site)).collect::<Result<_, _>>()?;
        Ok(Sites { roots, domains: strict.then(|| domains.iter().map(|domain| domain.to_ascii_lowercase()).collect()) })
    }

    /// The folder that is the root for `host` (with or without a port); `None` for the tree's own.
    /// 421 for a name that is none of ours, if that is wanted: such a request was meant for
    /// somebody else (RFC 9110, 15.5.20), or for a name that an attacker made to lead here (DNS
    /// rebinding).
    pub(in crate::web) fn root(&self, host: &str) -> Result<Option<&VirtualPath>, Fault> {
        if self.roots.is_empty() && self.domains.is_none() {
            return Ok(None);
        }
        let name = bare(host);
        match (self.find(&name), &self.domains) {
            (Some(root), _) => Ok(Some(root)),
            (None, Some(domains)) if !is_ours(&name, domains) => {
                Err(Fault::new(421, format!("{} is not served here", escape(host)), "RFC 9110, 15.5.20"))
            }
            _ => Ok(None),
        }
    }

    /// The name itself, else the closest `*.` above it, else `*`.
    fn find(&self, name: &str) -> Option<&VirtualPath> {
        let above = name.match_indices('.').map(|(at, _)| format!("*{}", name.get(at..).unwrap_or_default()));
        let names = std::iter::once(name.to_owned()).chain(above).chain(["*".to_owned()]);
        names.into_iter().find_map(|name| self.roots.get(&name))
    }
}

/// A host without its port and the dot at its end, in lower case.
fn bare(host: &str) -> String {
    let name = split_authority(host.as_bytes()).map_or(host, |(name, _port)| name);
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Our domains, and this machine whatever its address: an address can't be made to lead elsewhere.
fn is_ours(name: &str, domains: &[String]) -> bool {
    let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    is_address || name.is_empty() || name == "localhost" || domains.iter().any(|domain| domain == name)
}

fn root(name: &str, site: &SiteSettings) -> Result<(String, VirtualPath), String> {
    let wrong = |why: &str| format!("`http.sites.\"{}\"`: {why}", escape(name));
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let is_host = split_authority(plain.as_bytes()).is_some_and(|(host, port)| host == plain && port.is_none() && !host.is_empty());
    if name != "*" && (!is_host || plain.contains('*')) {
        return Err(wrong("this is no name of a host; write it as \"www.example.org\", \"*.example.org\", or \"*\" for all others"));
    }
    match VirtualPath::parse(&site.root) {
        Ok(path) if site.root.starts_with('/') && !path.is_hidden() => Ok((bare(name), path)),
        _ => Err(wrong("`root` is a folder of www/ such as \"/someschool/\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(rows: &[(&str, &str)], strict: bool) -> Result<Sites, String> {
        let settings = rows.iter().map(|(name, root)| ((*name).to_owned(), SiteSettings { root: (*root).to_owned() })).collect();
        Sites::new(&settings, strict, &["portico.test".to_owned()])
    }

    #[test]
    fn a_name_means_a_folder() {
        let sites = sites(&[("WWW.School.test", "/school/"), ("*.school.test", "/others/"), ("*.b.school.test", "/b")], false).unwrap();
        for (host, root) in [
            ("www.school.test", Some("/school")),
            ("WWW.SCHOOL.TEST:8080", Some("/school")),
            ("www.school.test.", Some("/school")),
            ("a.school.test", Some("/others")),
            ("x.a.school.test", Some("/others")),
            ("a.b.school.test", Some("/b")),
            ("school.test", None),
            ("localhost:8080", None),
            ("", None),
        ] {
            assert_eq!(sites.root(host).unwrap().map(VirtualPath::as_str), root, "{host}");
        }
    }

    #[test]
    fn strictly_only_our_own_names_are_served() {
        let sites = sites(&[("www.school.test", "/school/")], true).unwrap();
        for host in ["www.school.test", "portico.test:8080", "localhost", "127.0.0.1:8080", "[::1]:8080", ""] {
            assert!(sites.root(host).is_ok(), "{host}");
        }
        assert_eq!(sites.root("evil.example").unwrap_err().status, 421);
    }

    #[test]
    fn what_can_not_work_is_refused() {
        for (name, root) in
            [("", "/"), ("a.test:80", "/"), ("a b", "/"), ("a.*.test", "/"), ("a.test", "a"), ("a.test", "/.git"), ("*x", "/")]
        {
            assert!(sites(&[(name, root)], false).is_err(), "{name} {root}");
        }
        assert_eq!(sites(&[("*", "/others")], false).unwrap().root("x.test").unwrap().unwrap().as_str(), "/others");
    }
}
