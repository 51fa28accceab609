//! Comma lists, quoted strings and quality values (RFC 9110, 5.6 and 12.4.2).

/// The elements of a comma list, trimmed; commas inside quoted strings don't count. Empty
/// elements are kept: for those who must not overlook one.
pub(crate) fn raw_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = unquoted(text, b',').unwrap_or(text.len());
        rest = text.get(end + 1..);
        Some(text[..end].trim_ascii())
    })
}

/// The elements of a comma list, without the empty ones that RFC 9110, 5.6.1.2 has us skip.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw_elements(value).filter(|element| !element.is_empty())
}

/// Whether one of the lists holds this token, in any case.
pub(crate) fn contains_token<'a>(values: impl Iterator<Item = &'a [u8]>, token: &str) -> bool {
    values.flat_map(elements).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Splits `name;a=b;c="d"` into the name and its parameters, unquoted.
pub(crate) fn parameters(element: &[u8]) -> (&[u8], Vec<(String, String)>) {
    let end = unquoted(element, b';').unwrap_or(element.len());
    let mut found = Vec::new();
    let mut rest = element.get(end + 1..);
    while let Some(text) = rest {
        let end = unquoted(text, b';').unwrap_or(text.len());
        rest = text.get(end + 1..);
        let text = text[..end].trim_ascii();
        let (name, value) = match memchr::memchr(b'=', text) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &b""[..]),
        };
        if !name.is_empty() {
            found.push((String::from_utf8_lossy(name).to_ascii_lowercase(), unquote(value)));
        }
    }
    (element[..end].trim_ascii(), found)
}

/// A token or quoted string as text.
pub(crate) fn unquote(value: &[u8]) -> String {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return String::from_utf8_lossy(value).into_owned();
    };
    let mut text = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(octet) = octets.next() {
        text.push(if *octet == b'\\' { *octets.next().unwrap_or(octet) } else { *octet });
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// One alternative of an `Accept-*` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weighted {
    /// In lower case.
    pub name: String,
    /// In thousandths: `q=0.5` is 500; 0 means "not this".
    pub quality: u16,
}

/// The alternatives of all fields of one name. A quality that can't be read counts as 0.
pub(crate) fn weighted<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Weighted> {
    let weigh = |element| {
        let (name, parameters) = parameters(element);
        let quality = parameters.iter().find(|(name, _)| name == "q").map_or(1000, |(_, value)| thousandths(value).unwrap_or(0));
        Weighted { name: String::from_utf8_lossy(name).to_ascii_lowercase(), quality }
    };
    values.flat_map(elements).map(weigh).collect()
}

/// `0`, `1`, `0.` to `0.999`, `1.000` (RFC 9110, 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

/// What follows the token that the text begins with; `None` where it begins with none.
pub(crate) fn after_token(text: &[u8]) -> Option<&[u8]> {
    let octets = text.iter().take_while(|octet| is_token_octet(**octet)).count();
    if octets == 0 { None } else { text.get(octets..) }
}

/// What follows the quoted string that the text begins with (RFC 9110, 5.6.4).
pub(crate) fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'\t' | b' '..=b'~' | 0x80.., rest @ ..] => rest,
            [b'\t' | b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' | 0x80.., rest @ ..] => rest,
            _ => return None,
        };
    }
}

/// `tchar` of RFC 9110, 5.6.2.
pub(crate) fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

/// Where `wanted` stands outside quoted strings.
fn unquoted(text: &[u8], wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|octet| {
        match (*octet, quoted, escaped) {
            (_, true, true) => escaped = false,
            (b'\\', true, false) => escaped = true,
            (b'"', _, false) => quoted = !quoted,
            (octet, false, _) => return octet == wanted,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commas_in_quotes_do_not_split() {
        let all: Vec<_> = elements(br#" a , , "b,\"c" ;x="y,z",d"#).collect();
        assert_eq!(all, [&b"a"[..], br#""b,\"c" ;x="y,z""#, b"d"]);
        assert_eq!(raw_elements(b"").count(), 1);
        assert_eq!(raw_elements(b"a,").count(), 2);
    }

    #[test]
    fn parameters_are_unquoted_and_their_names_lowered() {
        let (name, parameters) = parameters(br#"text/html; Charset="utf-8"; x=1;;y"#);
        assert_eq!(name, b"text/html");
        let expected = [("charset", "utf-8"), ("x", "1"), ("y", "")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(parameters, expected);
        assert_eq!(unquote(br#""a\"b""#), "a\"b");
    }

    #[test]
    fn tokens_and_quoted_strings_end_where_they_end() {
        assert_eq!(after_token(b"a-b c"), Some(&b" c"[..]));
        assert_eq!(after_token(b" a"), None);
        assert_eq!(after_quoted(br#""a\"b";c"#), Some(&b";c"[..]));
        for text in [&br#""a"#[..], b"a\"", b"\"a\x01\"", b"\"\\\x7f\"", b"", b"\"\\\""] {
            assert_eq!(after_quoted(text), None, "{text:?}");
        }
    }

    #[test]
    fn qualities() {
        for (text, quality) in
            [("gzip", 1000), ("gzip;q=0", 0), ("gzip; q=0.5", 500), ("gzip;q=1.000", 1000), ("gzip;q=1.5", 0), ("gzip;q=x", 0)]
        {
            let found = weighted([text.as_bytes()].into_iter());
            assert_eq!(found, [Weighted { name: "gzip".into(), quality }], "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(input in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = elements(&input).count();
            let _ = parameters(&input);
            let _ = weighted([&input[..]].into_iter());
            let _ = after_quoted(&input);
        }
    }
}
