//! `portico queue`: the mail that waits for its next hop.

use clap::Subcommand;

use super::{Outcome, folder::DataFolder, house, options::Global, say, table};
use crate::{
    clock::Clock,
    control::{
        self, Request,
        queue::{Entry, Order},
    },
    error::StartError,
    net::escape::escape,
    smtp::relay::Wake,
};

/// Entries are named by the id in the reply (`250 ... queued as ID`), or `all`.
#[derive(Subcommand)]
pub(crate) enum QueueCommand {
    /// List what waits, oldest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an entry and its message
    Show {
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Try now
    Retry { id: String },
    /// No attempts until `release`
    Hold { id: String },
    /// End a hold
    Release { id: String },
    /// Forget an entry; neither sender nor recipient is told
    Remove { id: String },
}

pub(crate) fn queue(global: &Global, command: QueueCommand) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    let (order, done, json) = match command {
        QueueCommand::List { json } => (Order::List, None, json),
        QueueCommand::Show { id, json } => (Order::Show { id }, None, json),
        QueueCommand::Retry { id } => (Order::Retry { id }, Some("to be tried now"), false),
        QueueCommand::Hold { id } => (Order::Hold { id }, Some("held"), false),
        QueueCommand::Release { id } => (Order::Release { id }, Some("released"), false),
        QueueCommand::Remove { id } => (Order::Remove { id }, Some("removed"), false),
    };
    let is_show = matches!(order, Order::Show { .. });
    let answer = match perform(&folder, order)? {
        Ok(answer) => answer,
        Err(why) => {
            anstream::eprintln!("portico: {}", escape(why));
            return Ok(Outcome::Failed);
        }
    };
    if json {
        say(format_args!("{answer}\n"));
    } else if let Some(done) = done {
        for id in answer.as_array().into_iter().flatten().filter_map(|id| id.as_str()) {
            say(format_args!("{}: {done}\n", escape(id)));
        }
    } else {
        let entries: Vec<Entry> =
            serde_json::from_value(answer).map_err(|error| StartError(format!("cannot read the server's answer: {error}")))?;
        if is_show { entries.iter().for_each(show) } else { list(&entries) }
    }
    Ok(Outcome::Fine)
}

/// Through the running server; on the files when none runs, under the lock so that none starts.
fn perform(folder: &DataFolder, order: Order) -> Result<Result<serde_json::Value, String>, StartError> {
    let request = Request::Queue(order);
    if let Some(answer) = control::ask(&folder.control_socket(), &request) {
        return Ok(answer);
    }
    let Request::Queue(order) = request else { unreachable!("it was made so above") };
    if !folder.var.join("queue").exists() {
        return Ok(control::queue::perform(order, &crate::store::memory::MemoryMail::new(), &Clock::system(), &Wake::default()));
    }
    let _lock = folder.lock()?;
    let mail = house::open_mail(folder)?;
    Ok(control::queue::perform(order, &mail, &Clock::system(), &Wake::default()))
}

fn list(entries: &[Entry]) {
    if entries.is_empty() {
        return say(format_args!("the queue is empty\n"));
    }
    let head = ["id", "octets", "next attempt", "from", "to"].map(str::to_owned).to_vec();
    let rows = entries.iter().flat_map(|entry| {
        entry.recipients.iter().filter(|recipient| recipient.state == "waiting").map(|recipient| {
            let next = entry.next_attempt.clone().unwrap_or_else(|| "held".into());
            vec![entry.id.clone(), entry.octets.to_string(), next, escape(or_empty(&entry.sender)), escape(&recipient.address)]
        })
    });
    say(format_args!("{}", table::plain(std::iter::once(head).chain(rows))));
}

fn show(entry: &Entry) {
    let next = entry.next_attempt.as_deref().unwrap_or("held");
    say(format_args!("id        {}\nfrom      {}\n", escape(&entry.id), escape(or_empty(&entry.sender))));
    say(format_args!("arrived   {}\nattempts  {}, next {next}\n", entry.arrived, entry.attempts));
    for recipient in &entry.recipients {
        let reply = recipient.last_reply.as_deref().map(|reply| format!(" ({})", escape(reply))).unwrap_or_default();
        say(format_args!("to        {}: {}{reply}\n", escape(&recipient.address), recipient.state));
    }
    let message = entry.message.as_deref().unwrap_or_default();
    say(format_args!("\n"));
    message.lines().for_each(|line| say(format_args!("{}\n", escape(line))));
}

fn or_empty(sender: &str) -> &str {
    if sender.is_empty() { "<>" } else { sender }
}
