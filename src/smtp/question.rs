//! What the rules can't know, and is asked of others before a sender or recipient is promised
//! anything: is there room in the mailbox, can it be written, does the domain take mail?
//!
//! Every answer comes in a bounded time, and whoever can't tell says nothing: then delivery shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{
    delivery::Weighing,
    directory::Target,
    relay::mx,
    reply::{self, Reply},
    route,
    settings::Settings,
};
use crate::{
    net::{
        dns::{Dns, Mx, Names},
        resolve::Resolver,
    },
    store::{self, mail::MailStore},
};

/// How long the DNS may take to say that a domain takes no mail: nobody's RCPT should wait longer.
const DNS_TIME: Duration = Duration::from_secs(2);
/// A DNS that took longer is left alone for so long: a hundred recipients should not wait for it one
/// after the other.
const DNS_REST: Duration = Duration::from_secs(30);
/// So many accounts are remembered whose mailbox could not be written.
const MAX_UNWRITABLE: usize = 1000;

/// A question, and whom it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Is there room in a mailbox?
    Room(Weighing),
    /// Can the mailbox of this account be written again?
    Writable(String),
    /// Does a recipient's domain take mail?
    TakesMail(String),
    /// Does a sender's, so that it could be answered?
    TakesAnswers(String),
}

/// Whom to ask.
pub(super) struct Answerers {
    mail: Arc<dyn MailStore>,
    unwritable: Arc<Unwritable>,
    /// The DNS, where mail is routed by it.
    names: Option<Arc<dyn Names>>,
    records: BTreeMap<String, Vec<Mx>>,
    resolver: Resolver,
    /// Until when the DNS is not asked.
    rests_until: Mutex<Option<Instant>>,
}

impl Answerers {
    pub(super) fn new(mail: Arc<dyn MailStore>, unwritable: Arc<Unwritable>, settings: &Settings, resolver: Resolver) -> Answerers {
        let names = settings.mx.then(|| Dns::new(route::dns_server(settings)).ok()).flatten();
        let names = names.map(|dns| Arc::new(dns) as Arc<dyn Names>);
        Answerers { mail, unwritable, names, records: mx::table(settings), resolver, rests_until: Mutex::default() }
    }

    /// The refusal that the answer comes to, if it does.
    pub(super) async fn objection(&self, question: Question) -> Option<Reply> {
        match question {
            Question::Room(weighing) => {
                let mail = self.mail.clone();
                store::blocking(move || (!weighing.has_room(&*mail)).then(|| weighing.refusal())).await
            }
            Question::Writable(account) => self.examine(vec![account]).await.then(reply::mailbox_unwritable),
            Question::TakesMail(domain) => self.takes_none(&domain).await.then(|| reply::no_mail_there(&domain)),
            Question::TakesAnswers(domain) => self.takes_none(&domain).await.then(|| reply::no_mail_back(&domain)),
        }
    }

    /// Looks which of these mailboxes can't be written, names them in the log, and remembers them;
    /// answers whether there are any.
    pub(super) async fn examine(&self, accounts: Vec<String>) -> bool {
        let (mail, unwritable) = (self.mail.clone(), self.unwritable.clone());
        store::blocking(move || {
            let is_unwritable = |account: &String| match mail.probe(account) {
                Ok(()) => {
                    unwritable.forget(account);
                    false
                }
                Err(error) => {
                    tracing::error!(account, "the mailbox can't be written: {error}");
                    unwritable.note(account);
                    true
                }
            };
            // All of them are looked at.
            accounts.iter().filter(|account| is_unwritable(account)).count() > 0
        })
        .await
    }

    /// Whether a domain has a null MX record (RFC 7505). Who can't say so in time has not said so.
    async fn takes_none(&self, domain: &str) -> bool {
        let records = match self.records.get(domain) {
            Some(records) => Some(records.clone()),
            None => self.records_by_dns(domain).await,
        };
        records.is_some_and(|records| mx::is_null(&records))
    }

    async fn records_by_dns(&self, domain: &str) -> Option<Vec<Mx>> {
        let rests = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until);
        let names = self.names.as_ref().filter(|_| !rests && !self.resolver.is_local_name(domain))?;
        let Ok(answer) = timeout(DNS_TIME, names.mx(domain)).await else {
            *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + DNS_REST);
            return None;
        };
        answer.ok()
    }
}

/// Accounts whose mailbox could not be written when it was tried last. While there are none, asking
/// costs nothing: a message to many then fails for all of them once, and from then on for these only.
#[derive(Debug, Default)]
pub(crate) struct Unwritable(Mutex<BTreeSet<String>>);

impl Unwritable {
    /// One of these recipients, if it is among them.
    pub(super) fn among(&self, targets: &[Target]) -> Option<String> {
        let unwritable = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if unwritable.is_empty() {
            return None;
        }
        targets.iter().find_map(|target| match target {
            Target::Account { account, .. } => unwritable.get(account).cloned(),
            Target::Remote(_) => None,
        })
    }

    fn note(&self, account: &str) {
        let mut unwritable = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if unwritable.len() < MAX_UNWRITABLE {
            unwritable.insert(account.to_owned());
        }
    }

    fn forget(&self, account: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::dns::{Asked, NoAnswer},
        store::memory::MemoryMail,
    };

    /// Says of every domain what it is made with; a null MX where that is nothing.
    struct Says(Option<NoAnswer>, Duration);

    impl Names for Says {
        fn mx<'a>(&'a self, _domain: &'a str) -> Asked<'a, Vec<Mx>> {
            Box::pin(async move {
                tokio::time::sleep(self.1).await;
                self.0.clone().map_or_else(|| Ok(mx::parse("0 .").into_iter().collect()), Err)
            })
        }
        fn addresses<'a>(&'a self, _host: &'a str) -> Asked<'a, Vec<std::net::IpAddr>> {
            Box::pin(async { Err(NoAnswer::NoName) })
        }
    }

    async fn said(says: Says, question: Question) -> Option<String> {
        let mail = Arc::new(MemoryMail::new());
        let answerers = Answerers::new(mail, Arc::default(), &Settings::default(), Resolver::default());
        let answerers = Answerers { names: Some(Arc::new(says)), ..answerers };
        answerers.objection(question).await.map(|reply| reply.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_null_mx_that_is_told_in_time_refuses() {
        let (at_once, domain) = (Duration::ZERO, || "x.example".to_owned());
        let refused = said(Says(None, at_once), Question::TakesMail(domain())).await;
        assert_eq!(refused.as_deref(), Some("556 5.1.10 x.example... Domain does not accept mail\r\n"));
        let refused = said(Says(None, at_once), Question::TakesAnswers(domain())).await;
        assert_eq!(refused.as_deref(), Some("550 5.7.27 x.example... Sender's domain does not accept mail\r\n"));
        for says in [Says(None, DNS_TIME * 2), Says(Some(NoAnswer::NoName), at_once), Says(Some(NoAnswer::NoRecord), at_once)] {
            assert_eq!(said(says, Question::TakesMail(domain())).await, None);
        }
        assert_eq!(said(Says(None, at_once), Question::TakesMail("localhost".into())).await, None, "not the DNS's to say");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dns_that_is_silent_delays_the_first_recipient_only() {
        let answerers = Answerers::new(Arc::new(MemoryMail::new()), Arc::default(), &Settings::default(), Resolver::default());
        let answerers = Answerers { names: Some(Arc::new(Says(None, DNS_TIME * 2))), ..answerers };
        let began = Instant::now();
        for _ in 0..100 {
            assert!(answerers.objection(Question::TakesMail("x.example".into())).await.is_none());
        }
        assert_eq!(began.elapsed(), DNS_TIME);
        tokio::time::sleep(DNS_REST).await;
        assert!(answerers.objection(Question::TakesMail("x.example".into())).await.is_none());
        assert!(began.elapsed() >= DNS_TIME + DNS_REST + DNS_TIME);
    }
}
