//! Cookies (RFC 6265): pure.

use rand::random;

use crate::http::Fields;

/// The names of cookies that mean something here; nobody else may set them.
pub(super) const OURS: [&str; 4] = ["visitor", "__Host-visitor", "tracker", "__Secure-tracker"];

/// All cookies of the request as name and value, as a server sees them: in the order of the
/// Cookie fields, without their attributes.
pub(super) fn pairs(fields: &Fields) -> Vec<(String, String)> {
    raw_pairs(fields).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The value of the cookie `name`, from whichever Cookie field has it first.
pub(crate) fn value_of<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    raw_pairs(fields).find(|(found, _)| *found == name).map(|(_, value)| value)
}

fn raw_pairs(fields: &Fields) -> impl Iterator<Item = (&str, &str)> {
    let values = fields.get_all("cookie").filter_map(|value| std::str::from_utf8(value).ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(name, value)| (name, value.trim_matches('"')))
}

/// With whom a cookie travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SameSite {
    /// With requests that our own pages make, and with links that lead here.
    Lax,
    /// With all requests, whichever site's page made them. Browsers take that over TLS only.
    None,
    /// Nothing is said: browsers of today take it for Lax.
    Unsaid,
}

/// A Set-Cookie value that keeps `value` for a year. Scripts can't read it (HttpOnly), and over
/// TLS it never travels in the clear (Secure).
pub(super) fn to_keep(name: &str, value: &str, path: &str, same_site: SameSite, is_secure: bool) -> String {
    const YEAR_SECS: u32 = 365 * 24 * 60 * 60;
    let same_site = match same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::None => "; SameSite=None",
        SameSite::Unsaid => "",
    };
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{name}={value}; Path={path}; Max-Age={YEAR_SECS}; HttpOnly{same_site}{secure}")
}

/// 128 random bits: nobody guesses another visitor's.
pub(super) fn fresh_token() -> String {
    random::<[u8; 16]>().iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut fields = Fields::new();
        fields.push("Cookie", "xvisitor=1; visitor=\"2\";visitor=3");
        fields.push("Cookie", "other=4; alone");
        assert_eq!(value_of(&fields, "visitor"), Some("2"));
        assert_eq!(value_of(&fields, "other"), Some("4"));
        assert_eq!(value_of(&fields, "Visitor"), None);
        assert_eq!(pairs(&fields).len(), 4);
    }

    #[test]
    fn what_is_set() {
        assert_eq!(to_keep("a", "b", "/", SameSite::Lax, true), "a=b; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(to_keep("a", "b", "/t", SameSite::Unsaid, false), "a=b; Path=/t; Max-Age=31536000; HttpOnly");
    }
}
