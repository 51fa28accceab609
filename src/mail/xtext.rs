//! xtext: how SMTP parameters carry octets that a parameter must not hold (RFC 3461, 4), and its
//! form for addresses in UTF-8 (RFC 6533, 3).

use std::fmt::Write;

/// Printable ASCII out of xtext; `None` where it is none, or hides control characters.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (octet, after) = match first {
            b'+' => (hex(after.get(..2)?)?, after.get(2..)?),
            b'=' => return None,
            plain => (*plain, after),
        };
        // Blanks and the like come encoded only, and may be within an envelope identifier.
        if !(octet.is_ascii_graphic() || octet == b' ' && *first == b'+') {
            return None;
        }
        decoded.push(char::from(octet));
        rest = after;
    }
    Some(decoded)
}

/// xtext out of ASCII.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_graphic() && !matches!(octet, b'+' | b'=') {
            encoded.push(char::from(octet));
        } else {
            write!(encoded, "+{octet:02X}").expect("a string takes all");
        }
    }
    encoded
}

/// An address of the kind `utf-8`, with `\x{E5}` for characters that stand for themselves badly,
/// and possibly UTF-8 as it is.
pub(crate) fn decode_utf8(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(escaped) = rest.strip_prefix("\\x{") {
            let (digits, after) = escaped.split_once('}')?;
            let upper_hex = |octet: u8| octet.is_ascii_digit() || (b'A'..=b'F').contains(&octet);
            if !(2..=6).contains(&digits.len()) || !digits.bytes().all(upper_hex) {
                return None;
            }
            decoded.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?).filter(|c| !c.is_control())?);
            rest = after;
        } else if matches!(first, '\\' | '+' | '=') || first.is_control() || first == ' ' {
            return None;
        } else {
            decoded.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Some(decoded)
}

/// The same, in ASCII only (`utf-8-addr-xtext`): any server may pass it on.
pub(crate) fn encode_utf8(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\') {
            encoded.push(c);
        } else {
            write!(encoded, "\\x{{{:02X}}}", u32::from(c)).expect("a string takes all");
        }
    }
    encoded
}

/// Upper case only, as the RFC has it.
fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    };
    match digits {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn xtext_means_what_the_rfc_says() {
        for (text, meant) in [
            ("QQ314159", Some("QQ314159")),
            ("a+2Bb+3Dc+20d", Some("a+b=c d")),
            ("", Some("")),
            ("a=b", None),
            ("a b", None),
            ("a+2", None),
            ("a+2b", None),
            ("a+", None),
            ("a+0D+0A", None),
            ("a+FF", None),
            ("bl\u{e5}", None),
        ] {
            assert_eq!(decode(text).as_deref(), meant, "{text}");
        }
        for (text, meant) in [
            ("bl\\x{E5}b\\x{E6}r@a.b", Some("bl\u{e5}b\u{e6}r@a.b")),
            ("bl\u{e5}@a.b", Some("bl\u{e5}@a.b")),
            ("a\\x{2B}b", Some("a+b")),
            ("a\\x{D800}", None),
            ("a\\x{0A}", None),
            ("a\\x{5}", None),
            ("a\\x41", None),
            ("a+b", None),
        ] {
            assert_eq!(decode_utf8(text).as_deref(), meant, "{text}");
        }
    }

    proptest! {
        #[test]
        fn encoded_and_decoded_is_the_same(ascii in "[ -~]{0,40}", any in "\\PC{0,40}", raw in "\\PC{0,20}") {
            prop_assert_eq!(decode(&encode(&ascii)), Some(ascii));
            prop_assert_eq!(decode_utf8(&encode_utf8(&any)), Some(any));
            let _taken_or_not = (decode(&raw), decode_utf8(&raw));
        }
    }
}
