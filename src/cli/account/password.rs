//! Where a password comes from, and as what it is kept.

use std::io::{self, BufRead, IsTerminal};

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::{
    error::StartError,
    net::escape::escape,
    store::{Accounts, Secret},
};

#[derive(Args)]
pub(crate) struct PasswordSource {
    /// Read the password from standard input even if that is a terminal
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    kept: Kept,
}

/// As what a password is kept.
#[derive(Args, Clone, Copy)]
pub(super) struct Kept {
    /// Keep SCRAM-SHA-256 keys instead of an Argon2id hash: mail programs can then log in without
    /// sending the password. SCRAM is offered only while every account can do it
    #[arg(long)]
    scram: bool,
}

impl Kept {
    pub(super) fn hash(self, password: String) -> Result<String, StartError> {
        let secret = Secret(password);
        let kept = if self.scram { Ok(Accounts::derive_scram_keys(&secret)) } else { Accounts::hash_password(&secret) };
        kept.map_err(StartError)
    }
}

/// Asks for a password, and answers what to keep of it.
pub(super) fn hash(name: &str, source: &PasswordSource) -> Result<String, StartError> {
    let failed = |error: io::Error| StartError(format!("cannot read the password: {error}"));
    let ask = io::stdin().is_terminal() && !source.password_stdin;
    let password = match ask {
        false => read_line().map_err(failed)?,
        true => {
            let password = prompt(&format!("Password for {}: ", escape(name))).map_err(failed)?;
            if prompt("Once more: ").map_err(failed)? != password {
                return Err(StartError("the two passwords differ; nothing was changed".into()));
            }
            password
        }
    };
    if password.is_empty() {
        return Err(StartError("the password is empty; nothing was changed".into()));
    }
    source.kept.hash(password)
}

/// Asks on the terminal, without showing what is typed.
fn prompt(question: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    // Without ISIG, Ctrl-C can't leave a terminal behind that shows nothing.
    hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    eprint!("{question}");
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let line = read_line();
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    eprintln!();
    match line? {
        line if line.contains('\x03') => Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted")),
        line => Ok(line),
    }
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
