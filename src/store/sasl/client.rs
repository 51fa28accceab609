//! SCRAM-SHA-256, the client's side (RFC 5802, 5; RFC 7677), for those who log in elsewhere. It
//! sees to it that the server proves itself, too. Pure.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::keys::{self, MAX_ITERATIONS};
use crate::store::Secret;

const NONCE_OCTETS: usize = 18;

/// An exchange that has been begun.
pub(crate) struct Scram {
    bare: String,
    nonce: String,
}

/// What shows that we know the password.
pub(crate) struct Proof {
    /// The client's last message.
    pub message: String,
    /// What the server must answer: `v=...`.
    pub signature: String,
}

impl Scram {
    pub(crate) fn new(user: &str) -> Scram {
        Scram::with_nonce(user, STANDARD.encode(rand::random::<[u8; NONCE_OCTETS]>()))
    }

    fn with_nonce(user: &str, nonce: String) -> Scram {
        let name = user.replace('=', "=3D").replace(',', "=2C");
        Scram { bare: format!("n={name},r={nonce}"), nonce }
    }

    /// The client's first message: no channel binding.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The answer to the server's first message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn answer(&self, challenge: &str, password: &Secret) -> Result<Proof, &'static str> {
        let mut attributes = challenge.split(',');
        let mut attribute = |name| attributes.next().and_then(|text| text.strip_prefix(name)).ok_or("that is no SCRAM challenge");
        let (nonce, salt, iterations) = (attribute("r=")?, attribute("s=")?, attribute("i=")?);
        // Somebody else's nonce would let an old exchange be played again.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the SCRAM challenge is not for this exchange");
        }
        let salt = STANDARD.decode(salt).map_err(|_| "the SCRAM salt is not base64")?;
        let iterations = iterations.parse().ok().filter(|count: &NonZeroU32| count.get() <= MAX_ITERATIONS);
        let iterations = iterations.ok_or("the number of SCRAM iterations is out of bounds")?;
        let without_proof = format!("c=biws,r={nonce}");
        let auth_message = format!("{},{challenge},{without_proof}", self.bare);
        let (proof, signature) = keys::prove(&password.0, &salt, iterations, auth_message.as_bytes());
        let message = format!("{without_proof},p={}", STANDARD.encode(proof));
        Ok(Proof { message, signature: format!("v={}", STANDARD.encode(signature)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn the_dialogue_of_rfc_7677() {
        let scram = Scram::with_nonce("user", "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proof = scram.answer(CHALLENGE, &Secret("pencil".into())).unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(proof.signature, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_challenge_that_is_not_ours_is_not_answered() {
        let scram = Scram::with_nonce("a,b=c", "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(scram.first(), "n,,n=a=2Cb=3Dc,r=rOprNGfwEbeRWgbNEkqO");
        for bad in [
            "",
            "e=other-error",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
            "r=other,s=W22Z,i=4096",
            &CHALLENGE.replace("4096", "0"),
            &CHALLENGE.replace("4096", "99999999"),
            &CHALLENGE.replace("W22", "!!!"),
        ] {
            assert!(scram.answer(bad, &Secret("pencil".into())).is_err(), "{bad}");
        }
    }
}
