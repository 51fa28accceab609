//! The ready-made suites: scripts that test anybody's server, built into the binary.
//!
//! A suite expects codes, never our texts; what the server must be prepared with is told by its own
//! `-- file`, `-- mail` and `-- define` lines.

use super::Play;

/// Files of `suites/`, by name.
macro_rules! suites {
    ($($name:literal),* $(,)?) => {
        const SUITES: &[(&str, &str)] = &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/play/suites/", $name, ".txt")))),*];
    };
}

suites! {
    "capital",
    "ftp-active",
    "ftp-passive",
    "ftp-rename",
    "ftp-tls",
    "http-basic",
    "http-conditional",
    "http-cookies",
    "http-persistent",
    "https-basic",
    "pop3-basic",
    "pop3-delete",
    "pop3-stls",
    "proxy-basic",
    "proxy-caching",
    "smtp-basic",
    "smtp-relay",
    "smtp-starttls",
    "smtp-submission",
}

/// The text of a file that is built in.
pub(super) fn source(file: &str) -> Option<&'static str> {
    let name = file.strip_suffix(".txt")?;
    SUITES.iter().find(|(suite, _)| *suite == name).map(|(_, text)| *text)
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|(name, _)| *name)
}

/// All suites, read.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str, Play)> {
    SUITES.iter().map(|(name, text)| (*name, *text, Play::suite(name).unwrap_or_else(|failure| panic!("a built-in suite: {failure}"))))
}

/// The suite of this name.
///
/// # Errors
/// There is none; the answer names the nearest.
pub(crate) fn named(name: &str) -> Result<&'static str, String> {
    names().find(|suite| *suite == name).ok_or_else(|| {
        let near = crate::config::keys::nearest(name, names()).map(|near| format!("; did you mean {near}?"));
        format!("there is no suite `{name}`{}", near.unwrap_or_else(|| "; `portico transcript suites` lists them".into()))
    })
}
