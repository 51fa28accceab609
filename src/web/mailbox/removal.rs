//! Messages that go: by the page's form, or by DELETE.
//!
//! Browsers send name and password along with whatever any site's page asks them to send
//! (cross-site request forgery). So a form must carry a token that only our own pages have: no
//! other site can read it. DELETE needs none, since no form can make one, and a script of another
//! site needs a permission that this server never gives. A foreign `Origin` is refused before.

use std::collections::HashSet;

use ring::hmac;
use subtle::ConstantTimeEq;

use super::{MAILBOX, private, refusal};
use crate::{
    http::Fault,
    net::Conn,
    store::{Account, StoreError, blocking, mail::MailStore},
    web::{
        Web,
        body::RequestBody,
        form, page,
        reply::{Halt, Reply},
        request::Request,
    },
};

/// What the forms of an account's pages carry. It is as good as the process is old.
pub(super) fn token(key: &hmac::Key, account: &str) -> String {
    form::hex(hmac::sign(key, account.as_bytes()).as_ref())
}

impl Web {
    /// Removes the messages that a form names, and shows the list again. Those that are gone already
    /// count as removed.
    pub(in crate::web) async fn remove_marked(&self, conn: &mut Conn, request: &Request, body: &mut RequestBody) -> Result<Reply, Halt> {
        self.check_mailbox(request)?;
        let account = self.account(request).await?;
        let pairs = form::pairs(&form::urlencoded(conn, request, body).await?);
        let shown = pairs.iter().find(|(name, _)| name == "token").map_or("", |(_, token)| token);
        if !bool::from(shown.as_bytes().ct_eq(token(&self.shared.mailboxes.key, &account.name).as_bytes())) {
            let what = "the form is not one of this server's pages, or it was restarted since: load the page again";
            return Err(Fault::new(403, what, "RFC 9110, 15.5.4").into());
        }
        let uids: Vec<String> = pairs.into_iter().filter(|(name, _)| name == "message").map(|(_, uid)| uid).collect();
        let removed = self.remove_mail(&account, uids).await?;
        conn.tap().event(format_args!("removed {removed} messages"));
        Ok(private(Reply::text(303, page::TEXT, format!("Removed: {removed}.\n")).with("Location", MAILBOX)))
    }

    /// Removes one message.
    pub(in crate::web) async fn remove_one(&self, conn: &mut Conn, request: &Request, uid: &str) -> Result<Reply, Halt> {
        self.check_mailbox(request)?;
        let account = self.account(request).await?;
        if self.remove_mail(&account, vec![uid.to_owned()]).await? == 0 {
            return Err(refusal(StoreError::NotFound).into());
        }
        conn.tap().event("removed a message");
        Ok(private(Reply::new(204)))
    }

    async fn remove_mail(&self, account: &Account, uids: Vec<String>) -> Result<usize, Halt> {
        // A session of POP3 is given the moment to end that it would have from the next one.
        let _turn = self.deps.turns.take_briefly(&account.name).await.ok_or_else(|| refusal(StoreError::Busy))?;
        let (store, name) = (self.deps.mail.clone(), account.name.clone());
        blocking(move || remove(&*store, &name, &uids)).await.map_err(|error| refusal(error).into())
    }
}

/// Removes messages in one commit, under the lock that a POP3 session has; answers how many.
fn remove(store: &dyn MailStore, account: &str, uids: &[String]) -> Result<usize, StoreError> {
    if uids.is_empty() {
        return Ok(0);
    }
    let mut maildrop = store.open_maildrop(account)?;
    let named: HashSet<&str> = uids.iter().map(String::as_str).collect();
    let all = maildrop.messages().iter().enumerate();
    let indexes: Vec<usize> = all.filter(|(_, facts)| named.contains(facts.uid.as_str())).map(|(index, _)| index).collect();
    maildrop.remove(&indexes)?;
    Ok(indexes.len())
}
