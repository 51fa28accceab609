//! Logging in at a next hop (RFC 4954), as its settings say: SCRAM-SHA-256 where it is offered, then
//! PLAIN, then LOGIN. A password never goes over a connection that others can read.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    answer::Answer,
    session::{GREETING, Lost, Session},
};
use crate::{
    smtp::route::Login,
    store::sasl::client::{Proof, Scram},
};

/// Logs in, or says why not.
pub(super) async fn log_in(session: &mut Session, login: &Login) -> Result<(), Lost> {
    let is_here = session.conn().peer().ip().to_canonical().is_loopback();
    if session.conn().tls().is_none() && !is_here {
        return Err(Lost("454 4.7.0 the next hop offers no TLS, and the password is not sent in the clear".into()));
    }
    let offered = session.offers.parameters("AUTH").unwrap_or_default().to_owned();
    let offers = |name: &str| offered.split_whitespace().any(|word| word == name);
    let answer = if offers("SCRAM-SHA-256") {
        scram(session, login).await?
    } else if offers("PLAIN") {
        let message = STANDARD.encode(format!("\0{}\0{}", login.user, login.password.0));
        session.ask_masked(&format!("AUTH PLAIN {message}"), "AUTH PLAIN ****", GREETING).await?
    } else if offers("LOGIN") {
        by_login(session, login).await?
    } else {
        return Err(Lost("454 4.7.0 the next hop offers no way to log in that is known here".into()));
    };
    match answer.code {
        235 => Ok(()),
        // A wrong password here is a mistake in the settings; the mail waits until it is mended.
        _ => Err(Lost(format!("logging in: {answer}"))),
    }
}

/// User name and password, each as the answer to a challenge.
async fn by_login(session: &mut Session, login: &Login) -> Result<Answer, Lost> {
    let mut answer = session.ask("AUTH LOGIN", GREETING).await?;
    for word in [&login.user, &login.password.0] {
        if answer.code != 334 {
            break;
        }
        answer = session.ask_masked(&STANDARD.encode(word), "****", GREETING).await?;
    }
    Ok(answer)
}

/// The next hop must prove that it knows the account, too.
async fn scram(session: &mut Session, login: &Login) -> Result<Answer, Lost> {
    let scram = Scram::new(&login.user);
    let first = STANDARD.encode(scram.first());
    let challenge = session.ask_masked(&format!("AUTH SCRAM-SHA-256 {first}"), "AUTH SCRAM-SHA-256 ****", GREETING).await?;
    if challenge.code != 334 {
        return Ok(challenge);
    }
    let challenge = decoded(&challenge);
    let password = login.password.clone();
    // Thousands of rounds of hashing.
    let proof = crate::store::blocking(move || scram.answer(&challenge, &password)).await;
    let Proof { message, signature } = proof.map_err(|why| Lost(format!("logging in: {why}")))?;
    let answer = session.ask_masked(&STANDARD.encode(message), "****", GREETING).await?;
    let (proven, answer) = match answer.code {
        // The signature may come with the last answer, or as a challenge before it (RFC 4954, 4).
        334 => (decoded(&answer) == signature, session.ask("", GREETING).await?),
        235 => (answer.lines.iter().any(|line| line.split_whitespace().any(|word| decode(word) == signature)), answer),
        _ => return Ok(answer),
    };
    match proven {
        true => Ok(answer),
        false => Err(Lost("logging in: the next hop does not know the account: it can't be who it seems".into())),
    }
}

fn decoded(answer: &Answer) -> String {
    decode(&answer.lines.concat())
}

fn decode(text: &str) -> String {
    STANDARD.decode(text.trim()).ok().and_then(|octets| String::from_utf8(octets).ok()).unwrap_or_default()
}
