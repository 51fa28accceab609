//! Which variant of a page a client prefers: pure.
//!
//! `page.fr.html` is the French variant of `page.html` (proactive negotiation, RFC 9110, 12.1). A
//! page whose name tells no language is in the base language and what everybody gets who wants
//! none of the variants.

use crate::{
    http::{Fields, lists},
    store::VirtualPath,
};

/// The language of pages whose names tell none.
const BASE_LANGUAGE: &str = "en";
/// How many wishes of a client are tried: each may cost a look at the disk.
const MAX_WISHES: usize = 8;

/// Whether the language decides which file answers for this path.
pub(super) fn is_negotiated(path: &VirtualPath) -> bool {
    path.as_str().ends_with(".html")
}

/// The variants to look for before the page itself, best first.
pub(crate) fn variants(path: &VirtualPath, fields: &Fields) -> Vec<(VirtualPath, String)> {
    if !is_negotiated(path) || !fields.contains("accept-language") {
        return Vec::new();
    }
    let stem = path.as_str().trim_end_matches(".html");
    let named = |language: String| VirtualPath::parse(&format!("{stem}.{language}.html")).ok().map(|path| (path, language));
    // At `*` and at the base language the page itself is what was asked for.
    let before_base = wishes(fields).into_iter().take_while(|language| language != "*" && language != BASE_LANGUAGE);
    before_base.take(MAX_WISHES).filter_map(named).collect()
}

/// The languages that the client accepts, best first, each followed by what it falls back to:
/// `fr-CA` is content with `fr` ("lookup", RFC 4647, 3.4). Such a one may itself be refused by `q=0`.
fn wishes(fields: &Fields) -> Vec<String> {
    let mut weighted = lists::weighted(fields.get_all("accept-language"));
    weighted.retain(|wish| wish.name == "*" || is_language(&wish.name));
    let refused: Vec<String> = weighted.iter().filter(|wish| wish.quality == 0).map(|wish| wish.name.clone()).collect();
    weighted.retain(|wish| wish.quality > 0);
    weighted.sort_by_key(|wish| std::cmp::Reverse(wish.quality));
    let mut wishes: Vec<String> = Vec::new();
    for wish in weighted {
        let mut name = Some(wish.name.as_str());
        while let Some(language) = name {
            if !wishes.iter().any(|known| known == language) && !refused.iter().any(|refused| refused == language) {
                wishes.push(language.to_owned());
            }
            name = shortened(language);
        }
    }
    wishes
}

/// Without its last subtag, and without a single letter that this leaves at the end.
fn shortened(language: &str) -> Option<&str> {
    let (rest, _) = language.rsplit_once('-')?;
    match rest.rsplit_once('-') {
        Some((before, single)) if single.len() == 1 => Some(before),
        _ => Some(rest),
    }
}

/// Letters, digits and hyphens: nothing that means anything in a path. Longer tags are not in use
/// (RFC 5646, 4.4.1).
fn is_language(text: &str) -> bool {
    (1..=35).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_for(path: &str, languages: &str) -> Vec<String> {
        let mut fields = Fields::new();
        fields.push("Accept-Language", languages);
        variants(&VirtualPath::parse(path).unwrap(), &fields).into_iter().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn variants_in_the_order_of_preference() {
        for (languages, variants) in [
            ("fr", &["/page.fr.html"][..]),
            ("nb;q=0.5, fr-CH, de;q=0", &["/page.fr-ch.html", "/page.fr.html", "/page.nb.html"]),
            ("fr-CA", &["/page.fr-ca.html", "/page.fr.html"]),
            (
                "zh-Hant-CN-x-private1",
                &["/page.zh-hant-cn-x-private1.html", "/page.zh-hant-cn.html", "/page.zh-hant.html", "/page.zh.html"],
            ),
            ("zh-Hant-CN", &["/page.zh-hant-cn.html", "/page.zh-hant.html", "/page.zh.html"]),
            ("en-GB, fr;q=0.8", &["/page.en-gb.html"]),
            ("en, fr", &[]),
            ("*, fr;q=0.8", &[]),
            ("fr;q=0.8, *;q=0.1", &["/page.fr.html"]),
            ("fr;q=0, *", &[]),
            ("fr-CA, fr;q=0", &["/page.fr-ca.html"]),
            ("de;q=0.9, fr;q=0.95", &["/page.fr.html", "/page.de.html"]),
            ("../../x, *", &[]),
            ("", &[]),
        ] {
            assert_eq!(looked_for("/page.html", languages), variants, "{languages}");
        }
        assert_eq!(looked_for("/a/page.html", "fr"), ["/a/page.fr.html"]);
        assert_eq!(looked_for("/page.txt", "fr"), [""; 0]);
        let many: String = (0..100).map(|number| format!("x{number},")).collect();
        assert_eq!(looked_for("/page.html", &many).len(), MAX_WISHES);
    }
}
