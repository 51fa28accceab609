//! `portico fault`: what is to go wrong in the running server.

use clap::{Args, Subcommand};

use super::{Outcome, folder::DataFolder, listen, options::Global, say, table};
use crate::{
    control::{self, Request, fault::Order},
    error::StartError,
    net::{
        escape::escape,
        fault::{FaultSpec, Listed},
    },
    services,
};

/// What `portico fault` can do.
#[derive(Subcommand)]
pub(crate) enum FaultCommand {
    /// Set a fault: portico fault add --service smtp --at RCPT --times 1 answer 451 Later
    Add(AddArgs),
    /// List the faults that are set, and how often each has struck
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a fault by its number, or all
    Clear { number: Option<u64> },
}

/// What is left out fits everything.
#[derive(Args)]
pub(crate) struct AddArgs {
    /// One service alone
    #[arg(long)]
    service: Option<String>,
    /// Connections that have logged in to this account
    #[arg(long)]
    account: Option<String>,
    /// Clients at this address or in this network: 192.0.2.0/24
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<String>,
    /// The command (RCPT), the beginning of the line ('GET /big*'), or connect
    #[arg(long, value_name = "COMMAND")]
    at: Option<String>,
    /// The connection, counted from 1 since the fault was set [default: every one]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    connection: Option<u64>,
    /// Let so many pass first
    #[arg(long, value_name = "NUMBER")]
    skip: Option<u64>,
    /// Strike so many times [default: always]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,
    /// How likely it strikes, in per cent
    #[arg(long, value_name = "PERCENT")]
    chance: Option<u8>,
    /// What the chance is drawn from
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// answer REPLY, delay TIME, drop, cut SIZE, garble, refuse-data or stall
    #[arg(required = true, trailing_var_arg = true)]
    what: Vec<String>,
}

impl AddArgs {
    fn spec(self) -> Result<FaultSpec, StartError> {
        let act = self.what.join(" ").parse().map_err(StartError)?;
        if let Some(service) = &self.service {
            listen::row_named(service)?;
        }
        let spec = FaultSpec {
            act,
            service: self.service.unwrap_or_default(),
            account: self.account.unwrap_or_default(),
            peer: self.peer.unwrap_or_default(),
            at: self.at.unwrap_or_default(),
            connection: self.connection.unwrap_or_default(),
            skip: self.skip.unwrap_or_default(),
            times: self.times.unwrap_or_default(),
            chance: self.chance,
            seed: self.seed.unwrap_or_default(),
        };
        services::check_fault(&spec).map_err(StartError)?;
        Ok(spec)
    }
}

pub(crate) fn fault(global: &Global, command: FaultCommand) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    let (order, json) = match command {
        FaultCommand::Add(args) => (Order::Add { fault: Box::new(args.spec()?) }, false),
        FaultCommand::List { json } => (Order::List, json),
        FaultCommand::Clear { number } => (Order::Clear { id: number }, false),
    };
    let is_list = matches!(order, Order::List);
    let is_add = matches!(order, Order::Add { .. });
    let Some(answer) = control::ask(&folder.control_socket(), &Request::Fault(order)) else {
        anstream::eprintln!("portico: no server runs in {}: faults strike in a running one", folder.root.display());
        return Ok(Outcome::Failed);
    };
    match answer {
        Err(why) => {
            anstream::eprintln!("portico: {}", escape(why));
            return Ok(Outcome::Failed);
        }
        Ok(answer) if json => say(format_args!("{answer}\n")),
        Ok(answer) if is_list => {
            let listed = serde_json::from_value(answer).map_err(|error| StartError(format!("cannot read the server's answer: {error}")))?;
            list(listed);
        }
        Ok(answer) if is_add => say(format_args!("fault {answer} is set\n")),
        Ok(answer) => say(format_args!("{answer} removed\n")),
    }
    Ok(Outcome::Fine)
}

fn list(listed: Vec<Listed>) {
    if listed.is_empty() {
        return say(format_args!("no fault is set\n"));
    }
    let head = ["number", "struck", "what", "where"].map(str::to_owned).to_vec();
    let rows = listed
        .iter()
        .map(|fault| vec![fault.id.to_string(), fault.struck.to_string(), escape(fault.spec.act.to_string()), place(&fault.spec)]);
    say(format_args!("{}", table::plain(std::iter::once(head).chain(rows))));
}

/// Where a fault strikes, in words.
fn place(spec: &FaultSpec) -> String {
    let texts = [("", &spec.service), ("at ", &spec.at), ("account ", &spec.account), ("from ", &spec.peer)];
    let texts = texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(word, text)| format!("{word}{}", escape(text)));
    let counts = [
        ("connection ", spec.connection),
        ("after ", spec.skip),
        ("at most ", spec.times),
        ("per cent ", spec.chance.unwrap_or_default().into()),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{word}{count}"));
    let parts: Vec<_> = texts.chain(counts).collect();
    if parts.is_empty() { "everywhere".into() } else { parts.join(", ") }
}
