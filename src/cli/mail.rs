//! `portico mail`: looks into the mailboxes.

use clap::Subcommand;

use super::{Outcome, folder::DataFolder, house, options::Global, say, table};
use crate::{
    control::{
        self, Request,
        mail::{Order, Row},
    },
    error::StartError,
    net::escape::escape,
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
    /// Print a message
    Show {
        account: String,
        /// Its number in the list
        number: usize,
    },
}

pub(crate) fn mail(global: &Global, command: MailCommand) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    let (account, order, json) = match command {
        MailCommand::List { account, json } => (account.clone(), Order::List { account }, json),
        MailCommand::Show { account, number } => (account.clone(), Order::Show { account, number }, false),
    };
    let settings = super::settings::load(&folder, global, &Default::default())?;
    let accounts = Accounts::new(&settings.accounts, settings.sample_accounts).map_err(StartError)?;
    let answer = match accounts.exists(&account) {
        true => perform(&folder, order)?,
        false => Err(format!("there is no account {}; `portico account list` shows all", escape(&account))),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => {
            anstream::eprintln!("portico: {}", escape(why));
            return Ok(Outcome::Failed);
        }
    };
    match answer {
        serde_json::Value::String(message) => message.lines().for_each(|line| say(format_args!("{}\n", escape(line)))),
        answer if json => say(format_args!("{answer}\n")),
        answer => list(serde_json::from_value(answer).map_err(|error| StartError(format!("cannot read the server's answer: {error}")))?),
    }
    Ok(Outcome::Fine)
}

/// Through the running server; on the files when none runs, under the lock so that none starts.
fn perform(folder: &DataFolder, order: Order) -> Result<Result<serde_json::Value, String>, StartError> {
    let request = Request::Mail(order);
    if let Some(answer) = control::ask(&folder.control_socket(), &request) {
        return Ok(answer);
    }
    let Request::Mail(order) = request else { unreachable!("it was made so above") };
    folder.create_missing()?;
    let _lock = folder.lock()?;
    Ok(control::mail::perform(order, &house::open_mail(folder)?))
}

fn list(rows: Vec<Row>) {
    let head = ["number", "octets", "date", "from", "subject"].map(str::to_owned).to_vec();
    let rows = rows
        .iter()
        .map(|row| vec![row.number.to_string(), row.octets.to_string(), escape(&row.date), escape(&row.from), escape(&row.subject)]);
    say(format_args!("{}", table::plain(std::iter::once(head).chain(rows))));
}
