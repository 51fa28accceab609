//! What the settings say about paths and names, made ready once so that asking costs little: how
//! long a file may be cached, what has moved, which name means which folder, what type a file is.
//! Pure.

mod cache;
mod errors;
mod media;
mod redirect;
mod site;

use std::collections::BTreeMap;

use super::settings::Settings;
use crate::store::VirtualPath;

pub(super) use cache::CacheRules;
pub(super) use media::MediaTypes;
pub(super) use redirect::Redirects;
pub(super) use site::Sites;

pub(super) struct Rules {
    pub cache: CacheRules,
    pub redirects: Redirects,
    pub sites: Sites,
    pub media: MediaTypes,
    pub error_pages: BTreeMap<u16, VirtualPath>,
}

impl Rules {
    /// Makes the rules ready; says which setting is wrong and how it is meant to be.
    pub(super) fn new(settings: &Settings, domains: &[String]) -> Result<Rules, String> {
        Ok(Rules {
            cache: CacheRules::new(&settings.cache)?,
            redirects: Redirects::new(&settings.redirect)?,
            sites: Sites::new(&settings.sites, settings.strict_hosts, domains)?,
            media: MediaTypes::new(&settings.types, &settings.compress_types)?,
            error_pages: errors::pages(&settings.error_pages)?,
        })
    }
}

/// Whether a text may stand in a field as it is: visible ASCII and blanks between. Line ends would
/// break the head apart.
fn is_field_text(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}
