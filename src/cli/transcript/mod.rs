//! `portico transcript`: plays transcripts against a server, shows and lists recorded ones.

mod diff;
mod export;
mod progress;
mod record;
mod report;
mod run;
mod show;
mod suites;
mod targets;

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::{Outcome, options::Global};
use crate::error::StartError;

/// `portico transcript ...`
#[derive(Args, Debug)]
pub(crate) struct TranscriptArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Play transcripts against a server, Portico or any other
    Run(Box<run::RunArgs>),
    /// List the suites that test anybody's server, show one, or write them to a folder
    Suites(suites::SuitesArgs),
    /// Print a transcript with an explanation of each command and reply
    Show {
        file: PathBuf,
        /// Without explanations
        #[arg(long)]
        plain: bool,
    },
    /// Stand between any client and any server, pass everything on, and record it
    Record(record::RecordArgs),
    /// Compare two transcripts
    Diff(diff::DiffArgs),
    /// Write transcripts in a form for other programs: packets for Wireshark
    Export(export::ExportArgs),
    /// List recorded transcripts
    List {
        /// The folder that `serve --transcripts` writes to [default: transcripts in --var]
        folder: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn transcript(global: &Global, args: TranscriptArgs) -> Result<Outcome, StartError> {
    let data = global.data.clone().unwrap_or_default();
    let done = match args.action {
        Action::Record(args) => {
            let usual = global.var.clone().unwrap_or_else(|| data.join("var")).join("transcripts");
            runtime()?.block_on(record::record(args, usual))
        }
        Action::Diff(args) => diff::diff(&args),
        Action::Export(args) => export::export(&args),
        Action::Run(args) => {
            let runtime = runtime()?;
            let certs = global.certs.clone().unwrap_or_else(|| data.join("certs"));
            runtime.block_on(run::play_all(*args, &certs))
        }
        Action::Suites(args) => suites::suites(&args),
        Action::Show { file, plain } => show::show(&file, plain),
        Action::List { folder, json } => {
            let usual = || global.var.clone().unwrap_or_else(|| data.join("var")).join("transcripts");
            show::list(&folder.unwrap_or_else(usual), json)
        }
    };
    done.map_err(StartError)
}

fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| StartError(format!("cannot start the runtime: {error}")))
}

/// All transcripts in a folder and the folders below it.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
    Ok(())
}
