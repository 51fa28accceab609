//! Keys of SCRAM-SHA-256 (RFC 5802, 3; RFC 7677) as they are kept for an account. With them a
//! server can check a password without knowing it.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{hmac, pbkdf2};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const KEY_OCTETS: usize = 32;
/// More would let one login take minutes.
const MAX_ITERATIONS: u32 = 10_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Keys {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: [u8; KEY_OCTETS],
}

impl Keys {
    /// Reads `<iterations>$<salt>$<StoredKey>$<ServerKey>`, all but the first in base64.
    pub(crate) fn parse(text: &str) -> Result<Keys, String> {
        let parts: Vec<&str> = text.split('$').collect();
        let [iterations, salt, stored_key, server_key] = parts.as_slice() else {
            return Err("SCRAM keys are $scram-sha-256$<iterations>$<salt>$<StoredKey>$<ServerKey>".into());
        };
        let iterations = iterations.parse().ok().filter(|count: &NonZeroU32| count.get() <= MAX_ITERATIONS);
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty());
        key(server_key)?;
        Ok(Keys {
            iterations: iterations.ok_or_else(|| format!("SCRAM iterations are a number from 1 to {MAX_ITERATIONS}"))?,
            salt: salt.ok_or("the SCRAM salt is not base64")?,
            stored_key: key(stored_key)?,
        })
    }

    pub(crate) fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// `StoredKey = H(HMAC(Hi(password, salt, i), "Client Key"))`, compared in constant time.
    pub(crate) fn match_password(&self, password: &str) -> bool {
        let mut salted = [0; KEY_OCTETS];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, self.iterations, &self.salt, password.as_bytes(), &mut salted);
        let client_key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), b"Client Key");
        Sha256::digest(client_key.as_ref()).ct_eq(&self.stored_key).into()
    }
}

fn key(text: &str) -> Result<[u8; KEY_OCTETS], String> {
    let octets = STANDARD.decode(text).ok().and_then(|octets| octets.try_into().ok());
    octets.ok_or_else(|| format!("a SCRAM key is {KEY_OCTETS} octets in base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The user and the salt of the dialogue in RFC 7677, 3.
    const PENCIL: &str =
        "4096$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn the_password_of_the_rfc_matches() {
        let keys = Keys::parse(PENCIL).unwrap();
        assert!(keys.match_password("pencil"));
        assert!(!keys.match_password("Pencil"));
        assert!(!keys.match_password(""));
    }

    #[test]
    fn damaged_keys_are_refused() {
        for damaged in [
            "",
            "4096",
            &PENCIL.replace("4096", "0"),
            &PENCIL.replace("4096", "99999999"),
            &PENCIL.replace("W22Z", "!!!!"),
            &PENCIL.replace("WG5d", "WG"),
            &format!("{PENCIL}$x"),
        ] {
            assert!(Keys::parse(damaged).is_err(), "{damaged}");
        }
    }
}
