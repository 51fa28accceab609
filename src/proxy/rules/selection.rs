//! Which stored response a request selects (RFC 9111, 4.1).

use std::sync::Arc;

use super::super::entry::Stored;
use crate::http::{
    Fields, Method, RequestHead,
    lists::{elements, weighted},
};

/// The request fields that a response was selected by, with their values in normal form: what
/// [`matches_selection`] compares.
pub(crate) fn selection(asked: &Fields, response: &Fields) -> Vec<(String, Option<Vec<u8>>)> {
    let names = response.get_all("vary").flat_map(elements);
    let mut selection: Vec<_> = names.map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    selection.sort();
    selection.dedup();
    selection.into_iter().map(|name| (name.clone(), normal_form(asked, &name))).collect()
}

/// Whether a request selects the response that was stored with `selection`.
pub(crate) fn matches_selection(asked: &Fields, selection: &[(String, Option<Vec<u8>>)]) -> bool {
    selection.iter().all(|(name, value)| normal_form(asked, name) == *value)
}

/// The stored response that a request selects: of several the most recent (RFC 9111, 4).
pub(crate) fn select<'a>(asked: &Fields, variants: &'a [Arc<Stored>]) -> Option<&'a Arc<Stored>> {
    let selected = variants.iter().filter(|stored| matches_selection(asked, &stored.selection));
    // Of equals the first is the one that was stored last.
    selected.rev().max_by_key(|stored| stored.date)
}

/// The stored responses that the origin may mean although the request selects none of them: it is
/// asked by their entity tags (RFC 9111, 4.1 and 4.3.1). Not so where the client wants a range.
pub(crate) fn candidates(asked: &RequestHead, variants: &[Arc<Stored>]) -> Vec<Arc<Stored>> {
    let is_askable = asked.method == Method::Get && !asked.fields.contains("range");
    let is_known = |stored: &&Arc<Stored>| is_askable && stored.head.fields.contains("etag") && stored.extent.is_whole();
    variants.iter().filter(is_known).cloned().collect()
}

/// Fields that are no lists: a comma is a part of their value, and so is each blank beside it.
const ONE_VALUE: [&str; 7] = ["authorization", "cookie", "from", "origin", "proxy-authorization", "referer", "user-agent"];

/// The values of all lines of a field in one spelling for all that mean the same; `None` where
/// there is no line at all.
fn normal_form(asked: &Fields, name: &str) -> Option<Vec<u8>> {
    if !asked.contains(name) {
        return None;
    }
    if ONE_VALUE.contains(&name) {
        return Some(asked.get_all(name).collect::<Vec<_>>().join(&b"\n"[..]));
    }
    let preferences = matches!(name, "accept-encoding" | "accept-language" | "accept-charset").then(|| preferences(asked, name));
    Some(preferences.flatten().unwrap_or_else(|| asked.get_all(name).flat_map(elements).collect::<Vec<_>>().join(&b","[..])))
}

/// A list of preferences in the order of their names: neither its order nor the case of its names
/// means anything (RFC 9110, 12.4.3 and 12.5.4), only the weights do. `None` where something
/// stands in it that is no name with a weight.
fn preferences(asked: &Fields, name: &str) -> Option<Vec<u8>> {
    let is_plain = |element: &[u8]| element.split(|octet| *octet == b';').skip(1).all(|parameter| is_weight(parameter.trim_ascii()));
    if !asked.get_all(name).flat_map(elements).all(is_plain) {
        return None;
    }
    let mut preferences = weighted(asked.get_all(name));
    preferences.sort_by(|one, other| one.name.cmp(&other.name));
    let texts: Vec<_> = preferences.iter().map(|one| format!("{};q={}", one.name, one.quality)).collect();
    Some(texts.join(",").into_bytes())
}

fn is_weight(parameter: &[u8]) -> bool {
    matches!(parameter, [b'q' | b'Q', b'=', rest @ ..] if !rest.is_empty() && rest.iter().all(|octet| matches!(octet, b'0'..=b'9' | b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(name: &str, values: &[&str]) -> Option<Vec<u8>> {
        let mut fields = Fields::new();
        values.iter().for_each(|value| fields.push(name, value));
        normal_form(&fields, name)
    }

    #[test]
    fn what_means_the_same_has_one_form() {
        for (name, one, other, is_same) in [
            ("foo", &["1, 2"][..], &["1", "2"][..], true),
            ("foo", &["1,2"], &[" 1 ,,2 "], true),
            ("foo", &["1, 2"], &["2, 1"], false),
            ("foo", &["a"], &["A"], false),
            ("foo", &[""], &[], false),
            ("cookie", &["a=1,2"], &["a=1, 2"], false),
            ("cookie", &["a=1,2"], &["a=1,,2"], false),
            ("authorization", &["Basic x"], &["Basic x,"], false),
            ("accept-language", &["en, de"], &["DE", "en;q=1.0"], true),
            ("accept-language", &["en, de;q=0.5"], &["de;q=0.50,en"], true),
            ("accept-language", &["en, de"], &["en, de;q=0.9"], false),
            ("accept-language", &["en"], &["en-GB"], false),
            ("accept-encoding", &["gzip, br"], &["br,gzip"], true),
            ("accept-encoding", &["gzip"], &["gzip;q=0"], false),
            ("accept-encoding", &["gzip;x=1"], &["gzip;x=2"], false),
            ("accept", &["a/b;level=1, a/c"], &["a/c, a/b;level=1"], false),
        ] {
            assert_eq!(form(name, one) == form(name, other), is_same, "{name}: {one:?} {other:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_preferences_does_not_matter(mut names in prop::collection::vec("[a-c]{1,2}(;q=0\\.[0-9])?", 1..5)) {
            let one = form("accept-language", &[&names.join(",")]);
            names.reverse();
            let last = names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len();
            let other = form("accept-language", &names.iter().map(String::as_str).collect::<Vec<_>>());
            // A name twice with two weights is taken in the order in which it came.
            let bare: std::collections::BTreeSet<_> = names.iter().map(|name| name.split(';').next()).collect();
            prop_assert!(one == other || !last || bare.len() != names.len());
        }
    }
}
