//! SCRAM-SHA-256, the server's side (RFC 5802, 5 and 7; RFC 7677): the password never crosses the
//! wire, and the server proves that it knows the account.
//!
//! ```text
//! C: n,,n=bob,r=fyko                      ClientFirst
//! S: r=fyko+3rfc,s=<salt>,i=4096          Challenge::message
//! C: c=biws,r=fyko+3rfc,p=<proof>         Challenge::check
//! S: v=<signature>
//! ```

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Binding, keys::Keys};

/// What can't be understood, told to the client.
pub(super) const MALFORMED: &str = "that is no SCRAM message";

/// The client's first message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst {
    /// Up to and with the second comma; the client repeats it in its last message.
    gs2_header: String,
    binding: GsBinding,
    /// Whom the client wants to act for; empty where it did not say.
    pub identity: String,
    pub name: String,
    nonce: String,
    /// All after the GS2 header.
    bare: String,
}

/// What the client says of channel binding (RFC 5802, 6).
#[derive(Debug, PartialEq, Eq)]
enum GsBinding {
    /// `n`: it can't.
    Unable,
    /// `y`: it can, but believes that the server can't.
    NotOffered,
    /// `p=<name>`: it binds by this.
    By(String),
}

impl ClientFirst {
    pub(super) fn parse(message: &[u8]) -> Result<ClientFirst, &'static str> {
        let message = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
        let (flag, rest) = message.split_once(',').ok_or(MALFORMED)?;
        let (identity, bare) = rest.split_once(',').ok_or(MALFORMED)?;
        let binding = match (flag, flag.strip_prefix("p=")) {
            ("n", _) => GsBinding::Unable,
            ("y", _) => GsBinding::NotOffered,
            (_, Some(name)) if !name.is_empty() => GsBinding::By(name.to_owned()),
            _ => return Err(MALFORMED),
        };
        let identity = match identity {
            "" => String::new(),
            given => sasl_name(given.strip_prefix("a=").ok_or(MALFORMED)?)?,
        };
        // An `m=` here would be a mandatory extension that we don't know: refused like junk.
        let mut attributes = bare.split(',');
        let name = attributes.next().and_then(|it| it.strip_prefix("n=")).ok_or(MALFORMED)?;
        let nonce = attributes.next().and_then(|it| it.strip_prefix("r=")).ok_or(MALFORMED)?;
        if nonce.is_empty() || !nonce.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(MALFORMED);
        }
        Ok(ClientFirst {
            gs2_header: message.strip_suffix(bare).unwrap_or_default().to_owned(),
            binding,
            identity,
            name: sasl_name(name)?,
            nonce: nonce.to_owned(),
            bare: bare.to_owned(),
        })
    }

    /// The octets that `c=` must hold: the GS2 header, and what the channel is known by.
    ///
    /// `plus` says whether the client took the mechanism that binds. One that says `y` although
    /// binding was on offer was shown another list than ours: somebody sits in the middle.
    fn bound(&self, plus: bool, binding: Option<&Binding>) -> Result<Vec<u8>, &'static str> {
        let mut octets = self.gs2_header.clone().into_bytes();
        match (&self.binding, plus, binding) {
            (GsBinding::Unable, false, _) | (GsBinding::NotOffered, false, None) => {}
            (GsBinding::NotOffered, ..) => return Err("channel binding is on offer here: somebody has changed the list"),
            (GsBinding::By(kind), true, Some(own)) if kind == own.kind => octets.extend_from_slice(&own.octets),
            (GsBinding::By(_), true, _) => return Err("this kind of channel binding is not on offer"),
            _ => return Err(MALFORMED),
        }
        Ok(octets)
    }
}

/// The server's first message, and what is needed to check the answer to it.
pub(super) struct Challenge {
    keys: Keys,
    nonce: String,
    bound: Vec<u8>,
    /// `client-first-message-bare "," server-first-message`.
    auth_prefix: String,
    message_from: usize,
}

impl Challenge {
    /// `fresh` is the server's part of the nonce, different every time.
    pub(super) fn new(
        first: &ClientFirst,
        keys: Keys,
        fresh: &str,
        plus: bool,
        binding: Option<&Binding>,
    ) -> Result<Challenge, &'static str> {
        let bound = first.bound(plus, binding)?;
        let nonce = format!("{}{fresh}", first.nonce);
        let message = format!("r={nonce},s={},i={}", STANDARD.encode(keys.salt()), keys.iterations());
        let auth_prefix = format!("{},{message}", first.bare);
        Ok(Challenge { keys, nonce, bound, message_from: auth_prefix.len() - message.len(), auth_prefix })
    }

    pub(super) fn message(&self) -> &str {
        self.auth_prefix.get(self.message_from..).unwrap_or_default()
    }

    /// Checks the client's last message. `Some` is the server's last one, if the client knows the
    /// password.
    pub(super) fn check(&self, message: &[u8]) -> Result<Option<String>, &'static str> {
        let message = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut attributes = without_proof.split(',');
        let bound = attributes.next().and_then(|it| it.strip_prefix("c=")).ok_or(MALFORMED)?;
        let nonce = attributes.next().and_then(|it| it.strip_prefix("r=")).ok_or(MALFORMED)?;
        let bound = STANDARD.decode(bound).map_err(|_| MALFORMED)?;
        let proof = STANDARD.decode(proof).map_err(|_| MALFORMED)?;
        if nonce != self.nonce {
            return Err("the nonce is not the one of this exchange");
        }
        let auth_message = format!("{},{without_proof}", self.auth_prefix);
        // A channel that is not the one we see is answered as a wrong password is.
        if bound != self.bound || !self.keys.is_proof(&proof, auth_message.as_bytes()) {
            return Ok(None);
        }
        Ok(Some(format!("v={}", STANDARD.encode(self.keys.server_signature(auth_message.as_bytes())))))
    }
}

/// `saslname`: comma and equals sign are written `=2C` and `=3D` (RFC 5802, 5.1).
fn sasl_name(text: &str) -> Result<String, &'static str> {
    let mut pieces = text.split('=');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (sign, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(MALFORMED),
        };
        name.push(sign);
        name.push_str(rest);
    }
    if name.is_empty() || name.contains('\0') { Err(MALFORMED) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const FRESH: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn keys() -> Keys {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        Keys::derive("pencil", salt, super::super::keys::ITERATIONS)
    }

    fn challenge(first: &[u8], plus: bool, binding: Option<&Binding>) -> Result<Challenge, &'static str> {
        Challenge::new(&ClientFirst::parse(first)?, keys(), FRESH, plus, binding)
    }

    #[test]
    fn the_dialogue_of_rfc_7677() {
        let challenge = challenge(FIRST, false, None).unwrap();
        assert_eq!(challenge.message(), "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let answer = challenge.check(LAST.as_bytes()).unwrap();
        assert_eq!(answer.as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }

    #[test]
    fn a_wrong_proof_another_nonce_and_junk_are_refused() {
        let challenge = challenge(FIRST, false, None).unwrap();
        assert_eq!(challenge.check(LAST.replace("p=dH", "p=dI").as_bytes()), Ok(None));
        assert_eq!(challenge.check(LAST.replace("c=biws", "c=eSws").as_bytes()), Ok(None), "another GS2 header");
        for bad in [LAST.replace("k0,", "k1,"), LAST.replace("c=", "d="), LAST.replace(",p=", ",q="), "".into(), "c=,r=,p=".into()] {
            assert!(challenge.check(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in [
            "",
            "n",
            "n,,",
            "n,,n=,r=x",
            "n,,n=a",
            "n,,n=a,r=",
            "n,,m=x,n=a,r=b",
            "x,,n=a,r=b",
            "p=,,n=a,r=b",
            "n,b,n=a,r=b",
            "n,,n=a=2,r=b",
        ] {
            assert!(ClientFirst::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_unescaped() {
        let first = ClientFirst::parse(b"n,a=x=3Dy,n=a=2Cb,r=c,ext=1").unwrap();
        assert_eq!((first.identity.as_str(), first.name.as_str()), ("x=y", "a,b"));
    }

    #[test]
    fn a_bound_channel_must_be_ours_and_a_hidden_offer_is_noticed() {
        let own = Binding { kind: "tls-exporter", octets: vec![7; 32] };
        let other = Binding { kind: "tls-exporter", octets: vec![8; 32] };
        let first = b"p=tls-exporter,,n=user,r=abc";
        let challenged = challenge(first, true, Some(&own)).unwrap();
        let answer = |binding: &Binding| {
            let bound = STANDARD.encode([b"p=tls-exporter,,", &binding.octets[..]].concat());
            let without_proof = format!("c={bound},r=abc{FRESH}");
            let proof = client_proof(&format!("{},{without_proof}", challenged.auth_prefix));
            challenged.check(format!("{without_proof},p={proof}").as_bytes()).unwrap()
        };
        assert!(answer(&own).is_some());
        assert_eq!(answer(&other), None, "somebody in the middle");
        assert!(challenge(b"y,,n=user,r=abc", false, Some(&own)).is_err(), "the list was changed on its way");
        assert!(challenge(b"y,,n=user,r=abc", false, None).is_ok());
        assert!(challenge(b"n,,n=user,r=abc", true, Some(&own)).is_err());
        assert!(challenge(b"p=tls-unique,,n=user,r=abc", true, Some(&own)).is_err());
        assert!(challenge(first, false, Some(&own)).is_err());
    }

    fn client_proof(auth_message: &str) -> String {
        use ring::{hmac, pbkdf2};
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, keys().iterations(), keys().salt(), b"pencil", &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
        let client_key = sign(&salted, b"Client Key");
        let stored = ring::digest::digest(&ring::digest::SHA256, &client_key);
        let signature = sign(stored.as_ref(), auth_message.as_bytes());
        STANDARD.encode(client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn arbitrary_messages_do_no_harm(first in any::<Vec<u8>>(), last in any::<Vec<u8>>(), text in "[npy],(a=[a-z=,]{0,3})?,n=[a-z=2C3D]{0,6},r=[!-~]{0,6}") {
            let _ = ClientFirst::parse(&first);
            if let Ok(challenge) = challenge(text.as_bytes(), false, None) {
                prop_assert_ne!(challenge.check(&last).unwrap_or_default().is_some(), true);
            }
        }
    }
}
