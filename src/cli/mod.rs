//! The command line: one file per subcommand.
//!
//! Standard output carries what was asked for, standard error the log and complaints. An error is
//! one line that says what was attempted, on what, what happened and what to change.

mod account;
mod broken;
mod cache;
mod check;
mod explain;
mod fault;
mod folder;
mod generate;
mod handed;
mod house;
mod lab;
mod listen;
mod log;
mod mail;
mod options;
mod privileges;
mod queue;
mod ready;
mod reload;
mod reset;
mod samples;
mod serve;
mod settings;
mod table;
mod transcript;
mod watch;

use std::{fmt, io::Write, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

use crate::error::StartError;
use options::{Global, ServeFlags};

/// The classic Internet application servers in one process: HTTP, caching proxy, SMTP, POP3, FTP.
///
/// Without a subcommand Portico serves: everything, on the loopback addresses, with sample
/// content.
#[derive(Parser)]
#[command(name = "portico", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeFlags,
    #[command(flatten)]
    global: Global,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Serve(ServeFlags),
    /// Say whether `serve` would start with the same flags: exit code 0, or 2 and the reason
    Check(ServeFlags),
    /// Print the settings in effect, each with its purpose and default
    Config(ServeFlags),
    /// Restore the sample documents and mails; nothing else is touched
    Reset,
    /// Add, change, list and remove accounts
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Look into the mailboxes, and send mail
    #[command(subcommand)]
    Mail(mail::MailCommand),
    /// Look after the mail that waits for its next hop
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Look into the proxy's cache, and see what it saves
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// Have something go wrong in the running server, to see what clients make of it
    #[command(subcommand)]
    Fault(fault::FaultCommand),
    /// Run an experiment of the textbook: what is measured beside what is calculated
    Lab(lab::LabArgs),
    /// Explain a command, field or reply code of a protocol: `portico explain smtp 552`
    Explain(explain::Question),
    /// Play transcripts against any server; show and list recorded ones
    Transcript(transcript::TranscriptArgs),
    /// Run a server that is wrong in one known way, to test a client or a grader with
    Broken(broken::BrokenArgs),
    /// Show the conversations of the running server as they happen
    Watch(watch::WatchArgs),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page: `portico man | man -l -`
    Man,
}

/// How a subcommand ended that did start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Fine,
    /// What was asked for failed; the reason has been printed.
    Failed,
}

/// Runs the command line and answers the exit code: 0 fine, 1 the thing asked for failed, 2 usage
/// or start-up error.
pub fn main() -> ExitCode {
    match parse().and_then(run) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(error) => {
            anstream::eprintln!("portico: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse() -> Result<Cli, StartError> {
    let matches = Cli::command().try_get_matches().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        _ => StartError(usage_line(&error)),
    })?;
    Cli::from_arg_matches(&matches).map_err(|error| StartError(usage_line(&error)))
}

/// What clap has to say, on one line and without the usage below it.
fn usage_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:")).filter(|line| !line.is_empty());
    let said: Vec<_> = said.map(|line| line.trim_start_matches("error: ").trim_start_matches("tip: ")).collect();
    format!("{}; see portico --help", said.join("; ").trim_end_matches("; For more information, try '--help'."))
}

fn run(cli: Cli) -> Result<Outcome, StartError> {
    let global = &cli.global;
    if cli.command.is_some() && cli.serve != ServeFlags::default() {
        return Err(StartError("the flags of `serve` come behind the subcommand: portico serve --only http".into()));
    }
    match cli.command {
        None => serve::serve(global, &cli.serve),
        Some(Command::Serve(flags)) => serve::serve(global, &flags),
        Some(Command::Check(flags)) => check::check(global, &flags),
        Some(Command::Config(flags)) => settings::config(global, &flags),
        Some(Command::Reset) => reset::reset(global),
        Some(Command::Account(command)) => account::account(global, command),
        Some(Command::Mail(command)) => mail::mail(global, command),
        Some(Command::Queue(command)) => queue::queue(global, command),
        Some(Command::Cache(command)) => cache::cache(global, command),
        Some(Command::Lab(args)) => lab::lab(&args),
        Some(Command::Fault(command)) => fault::fault(global, command),
        Some(Command::Completions { shell }) => Ok(generate::completions(Cli::command(), shell)),
        Some(Command::Man) => Ok(generate::man(Cli::command())),
        Some(Command::Explain(question)) => explain::explain(&question),
        Some(Command::Watch(args)) => watch::watch(global, args),
        Some(Command::Broken(args)) => broken::broken(global, &args),
        Some(Command::Transcript(args)) => transcript::transcript(global, args),
    }
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _nobody_listens = anstream::stdout().lock().write_fmt(text);
}
