//! Lends the connection to the SASL exchange of AUTH (RFC 4954, 4), and answers for its outcome.

use super::reply::{self, Reply};
use crate::{
    net::{Conn, Ended, Received},
    store::sasl::{Answer, Asks, LINE_OCTETS, Refusal},
};

/// The client, as the exchange sees it.
pub(super) struct Prover<'c>(pub &'c mut Conn);

impl Asks for Prover<'_> {
    type Ended = Ended;

    async fn ask(&mut self, challenge: &str) -> Result<Answer, Ended> {
        self.0.say(reply::challenge(challenge).to_string());
        Ok(match self.0.more(LINE_OCTETS, |line| Some(0..line.len())).await? {
            Received::Whole(line) => Answer::Line(line.text),
            Received::TooLong => Answer::TooLong,
        })
    }
}

/// Why nobody has logged in.
pub(super) fn refusal(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::Cancelled => reply::login_cancelled(),
        Refusal::TooLong => reply::line_too_long(),
        Refusal::NotBase64 => reply::bad_base64(),
        Refusal::Malformed(why) => reply::bad_login_message(why),
        Refusal::ForSomebodyElse | Refusal::Wrong => reply::login_failed(),
    }
}
