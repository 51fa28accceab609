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
    net::escape::{escape, escape_json, escape_lines},
    smtp::relay::Wake,
};

/// Entries are named by the id in the reply (`250 ... (id ID)`), by a domain or an address that mail
/// waits for, or by `all`.
#[derive(Subcommand)]
pub(crate) enum QueueCommand {
    /// List what waits, oldest first
    List {
        /// Ids, domains or addresses; without any, everything
        which: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show entries and their messages
    Show(Which),
    /// Try now
    Retry(Which),
    /// No attempts until `release`
    Hold(Which),
    /// End a hold
    Release(Which),
    /// Forget entries; neither sender nor recipients are told
    Remove(Which),
}

#[derive(clap::Args)]
pub(crate) struct Which {
    /// Ids, domains, addresses, or `all`
    #[arg(required = true)]
    which: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn queue(global: &Global, command: QueueCommand) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    let (order, json, done) = match command {
        QueueCommand::List { which, json } => (Order::List { which }, json, None),
        QueueCommand::Show(Which { which, json }) => (Order::Show { which }, json, None),
        QueueCommand::Retry(Which { which, json }) => (Order::Retry { which }, json, Some("to be tried now")),
        QueueCommand::Hold(Which { which, json }) => (Order::Hold { which }, json, Some("held")),
        QueueCommand::Release(Which { which, json }) => (Order::Release { which }, json, Some("released")),
        QueueCommand::Remove(Which { which, json }) => (Order::Remove { which }, json, Some("removed")),
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
        say(format_args!("{}\n", escape_json(&answer)));
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
    let head = ["id", "octets", "next attempt", "from", "to", "why"].map(str::to_owned).to_vec();
    let rows = entries.iter().flat_map(|entry| {
        entry.recipients.iter().filter(|recipient| recipient.state == "waiting").map(|recipient| {
            let next = recipient.next_attempt.clone().unwrap_or_else(|| "held".into());
            let why = recipient.last_reply.as_deref().unwrap_or("not tried yet");
            let from = escape(or_empty(&entry.sender));
            vec![entry.id.clone(), entry.octets.to_string(), next, from, escape(&recipient.address), escape(why)]
        })
    });
    say(format_args!("{}", table::plain(std::iter::once(head).chain(rows))));
}

fn show(entry: &Entry) {
    let Entry { id, sender, arrived, attempts, priority, .. } = entry;
    let next = entry.next_attempt.as_deref().unwrap_or("held");
    say(format_args!("id        {}\nfrom      {}\n", escape(id), escape(or_empty(sender))));
    say(format_args!("arrived   {arrived}\nattempts  {attempts}, next {next}\n"));
    if *priority != 0 {
        say(format_args!("priority  {priority}\n"));
    }
    for recipient in &entry.recipients {
        let reply = recipient.last_reply.as_deref().map(|reply| format!(" ({})", escape(reply))).unwrap_or_default();
        let next = recipient.next_attempt.as_deref().filter(|at| Some(*at) != entry.next_attempt.as_deref());
        let next = next.map(|at| format!(", next {at}")).unwrap_or_default();
        say(format_args!("to        {}: {}{next}{reply}\n", escape(&recipient.address), recipient.state));
    }
    let message = entry.message.as_deref().unwrap_or_default();
    say(format_args!("\n"));
    say(format_args!("{}", escape_lines(message)));
}

fn or_empty(sender: &str) -> &str {
    if sender.is_empty() { "<>" } else { sender }
}
