//! The messages of PLAIN (RFC 4616) and LOGIN, and the base64 line that carries those of all
//! mechanisms (RFC 4954, 4; RFC 5034, 4).

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::store::Secret;

/// The longest name or password that is looked at, in octets.
const FIELD_OCTETS: usize = 1024;

/// Decodes one base64 line, strictly: padding as it must be, nothing but the alphabet (RFC 4954,
/// 4 asks for 501 otherwise). `=` alone is the empty response.
pub(super) fn decode(line: &[u8]) -> Result<Vec<u8>, &'static str> {
    if line == b"=" {
        return Ok(Vec::new());
    }
    STANDARD.decode(line).map_err(|_| "that is not base64")
}

/// Splits a decoded PLAIN message `[authzid] NUL authcid NUL passwd` into authorisation identity
/// (empty where it is to follow from the name), name and password.
pub(super) fn plain(message: &[u8]) -> Result<(String, String, Secret), &'static str> {
    let fields: Vec<&[u8]> = message.split(|&octet| octet == 0).collect();
    let [authzid, name, password] = fields.as_slice() else {
        return Err("PLAIN wants an identity, a name and a password");
    };
    if name.is_empty() || password.is_empty() {
        return Err("name and password must not be empty");
    }
    Ok((text(authzid)?, text(name)?, Secret(text(password)?)))
}

/// A decoded message of LOGIN: the name, or the password, as it is.
pub(super) fn text(octets: &[u8]) -> Result<String, &'static str> {
    if octets.len() > FIELD_OCTETS {
        return Err("that is too long");
    }
    match std::str::from_utf8(octets) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        Ok(_) => Err("NUL is not allowed there"),
        Err(_) => Err("that is not UTF-8"),
    }
}

/// What LOGIN asks for: clients compare with exactly this.
pub(super) const LOGIN_USERNAME: &str = "Username:";
pub(super) const LOGIN_PASSWORD: &str = "Password:";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_has_three_fields() {
        let (authzid, name, password) = plain(&decode(b"AGJvYgBodW5ncnk=").unwrap()).unwrap();
        assert_eq!((authzid.as_str(), name.as_str(), password.0.as_str()), ("", "bob", "hungry"));
        assert_eq!(plain(b"alice\0bob\0hungry").unwrap().0, "alice");
        for bad in [&b""[..], b"bob", b"\0bob", b"\0\0hungry", b"\0bob\0", b"\0bob\0hungry\0", b"\0bob\0\xff"] {
            assert!(plain(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(decode(b"=").unwrap(), b"");
        assert_eq!(decode(b"").unwrap(), b"");
        for bad in [&b"AGJvYgBodW5ncnk"[..], b"AGJv YgBo", b"====", b"A", b"AGJvYgBodW5ncn!=", b"AB=="] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
        assert_eq!(decode(b"VXNlcm5hbWU6").unwrap(), LOGIN_USERNAME.as_bytes());
        assert_eq!(decode(b"UGFzc3dvcmQ6").unwrap(), LOGIN_PASSWORD.as_bytes());
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(octets in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(decode(STANDARD.encode(&octets).as_bytes()).unwrap(), octets);
        }

        #[test]
        fn arbitrary_octets_do_no_harm(octets in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&octets).map(|message| plain(&message).is_ok());
            let _ = plain(&octets);
        }
    }
}
