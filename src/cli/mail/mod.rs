//! `portico mail`: looks into the mailboxes, and writes messages.

mod save;
mod send;
mod show;
mod submit;

use clap::Subcommand;

use super::{Outcome, folder::DataFolder, house, options::Global, say, table};
use crate::{
    control::{
        self, Request,
        mail::{Order, Row},
    },
    error::StartError,
    net::escape::{escape, escape_json},
    store::Accounts,
};

#[derive(Subcommand)]
pub(crate) enum MailCommand {
    /// List the messages of an account, oldest first
    List {
        account: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a message: what it says, its parts, or save its attachments; it stays new
    Show(show::ShowArgs),
    /// Write a message with text, HTML and attachments, and send it
    Send(Box<send::SendArgs>),
}

pub(crate) fn mail(global: &Global, command: MailCommand) -> Result<Outcome, StartError> {
    match command {
        MailCommand::List { account, json } => list(global, account, json),
        MailCommand::Show(args) => show::show(global, &args),
        MailCommand::Send(args) => send::send(global, &args),
    }
}

fn list(global: &Global, account: String, json: bool) -> Result<Outcome, StartError> {
    let answer = match ask(global, &account, Order::List { account: account.clone() })? {
        Ok(answer) => answer,
        Err(why) => return Ok(failed(&why)),
    };
    if json {
        say(format_args!("{}\n", escape_json(&answer)));
        return Ok(Outcome::Fine);
    }
    let rows: Vec<Row> = read(answer)?;
    if rows.is_empty() {
        say(format_args!("{} has no messages\n", escape(&account)));
        return Ok(Outcome::Fine);
    }
    let head = ["number", "octets", "flags", "date", "from", "subject"].map(str::to_owned).to_vec();
    let rows = rows.iter().map(|row| {
        let summary = &row.summary;
        let flags = row.flags.iter().map(|flag| format!("{flag:?}").to_lowercase()).collect::<Vec<_>>().join(" ");
        vec![row.number.to_string(), row.octets.to_string(), flags, escape(&summary.date), escape(&summary.from), escape(&summary.subject)]
    });
    say(format_args!("{}", table::plain(std::iter::once(head).chain(rows))));
    Ok(Outcome::Fine)
}

/// Asks the running server; on the files when none runs, under the lock so that none starts.
fn ask(global: &Global, account: &str, order: Order) -> Result<Result<serde_json::Value, String>, StartError> {
    let folder = DataFolder::resolve(global)?;
    let settings = super::settings::load(&folder, global, &Default::default())?;
    let accounts = Accounts::new(&settings.accounts, settings.sample_accounts).map_err(StartError)?;
    if !accounts.exists(account) {
        return Ok(Err(format!("there is no account {}; `portico account list` shows all", escape(account))));
    }
    let request = Request::Mail(order);
    if let Some(answer) = control::ask(&folder.control_socket(), &request) {
        return Ok(answer);
    }
    let Request::Mail(order) = request else { unreachable!("it was made so above") };
    folder.create_missing()?;
    let _lock = folder.lock()?;
    Ok(control::mail::perform(order, &house::open_mail(&folder)?))
}

fn read<T: serde::de::DeserializeOwned>(answer: serde_json::Value) -> Result<T, StartError> {
    serde_json::from_value(answer).map_err(|error| StartError(format!("cannot read the server's answer: {error}")))
}

/// Says why the thing asked for failed.
fn failed(why: &str) -> Outcome {
    anstream::eprintln!("portico: {}", escape(why));
    Outcome::Failed
}
