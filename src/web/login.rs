//! Basic authentication (RFC 7617).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Web, reply::Halt, request::Request};
use crate::{
    http::{Fault, Fields},
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
        let (name, password) = credentials(&request.head.fields).ok_or_else(missing)?;
        let account = self.deps.accounts.login(request.peer, &name, &password).await;
        account.ok_or_else(|| Fault::new(401, "there is no such account, or the password is wrong", "RFC 9110, 11.6.1").into())
    }
}

/// Name and password; the scheme's name is case-insensitive, the name ends at the first colon.
fn credentials(fields: &Fields) -> Option<(String, Secret)> {
    let value = std::str::from_utf8(fields.only("authorization")?).ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), Secret(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_by_the_example_of_the_rfc() {
        let read = |value: &str| {
            let mut fields = Fields::new();
            fields.push("Authorization", value);
            credentials(&fields).map(|(name, password)| (name, password.0))
        };
        let aladdin = Some(("Aladdin".to_owned(), "open sesame".to_owned()));
        assert_eq!(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(read("basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        for bad in ["Basic", "Basic !", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic QWxhZGRpbg==", ""] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
