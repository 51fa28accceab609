//! Proxy-Authorization: Basic against the accounts (RFC 9110, 11.7; RFC 7617).

use super::{Proxy, pages::Page, policy::is_here};
use crate::{
    http::{Form, RequestHead, basic},
    net::Conn,
    store::Secret,
};

/// What a 407 asks for; it stands beside every 407.
const CHALLENGE: &str = "Basic realm=\"Portico proxy\", charset=\"UTF-8\"";

impl Proxy {
    /// Whether this client may have its request passed on; the page that says why not.
    pub(super) async fn admit(&self, conn: &Conn, head: &RequestHead) -> Result<(), Page> {
        let peer = conn.peer().ip();
        if !self.policy.admits(peer) {
            return Err(Page::new(403, "This proxy does not serve clients at your address."));
        }
        // Browsers fetch `/proxy.pac` before they know that there is a proxy to log in to.
        let is_local = matches!(head.target.form(), Form::Origin | Form::Asterisk);
        if is_local || !self.policy.require_login {
            return Ok(());
        }
        if !is_here(peer) && !self.plain_passwords {
            // Anyone on the way could read the password: asking for it would be the mistake.
            return Err(Page::new(403, "This proxy takes passwords from its own machine only, since the connection is not encrypted."));
        }
        let Some((name, password)) = head.fields.only("proxy-authorization").and_then(basic::credentials) else {
            return Err(challenge("This proxy wants the name and password of an account."));
        };
        match self.accounts.login(peer, &name, &Secret(password)).await {
            Some(_) => Ok(()),
            None => Err(challenge("There is no such account, or the password is wrong.")),
        }
    }
}

fn challenge(sentence: &str) -> Page {
    Page::new(407, sentence).with("Proxy-Authenticate", CHALLENGE)
}
