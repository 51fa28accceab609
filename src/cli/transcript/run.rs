//! `portico transcript run`: plays transcripts against any server.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anstyle::{AnsiColor, Style};
use clap::Args;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::Serialize;
use tokio::{sync::Semaphore, task::JoinSet};

use super::collect;
use crate::{
    cli::{Outcome, say},
    net::network::Network,
    play::{
        Failure, Play, Played, Stage, Targets,
        tls::{PlayerTls, Trust},
    },
    services::REGISTRY,
    units::Span,
};

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// Transcripts, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The server: HOST:PORT for whatever a transcript connects to, or SERVICE=HOST:PORT,...
    /// [default: the usual ports of Portico on this machine]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// The ready file of the running Portico that tells its ports
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    ready_file: Option<PathBuf>,
    /// The authority that must have signed the server's certificate [default: ca.pem in --certs]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Believe any certificate
    #[arg(long)]
    insecure: bool,
    /// How long a step may take, unless the transcript says otherwise
    #[arg(long, value_name = "TIME", default_value = "5s")]
    timeout: Span,
    /// What a name in braces stands for: --define secret=hungry (repeatable). In recordings {secret}
    /// stands for the password that they hide
    #[arg(long, value_name = "NAME=TEXT")]
    define: Vec<String>,
    /// How many transcripts are played at a time
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    jobs: usize,
    /// The verdicts as JSON
    #[arg(long)]
    json: bool,
}

/// What became of one transcript.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    file: String,
    title: String,
    verdict: Verdict,
    milliseconds: u64,
    /// Why it was skipped or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    difference: Option<Told>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

#[derive(Serialize)]
struct Told {
    line: usize,
    expected: Vec<String>,
    received: Vec<String>,
    conversation: String,
    #[serde(skip)]
    text: String,
}

pub(super) async fn play_all(args: RunArgs, certs: &Path) -> Result<Outcome, String> {
    let stage = Arc::new(Stage {
        network: Network::Real,
        targets: targets(&args).await?,
        tls: player_tls(&args, certs)?,
        step_time: args.timeout.0,
        script_time: crate::play::ANY_TIME,
    });
    let files = scripts(&args.paths)?;
    let names = args.define.iter().map(|define| define.split_once('=').ok_or_else(|| format!("--define {define}: write it as NAME=TEXT")));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let names: Arc<Vec<_>> = Arc::new(names.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect());
    let permits = Arc::new(Semaphore::new(args.jobs.max(1)));
    let (mut playing, mut reports, json) = (JoinSet::new(), BTreeMap::new(), args.json);
    for (index, file) in files.into_iter().enumerate() {
        // One at a time, in order, unless more are asked for.
        let permit = permits.clone().acquire_owned().await;
        let (stage, names) = (stage.clone(), names.clone());
        playing.spawn(async move {
            let report = play_one(&file, &stage, &names).await;
            if !json {
                print_report(&report);
            }
            drop(permit);
            (index, report)
        });
    }
    while let Some(played) = playing.join_next().await {
        let (index, report) = played.map_err(|error| format!("the player broke: {error}"))?;
        reports.insert(index, report);
    }
    let reports: Vec<_> = reports.into_values().collect();
    let count = |verdict| reports.iter().filter(|report| report.verdict == verdict).count();
    let (passed, failed, skipped) = (count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Skipped));
    if args.json {
        say(format_args!("{}\n", serde_json::to_string_pretty(&reports).map_err(|error| error.to_string())?));
    } else {
        say(format_args!("{passed} passed, {failed} failed, {skipped} skipped\n"));
    }
    Ok(if failed > 0 { Outcome::Failed } else { Outcome::Fine })
}

async fn play_one(file: &Path, stage: &Stage, names: &[(String, String)]) -> Report {
    let started = Instant::now();
    let mut report = Report {
        file: file.display().to_string(),
        title: String::new(),
        verdict: Verdict::Passed,
        milliseconds: 0,
        reason: None,
        difference: None,
    };
    match prepare(file, stage) {
        Err(failure) => report.fail(failure),
        Ok(mut play) => {
            names.iter().for_each(|(name, text)| play.define(name, text));
            report.title = play.title().to_owned();
            if play.needs_our_server(false) {
                report.verdict = Verdict::Skipped;
                report.reason = Some("it wants settings, files or mail of its own in the server, or virtual time".into());
            } else if let Err(failure) = play.run(stage).await {
                report.fail(failure);
            }
        }
    }
    report.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    report
}

fn prepare(file: &Path, stage: &Stage) -> Played<Play> {
    let mut play = Play::load(file)?;
    play.listen(&stage.network)?;
    Ok(play)
}

impl Report {
    fn fail(&mut self, failure: Box<Failure>) {
        self.verdict = Verdict::Failed;
        self.reason = Some(failure.difference.what.clone());
        let text = failure.to_string();
        let Failure { line, difference, so_far, .. } = *failure;
        self.difference = Some(Told { line, expected: difference.expected, received: difference.received, conversation: so_far, text });
    }
}

fn print_report(report: &Report) {
    let (word, colour) = match report.verdict {
        Verdict::Passed => ("ok  ", AnsiColor::Green),
        Verdict::Failed => ("FAIL", AnsiColor::Red),
        Verdict::Skipped => ("skip", AnsiColor::Yellow),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let mut text = format!("{style}{word}{style:#} {}", report.file);
    match (&report.difference, &report.reason) {
        // Writing to a string cannot fail.
        (Some(told), _) => drop(write!(text, "\n{}", told.text.trim_end())),
        (None, Some(reason)) => drop(write!(text, ": {reason}")),
        (None, None) => {}
    }
    say(format_args!("{text}\n"));
}

/// The transcripts that the paths name, folders with all that is in them.
fn scripts(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            collect(path, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
        } else {
            found.push(path.clone());
        }
    }
    found.sort();
    found.dedup();
    if found.is_empty() { Err("there is no transcript (*.txt) in these folders".into()) } else { Ok(found) }
}

async fn targets(args: &RunArgs) -> Result<Targets, String> {
    if let Some(file) = &args.ready_file {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let lines = text.lines().rev().filter_map(|line| line.split_once(' '));
        return Ok(Targets::Named(lines.filter_map(|(name, at)| Some((name.to_owned(), at.trim().parse().ok()?))).collect()));
    }
    let Some(target) = &args.target else {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port + 8000));
        return Ok(Targets::Named(REGISTRY.iter().map(|row| (row.name.to_owned(), at(row.well_known_port))).collect()));
    };
    if !target.contains('=') {
        return Ok(Targets::One(resolve(target).await?));
    }
    let mut named = BTreeMap::new();
    for target in target.split(',') {
        let (service, at) = target.split_once('=').ok_or_else(|| format!("`{target}` is not SERVICE=HOST:PORT"))?;
        named.insert(service.trim().to_owned(), resolve(at.trim()).await?);
    }
    Ok(Targets::Named(named))
}

async fn resolve(at: &str) -> Result<SocketAddr, String> {
    let mut found = tokio::net::lookup_host(at).await.map_err(|error| format!("`{at}` is not HOST:PORT: {error}"))?;
    found.next().ok_or_else(|| format!("`{at}` has no address"))
}

fn player_tls(args: &RunArgs, certs: &Path) -> Result<PlayerTls, String> {
    let trust = match &args.ca {
        _ if args.insecure => Trust::Anybody,
        Some(file) => Trust::Roots(roots(file)?),
        // Scripts without TLS run where there are no certificates.
        None if !certs.join("ca.pem").exists() => Trust::Roots(RootCertStore::empty()),
        None => Trust::Roots(roots(&certs.join("ca.pem"))?),
    };
    // What the script shows where it plays a TLS server itself.
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    PlayerTls::new(trust, Some((vec![made.cert.der().clone()], key))).map_err(|error| error.to_string())
}

/// The authorities of a file.
fn roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| told(&error))? {
        roots.add(certificate.map_err(|error| told(&error))?).map_err(|error| told(&error))?;
    }
    Ok(roots)
}
