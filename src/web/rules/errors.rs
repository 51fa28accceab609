//! `[http.error-pages]`: pages of the tree in place of our own.

use std::collections::BTreeMap;

use crate::{http::head, store::VirtualPath};

pub(super) fn pages(settings: &BTreeMap<String, String>) -> Result<BTreeMap<u16, VirtualPath>, String> {
    settings.iter().map(|(status, page)| Ok((read_status(status)?, read_page(status, page)?))).collect()
}

fn read_status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status: &u16| (400..600).contains(status) && head::reason(*status) != "Unknown");
    status.ok_or_else(|| format!("`http.error-pages` holds {text}, which is no status of an error; write it as 404 = \"/404.html\""))
}

fn read_page(status: &str, page: &str) -> Result<VirtualPath, String> {
    let path = VirtualPath::parse(page).ok().filter(|path| page.starts_with('/') && !path.is_hidden());
    path.ok_or_else(|| format!("`http.error-pages` holds {status} = \"{page}\", which is no path in www/; write it as \"/404.html\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_and_a_path() {
        let read = |status: &str, page: &str| pages(&BTreeMap::from([(status.to_owned(), page.to_owned())]));
        assert_eq!(read("404", "/a/404.html").unwrap()[&404].as_str(), "/a/404.html");
        for (status, page) in [("200", "/a"), ("499", "/a"), ("x", "/a"), ("404", "a"), ("404", "/.git/config")] {
            assert!(read(status, page).is_err(), "{status} {page}");
        }
    }
}
