//! `[[http.cache]]`: what Cache-Control says about which files (RFC 9111, 5.2).

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::is_field_text;
use crate::{
    http::{lists, parse::is_token},
    net::escape::escape,
    store::VirtualPath,
    web::settings::CacheSettings,
};

pub(in crate::web) struct CacheRules {
    patterns: GlobSet,
    values: Vec<CacheControl>,
}

/// A value of Cache-Control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct CacheControl {
    pub value: String,
    /// The content must go out as it is (RFC 9110, 7.7).
    pub forbids_transforming: bool,
}

impl CacheRules {
    pub(super) fn new(settings: &[CacheSettings]) -> Result<CacheRules, String> {
        let mut patterns = GlobSetBuilder::new();
        let mut values = Vec::new();
        for CacheSettings { pattern, cache_control } in settings {
            let glob = GlobBuilder::new(&anywhere(pattern)).literal_separator(true).build();
            patterns.add(glob.map_err(|error| format!("`http.cache` holds the pattern \"{pattern}\": {}", error.kind()))?);
            values.push(CacheControl::parse(cache_control)?);
        }
        let patterns = patterns.build().map_err(|error| format!("`http.cache`: {error}"))?;
        Ok(CacheRules { patterns, values })
    }

    /// What the first rule that fits the path says.
    pub(in crate::web) fn of(&self, path: &VirtualPath) -> Option<&CacheControl> {
        if self.values.is_empty() {
            return None;
        }
        self.values.get(*self.patterns.matches(path.relative()).iter().min()?)
    }
}

/// A pattern without a slash is about names in any folder.
fn anywhere(pattern: &str) -> String {
    match pattern.strip_prefix('/') {
        Some(rest) => rest.to_owned(),
        None if pattern.contains('/') => pattern.to_owned(),
        None => format!("**/{pattern}"),
    }
}

impl CacheControl {
    fn parse(value: &str) -> Result<CacheControl, String> {
        let is_directive = |element: &[u8]| element.split(|octet| *octet == b'=').next().is_some_and(is_token);
        if !is_field_text(value) || !lists::elements(value.as_bytes()).all(is_directive) {
            return Err(format!(
                "`http.cache` holds \"{}\", which is no Cache-Control; write it as \"public, max-age=3600\"",
                escape(value)
            ));
        }
        let forbids_transforming = lists::contains_token([value.as_bytes()].into_iter(), "no-transform");
        Ok(CacheControl { value: value.to_owned(), forbids_transforming })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rows: &[(&str, &str)]) -> Result<CacheRules, String> {
        let row = |(pattern, value): &(&str, &str)| CacheSettings { pattern: (*pattern).into(), cache_control: (*value).into() };
        CacheRules::new(&rows.iter().map(row).collect::<Vec<_>>())
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rules = rules(&[("/private/**", "no-store"), ("*.{jpg,png}", "max-age=60, no-transform"), ("/a/*", "no-cache")]).unwrap();
        for (path, value) in [
            ("/private/x/y.jpg", Some("no-store")),
            ("/b/c.jpg", Some("max-age=60, no-transform")),
            ("/c.png", Some("max-age=60, no-transform")),
            ("/a/b", Some("no-cache")),
            ("/a/b/c", None),
            ("/private", None),
            ("/", None),
        ] {
            let found = rules.of(&VirtualPath::parse(path).unwrap());
            assert_eq!(found.map(|found| found.value.as_str()), value, "{path}");
            assert_eq!(found.is_some_and(|found| found.forbids_transforming), value.is_some_and(|value| value.contains("transform")));
        }
    }

    #[test]
    fn what_can_not_work_is_refused() {
        for (pattern, value) in [("*", ""), ("*", "max-age=1\r\nX: y"), ("*", "max age=60"), ("[", "no-store"), ("*", "é")] {
            assert!(rules(&[(pattern, value)]).is_err(), "{pattern} {value:?}");
        }
    }
}
