//! What type a file is, by its name, and which types compression is worth for.

use std::{borrow::Cow, collections::BTreeMap};

use super::is_field_text;
use crate::http::compressible::Compressible;

/// What nobody has a better name for.
const UNKNOWN: &str = "application/octet-stream";

pub(in crate::web) struct MediaTypes {
    /// By extension, in lower case, ready for Content-Type.
    named: BTreeMap<String, String>,
    compressible: Compressible,
}

impl MediaTypes {
    pub(super) fn new(named: &BTreeMap<String, String>, compressible: &[String]) -> Result<MediaTypes, String> {
        let row = |(extension, media_type): (&String, &String)| {
            let is_type = is_field_text(media_type) && media_type.parse::<mime::Mime>().is_ok();
            let is_extension = !extension.is_empty() && !extension.contains(['.', '/']);
            match is_type && is_extension {
                true => Ok((extension.to_ascii_lowercase(), with_charset(media_type).into_owned())),
                false => Err(format!("`http.types` holds {extension} = \"{media_type}\"; write it as md = \"text/markdown\"")),
            }
        };
        let named = named.iter().map(row).collect::<Result<_, _>>()?;
        let compressible = Compressible::parse(compressible.iter().map(String::as_str))
            .map_err(|text| format!("`http.compress-types` holds \"{text}\"; write it as \"text/css\", \"text/*\" or \"*+json\""))?;
        Ok(MediaTypes { named, compressible })
    }

    /// The media type of a file of this name, with the charset for text.
    pub(in crate::web) fn of(&self, name: &str) -> Cow<'_, str> {
        let Some((_, extension)) = name.rsplit_once('.') else { return UNKNOWN.into() };
        if !self.named.is_empty()
            && let Some(named) = self.named.get(&extension.to_ascii_lowercase())
        {
            return named.as_str().into();
        }
        match extension {
            "html" | "htm" => "text/html; charset=utf-8".into(),
            "css" => "text/css; charset=utf-8".into(),
            "js" | "mjs" | "cjs" => "text/javascript; charset=utf-8".into(),
            "txt" => "text/plain; charset=utf-8".into(),
            // The textbook's `home.index` is a page.
            "index" => "text/html; charset=utf-8".into(),
            "webmanifest" => "application/manifest+json".into(),
            "map" => "application/json".into(),
            "yaml" | "yml" => "application/yaml".into(),
            "toml" => "application/toml".into(),
            extension => with_charset(mime_guess::from_ext(extension).first_raw().unwrap_or(UNKNOWN)),
        }
    }

    /// Whether compression is worth its while for this value of Content-Type.
    pub(in crate::web) fn is_compressible(&self, content_type: &str) -> bool {
        self.compressible.holds(content_type.as_bytes())
    }
}

/// Our text is UTF-8: Portico's own, and that of everybody who writes today.
fn with_charset(media_type: &str) -> Cow<'_, str> {
    match media_type.starts_with("text/") && !media_type.contains("charset=") {
        true => format!("{media_type}; charset=utf-8").into(),
        false => media_type.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::compressible;

    fn defaults(named: &[(&str, &str)]) -> Result<MediaTypes, String> {
        let named = named.iter().map(|(extension, media_type)| ((*extension).to_owned(), (*media_type).to_owned())).collect();
        MediaTypes::new(&named, &compressible::TYPES.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn types_by_name() {
        let types = defaults(&[]).unwrap();
        for (name, media_type, compressible) in [
            ("a.html", "text/html; charset=utf-8", true),
            ("home.index", "text/html; charset=utf-8", true),
            ("a.txt", "text/plain; charset=utf-8", true),
            ("a.css", "text/css; charset=utf-8", true),
            ("a.csv", "text/csv; charset=utf-8", true),
            ("a.md", "text/markdown; charset=utf-8", true),
            ("a.js", "text/javascript; charset=utf-8", true),
            ("a.mjs", "text/javascript; charset=utf-8", true),
            ("a.json", "application/json", true),
            ("a.svg", "image/svg+xml", true),
            ("a.wasm", "application/wasm", true),
            ("a.webmanifest", "application/manifest+json", true),
            ("a.xml", "text/xml; charset=utf-8", true),
            ("a.pdf", "application/pdf", false),
            ("a.jpg", "image/jpeg", false),
            ("a.JPG", "image/jpeg", false),
            ("a.avif", "image/avif", false),
            ("a.webp", "image/webp", false),
            ("a.woff2", "font/woff2", false),
            ("a.mp4", "video/mp4", false),
            ("a.zip", "application/zip", false),
            ("a.html.gz", "application/gzip", false),
            ("README", "application/octet-stream", false),
            ("a.unheardof", "application/octet-stream", false),
        ] {
            assert_eq!(types.of(name), media_type, "{name}");
            assert_eq!(types.is_compressible(media_type), compressible, "{media_type}");
        }
    }

    #[test]
    fn settings_go_first() {
        let types = defaults(&[("JS", "application/javascript"), ("log", "text/plain")]).unwrap();
        assert_eq!((&*types.of("a.js"), &*types.of("a.LOG")), ("application/javascript", "text/plain; charset=utf-8"));
        for (extension, media_type) in [("a", "text"), ("a", "text/x\r\nX: y"), (".a", "text/plain"), ("", "text/plain")] {
            assert!(defaults(&[(extension, media_type)]).is_err(), "{extension} {media_type:?}");
        }
        assert!(MediaTypes::new(&BTreeMap::new(), &["*".to_owned()]).is_err());
    }
}
