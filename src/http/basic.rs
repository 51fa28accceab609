//! Basic credentials (RFC 7617), for the origin server and the proxy alike.

use base64::{Engine, engine::general_purpose::STANDARD};

/// Name and password out of the value of Authorization or Proxy-Authorization. The scheme's name
/// is case-insensitive, the name ends at the first colon.
pub(crate) fn credentials(value: &[u8]) -> Option<(String, String)> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// The value of a field with these credentials.
pub(crate) fn field(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_by_the_example_of_the_rfc() {
        let aladdin = Some(("Aladdin".to_owned(), "open sesame".to_owned()));
        assert_eq!(credentials(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(credentials(b"basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(credentials(field("Aladdin", "open sesame").as_bytes()), aladdin);
        for bad in ["Basic", "Basic !", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic QWxhZGRpbg==", ""] {
            assert_eq!(credentials(bad.as_bytes()), None, "{bad}");
        }
    }
}
