//! `portico transcript suites`: what suites there are, what they want, and copies of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use crate::{
    cli::{Outcome, say, table},
    play::{Fixture, Play, suites},
};

#[derive(Args, Debug)]
pub(super) struct SuitesArgs {
    /// Tell what this suite wants of the server
    name: Option<String>,
    /// Write the suites into this folder, with the files and mails that the server must have
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A suite in the list.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    title: String,
    points: u32,
    services: Vec<String>,
    /// The names that `--define` can change.
    defines: Vec<Defined>,
    files: Vec<String>,
    mail: Vec<String>,
}

#[derive(Serialize)]
struct Defined {
    name: String,
    default: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
}

pub(super) fn suites(args: &SuitesArgs) -> Result<Outcome, String> {
    let wanted = args.name.as_deref().map(suites::named).transpose()?;
    let chosen = || suites::all().filter(|(name, ..)| wanted.is_none_or(|wanted| wanted == *name));
    if let Some(folder) = &args.export {
        return export(folder, chosen());
    }
    let listed = chosen().map(|(name, _, play)| list(name, play)).collect::<Result<Vec<_>, _>>()?;
    match &listed[..] {
        listed if args.json => say(format_args!("{}\n", serde_json::to_string_pretty(listed).map_err(|error| error.to_string())?)),
        [only] if wanted.is_some() => describe(only),
        listed => {
            let rows = listed.iter().map(|suite| vec![suite.name.to_owned(), format!("{} points", suite.points), suite.title.clone()]);
            say(format_args!("{}", table::plain(rows)));
        }
    }
    Ok(Outcome::Fine)
}

fn list(name: &'static str, mut play: Play) -> Result<Listed, String> {
    let (files, mail) = fixtures(&mut play)?;
    let defines = play.definitions().into_iter().map(|(name, default, about)| Defined {
        name: name.to_owned(),
        default,
        about: about.map(str::to_owned),
    });
    Ok(Listed {
        name,
        title: play.title().to_owned(),
        points: play.points(),
        services: play.services().into_iter().collect(),
        defines: defines.collect(),
        files: files.into_iter().map(|file| file.place).collect(),
        mail: mail.into_iter().map(|mail| mail.place).collect(),
    })
}

fn fixtures(play: &mut Play) -> Result<(Vec<Fixture>, Vec<Fixture>), String> {
    play.define_defaults();
    let told = |failure: Box<crate::play::Failure>| failure.to_string();
    Ok((play.files().map_err(told)?, play.mails().map_err(told)?))
}

fn describe(suite: &Listed) {
    say(format_args!("{}: {} ({} points)\n", suite.name, suite.title, suite.points));
    say(format_args!("\n  portico transcript run --suite {} --target HOST:PORT\n", suite.name));
    if !suite.defines.is_empty() {
        say(format_args!("\nTo be changed with --define NAME=TEXT:\n"));
        let rows = suite
            .defines
            .iter()
            .map(|define| vec![format!("  {}={}", define.name, define.default), define.about.clone().unwrap_or_default()]);
        say(format_args!("{}", table::plain(rows)));
    }
    if !suite.files.is_empty() {
        say(format_args!("\nThese files must be there: {} (--export writes them)\n", suite.files.join(", ")));
    }
    if let Some(account) = suite.mail.first() {
        say(format_args!("\nThe maildrop of {account} must hold {} messages (--export writes them)\n", suite.mail.len()));
    }
}

/// Writes `suites/NAME.txt`, and beside it what the server must have: `files/...` and `mail/ACCOUNT/N.eml`.
fn export(folder: &Path, chosen: impl Iterator<Item = (&'static str, &'static str, Play)>) -> Result<Outcome, String> {
    let mut letters = std::collections::BTreeMap::new();
    for (name, text, mut play) in chosen {
        write(&folder.join("suites").join(name).with_extension("txt"), text.as_bytes())?;
        let (files, mail) = fixtures(&mut play)?;
        for file in files {
            write(&folder.join("files").join(file.place.trim_start_matches('/')), &file.content)?;
        }
        for letter in mail {
            let number: &mut usize = letters.entry((name, letter.place.clone())).or_default();
            *number += 1;
            write(&folder.join("mail").join(name).join(&letter.place).join(format!("{number}.eml")), &letter.content)?;
        }
    }
    say(format_args!("written to {}\n", folder.display()));
    Ok(Outcome::Fine)
}

fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, content)).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
