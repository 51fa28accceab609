//! The accounts as the settings name them: reads, checks and looks up; checks no passwords.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use sha2::{Digest, Sha256};

use super::{
    VirtualPath,
    accounts::{Account, AccountSettings, Delivery, Secret},
    password::Password,
    sasl::keys::{self, Keys},
};

/// Name, password and write right of the sample accounts, known to everybody.
const SAMPLES: [(&str, &str, &str); 2] = [("alice", "wonderland", "/"), ("bob", "hungry", "/~bob/")];

/// Account names become folder names and local parts; this is short enough for both (RFC 5321,
/// 4.5.3.1.1).
const NAME_OCTETS: usize = 64;

/// The accounts of one reading of the settings.
pub(super) struct Roster {
    pub accounts: BTreeMap<String, Entry>,
    /// What an unknown name is checked against, so that it costs what a known one costs.
    pub dearest: Password,
    /// Made at the first need and all at once, so that no name is answered later than another.
    scram: OnceLock<BTreeMap<String, Keys>>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub account: Arc<Account>,
    pub delivery: Arc<Delivery>,
    pub password: Password,
    /// A sample with the password that everybody knows.
    pub is_sample: bool,
}

impl Roster {
    pub(super) fn read(settings: &BTreeMap<String, AccountSettings>, sample_accounts: bool) -> Result<Roster, String> {
        let mut accounts = BTreeMap::new();
        if sample_accounts {
            for (name, password, write) in SAMPLES {
                let write = vec![VirtualPath::parse(write).map_err(|error| error.to_string())?];
                accounts.insert(name.to_owned(), Entry::new(name, Password::Clear(Secret(password.into())), write, None));
            }
        }
        for (name, setting) in settings {
            check_name(name)?;
            if setting.enabled == Some(false) {
                accounts.remove(name);
            } else {
                let entry = read_entry(name, setting, accounts.get(name)).map_err(|error| format!("[accounts.{name}]: {error}"))?;
                accounts.insert(name.clone(), entry);
            }
        }
        let cheapest = Password::Clear(Secret(rand::random::<u128>().to_string()));
        let dearest = accounts.values().map(|entry| &entry.password).max_by_key(|password| password.cost()).cloned().unwrap_or(cheapest);
        Ok(Roster { accounts, dearest, scram: OnceLock::new() })
    }

    /// Whether every password is kept in a form that SCRAM can work with.
    pub(super) fn has_scram_keys(&self) -> bool {
        self.accounts.values().all(|entry| !matches!(entry.password, Password::Argon2(_)))
    }

    pub(super) fn has_clear_passwords(&self) -> bool {
        self.accounts.values().all(|entry| matches!(entry.password, Password::Clear(_)))
    }

    /// The SCRAM keys of an account, or made-up ones that no password matches: the same ones for
    /// the same name at every time, so that who asks twice learns nothing (RFC 5802, 5.1 note).
    /// `secret` is known to this process alone.
    pub(super) fn scram_keys(&self, name: &str, secret: &[u8]) -> Keys {
        let made = self.scram.get_or_init(|| {
            let keys = |entry: &Entry| match &entry.password {
                Password::Scram(keys) => Some(keys.clone()),
                Password::Clear(clear) => Some(Keys::derive(&clear.0, salt(&entry.account.name, secret), keys::ITERATIONS)),
                Password::Argon2(_) => None,
            };
            self.accounts.iter().filter_map(|(name, entry)| Some((name.clone(), keys(entry)?))).collect()
        });
        let found = self.find(name).and_then(|entry| made.get(&entry.account.name));
        found.cloned().unwrap_or_else(|| {
            let iterations = made.values().map(Keys::iterations).max().unwrap_or(keys::ITERATIONS);
            Keys::unmatched(salt(name, secret), iterations)
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        if name.len() > NAME_OCTETS {
            return None;
        }
        self.accounts.get(name).or_else(|| self.accounts.get(&name.to_ascii_lowercase()))
    }
}

/// A salt that is different for each name and doesn't tell which names there are.
fn salt(name: &str, secret: &[u8]) -> Vec<u8> {
    Sha256::new_with_prefix(secret)
        .chain_update(b"salt")
        .chain_update(name.to_ascii_lowercase())
        .finalize()
        .iter()
        .take(16)
        .copied()
        .collect()
}

impl Entry {
    fn new(name: &str, password: Password, write: Vec<VirtualPath>, www_quota: Option<u64>) -> Entry {
        let own = VirtualPath::parse(&format!("/~{name}")).unwrap_or_else(|_| VirtualPath::root());
        let home = if write.contains(&own) { own } else { VirtualPath::root() };
        let is_sample =
            SAMPLES.iter().any(|(sample, known, _)| *sample == name && matches!(&password, Password::Clear(kept) if kept.0 == *known));
        Entry {
            account: Arc::new(Account { name: name.to_owned(), home, write, www_quota, adds_only: false }),
            delivery: Arc::default(),
            password,
            is_sample,
        }
    }
}

/// Small letters, digits, `.`, `_` or `-`, not beginning with `.` or `-`: safe as a folder name and
/// as a local part, and no two names differ in case only.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
    if name.is_empty() || name.len() > NAME_OCTETS || name.starts_with(['.', '-']) || !name.bytes().all(allowed) {
        return Err(format!(
            "[accounts.{}]: an account name has 1 to {NAME_OCTETS} small letters, digits, `.`, `_` or `-`, and begins with a letter or digit",
            name.escape_default()
        ));
    }
    Ok(())
}

fn read_entry(name: &str, setting: &AccountSettings, sample: Option<&Entry>) -> Result<Entry, String> {
    let password = match (&setting.password, &setting.password_hash) {
        (Some(_), Some(_)) => return Err("give password or password-hash, not both".into()),
        (Some(clear), None) if clear.is_empty() => return Err("the password is empty".into()),
        (Some(clear), None) => Password::Clear(Secret(clear.clone())),
        (None, Some(hash)) => Password::parse_hash(hash)?,
        (None, None) => sample.map(|entry| entry.password.clone()).ok_or("give password or password-hash")?,
    };
    let write = match sample {
        Some(entry) if setting.write.is_empty() => entry.account.write.clone(),
        _ => setting.write.iter().map(|text| write_prefix(text)).collect::<Result<_, _>>()?,
    };
    let delivery = Delivery {
        quota: setting.mail_quota.map(|quota| quota.0),
        forward: setting.forward.clone(),
        keep_copy: setting.keep_copy.unwrap_or(false),
    };
    let www_quota = setting.www_quota.map(|quota| quota.0);
    Ok(Entry { delivery: Arc::new(delivery), ..Entry::new(name, password, write, www_quota) })
}

fn write_prefix(text: &str) -> Result<VirtualPath, String> {
    if !text.starts_with('/') {
        return Err(format!("write = [\"{}\"]: a folder of the tree begins with `/`", text.escape_default()));
    }
    VirtualPath::parse(text).map_err(|_| format!("write = [\"{}\"]: no such folder can exist", text.escape_default()))
}
