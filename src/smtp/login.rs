//! Asks a client for its name and password (RFC 4954, 4): AUTH PLAIN and AUTH LOGIN.

use super::{
    command::AUTH_LINE_OCTETS,
    reply::{self, Reply},
    rules::Mechanism,
};
use crate::{
    net::{Conn, Ended, Received},
    store::{Secret, sasl},
};

/// The credentials, or the reply that says why there are none.
type Asked = Result<(String, Secret), Reply>;

/// Takes the client through the mechanism's exchange.
pub(super) async fn credentials(conn: &mut Conn, mechanism: Mechanism, initial: Option<String>) -> Result<Asked, Ended> {
    let first = match initial {
        Some(initial) => sasl::decode(initial.as_bytes()).map_err(|_| reply::bad_base64()),
        None if mechanism == Mechanism::Plain => ask(conn, "").await?,
        None => ask(conn, sasl::LOGIN_USERNAME).await?,
    };
    let first = match first {
        Ok(first) => first,
        Err(reply) => return Ok(Err(reply)),
    };
    if mechanism == Mechanism::Plain {
        return Ok(plain(&first));
    }
    let password = ask(conn, sasl::LOGIN_PASSWORD).await?;
    Ok(password.and_then(|password| Ok((text(&first)?, Secret(text(&password)?)))))
}

/// One question and the answer to it.
async fn ask(conn: &mut Conn, question: &str) -> Result<Result<Vec<u8>, Reply>, Ended> {
    conn.say(reply::challenge(question).to_string());
    let answer = match conn.more(AUTH_LINE_OCTETS, |line| Some(0..line.len())).await? {
        Received::Whole(line) => line.text,
        Received::TooLong => return Ok(Err(reply::line_too_long())),
    };
    // RFC 4954, 4: a client cancels by a star.
    Ok(if answer == b"*" { Err(reply::login_cancelled()) } else { sasl::decode(&answer).map_err(|_| reply::bad_base64()) })
}

/// To act for somebody else (an authorisation identity of another name) is for nobody.
fn plain(message: &[u8]) -> Asked {
    match sasl::plain(message) {
        Ok((identity, name, password)) if identity.is_empty() || identity == name => Ok((name, password)),
        _ => Err(reply::login_failed()),
    }
}

fn text(octets: &[u8]) -> Result<String, Reply> {
    sasl::text(octets).map_err(|_| reply::login_failed())
}
