//! `portico transcript record`: stands between a client and a server and records.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use tokio::{net::TcpListener, sync::broadcast::error::RecvError};

use crate::{
    cli::{
        Outcome, say,
        watch::{columns::Columns, terminal_width},
    },
    clock::Clock,
    control::watch::{Shown, Wanted},
    play::wiretap::Wiretap,
    services::{self, REGISTRY},
    transcript::record::Recorder,
};

/// The client speaks to our port as it would to the server; FTP's data connections are led through
/// too. What comes under TLS is passed on and counted.
#[derive(Args, Debug)]
pub(super) struct RecordArgs {
    /// Where the client comes: a port of this machine, or ADDRESS:PORT
    #[arg(long, value_name = "PORT")]
    listen: String,
    /// The server
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// What they speak: http, proxy, smtp, submission, pop3, ftp [default: told by the server's port]
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Where the transcripts go [default: transcripts in --var]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// End after so many conversations [default: go on until interrupted]
    #[arg(long, value_name = "COUNT")]
    count: Option<usize>,
    /// Write down passwords too
    #[arg(long)]
    secrets: bool,
}

pub(super) async fn record(args: RecordArgs, usual: PathBuf) -> Result<Outcome, String> {
    let to = super::targets::resolve(&args.to).await?;
    let service = match args.service {
        Some(name) => services::row(&name).ok_or_else(|| format!("there is no service `{name}`"))?.name,
        None => told_by_port(to.port()).ok_or_else(|| format!("nothing is known of port {}: say --service", to.port()))?,
    };
    let folder = args.output.unwrap_or(usual);
    let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
    let recorder = Recorder::to_folder(folder.clone(), Clock::system()).map_err(|error| failed(&folder.display().to_string(), error))?;
    let at = listening(&args.listen)?;
    let listener = TcpListener::bind(at).await.map_err(|error| failed(&format!("cannot listen on {at}"), error))?;
    let at = listener.local_addr().map_err(|error| failed("no address", error))?;
    say(format_args!("{service} at {at} leads to {to}; transcripts go to {}\n", folder.display()));
    let shown = tokio::spawn(show(recorder.clone()));
    let tap = Wiretap::new(to, service, args.secrets, recorder);
    let ended = tokio::select! {
        ended = tap.run(listener, args.count) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    // With the last tap the broadcast ends, and the lines that are left have been shown.
    let _shown = shown.await;
    ended.map(|()| Outcome::Fine).map_err(|error| failed("recording broke off", error))
}

/// Shows conversations as they happen, until the recorder is gone.
async fn show(recorder: Recorder) {
    let mut listener = recorder.listen();
    drop(recorder);
    let (mut shown, wanted) = (Shown::default(), Wanted::default());
    let mut columns = terminal_width().map(|width| Columns::new(usize::from(width), true));
    loop {
        let text = match listener.recv().await {
            Ok(noted) => shown.lines(&noted, &wanted),
            Err(RecvError::Lagged(missed)) => format!("-- {missed} events not shown: too slow\n"),
            Err(RecvError::Closed) => return,
        };
        match &mut columns {
            Some(columns) => text.lines().for_each(|line| say(format_args!("{}", columns.show(line)))),
            None => say(format_args!("{text}")),
        }
    }
}

/// The service at a port: the well-known one, or Portico's default.
fn told_by_port(port: u16) -> Option<&'static str> {
    const OFFSET: u16 = 8000;
    let is_at = |row: &&services::Row| row.well_known_port == port || row.well_known_port + OFFSET == port;
    REGISTRY.iter().find(is_at).map(|row| row.name)
}

fn listening(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
    port.or_else(|_| text.parse()).map_err(|_| format!("--listen {text}: write a port, or ADDRESS:PORT"))
}
