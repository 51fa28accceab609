//! The rules of logging in and of TLS (RFC 959, 4.1.1; RFC 4217).

use std::sync::Arc;

use super::{Decision, Login, Session, Step, information::short, say};
use crate::{
    ftp::{
        command::{ByteRange, Protection},
        reply::Reply,
    },
    net::escape::escape,
    store::{Account, Secret, VirtualPath},
};

/// Wrong passwords on one connection before it is closed (RFC 2577, 5: against guessing).
pub(super) const MAX_FAILURES: u32 = 5;

impl Session {
    /// The answer of the accounts to [`Step::LogIn`]. `home` is where the account's home is a
    /// directory.
    pub(crate) fn logged_in(&mut self, account: Option<(Arc<Account>, Option<VirtualPath>)>) -> Step {
        let Some((account, home)) = account else {
            self.login = Login::Nobody;
            self.failures += 1;
            return match self.failures < MAX_FAILURES {
                true => Step::Say(Reply::new(530, "Login incorrect")),
                false => Step::Close(Reply::new(421, "Login incorrect, and too often: closing the control connection")),
            };
        };
        self.folder = home.unwrap_or_else(VirtualPath::root);
        let reply = Reply::new(230, format!("{}: user successfully logged on", account.name));
        self.login = Login::In(account);
        Step::Say(reply)
    }

    pub(super) fn user(&mut self, name: String) -> Decision {
        // A new USER flushes what was there (RFC 959, 4.1.1), before anything can go wrong.
        self.login = Login::Nobody;
        self.range = ByteRange::default();
        if self.at.settings.require_tls && !self.at.secured {
            return Err(Reply::new(530, "Sessions are protected here: say AUTH TLS first"));
        }
        let guest = self.is_guest(&name);
        if !guest && !self.at.passwords {
            let way_out = if self.at.offers_tls { ": say AUTH TLS first" } else { "" };
            return Err(Reply::new(530, format!("Passwords are not taken on a plain connection{way_out}")));
        }
        self.login = Login::Named(name);
        match guest {
            true => say(331, "Guest login OK, send your e-mail address as password"),
            false => say(331, "Username OK, password required"),
        }
    }

    pub(super) fn password(&mut self, password: Secret) -> Decision {
        match std::mem::replace(&mut self.login, Login::Nobody) {
            Login::Named(name) if self.is_guest(&name) => {
                // RFC 1635 asks for an e-mail address; it tells who was there and proves nothing.
                tracing::info!(peer = %self.at.peer, "ftp: a guest who calls himself {}", escape(short(&password.0)));
                let settings = &self.at.settings;
                let guest = Account {
                    name: "anonymous".into(),
                    home: VirtualPath::root(),
                    write: settings.anonymous_write.0.clone(),
                    www_quota: Some(settings.anonymous_quota.0).filter(|_| !settings.anonymous_write.0.is_empty()),
                    adds_only: true,
                };
                Ok(self.logged_in(Some((Arc::new(guest), None))))
            }
            Login::Named(name) => Ok(Step::LogIn(name, password)),
            other => {
                self.login = other;
                Err(Reply::new(503, "Say USER first"))
            }
        }
    }

    /// `anonymous` and its customary short form (RFC 1635).
    fn is_guest(&self, name: &str) -> bool {
        self.at.settings.anonymous && (name.eq_ignore_ascii_case("anonymous") || name.eq_ignore_ascii_case("ftp"))
    }

    pub(super) fn auth(&mut self) -> Decision {
        match (self.at.secured, self.at.offers_tls) {
            (true, _) => Err(Reply::new(534, "The control connection is protected already")),
            (false, false) => Err(Reply::new(502, "TLS is not offered here")),
            (false, true) => Ok(Step::StartTls(Reply::new(234, "Proceed with the TLS handshake"))),
        }
    }

    pub(super) fn buffer_size(&mut self) -> Decision {
        if !self.at.secured {
            return Err(Reply::new(503, "Say AUTH TLS first"));
        }
        self.buffer_agreed = true;
        say(200, "PBSZ=0")
    }

    pub(super) fn protect(&mut self, protection: Protection) -> Decision {
        if !self.buffer_agreed {
            return Err(Reply::new(503, "Say PBSZ 0 first"));
        }
        if protection == Protection::Clear && self.at.settings.require_tls_data {
            return Err(Reply::new(534, "Data connections are protected here: PROT P"));
        }
        self.protection = protection;
        say(200, if protection == Protection::Private { "Data connections go through TLS" } else { "Data connections go in the clear" })
    }
}
