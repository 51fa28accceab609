//! SASL (RFC 4422) as SMTP and POP3 carry it (RFC 4954, RFC 5034): which mechanisms are on offer,
//! and THE exchange of challenges and responses that ends with an account or a refusal.
//!
//! A protocol lends its connection as [`Asks`], which says a challenge and reads a response; the
//! messages themselves stand in `plain` and `scram`, and are pure.

pub(crate) mod client;
pub(crate) mod digests;
pub(crate) mod keys;
mod plain;
mod scram;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Account, Accounts, Secret};
use scram::{Challenge, ClientFirst};

/// The longest line of a response, in octets (RFC 4954, 4.5; RFC 5034 names no limit).
pub(crate) const LINE_OCTETS: usize = 12_288;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Never standardised, but many clients know nothing else.
    Login,
    /// RFC 2195: for teaching, since the server must know the password itself.
    CramMd5,
    /// RFC 7677.
    ScramSha256,
    /// The same, bound to the TLS connection beneath it.
    ScramSha256Plus,
}

impl Mechanism {
    const ALL: [(&'static str, Mechanism); 5] = [
        ("PLAIN", Mechanism::Plain),
        ("LOGIN", Mechanism::Login),
        ("CRAM-MD5", Mechanism::CramMd5),
        ("SCRAM-SHA-256", Mechanism::ScramSha256),
        ("SCRAM-SHA-256-PLUS", Mechanism::ScramSha256Plus),
    ];
}

/// What a TLS connection is known by at both of its ends (RFC 5929; RFC 9266), so that a login
/// can't be carried over to another one.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// Its registered name: `tls-exporter`.
    pub kind: &'static str,
    pub octets: Vec<u8>,
}

impl Binding {
    /// By keying material that TLS 1.3 exports.
    pub(crate) fn exporter(octets: Vec<u8>) -> Binding {
        Binding { kind: "tls-exporter", octets }
    }
}

/// The mechanisms on offer on one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    scram: bool,
    cram_md5: bool,
    binding: Option<Binding>,
}

impl Offer {
    /// `cram_md5` is the setting that allows it.
    pub(crate) fn new(accounts: &Accounts, cram_md5: bool, binding: Option<Binding>) -> Offer {
        Offer { scram: accounts.have_scram_keys(), cram_md5: cram_md5 && accounts.have_clear_passwords(), binding }
    }

    /// Their names, as EHLO and CAPA list them.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = Mechanism::ALL.iter().filter(|(_, mechanism)| self.has(*mechanism)).map(|(name, _)| *name).collect();
        names.join(" ")
    }

    /// The mechanism of this name, in any case, if it is on offer.
    pub(crate) fn find(&self, name: &str) -> Option<Mechanism> {
        let (_, mechanism) = Mechanism::ALL.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
        self.has(*mechanism).then_some(*mechanism)
    }

    fn has(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Plain | Mechanism::Login => true,
            Mechanism::CramMd5 => self.cram_md5,
            Mechanism::ScramSha256 => self.scram,
            Mechanism::ScramSha256Plus => self.scram && self.binding.is_some(),
        }
    }
}

/// A connection on which challenges can be said and responses read.
pub(crate) trait Asks: Send {
    /// Why a connection is over.
    type Ended;
    /// Says `challenge`, which is in base64, and reads the line that answers it.
    fn ask(&mut self, challenge: &str) -> impl Future<Output = Result<Answer, Self::Ended>> + Send;
}

pub(crate) enum Answer {
    Line(Vec<u8>),
    TooLong,
}

/// Why an exchange led to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The client said `*`.
    Cancelled,
    TooLong,
    /// The line is not base64.
    NotBase64,
    /// The message is not what the mechanism asks for.
    Malformed(&'static str),
    /// Nobody may act for somebody else here.
    ForSomebodyElse,
    /// Name or password are wrong; the failure has been delayed already.
    Wrong,
}

/// An exchange under way.
pub(crate) struct Exchange<'a, A> {
    pub accounts: &'a Accounts,
    pub offer: &'a Offer,
    pub from: IpAddr,
    pub client: &'a mut A,
}

/// A message of the client, unless it has none.
type Message = Result<Vec<u8>, Refusal>;
type Outcome = Result<Arc<Account>, Refusal>;

impl<A: Asks> Exchange<'_, A> {
    /// Leads the exchange to its end. `initial` is the response that came with the command.
    pub(crate) async fn run(mut self, mechanism: Mechanism, initial: Option<Secret>) -> Result<Outcome, A::Ended> {
        let first = match (mechanism, initial) {
            // Here the server speaks first (RFC 4954, 4: an initial response is wrong).
            (Mechanism::CramMd5, Some(_)) => return Ok(Err(Refusal::Malformed("CRAM-MD5 begins with a challenge"))),
            (Mechanism::CramMd5, None) => return self.cram_md5().await,
            (_, Some(initial)) => plain::decode(initial.0.as_bytes()).map_err(|_| Refusal::NotBase64),
            (Mechanism::Login, None) => self.ask(plain::LOGIN_USERNAME).await?,
            (_, None) => self.ask("").await?,
        };
        let first = match first {
            Ok(first) => first,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match mechanism {
            Mechanism::Plain => Ok(self.plain(&first).await),
            Mechanism::Login | Mechanism::CramMd5 => self.login(&first).await,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => self.scram(&first, mechanism).await,
        }
    }

    async fn plain(&self, message: &[u8]) -> Outcome {
        let (identity, name, password) = plain::plain(message).map_err(Refusal::Malformed)?;
        own_identity(&identity, &name)?;
        self.check(&name, &password).await
    }

    async fn login(&mut self, name: &[u8]) -> Result<Outcome, A::Ended> {
        let password = self.ask(plain::LOGIN_PASSWORD).await?;
        let credentials = password.and_then(|password| {
            let text = |octets| plain::text(octets).map_err(Refusal::Malformed);
            Ok((text(name)?, Secret(text(&password)?)))
        });
        Ok(match credentials {
            Ok((name, password)) => self.check(&name, &password).await,
            Err(refusal) => Err(refusal),
        })
    }

    async fn check(&self, name: &str, password: &Secret) -> Outcome {
        self.accounts.login(self.from, name, password).await.ok_or(Refusal::Wrong)
    }

    async fn scram(&mut self, first: &[u8], mechanism: Mechanism) -> Result<Outcome, A::Ended> {
        let parsed = ClientFirst::parse(first).map_err(Refusal::Malformed);
        let first = match parsed.and_then(|first| own_identity(&first.identity, &first.name).map(|()| first)) {
            Ok(first) => first,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let keys = self.accounts.scram_keys(&first.name).await;
        let fresh = STANDARD.encode(rand::random::<[u8; 18]>());
        let plus = mechanism == Mechanism::ScramSha256Plus;
        let challenge = match Challenge::new(&first, keys, &fresh, plus, self.offer.binding.as_ref()) {
            Ok(challenge) => challenge,
            Err(why) => return Ok(Err(Refusal::Malformed(why))),
        };
        let verdict = match self.ask(challenge.message()).await? {
            Ok(last) => challenge.check(&last).map_err(Refusal::Malformed),
            Err(refusal) => Err(refusal),
        };
        match verdict {
            Err(refusal) => Ok(Err(refusal)),
            Ok(signature) => {
                let proven = self.accounts.settle(self.from, &first.name, signature.is_some()).await;
                match (proven, signature) {
                    // The client answers our proof with an empty line (RFC 4954, 4).
                    (Some(account), Some(signature)) => Ok(self.ask(&signature).await?.map(|_| account)),
                    _ => Ok(Err(Refusal::Wrong)),
                }
            }
        }
    }

    /// The client answers with its name and `HMAC-MD5(password, challenge)` in hex (RFC 2195, 2).
    async fn cram_md5(&mut self) -> Result<Outcome, A::Ended> {
        let challenge = format!("<{:032x}@portico>", rand::random::<u128>());
        let answer = self.ask(&challenge).await?;
        let parsed = answer.and_then(|answer| {
            let text = plain::text(&answer).map_err(Refusal::Malformed)?;
            let (name, digest) = text.rsplit_once(' ').ok_or(Refusal::Malformed("CRAM-MD5 wants a name and a digest"))?;
            Ok((name.to_owned(), digest.to_owned()))
        });
        Ok(match parsed {
            Ok((name, digest)) => {
                let matched = self.accounts.matches_digest(&name, &digest, |password| digests::cram_md5(&challenge, password));
                self.accounts.settle(self.from, &name, matched).await.ok_or(Refusal::Wrong)
            }
            Err(refusal) => Err(refusal),
        })
    }

    /// Says a challenge and reads the response to it.
    async fn ask(&mut self, challenge: &str) -> Result<Message, A::Ended> {
        Ok(match self.client.ask(&STANDARD.encode(challenge)).await? {
            Answer::Line(line) if line == b"*" => Err(Refusal::Cancelled),
            Answer::Line(line) => plain::decode(&line).map_err(|_| Refusal::NotBase64),
            Answer::TooLong => Err(Refusal::TooLong),
        })
    }
}

fn own_identity(identity: &str, name: &str) -> Result<(), Refusal> {
    if identity.is_empty() || identity == name { Ok(()) } else { Err(Refusal::ForSomebodyElse) }
}
