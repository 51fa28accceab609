//! Keys of SCRAM-SHA-256 (RFC 5802, 3; RFC 7677) as they are kept for an account. With them a
//! server can check a password without knowing it, and prove that it knows them.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{hmac, pbkdf2};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const KEY_OCTETS: usize = 32;
/// More would let one login take minutes.
pub(super) const MAX_ITERATIONS: u32 = 10_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Keys {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: [u8; KEY_OCTETS],
    server_key: [u8; KEY_OCTETS],
}

/// What the keys of an account whose password is kept in the clear are derived with: what RFC
/// 7677, 4 asks for at least.
pub(crate) const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");

impl Keys {
    /// The keys of a password; `salt` need not be secret, but no two accounts may share it.
    pub(crate) fn derive(password: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Keys {
        let salted = salted_password(password, &salt, iterations);
        let client_key = hmac::sign(&salted, b"Client Key");
        let mut server_key = [0; KEY_OCTETS];
        server_key.copy_from_slice(hmac::sign(&salted, b"Server Key").as_ref());
        Keys { iterations, salt, stored_key: Sha256::digest(client_key.as_ref()).into(), server_key }
    }

    /// Keys that match no password.
    pub(crate) fn unmatched(salt: Vec<u8>, iterations: NonZeroU32) -> Keys {
        Keys { iterations, salt, stored_key: rand::random(), server_key: rand::random() }
    }

    /// Reads `<iterations>$<salt>$<StoredKey>$<ServerKey>`, all but the first in base64.
    pub(crate) fn parse(text: &str) -> Result<Keys, String> {
        let parts: Vec<&str> = text.split('$').collect();
        let [iterations, salt, stored_key, server_key] = parts.as_slice() else {
            return Err("SCRAM keys are $scram-sha-256$<iterations>$<salt>$<StoredKey>$<ServerKey>".into());
        };
        let iterations = iterations.parse().ok().filter(|count: &NonZeroU32| count.get() <= MAX_ITERATIONS);
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty());
        Ok(Keys {
            iterations: iterations.ok_or_else(|| format!("SCRAM iterations are a number from 1 to {MAX_ITERATIONS}"))?,
            salt: salt.ok_or("the SCRAM salt is not base64")?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// As [`Keys::parse`] reads them.
    pub(crate) fn print(&self) -> String {
        let parts = [&self.salt[..], &self.stored_key, &self.server_key].map(|part| STANDARD.encode(part));
        format!("{}${}", self.iterations, parts.join("$"))
    }

    pub(crate) fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether `proof` shows that the client knows the password: `ClientKey XOR HMAC(StoredKey,
    /// AuthMessage)`, where `StoredKey = H(ClientKey)`.
    pub(super) fn is_proof(&self, proof: &[u8], auth_message: &[u8]) -> bool {
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.stored_key), auth_message);
        if proof.len() != KEY_OCTETS {
            return false;
        }
        let client_key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        Sha256::digest(client_key).ct_eq(&self.stored_key).into()
    }

    /// `HMAC(ServerKey, AuthMessage)`: shows the client that this server knows the account.
    pub(super) fn server_signature(&self, auth_message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.server_key), auth_message).as_ref().to_vec()
    }

    /// `StoredKey = H(HMAC(Hi(password, salt, i), "Client Key"))`, compared in constant time.
    pub(crate) fn match_password(&self, password: &str) -> bool {
        let client_key = hmac::sign(&salted_password(password, &self.salt, self.iterations), b"Client Key");
        Sha256::digest(client_key.as_ref()).ct_eq(&self.stored_key).into()
    }
}

/// A client's proof that it knows the password, and the signature by which the server shows the
/// same (RFC 5802, 3).
pub(super) fn prove(password: &str, salt: &[u8], iterations: NonZeroU32, auth_message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let salted = salted_password(password, salt, iterations);
    let client_key = hmac::sign(&salted, b"Client Key");
    let stored_key = Sha256::digest(client_key.as_ref());
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &stored_key), auth_message);
    let server_key = hmac::sign(&salted, b"Server Key");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, server_key.as_ref()), auth_message);
    (client_key.as_ref().iter().zip(signed.as_ref()).map(|(a, b)| a ^ b).collect(), signature.as_ref().to_vec())
}

/// `SaltedPassword = Hi(Normalize(password), salt, i)`, ready to sign with. A password that SASLprep
/// refuses is taken as it is: a client that has it has done the same.
fn salted_password(password: &str, salt: &[u8], iterations: NonZeroU32) -> hmac::Key {
    let normal = stringprep::saslprep(password).unwrap_or(password.into());
    let mut salted = [0; KEY_OCTETS];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, normal.as_bytes(), &mut salted);
    hmac::Key::new(hmac::HMAC_SHA256, &salted)
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
    fn derived_keys_are_those_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let (derived, kept) = (Keys::derive("pencil", salt, ITERATIONS), Keys::parse(PENCIL).unwrap());
        assert_eq!((derived.stored_key, derived.server_key), (kept.stored_key, kept.server_key));
        assert_eq!(derived.print(), PENCIL);
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
