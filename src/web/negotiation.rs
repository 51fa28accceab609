//! Which variant of a page a client prefers, and what type a file is: pure.
//!
//! `page.fr.html` is the French variant of `page.html` (proactive negotiation, RFC 9110, 12.1).

use super::reply::Reply;
use crate::{
    http::{Fields, lists},
    store::VirtualPath,
};

/// The language of pages whose names tell none.
const BASE_LANGUAGE: &str = "en";
/// How many wishes of a client are tried: each costs a look at the disk.
const MAX_WISHES: usize = 4;

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
    wishes(fields).into_iter().take_while(|language| language != BASE_LANGUAGE).take(MAX_WISHES).filter_map(named).collect()
}

/// The languages that the client accepts, best first, each followed by its primary language:
/// `fr-CH` is content with `fr` (RFC 4647, 3.4).
fn wishes(fields: &Fields) -> Vec<String> {
    let mut weighted = lists::weighted(fields.get_all("accept-language"));
    weighted.retain(|wish| wish.quality > 0 && is_language(&wish.name));
    weighted.sort_by_key(|wish| std::cmp::Reverse(wish.quality));
    let mut wishes: Vec<String> = Vec::new();
    for wish in weighted {
        let primary = wish.name.split('-').next().unwrap_or_default().to_owned();
        for name in [wish.name, primary] {
            if !wishes.contains(&name) {
                wishes.push(name);
            }
        }
    }
    wishes
}

/// Letters, digits and hyphens: nothing that means anything in a path.
fn is_language(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// Tells the media type by the name, with the charset for text.
pub(super) fn with_content_type(reply: Reply, name: &str) -> Reply {
    let media_type = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html" | "htm") => return reply.with("Content-Type", "text/html; charset=utf-8"),
        // The textbook's `home.index` is a page.
        Some("index") => "text/html",
        Some(extension) => mime_guess::from_ext(extension).first_raw().unwrap_or(UNKNOWN),
        None => UNKNOWN,
    };
    match media_type.starts_with("text/") {
        true => reply.with("Content-Type", format!("{media_type}; charset=utf-8")),
        false => reply.with("Content-Type", media_type),
    }
}

const UNKNOWN: &str = "application/octet-stream";

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
        assert_eq!(looked_for("/a/page.html", "fr"), ["/a/page.fr.html"]);
        assert_eq!(looked_for("/page.html", "nb;q=0.5, fr-CH, de;q=0"), ["/page.fr-ch.html", "/page.fr.html", "/page.nb.html"]);
        assert_eq!(looked_for("/page.html", "en-GB, fr;q=0.8"), ["/page.en-gb.html"], "English pages carry no label");
        assert_eq!(looked_for("/page.html", "../../x, *"), [""; 0]);
        assert_eq!(looked_for("/page.txt", "fr"), [""; 0]);
    }

    #[test]
    fn media_types() {
        let of = |name: &str| {
            let head =
                with_content_type(Reply::new(200), name).head("", super::super::reply::After::KeepOpen, crate::http::Version::Http11);
            let head = String::from_utf8(head).unwrap();
            head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).unwrap().to_owned()
        };
        assert_eq!(of("a.html"), "text/html; charset=utf-8");
        assert_eq!(of("home.index"), "text/html; charset=utf-8");
        assert_eq!(of("a.txt"), "text/plain; charset=utf-8");
        assert_eq!(of("a.jpg"), "image/jpeg");
        assert_eq!(of("README"), "application/octet-stream");
    }
}
