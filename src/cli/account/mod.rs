//! `portico account`: changes `[accounts]` in `portico.toml` and keeps everything else in it,
//! comments too. A running server takes the change at once.

mod import;
mod password;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::Path,
};

use clap::Subcommand;
use serde_json::json;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use self::password::{PasswordSource, hash};
use super::{
    Outcome,
    folder::{DataFolder, cannot},
    options::{Global, ServeFlags},
    say, settings, table,
};
use crate::{
    config::Settings,
    control::{self, Request},
    error::StartError,
    net::escape::escape,
    store::Accounts,
};

#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Add an account; its password is asked for and stored as an Argon2id hash
    Add {
        name: String,
        /// Folders of www/ below which it may write [default: /~NAME/]
        #[arg(long, value_name = "FOLDER", value_delimiter = ',')]
        write: Vec<String>,
        #[command(flatten)]
        source: PasswordSource,
    },
    /// Add the accounts of a CSV file, a class on one server: columns `name`, `password` and, if need
    /// be, `write`, named in its first line. Accounts that exist already stay as they are
    Import(import::ImportArgs),
    /// Change a password
    Passwd {
        name: String,
        #[command(flatten)]
        source: PasswordSource,
    },
    /// List the accounts and their rights
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an account; its mailbox and files stay
    Remove { name: String },
}

pub(crate) fn account(global: &Global, command: AccountCommand) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    let settings = settings::load(&folder, global, &ServeFlags::default())?;
    let accounts = Accounts::new(&settings.accounts, settings.sample_accounts).map_err(StartError)?;
    let (name, change): (_, Change) = match command {
        AccountCommand::Import(args) => return import::import(&folder, &accounts, args),
        AccountCommand::List { json } => return Ok(list(&settings, &accounts, json)),
        AccountCommand::Add { name, .. } if accounts.exists(&name) => {
            return failed(format_args!("the account {} exists already; change it by `portico account passwd`", escape(name)));
        }
        AccountCommand::Passwd { name, .. } | AccountCommand::Remove { name } if !accounts.exists(&name) => {
            return failed(format_args!("there is no account {}; `portico account list` shows all", escape(name)));
        }
        AccountCommand::Add { name, write, source } => {
            let write = if write.is_empty() { vec![format!("/~{name}/")] } else { write };
            let hash = hash(&name, &source)?;
            (name, Box::new(move |account| add(account, &hash, write)))
        }
        AccountCommand::Passwd { name, source } => {
            let hash = hash(&name, &source)?;
            (name, Box::new(move |account| set_hash(account, &hash)))
        }
        AccountCommand::Remove { name } => {
            let change = removal(&name, &settings)?;
            (name, change)
        }
    };
    edit(&folder, vec![(name, change)])?;
    tell_server(&folder)
}

fn add(account: &mut Table, hash: &str, write: Vec<String>) {
    account.remove("enabled");
    account.insert("write", value(write.into_iter().collect::<Array>()));
    set_hash(account, hash);
}

fn set_hash(account: &mut Table, hash: &str) {
    account.remove("password");
    account.insert("password-hash", value(hash));
}

/// What becomes of an account's table; an empty one is removed.
type Change = Box<dyn FnOnce(&mut Table)>;

/// A sample account exists even if no line mentions it: it has to be switched off.
fn removal(name: &str, settings: &Settings) -> Result<Change, StartError> {
    let samples = Accounts::new(&Default::default(), settings.sample_accounts).map_err(StartError)?;
    let is_sample = samples.exists(name);
    Ok(Box::new(move |account| {
        account.clear();
        if is_sample {
            account.insert("enabled", value(false));
        }
    }))
}

/// Changes the tables of accounts and replaces the file, if the result makes sense.
fn edit(folder: &DataFolder, changes: Vec<(String, Change)>) -> Result<(), StartError> {
    let file = folder.settings_file();
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(cannot("read the settings", &file)(error)),
    };
    let broken = |what: &str| StartError(format!("cannot change {}: {what}", file.display()));
    let mut document = text.parse::<DocumentMut>().map_err(|error| broken(error.message()))?;
    let accounts = document.entry("accounts").or_insert_with(implicit_table);
    let accounts = accounts.as_table_mut().ok_or_else(|| broken("`accounts` is written as an inline table; write [accounts.NAME]"))?;
    for (name, change) in changes {
        let account = accounts.entry(&name).or_insert_with(|| Item::Table(Table::new()));
        let inline = || broken(&format!("the account {} is written as an inline table; write [accounts.NAME]", escape(&name)));
        let account = account.as_table_mut().ok_or_else(inline)?;
        change(account);
        if account.is_empty() {
            accounts.remove(&name);
        }
    }
    let text = document.to_string();
    let settings = toml::from_str::<Settings>(&text).map_err(|error| broken(error.message()))?;
    crate::config::check::check(&settings)?;
    fs::create_dir_all(&folder.root).map_err(cannot("create the folder", &folder.root))?;
    replace(&file, &text).map_err(cannot("write the settings", &file))
}

/// `[accounts.carol]` without an empty `[accounts]` above it.
fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

/// Replaces a file whole or not at all, keeping its owner and mode; a new one is private, as it holds
/// password hashes. A symbolic link stays one.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let temporary = file.with_file_name(format!(".portico-settings-{}", std::process::id()));
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = out.write_all(text.as_bytes()).and_then(|()| match fs::metadata(&file) {
        Ok(there) => {
            // Only root may, and only root needs to: a service that gave up root reads it.
            let _kept_if_allowed = fchown(&out, Some(there.uid()), Some(there.gid()));
            out.set_permissions(there.permissions())
        }
        Err(_) => Ok(()),
    });
    let replaced = written.and_then(|()| out.sync_all()).and_then(|()| fs::rename(&temporary, &file));
    if replaced.is_err() {
        // The error that led here is the one worth telling.
        let _left = fs::remove_file(&temporary);
    }
    replaced
}

fn list(settings: &Settings, accounts: &Accounts, as_json: bool) -> Outcome {
    let samples = accounts.with_sample_passwords();
    let rows = accounts.names().into_iter().filter_map(|name| {
        let account = accounts.account(&name)?;
        let password = match settings.accounts.get(&name) {
            _ if samples.contains(&name) => "sample",
            Some(own) if own.password_hash.is_some() => "hashed",
            _ => "clear",
        };
        let write: Vec<_> = account.write.iter().map(ToString::to_string).collect();
        Some((name, password, write))
    });
    if as_json {
        let list: Vec<_> = rows.map(|(name, password, write)| json!({ "name": name, "password": password, "write": write })).collect();
        say(format_args!("{}\n", serde_json::Value::Array(list)));
    } else {
        let head = ["account", "password", "may write below"].map(str::to_owned).to_vec();
        let rows = rows.map(|(name, password, write)| vec![escape(name), password.to_owned(), escape(write.join(" "))]);
        say(format_args!("{}", table::plain(std::iter::once(head).chain(rows))));
    }
    Outcome::Fine
}

/// A running server reads its accounts again.
fn tell_server(folder: &DataFolder) -> Result<Outcome, StartError> {
    match control::ask(&folder.control_socket(), &Request::Reload) {
        Some(Err(why)) => failed(format_args!("saved, but the running server did not take it: {}", escape(why))),
        Some(Ok(_)) => {
            say(format_args!("saved; the running server has taken it\n"));
            Ok(Outcome::Fine)
        }
        None => {
            say(format_args!("saved\n"));
            Ok(Outcome::Fine)
        }
    }
}

fn failed(why: std::fmt::Arguments<'_>) -> Result<Outcome, StartError> {
    anstream::eprintln!("portico: {why}");
    Ok(Outcome::Failed)
}
