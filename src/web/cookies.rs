//! Cookies (RFC 6265): pure.

use crate::http::Fields;

/// The value of the cookie `name`, from whichever Cookie field has it first.
pub(crate) fn value_of<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let pairs = fields.get_all("cookie").filter_map(|value| std::str::from_utf8(value).ok()).flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(found, _)| *found == name).map(|(_, value)| value.trim_matches('"'))
}

/// A Set-Cookie value that keeps `value` for a year. Scripts can't read it (HttpOnly), other
/// sites' forms don't send it (SameSite), and over TLS it never travels in the clear (Secure).
pub(super) fn to_keep(name: &str, value: &str, is_secure: bool) -> String {
    const YEAR_SECS: u32 = 365 * 24 * 60 * 60;
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={YEAR_SECS}; HttpOnly; SameSite=Lax{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut fields = Fields::new();
        fields.push("Cookie", "xvisitor=1; visitor=\"2\";visitor=3");
        fields.push("Cookie", "other=4");
        assert_eq!(value_of(&fields, "visitor"), Some("2"));
        assert_eq!(value_of(&fields, "other"), Some("4"));
        assert_eq!(value_of(&fields, "Visitor"), None);
    }
}
