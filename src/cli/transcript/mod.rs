//! `portico transcript`: plays transcripts against a server, shows and lists recorded ones.

mod progress;
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
        Action::Run(args) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.map_err(|error| StartError(format!("cannot start the runtime: {error}")))?;
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
