//! `portico lab`: experiments.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, say, table};
use crate::{
    config::keys::nearest,
    error::StartError,
    lab::{self, EXPERIMENTS, Setting},
};

/// Which experiment, and how it is to be shown.
#[derive(Args)]
pub(crate) struct LabArgs {
    /// The experiment; without it they are listed
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write its pictures to a file, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// What is random is drawn from this: the same seed, the same figures
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Over sockets and in real time, instead of in memory on virtual time
    #[arg(long)]
    real: bool,
}

pub(crate) fn lab(args: &LabArgs) -> Result<Outcome, StartError> {
    let Some(name) = &args.name else {
        list(args.json);
        return Ok(Outcome::Fine);
    };
    let experiment = EXPERIMENTS.iter().find(|experiment| experiment.name == name).ok_or_else(|| {
        let meant = nearest(name, EXPERIMENTS.iter().map(|experiment| experiment.name));
        let hint = meant.map_or("`portico lab` lists them".into(), |meant| format!("did you mean `{meant}`?"));
        StartError(format!("there is no experiment `{}`: {hint}", crate::net::escape::escape(name)))
    })?;
    let report = match lab::perform(experiment, Setting { seed: args.seed, is_real: args.real }) {
        Ok(report) => report,
        Err(why) => {
            anstream::eprintln!("portico: {name} did not come to its end: {}", crate::net::escape::escape(why));
            return Ok(Outcome::Failed);
        }
    };
    if let Some(path) = &args.svg {
        std::fs::write(path, lab::svg(&report)).map_err(|error| StartError(format!("cannot write {}: {error}", path.display())))?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| StartError(error.to_string()))?;
        say(format_args!("{text}\n"));
    } else {
        say(format_args!("{}", lab::text(&report)));
    }
    Ok(Outcome::Fine)
}

fn list(json: bool) {
    if json {
        let list = EXPERIMENTS.iter().map(|one| serde_json::json!({ "name": one.name, "summary": one.summary }));
        return say(format_args!("{}\n", serde_json::Value::Array(list.collect())));
    }
    let rows = EXPERIMENTS.iter().map(|one| vec![one.name.to_owned(), one.summary.to_owned()]);
    say(format_args!("{}", table::plain(rows)));
}
