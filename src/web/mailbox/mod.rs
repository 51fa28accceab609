//! A mailbox in the browser: mail access over HTTP, below `/lab/mail/`.
//!
//! It looks at the same maildrop as POP3, of the account that the request logs in as. Looking locks
//! nothing and changes nothing; removing takes the maildrop's lock, as a POP3 session does. To
//! follow a request: [`address`] says what is asked for, [`reading`] gets it out of the store,
//! [`list`] and [`message`] write the pages, [`plain`] the same for programs and terminals, [`part`]
//! hands out what a message holds, and [`removal`] removes.
//!
//! All that is shown was written by strangers: [`excerpt`] makes it short and harmless. Pages are
//! escaped and load nothing but this server's own addresses; HTML and pictures come from addresses
//! of their own, in a sandbox.

mod address;
mod excerpt;
mod list;
mod message;
mod part;
mod plain;
mod reading;
mod removal;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use ring::hmac;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

pub(super) use self::address::{MAILBOX, Page, find};
use self::reading::Message;
use super::{
    Web,
    audience::Audience,
    files, form,
    reply::{Body, Halt, Reply},
    request::Request,
};
use crate::{
    http::Fault,
    store::{Account, StoreError, VirtualPath, blocking},
};

/// The largest message that is taken apart, in octets: it goes through memory. The default of
/// `smtp.max-message` is below.
const MESSAGE_OCTETS: u64 = 64 * 1024 * 1024;
/// What all messages that are being shown may take together, in KiB.
const ROOM_KIB: usize = 192 * 1024;
/// How long a request waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// What http and https share for those who look into mailboxes.
pub(super) struct Mailboxes {
    /// See [`ROOM_KIB`].
    room: Arc<Semaphore>,
    /// Signs the forms; see `removal`.
    key: hmac::Key,
}

impl Default for Mailboxes {
    fn default() -> Mailboxes {
        Mailboxes { room: Arc::new(Semaphore::new(ROOM_KIB)), key: hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()) }
    }
}

impl Mailboxes {
    /// Room in memory for a message; 503 where others keep it all.
    async fn room(&self, octets: u64) -> Result<OwnedSemaphorePermit, Fault> {
        let kib = u32::try_from(octets.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = timeout(ROOM_WAIT, self.room.clone().acquire_many_owned(kib)).await;
        let full = || Fault::new(503, "too many messages are being shown at this moment", "RFC 9110, 15.6.4");
        room.map_err(|_| full())?.map_err(|_| full())
    }
}

impl Web {
    /// Shows something of a mailbox.
    pub(super) async fn read_mail(&self, request: &Request, page: &Page) -> Result<Reply, Halt> {
        self.check_mailbox(request)?;
        if *page == Page::Unslashed {
            return Ok(Reply::new(301).with("Location", MAILBOX));
        }
        let account = self.account(request).await?;
        let (audience, disposition) = (request.audience(), Disposition::of(request));
        let reply = match page.clone() {
            Page::List => self.list_mail(request, &account).await?,
            Page::Message(uid) => {
                let token = removal::token(&self.shared.mailboxes.key, &account.name);
                self.with_message(&account, uid, move |message| Ok(message::show(&message, audience, &token))).await?
            }
            Page::Part { uid, number } => {
                self.with_message(&account, uid, move |message| part::reply(&message, &number, disposition)).await?
            }
            Page::Source(uid) => self.mail_source(&account, uid, disposition).await?,
            Page::Unslashed | Page::Nothing => {
                return Err(Fault::new(404, "there is nothing of this name in a mailbox", "RFC 9110, 15.5.5").into());
            }
        };
        Ok(private(reply))
    }

    /// Whether there are mailboxes here for this client.
    fn check_mailbox(&self, request: &Request) -> Result<(), Fault> {
        let closed = "mailboxes in the browser are closed by the setting `http.mailbox`";
        let local = "mailboxes in the browser are for clients on this machine; `http.mailbox = \"everybody\"` opens them";
        self.deps.settings.mailbox.admits(request.peer, local, closed)
    }

    async fn list_mail(&self, request: &Request, account: &Account) -> Result<Reply, Halt> {
        let (store, name) = (self.deps.mail.clone(), account.name.clone());
        let page = page_asked(request)?;
        let token = removal::token(&self.shared.mailboxes.key, &account.name);
        let audience = request.audience();
        let reply = blocking(move || reading::list(&*store, &name, page).map(|list| list::show(&list, audience, &token)));
        let reply = reply.await.map_err(refusal)?;
        reply.ok_or_else(|| Fault::new(404, format!("the mailbox has no page {page}"), "RFC 9110, 15.5.5").into())
    }

    /// Reads a message and has a reply made of it, where both may take their time.
    async fn with_message(
        &self,
        account: &Account,
        uid: String,
        make: impl FnOnce(Message) -> Result<Reply, Fault> + Send + 'static,
    ) -> Result<Reply, Halt> {
        let (store, name) = (self.deps.mail.clone(), account.name.clone());
        let (maildrop, index, octets) = blocking(move || reading::open(&*store, &name, &uid)).await.map_err(refusal)?;
        let held = self.shared.mailboxes.room(octets.min(MESSAGE_OCTETS)).await?;
        let name = account.name.clone();
        let made = blocking(move || Message::read(name, &*maildrop, index).map_err(refusal).and_then(make)).await?;
        Ok(made.holding(held))
    }

    /// The message as it lies there, in pieces: it may be larger than what is taken apart.
    async fn mail_source(&self, account: &Account, uid: String, disposition: Disposition) -> Result<Reply, Halt> {
        let (store, name) = (self.deps.mail.clone(), account.name.clone());
        let file_name = format!("{uid}.eml");
        let opened = blocking(move || {
            let (maildrop, index, octets) = reading::open(&*store, &name, &uid)?;
            Ok((maildrop.read(index)?, octets))
        });
        let (source, octets) = opened.await.map_err(refusal)?;
        let reply = match disposition {
            Disposition::Attachment => part::download(Reply::new(200), "message/rfc822", &file_name),
            _ => Reply::new(200).with("Content-Type", super::page::TEXT).with("Content-Security-Policy", part::SANDBOX),
        };
        Ok(reply.with_body(Body::Message(source, octets)))
    }
}

/// Everything that is shown of a message: as a page, as JSON, as text, and its parts in HTML.
/// For those who look whether anything of it can do harm.
pub(crate) fn everything_shown(message: &[u8]) -> Vec<String> {
    let message = Message::of(message);
    let audiences = [Audience::Browser, Audience::Program, Audience::Anybody];
    let pages = audiences.map(|audience| message::show(&message, audience, "token"));
    let parts = message.parts().iter().filter(|part| part.is_html() && !part.number.is_empty());
    let parts = parts.filter_map(|part| part::reply(&message, &part.number, Disposition::Rendered).ok());
    let text = |reply: &Reply| String::from_utf8_lossy(reply.body.octets()).into_owned();
    pages.iter().map(text).chain(parts.map(|reply| text(&reply))).collect()
}

/// How something is to be shown, by `?as=`; the words are those of Content-Disposition (RFC 6266, 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disposition {
    /// To be looked at, as text or picture.
    Inline,
    /// HTML as its author laid it out.
    Rendered,
    /// To be saved.
    Attachment,
}

impl Disposition {
    fn of(request: &Request) -> Disposition {
        match query(request, "as").as_deref() {
            Some("page") => Disposition::Rendered,
            Some("file") => Disposition::Attachment,
            _ => Disposition::Inline,
        }
    }
}

fn query(request: &Request, name: &str) -> Option<String> {
    let pairs = form::pairs(request.head.target.query().unwrap_or_default().as_bytes());
    pairs.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn page_asked(request: &Request) -> Result<usize, Fault> {
    let Some(page) = query(request, "page") else { return Ok(1) };
    let page = page.parse().ok().filter(|page| *page > 0);
    page.ok_or_else(|| Fault::bad("`page` is a number from 1 on", "RFC 3986, 3.4"))
}

/// Nobody's mail stays in a cache, is told to other sites by a link, or shows on their pages. With
/// `no-referrer` browsers would keep even the origin of our own forms to themselves (Fetch, 3.2.5).
fn private(reply: Reply) -> Reply {
    let reply = reply.with("Cache-Control", "no-store").with("Referrer-Policy", "same-origin");
    reply.with("Cross-Origin-Resource-Policy", "same-origin").with("X-DNS-Prefetch-Control", "off")
}

/// What a storage error becomes for a mailbox.
fn refusal(error: StoreError) -> Fault {
    match error {
        StoreError::NotFound => Fault::new(404, "there is no such message in the mailbox, or no longer", "RFC 9110, 15.5.5"),
        StoreError::Busy => {
            let what = "a POP3 session has the mailbox locked; what it has seen must stay until its QUIT, so try again then";
            Fault::new(409, what, "RFC 1939, 4")
        }
        error => files::refusal(error, &VirtualPath::root()),
    }
}
