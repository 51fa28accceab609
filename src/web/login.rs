//! Basic authentication (RFC 7617).

use std::sync::Arc;

use super::{Web, reply::Halt, request::Request};
use crate::{
    http::{Fault, basic},
    store::{Account, Secret},
};

/// What a 401 asks for; it stands beside every 401.
pub(super) const CHALLENGE: &str = "Basic realm=\"Portico\", charset=\"UTF-8\"";

impl Web {
    /// Who sent the request.
    ///
    /// 401 without good credentials; 403 where a password must not be sent at all, since anyone on
    /// the way could read it: asking for it there would be the mistake.
    pub(super) async fn account(&self, request: &Request) -> Result<Arc<Account>, Halt> {
        let may_send = request.is_secure || request.peer.to_canonical().is_loopback() || self.deps.plain_passwords;
        if !may_send {
            return Err(Fault::new(403, "passwords are taken over https only", "RFC 7617, 4").into());
        }
        let missing = || Fault::new(401, "this needs the name and password of an account", "RFC 9110, 11.6.1");
        let given = request.head.fields.only("authorization").and_then(basic::credentials);
        let (name, password) = given.map(|(name, password)| (name, Secret(password))).ok_or_else(missing)?;
        let account = self.deps.accounts.login(request.peer, &name, &password).await;
        account.ok_or_else(|| Fault::new(401, "there is no such account, or the password is wrong", "RFC 9110, 11.6.1").into())
    }
}
