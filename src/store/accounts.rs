//! The accounts that submission, POP3, FTP and HTTP share, their rights, and THE password check.
//!
//! Guessing is made slow without ever locking somebody out: a wrong password is answered late,
//! later with each failure from one address on one account, and a right one at once.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use super::{
    VirtualPath, blocking,
    password::{self, Password},
    roster::{Entry, Roster},
    sasl::{digests, keys::Keys},
};
use crate::units::Size;

/// A password on its way; prints as asterisks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// Somebody who has logged in.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// In small letters, as the Maildir's folder is called.
    pub name: String,
    /// Where FTP begins: `/~name` where that folder may be written, else `/`.
    pub home: VirtualPath,
    /// Folders below which this account may write.
    pub write: Vec<VirtualPath>,
    /// How many octets the files below those folders may have, together with its kept partials.
    pub www_quota: Option<u64>,
    /// It makes new files and directories there, and changes or removes none.
    pub adds_only: bool,
}

impl Account {
    pub(crate) fn may_write(&self, path: &VirtualPath) -> bool {
        self.write.iter().any(|folder| path.is_within(folder))
    }
}

/// `[accounts.<name>]` in `portico.toml`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct AccountSettings {
    /// In the clear: for the lab only.
    pub password: Option<String>,
    /// `$argon2id$...`, as `portico account` writes it, or
    /// `$scram-sha-256$<iterations>$<salt>$<StoredKey>$<ServerKey>`.
    pub password_hash: Option<String>,
    /// Folders of the tree below which the account may write.
    pub write: Vec<String>,
    /// What the maildrop may take, in octets as POP3 counts them. Without it `smtp.mail-quota` counts.
    pub mail_quota: Option<Size>,
    /// Where mail for the account goes on to: addresses, or names that are known here.
    pub forward: Vec<String>,
    /// What is forwarded is kept here, too.
    pub keep_copy: Option<bool>,
    /// What the files below those folders may take, all together: more is refused.
    pub www_quota: Option<Size>,
    /// Off: the account does not exist, not even as a sample.
    pub enabled: Option<bool>,
}

/// What is done with the mail of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// In octets; `None` leaves it to the default, 0 is without bound.
    pub quota: Option<u64>,
    pub forward: Vec<String>,
    pub keep_copy: bool,
}

/// How many (address, account) pairs with failures are remembered; beyond that the least used
/// ones are forgotten, so that a flood of names can't fill the memory.
const FAILURES_KEPT: usize = 10_000;
/// The first failure is answered after this; each further one doubles it.
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// The longest delay: a person who mistypes often still gets an answer.
const LONGEST_DELAY: Duration = Duration::from_secs(8);
/// Failures older than this are forgotten.
const FAILURES_FORGOTTEN: Duration = Duration::from_secs(600);

/// Passwords that were right a moment ago are not hashed again: HTTP Basic sends them with every
/// request. How many, and for how long.
const REMEMBERED: usize = 1_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// All accounts.
pub(crate) struct Accounts {
    roster: ArcSwap<Roster>,
    failures: Cache<(IpAddr, u64), Failures>,
    /// Account names as they come may be long; only their hash is kept.
    hasher: RandomState,
    remembered: Cache<[u8; 32], Remembered>,
    /// Makes the keys of `remembered` useless outside this process.
    process_key: [u8; 32],
    /// Hashing is dear in time and memory: it gets half of the processors, never all of them.
    hashing: Semaphore,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

#[derive(Clone)]
struct Remembered {
    until: Instant,
    /// A reload makes everything that was remembered invalid.
    roster: Arc<Roster>,
}

impl Accounts {
    /// Reads the settings. A sample account keeps what its settings don't say.
    ///
    /// # Errors
    /// A sentence for the person who wrote the settings, naming the account.
    pub(crate) fn new(settings: &BTreeMap<String, AccountSettings>, sample_accounts: bool) -> Result<Accounts, String> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Accounts {
            roster: ArcSwap::from_pointee(Roster::read(settings, sample_accounts)?),
            failures: Cache::new(FAILURES_KEPT),
            hasher: RandomState::new(),
            remembered: Cache::new(REMEMBERED),
            process_key: rand::random(),
            hashing: Semaphore::new((processors / 2).max(1)),
        })
    }

    /// Takes new settings while the server runs; on an error the old ones stay.
    pub(crate) fn replace(&self, settings: &BTreeMap<String, AccountSettings>, sample_accounts: bool) -> Result<(), String> {
        self.roster.store(Arc::new(Roster::read(settings, sample_accounts)?));
        self.remembered.clear();
        Ok(())
    }

    /// Whether there is an account of this name, in whatever case (mail for it can be delivered).
    pub(crate) fn exists(&self, name: &str) -> bool {
        self.account(name).is_some()
    }

    /// The account of this name, in whatever case.
    pub(crate) fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.roster.load().find(name).map(|entry| entry.account.clone())
    }

    /// What is done with the mail of an account, if there is one of this name.
    pub(crate) fn delivery(&self, name: &str) -> Option<Arc<Delivery>> {
        self.roster.load().find(name).map(|entry| entry.delivery.clone())
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.roster.load().accounts.keys().cloned().collect()
    }

    /// The accounts that still have the password which everybody can read in the manual.
    pub(crate) fn with_sample_passwords(&self) -> Vec<String> {
        self.roster.load().accounts.iter().filter(|(_, entry)| entry.is_sample).map(|(name, _)| name.clone()).collect()
    }

    /// An Argon2id PHC string for `password-hash`. Takes some ten milliseconds.
    pub(crate) fn hash_password(secret: &Secret) -> Result<String, String> {
        password::hash(secret)
    }

    /// A new password as SCRAM-SHA-256 keys, as `password-hash` takes them.
    pub(crate) fn derive_scram_keys(secret: &Secret) -> String {
        password::scram_keys(secret)
    }

    /// Checks a password. A failure is delayed, more with each one per (address, account); a
    /// right password never is. An unknown account costs as much as a known one.
    pub(crate) async fn login(&self, from: IpAddr, name: &str, password: &Secret) -> Option<Arc<Account>> {
        let begun = Instant::now();
        let roster = self.roster.load_full();
        let entry = roster.find(name);
        let matched = self.check(&roster, entry, password).await;
        let account = entry.filter(|_| matched).map(|entry| entry.account.clone());
        self.settle_since(begun, from, name, account).await
    }

    /// What a login without a password on the wire led to: the account, if the client has shown
    /// that it knows its password. Delays failures as [`Accounts::login`] does.
    pub(super) async fn settle(&self, from: IpAddr, name: &str, matched: bool) -> Option<Arc<Account>> {
        let account = self.account(name).filter(|_| matched);
        self.settle_since(Instant::now(), from, name, account).await
    }

    async fn settle_since(&self, begun: Instant, from: IpAddr, name: &str, account: Option<Arc<Account>>) -> Option<Arc<Account>> {
        let key = (network_of(from), self.hasher.hash_one(name.to_ascii_lowercase()));
        if account.is_some() {
            self.failures.remove(&key);
            return account;
        }
        // Counted before the wait: hanging up in the middle of it gains nothing. The wait counts
        // from the beginning, so that the time of the check doesn't show.
        sleep_until(begun + self.note_failure(key)).await;
        None
    }

    /// APOP (RFC 1939, 7): `digest` is what the client made of the banner's stamp and its password.
    pub(crate) async fn apop(&self, from: IpAddr, name: &str, stamp: &str, digest: &str) -> Option<Arc<Account>> {
        let matched = self.matches_digest(name, digest, |password| digests::apop(stamp, password));
        self.settle(from, name, matched).await
    }

    /// Whether `digest` is what `make` makes of the account's password, which must be kept in the
    /// clear for that. An unknown name costs what a known one costs.
    pub(super) fn matches_digest(&self, name: &str, digest: &str, make: impl Fn(&str) -> String) -> bool {
        let roster = self.roster.load();
        let kept = roster.find(name).and_then(|entry| match &entry.password {
            Password::Clear(clear) => Some(clear.0.as_str()),
            _ => None,
        });
        let expected = make(kept.unwrap_or_default());
        kept.is_some() && bool::from(expected.as_bytes().ct_eq(digest.to_ascii_lowercase().as_bytes()))
    }

    /// Whether SCRAM works for every account: it must not show which names there are.
    pub(crate) fn have_scram_keys(&self) -> bool {
        self.roster.load().has_scram_keys()
    }

    /// Whether APOP and CRAM-MD5 work for every account.
    pub(crate) fn have_clear_passwords(&self) -> bool {
        self.roster.load().has_clear_passwords()
    }

    /// The SCRAM keys of an account; made-up ones for a name that there is not.
    pub(super) async fn scram_keys(&self, name: &str) -> Keys {
        let (roster, name, secret) = (self.roster.load_full(), name.to_owned(), self.process_key);
        blocking(move || roster.scram_keys(&name, &secret)).await
    }

    async fn check(&self, roster: &Arc<Roster>, entry: Option<&Entry>, given: &Secret) -> bool {
        let password = entry.map_or(&roster.dearest, |entry| &entry.password);
        if !password.is_dear() {
            return password.matches(given);
        }
        let key = entry.map(|entry| self.memory_key(&entry.account.name, given));
        if key.is_some_and(|key| self.remembers(roster, &key)) {
            return true;
        }
        let Ok(_permit) = self.hashing.acquire().await else { return false };
        let (password, given) = (password.clone(), given.clone());
        let matched = blocking(move || password.matches(&given)).await;
        if let Some(key) = key
            && matched
        {
            self.remembered.insert(key, Remembered { until: Instant::now() + REMEMBERED_FOR, roster: roster.clone() });
        }
        matched
    }

    fn memory_key(&self, name: &str, given: &Secret) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(self.process_key);
        digest.update(name);
        digest.update([0]);
        digest.update(&given.0);
        digest.finalize().into()
    }

    fn remembers(&self, roster: &Arc<Roster>, key: &[u8; 32]) -> bool {
        self.remembered.get(key).is_some_and(|it| it.until > Instant::now() && Arc::ptr_eq(&it.roster, roster))
    }

    /// How long to wait before this failure is told.
    fn note_failure(&self, key: (IpAddr, u64)) -> Duration {
        let now = Instant::now();
        let before = self.failures.get(&key).filter(|it| now.duration_since(it.last) < FAILURES_FORGOTTEN).map_or(0, |it| it.count);
        self.failures.insert(key, Failures { count: before.saturating_add(1), last: now });
        FIRST_DELAY.saturating_mul(1 << before.min(16)).min(LONGEST_DELAY)
    }
}

/// One subscriber has a whole /64 of IPv6 addresses: they count as one.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        other => other,
    }
}
