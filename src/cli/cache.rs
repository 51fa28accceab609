//! `portico cache`: what the proxy has stored, and what that has saved.

use std::path::Path;

use clap::Subcommand;

use super::{Outcome, folder::DataFolder, options::Global, say, table};
use crate::{
    clock::Clock,
    control::{
        self, Request,
        cache::{Order, Row, Shown, Stats},
    },
    error::StartError,
    net::escape::escape,
    proxy,
    units::Size,
};

/// What `portico cache` can do.
#[derive(Subcommand)]
pub(crate) enum CacheCommand {
    /// List the addresses that responses are stored for
    List {
        /// An address in which `*` stands for anything: 'http://localhost:8080/*'
        #[arg(default_value = "*")]
        pattern: String,
        /// List so many addresses at most
        #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what is stored for an address: heads, age and how long it stays fresh
    Show {
        /// The address, as a client asks for it: http://localhost:8080/page.html
        address: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget what is stored for an address, or for all that fit a pattern
    Purge {
        /// An address, or one in which `*` stands for anything
        pattern: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show hits, misses, octets from cache and origin, and mean delays
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget everything and count from zero
    Reset,
}

pub(crate) fn cache(global: &Global, command: CacheCommand) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    let (order, json) = match command {
        CacheCommand::List { pattern, limit, json } => (Order::List { pattern, limit }, json),
        CacheCommand::Show { address, json } => (Order::Show { address }, json),
        CacheCommand::Purge { pattern, json } => (Order::Purge { pattern }, json),
        CacheCommand::Stats { json } => (Order::Stats, json),
        CacheCommand::Reset => (Order::Reset, false),
    };
    let print: fn(serde_json::Value) -> serde_json::Result<()> = match &order {
        Order::List { .. } => |answer| serde_json::from_value(answer).map(|rows: Vec<Row>| list(&rows)),
        Order::Show { .. } => |answer| serde_json::from_value(answer).map(|found: Vec<Shown>| found.iter().for_each(show)),
        Order::Purge { .. } => |answer| {
            serde_json::from_value(answer)
                .map(|gone: Vec<String>| gone.iter().for_each(|address| say(format_args!("{}: forgotten\n", escape(address)))))
        },
        Order::Stats => |answer| serde_json::from_value(answer).map(|stats: Stats| self::stats(&stats)),
        Order::Reset => |answer| {
            say(format_args!("{answer} addresses forgotten; counting from zero\n"));
            Ok(())
        },
    };
    let is_purge = matches!(order, Order::Purge { .. });
    let answer = match perform(&folder, order)? {
        Ok(answer) if is_purge && answer.as_array().is_some_and(Vec::is_empty) => Err("nothing that fits was stored".to_owned()),
        answer => answer,
    };
    match answer {
        Ok(answer) if json => say(format_args!("{answer}\n")),
        Ok(answer) => print(answer).map_err(|error| StartError(format!("cannot read the server's answer: {error}")))?,
        Err(why) => {
            anstream::eprintln!("portico: {}", escape(why));
            return Ok(Outcome::Failed);
        }
    }
    Ok(Outcome::Fine)
}

/// Through the running server; on the files when none runs, under the lock so that none starts.
fn perform(folder: &DataFolder, order: Order) -> Result<Result<serde_json::Value, String>, StartError> {
    let request = Request::Cache(order);
    if let Some(answer) = control::ask(&folder.control_socket(), &request) {
        return Ok(answer);
    }
    let Request::Cache(order) = request else { unreachable!("it was made so above") };
    let files = folder.var.join("cache");
    let _lock = if files.exists() { Some(folder.lock()?) } else { None };
    Ok(control::cache::perform(order, &offline(&files), Clock::system().now()))
}

/// The cache as it lies there. Nothing is thrown out, whatever the settings say.
fn offline(files: &Path) -> std::sync::Arc<proxy::Cache> {
    const PLENTY: u64 = 1 << 42;
    let settings = proxy::settings::Settings { cache_disk: Size(PLENTY), cache_memory: Size(PLENTY / 1024), ..Default::default() };
    proxy::open_cache(&settings, files.exists().then_some(files))
}

fn list(rows: &[Row]) {
    if rows.is_empty() {
        return say(format_args!("nothing is stored\n"));
    }
    let head = ["octets", "variants", "address"].map(str::to_owned).to_vec();
    let rows = rows.iter().map(|row| vec![row.octets.to_string(), row.variants.to_string(), escape(&row.address)]);
    say(format_args!("{}", table::plain(std::iter::once(head).chain(rows))));
}

fn show(stored: &Shown) {
    let extent = if stored.is_whole { "" } else { ", a part" };
    say(format_args!("{} octets{extent}, {} s old, ", stored.octets, stored.age_secs));
    match stored.ttl_secs {
        ttl if ttl > 0 => say(format_args!("fresh for {ttl} s more ({})\n", stored.rule)),
        ttl => say(format_args!("stale for {} s ({})\n", -ttl, stored.rule)),
    }
    for (name, value) in &stored.selected_by {
        say(format_args!("for {}: {}\n", escape(name), escape(value.as_deref().unwrap_or("(absent)"))));
    }
    say(format_args!("  HTTP/1.1 {}\n", stored.status));
    stored.fields.iter().for_each(|(name, value)| say(format_args!("  {}: {}\n", escape(name), escape(value))));
}

fn stats(stats: &Stats) {
    say(format_args!("in memory          {:>12} addresses, {} octets\n", stats.memory_addresses, stats.memory_octets));
    say(format_args!("on disk            {:>12} addresses, {} octets\n", stats.disk_addresses, stats.disk_octets));
    say(format_args!("{}", stats.figures));
}
