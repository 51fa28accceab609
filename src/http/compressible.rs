//! Which content compression is worth its while for.

/// Shorter content goes out as it is, in octets: it would fit into one packet anyway.
pub(crate) const WORTHWHILE_OCTETS: u64 = 1024;

/// Types that compress well. `*` stands at the beginning or at the end. Pictures, sound, archives
/// and the newer fonts are compressed already.
pub(crate) const TYPES: &[&str] = &[
    "text/*",
    "*+json",
    "*+xml",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/wasm",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-tex",
    "application/sql",
    "application/toml",
    "application/yaml",
    "application/rtf",
    "application/postscript",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/bmp",
    "image/x-icon",
];

/// Media types that compression is worth for.
pub(crate) struct Compressible(Vec<Pattern>);

enum Pattern {
    Whole(String),
    Begins(String),
    Ends(String),
}

impl Compressible {
    /// Types as in [`TYPES`].
    ///
    /// # Errors
    /// The first text that is no such type.
    pub(crate) fn parse<'a>(types: impl IntoIterator<Item = &'a str>) -> Result<Compressible, &'a str> {
        types.into_iter().map(|text| Pattern::parse(text).ok_or(text)).collect::<Result<_, _>>().map(Compressible)
    }

    /// Whether this value of Content-Type is one of them.
    pub(crate) fn holds(&self, content_type: &[u8]) -> bool {
        let media_type = content_type.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii_end();
        self.0.iter().any(|pattern| pattern.fits(media_type))
    }
}

impl Default for Compressible {
    fn default() -> Compressible {
        Compressible(TYPES.iter().filter_map(|text| Pattern::parse(text)).collect())
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Pattern> {
        let lower = text.to_ascii_lowercase();
        let is_plain = |rest: &str| !rest.is_empty() && !rest.contains('*');
        match (lower.strip_prefix('*'), lower.strip_suffix('*')) {
            (Some(end), None) if is_plain(end) => Some(Pattern::Ends(end.to_owned())),
            (None, Some(start)) if is_plain(start) => Some(Pattern::Begins(start.to_owned())),
            (None, None) if is_plain(&lower) && lower.contains('/') => Some(Pattern::Whole(lower)),
            _ => None,
        }
    }

    fn fits(&self, media_type: &[u8]) -> bool {
        let same = |part: Option<&[u8]>, text: &str| part.is_some_and(|part| part.eq_ignore_ascii_case(text.as_bytes()));
        match self {
            Pattern::Whole(text) => same(Some(media_type), text),
            Pattern::Begins(text) => same(media_type.get(..text.len()), text),
            Pattern::Ends(text) => same(media_type.len().checked_sub(text.len()).and_then(|at| media_type.get(at..)), text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_with_and_without_parameters() {
        let types = Compressible::default();
        assert_eq!(types.0.len(), TYPES.len());
        for (content_type, is_compressible) in [
            ("text/html; charset=utf-8", true),
            ("TEXT/HTML", true),
            ("text/event-stream ; x=y", true),
            ("application/problem+json", true),
            ("image/svg+xml", true),
            ("application/json", true),
            ("application/jsonp", false),
            ("image/png; a=text/html", false),
            ("text", false),
            ("", false),
        ] {
            assert_eq!(types.holds(content_type.as_bytes()), is_compressible, "{content_type}");
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in ["*", "", "text", "*/*", "a*b/c"] {
            assert_eq!(Compressible::parse(["text/*", text]).err(), Some(text));
        }
    }
}
