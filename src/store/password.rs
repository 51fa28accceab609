//! How a password is kept and checked. It knows no accounts; see [`super::accounts`].

use std::num::NonZeroU32;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Secret, sasl::keys::Keys};

/// Longer ones are wrong without a look: nobody types them, and hashing them would cost.
const PASSWORD_OCTETS: usize = 1024;

/// A password at rest.
#[derive(Clone)]
pub(crate) enum Password {
    /// In the clear, for the lab: what the textbook's dialogues show.
    Clear(Secret),
    /// A PHC string `$argon2id$...`, checked when it was read.
    Argon2(String),
    /// `$scram-sha-256$...`.
    Scram(Keys),
}

/// Iterations of new SCRAM keys: about as dear as Argon2, so that stolen ones are as hard to guess.
const SCRAM_ITERATIONS: NonZeroU32 = NonZeroU32::new(ARGON2_COST).expect("not zero");

/// What Argon2 with the crate's parameters costs, in iterations of PBKDF2; roughly.
const ARGON2_COST: u32 = 60_000;

impl Password {
    /// Reads a hash as `portico account` writes it.
    pub(crate) fn parse_hash(text: &str) -> Result<Password, String> {
        if let Some(keys) = text.strip_prefix("$scram-sha-256$") {
            return Keys::parse(keys).map(Password::Scram);
        }
        if !text.starts_with("$argon2") {
            return Err("password-hash must begin with $argon2id$, as `portico account` writes it, or $scram-sha-256$".into());
        }
        let parsed = PasswordHash::new(text).map_err(|error| format!("password-hash can't be read: {error}"))?;
        if parsed.hash.is_none() || parsed.salt.is_none() {
            return Err("password-hash lacks its salt or its hash".into());
        }
        Ok(Password::Argon2(text.to_owned()))
    }

    /// What a check costs; only to compare.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Password::Clear(_) => 0,
            Password::Argon2(_) => ARGON2_COST,
            Password::Scram(keys) => keys.iterations().get(),
        }
    }

    /// Whether checking takes so long that it must not happen on the reactor.
    pub(crate) fn is_dear(&self) -> bool {
        self.cost() > 0
    }

    /// Takes the same time for every wrong password.
    pub(crate) fn matches(&self, given: &Secret) -> bool {
        if given.0.len() > PASSWORD_OCTETS {
            return false;
        }
        match self {
            // Digests have one length, so that not even the length of the password shows.
            Password::Clear(kept) => bool::from(Sha256::digest(&kept.0).ct_eq(&Sha256::digest(&given.0))),
            Password::Argon2(hash) => {
                PasswordHash::new(hash).is_ok_and(|parsed| Argon2::default().verify_password(given.0.as_bytes(), &parsed).is_ok())
            }
            Password::Scram(keys) => keys.match_password(&given.0),
        }
    }
}

/// A new password as SCRAM-SHA-256 keys, with a salt of its own.
pub(crate) fn scram_keys(password: &Secret) -> String {
    let salt: [u8; 16] = rand::random();
    format!("$scram-sha-256${}", Keys::derive(&password.0, salt.to_vec(), SCRAM_ITERATIONS).print())
}

/// An Argon2id PHC string with a fresh salt (RFC 9106, parameters of the crate's default: 19 MiB,
/// two passes).
pub(crate) fn hash(password: &Secret) -> Result<String, String> {
    if password.0.len() > PASSWORD_OCTETS {
        return Err(format!("a password may have at most {PASSWORD_OCTETS} octets"));
    }
    match Argon2::default().hash_password(password.0.as_bytes()) {
        Ok(hash) => Ok(hash.to_string()),
        Err(error) => Err(format!("the password can't be hashed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_password_only() {
        let secret = Secret("hungry".into());
        let text = hash(&secret).unwrap();
        assert!(text.starts_with("$argon2id$v=19$"));
        let kept = Password::parse_hash(&text).unwrap();
        assert!(kept.matches(&secret));
        assert!(!kept.matches(&Secret("Hungry".into())));
        assert_ne!(hash(&secret).unwrap(), text, "salted");
    }

    #[test]
    fn damaged_hashes_are_refused_when_they_are_read() {
        for text in ["", "hungry", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1", "$1$abc$def", "$argon2id$v=19$m=x$a$b"] {
            assert!(Password::parse_hash(text).is_err(), "{text}");
        }
    }

    #[test]
    fn overlong_passwords_are_wrong() {
        let long = Secret("x".repeat(PASSWORD_OCTETS + 1));
        assert!(!Password::Clear(long.clone()).matches(&long));
        let just = Secret("x".repeat(PASSWORD_OCTETS));
        assert!(Password::Clear(just.clone()).matches(&just));
    }
}
