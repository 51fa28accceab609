//! The SASL exchange of AUTH (RFC 5034, 4): challenges and responses until there is a name with a
//! password.

use super::{
    command::{Mechanism, SASL_LINE_OCTETS},
    reply::Reply,
};
use crate::{
    net::{Conn, Ended, Received},
    store::{Secret, sasl},
};

/// What an exchange led to; `Err` tells the client why it failed.
type Outcome<T> = Result<T, &'static str>;

/// Leads the exchange. Whether name and password are right is for the caller to find out.
pub(crate) async fn exchange(conn: &mut Conn, mechanism: Mechanism, initial: Option<Secret>) -> Result<Outcome<(String, Secret)>, Ended> {
    let first = match (mechanism, initial) {
        (_, Some(initial)) => sasl::decode(initial.0.as_bytes()),
        (Mechanism::Plain, None) => ask(conn, "").await?,
        (Mechanism::Login, None) => ask(conn, sasl::LOGIN_USERNAME).await?,
    };
    let first = match first {
        Ok(first) => first,
        Err(why) => return Ok(Err(why)),
    };
    match mechanism {
        Mechanism::Plain => Ok(sasl::plain(&first).and_then(own_identity)),
        Mechanism::Login => {
            let password = ask(conn, sasl::LOGIN_PASSWORD).await?;
            Ok(sasl::text(&first).and_then(|name| Ok((name, Secret(sasl::text(&password?)?)))))
        }
    }
}

/// Nobody may act for somebody else here.
fn own_identity((identity, name, password): (String, String, Secret)) -> Outcome<(String, Secret)> {
    if identity.is_empty() || identity == name { Ok((name, password)) } else { Err("you can log on as yourself only") }
}

async fn ask(conn: &mut Conn, challenge: &str) -> Result<Outcome<Vec<u8>>, Ended> {
    conn.say(Reply::challenge(challenge));
    Ok(match conn.more(SASL_LINE_OCTETS, |line| Some(0..line.len())).await? {
        Received::Whole(line) if line.text == b"*" => Err("authentication cancelled"),
        Received::Whole(line) => sasl::decode(&line.text),
        Received::TooLong => Err("that is too long"),
    })
}
