//! `portico account import`: a class on one server.

use std::{collections::BTreeSet, fs::File, path::PathBuf};

use clap::Args;
use serde::Deserialize;

use super::{Change, Outcome, add, edit, password::Kept, say, tell_server};
use crate::{cli::folder::DataFolder, error::StartError, net::escape::escape, store::Accounts};

/// As many as a large course has.
const MOST: usize = 10_000;

#[derive(Args)]
pub(crate) struct ImportArgs {
    file: PathBuf,
    #[command(flatten)]
    kept: Kept,
}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    name: String,
    password: String,
    /// Folders of `www/`, with blanks between.
    #[serde(default)]
    write: String,
}

/// Adds all accounts of the file that are not there, or none where a line is wrong.
pub(super) fn import(folder: &DataFolder, accounts: &Accounts, args: ImportArgs) -> Result<Outcome, StartError> {
    let lines = read(&args.file)?;
    let (known, new): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| accounts.exists(&line.name));
    let mut changes: Vec<(String, Change)> = Vec::new();
    for Line { name, password, write } in new {
        let hash = args.kept.hash(password)?;
        let mut write: Vec<_> = write.split_whitespace().map(str::to_owned).collect();
        if write.is_empty() {
            write.push(format!("/~{name}/"));
        }
        changes.push((name, Box::new(move |account| add(account, &hash, write))));
    }
    let added = changes.len();
    for line in &known {
        say(format_args!("{} exists already, and stays as it is\n", escape(&line.name)));
    }
    if added == 0 {
        say(format_args!("no account is new\n"));
        return Ok(Outcome::Fine);
    }
    edit(folder, changes)?;
    say(format_args!("{added} accounts: "));
    tell_server(folder)
}

fn read(file: &PathBuf) -> Result<Vec<Line>, StartError> {
    let failed = |what: String| StartError(format!("{}: {what}", file.display()));
    let source = File::open(file).map_err(|error| failed(error.to_string()))?;
    let mut names = BTreeSet::new();
    let mut lines = Vec::new();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(source);
    for (index, line) in reader.deserialize::<Line>().enumerate() {
        let line = line.map_err(|error| failed(format!("{error}; the first line names the columns: name,password,write")))?;
        let number = index + 2;
        if line.name.is_empty() || line.password.is_empty() {
            return Err(failed(format!("line {number}: name and password must not be empty; nothing was changed")));
        }
        if !names.insert(line.name.to_lowercase()) {
            return Err(failed(format!("line {number}: {} is there twice; nothing was changed", escape(&line.name))));
        }
        if lines.len() == MOST {
            return Err(failed(format!("more than {MOST} accounts; nothing was changed")));
        }
        lines.push(line);
    }
    Ok(lines)
}
