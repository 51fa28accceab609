//! `portico broken NAME`: a server that is wrong in one known way.

use std::net::SocketAddr;

use clap::Args;

use super::{Outcome, options::Global, say, table};
use crate::{
    config,
    error::StartError,
    net::network::Network,
    play::{
        Play,
        broken::{self, BROKEN, Broken},
        suites,
    },
};

#[derive(Args)]
pub(crate) struct BrokenArgs {
    /// Which: `portico broken --list` tells
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// What there is, and what it does wrong
    #[arg(long)]
    list: bool,
    /// The list as JSON
    #[arg(long, requires = "list")]
    json: bool,
    /// The port to listen on, on 127.0.0.1; 0 lets the system choose
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    listen: u16,
    /// The service that is wrong, where several can be [default: the first in the list]
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Have what this suite wants: files and mail [default: what all suites for the service want, of
    /// mail what the first of them wants]
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
    /// Written when the server listens: `service address`
    #[arg(long, value_name = "PATH")]
    ready_file: Option<std::path::PathBuf>,
}

pub(crate) fn broken(global: &Global, args: &BrokenArgs) -> Result<Outcome, StartError> {
    if args.list {
        return list(args.json);
    }
    let broken = broken::named(args.name.as_deref().unwrap_or_default()).map_err(StartError)?;
    let service = broken.service(args.service.as_deref()).map_err(StartError)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StartError(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(serve(global, args, broken, service)).map_err(StartError)
}

fn list(json: bool) -> Result<Outcome, StartError> {
    if json {
        let all: Vec<_> = BROKEN
            .iter()
            .map(|broken| serde_json::json!({ "name": broken.name, "services": broken.services, "sentence": broken.sentence, "caught-by": caught_by(broken) }))
            .collect();
        let text = serde_json::to_string_pretty(&all).map_err(|error| StartError(error.to_string()))?;
        say(format_args!("{text}\n"));
    } else {
        let rows = BROKEN.iter().map(|broken| vec![broken.name.to_owned(), services(broken), broken.sentence.to_owned()]);
        say(format_args!("{}", table::plain(rows)));
    }
    Ok(Outcome::Fine)
}

/// Where the fault can be, for a list that people read.
fn services(broken: &Broken) -> String {
    if broken.services.len() > 4 { "any".to_owned() } else { broken.services.join(", ") }
}

/// The suites that notice.
fn caught_by(broken: &Broken) -> Vec<&'static str> {
    let concerned = suites::all().filter(|(_, _, play)| play.services().iter().any(|service| broken.services.contains(&service.as_str())));
    concerned.map(|(name, ..)| name).filter(|name| broken.is_caught_by(name)).collect()
}

async fn serve(global: &Global, args: &BrokenArgs, broken: &'static Broken, service: &'static str) -> Result<Outcome, String> {
    let settings = config::read::merge(("portico.toml", ""), std::iter::empty(), &global.set).map_err(|error| error.to_string())?.settings;
    let prepare = prepared(args.suite.as_deref(), service)?;
    let at = SocketAddr::from(([127, 0, 0, 1], args.listen));
    let running = broken::serve::open(broken, service, at, &Network::Real, settings, &prepare)?;
    if let Some(file) = &args.ready_file {
        std::fs::write(file, format!("{service} {}\n", running.at)).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    say(format_args!("{service} on {}: {} (end it with Ctrl-C)\n", running.at, broken.sentence));
    let ended = tokio::signal::ctrl_c().await;
    ended.map(|()| Outcome::Fine).map_err(|error| format!("cannot wait for the end: {error}"))
}

/// What is put in place: a suite, or all for the service. Suites that want mail exclude one another,
/// since each says exactly which messages there are.
fn prepared(suite: Option<&str>, service: &str) -> Result<Vec<Play>, String> {
    let wanted = suite.map(suites::named).transpose()?;
    let mut chosen: Vec<Play> = Vec::new();
    for (name, _, mut play) in suites::all() {
        let is_wanted = wanted.map_or_else(|| play.services().contains(service), |wanted| wanted == name);
        let has_mail = |play: &Play| play.mails().is_ok_and(|mails| !mails.is_empty());
        play.define_defaults();
        if is_wanted && !(has_mail(&play) && chosen.iter().any(has_mail)) {
            chosen.push(play);
        }
    }
    Ok(chosen)
}
