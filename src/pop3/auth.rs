//! Lends the connection to the SASL exchange of AUTH (RFC 5034, 4).

use super::reply::Reply;
use crate::{
    net::{Conn, Ended, Received},
    store::sasl::{Answer, Asks, LINE_OCTETS},
};

/// The client, as the exchange sees it.
pub(super) struct Client<'c>(pub &'c mut Conn);

impl Asks for Client<'_> {
    type Ended = Ended;

    async fn ask(&mut self, challenge: &str) -> Result<Answer, Ended> {
        self.0.say(Reply::challenge(challenge));
        Ok(match self.0.more(LINE_OCTETS, |line| Some(0..line.len())).await? {
            Received::Whole(line) => Answer::Line(line.text),
            Received::TooLong => Answer::TooLong,
        })
    }
}
