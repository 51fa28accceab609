//! Whole exchanges with a client in memory.

use std::{collections::BTreeMap, convert::Infallible, net::Ipv4Addr};

use ring::{digest, hmac, pbkdf2};

use super::*;
use crate::store::accounts::AccountSettings;

/// A client that answers each challenge by a function of what was said.
struct Scripted<F>(F);

impl<F: FnMut(&str) -> String + Send> Asks for Scripted<F> {
    type Ended = Infallible;
    async fn ask(&mut self, challenge: &str) -> Result<Answer, Infallible> {
        let challenge = String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap();
        Ok(Answer::Line((self.0)(&challenge).into_bytes()))
    }
}

fn samples() -> Accounts {
    Accounts::new(&BTreeMap::new(), true).unwrap()
}

async fn run(accounts: &Accounts, name: &str, initial: Option<&str>, client: impl FnMut(&str) -> String + Send) -> Outcome {
    let offer = Offer::new(accounts, true, None);
    let mechanism = offer.find(name).unwrap();
    let exchange = Exchange { accounts, offer: &offer, from: Ipv4Addr::LOCALHOST.into(), client: &mut Scripted(client) };
    let Ok(outcome) = exchange.run(mechanism, initial.map(|it| Secret(STANDARD.encode(it)))).await;
    outcome
}

/// A client of SCRAM that knows `password`, and insists that the server knows it too.
fn scram_client(name: &str, password: &str) -> (String, impl FnMut(&str) -> String + Send) {
    let first_bare = format!("n={name},r=clientnonce");
    let (initial, password) = (format!("n,,{first_bare}"), password.to_owned());
    let mut expected = String::new();
    let answer = move |challenge: &str| {
        if challenge.starts_with("v=") {
            assert_eq!(challenge, expected, "the server's proof");
            return String::new();
        }
        let attribute = |key: &str| challenge.split(',').find_map(|it| it.strip_prefix(key)).unwrap().to_owned();
        let salt = STANDARD.decode(attribute("s=")).unwrap();
        let mut salted = [0; 32];
        let iterations = attribute("i=").parse().unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        let client_key = sign(&salted, "Client Key");
        let without_proof = format!("c=biws,r={}", attribute("r="));
        let message = format!("{first_bare},{challenge},{without_proof}");
        let signature = sign(digest::digest(&digest::SHA256, client_key.as_ref()).as_ref(), &message);
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        expected = format!("v={}", STANDARD.encode(sign(sign(&salted, "Server Key").as_ref(), &message)));
        STANDARD.encode(format!("{without_proof},p={}", STANDARD.encode(proof)))
    };
    (initial, answer)
}

#[tokio::test(start_paused = true)]
async fn scram_lets_in_who_knows_the_password_and_nobody_else() {
    let accounts = samples();
    for (name, password, outcome) in [
        ("bob", "hungry", Ok("bob")),
        ("BOB", "hungry", Ok("bob")),
        ("bob", "Hungry", Err(Refusal::Wrong)),
        ("eve", "", Err(Refusal::Wrong)),
    ] {
        let (initial, client) = scram_client(name, password);
        let led_to = run(&accounts, "SCRAM-SHA-256", Some(&initial), client).await;
        assert_eq!(led_to.as_ref().map(|account| account.name.as_str()).map_err(|refusal| *refusal), outcome, "{name} {password}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_name_looks_like_a_known_one() {
    let accounts = samples();
    let mut salts = Vec::new();
    for name in ["eve", "eve", "mallory", "bob"] {
        let challenged = |challenge: &str| {
            salts.push(challenge.split(',').skip(1).collect::<Vec<_>>().join(","));
            "*".to_owned()
        };
        let refused = run(&accounts, "scram-sha-256", Some(&format!("n,,n={name},r=abc")), challenged).await;
        assert_eq!(refused.unwrap_err(), Refusal::Cancelled);
    }
    assert_eq!(salts[0], salts[1], "the same salt at every time");
    assert_ne!(salts[1], salts[2]);
    assert!(salts.iter().all(|it| it.len() == salts[0].len() && it.ends_with(",i=4096")), "{salts:?}");
}

#[tokio::test(start_paused = true)]
async fn cram_md5_proves_the_password() {
    let accounts = samples();
    let knows = |password: &'static str| move |challenge: &str| STANDARD.encode(format!("bob {}", digests::cram_md5(challenge, password)));
    assert_eq!(run(&accounts, "CRAM-MD5", None, knows("hungry")).await.unwrap().name, "bob");
    assert_eq!(run(&accounts, "CRAM-MD5", None, knows("angry")).await.unwrap_err(), Refusal::Wrong);
    assert!(matches!(run(&accounts, "CRAM-MD5", Some("x"), knows("hungry")).await, Err(Refusal::Malformed(_))));
}

#[tokio::test(start_paused = true)]
async fn nobody_acts_for_somebody_else() {
    let accounts = samples();
    let silent = |_: &str| String::new();
    assert_eq!(run(&accounts, "PLAIN", Some("alice\0bob\0hungry"), silent).await.unwrap_err(), Refusal::ForSomebodyElse);
    assert_eq!(run(&accounts, "PLAIN", Some("bob\0bob\0hungry"), silent).await.unwrap().name, "bob");
    let refused = run(&accounts, "SCRAM-SHA-256", Some("n,a=alice,n=bob,r=x"), silent).await;
    assert_eq!(refused.unwrap_err(), Refusal::ForSomebodyElse);
}

#[test]
fn what_is_on_offer_follows_from_how_passwords_are_kept() {
    let names = |hash: Option<&str>, binding: bool| {
        let settings = AccountSettings { password_hash: hash.map(str::to_owned), ..AccountSettings::default() };
        let settings = hash.map(|_| ("carol".to_owned(), settings)).into_iter().collect();
        let accounts = Accounts::new(&settings, true).unwrap();
        Offer::new(&accounts, true, binding.then(|| Binding::exporter(vec![0; 32]))).names()
    };
    let argon2 = Accounts::hash_password(&Secret("x".into())).unwrap();
    assert_eq!(names(None, false), "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256");
    assert_eq!(names(None, true), "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 SCRAM-SHA-256-PLUS");
    assert_eq!(names(Some(&argon2), true), "PLAIN LOGIN", "Argon2 can't take part in SCRAM");
    let scram = "$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    assert_eq!(names(Some(scram), false), "PLAIN LOGIN SCRAM-SHA-256");
}
