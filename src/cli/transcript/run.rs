//! `portico transcript run`: plays transcripts against any server.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    collect,
    progress::Progress,
    report::{self, Format, Report, Run},
    targets::TargetArgs,
};
use crate::{
    cli::Outcome,
    net::network::Network,
    play::{Grade, Play, Played, Stage, Targets, suites, tls::PlayerTls},
    testing,
    units::Span,
};

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// Transcripts, or folders of them
    #[arg(required_unless_present = "suite")]
    paths: Vec<PathBuf>,
    /// A suite that is built in (repeatable): `portico transcript suites` lists them
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    suite: Vec<String>,
    #[command(flatten)]
    server: TargetArgs,
    /// How long a step may take, unless the transcript says otherwise
    #[arg(long, value_name = "TIME", default_value = "5s")]
    timeout: Span,
    /// How long a transcript may take as a whole
    #[arg(long, value_name = "TIME", default_value = "2m")]
    script_timeout: Span,
    /// What a name in braces stands for: --define secret=hungry or user=bob,password=hungry
    /// (repeatable). In recordings {secret} stands for the password that they hide
    #[arg(long, value_name = "NAME=TEXT,...")]
    define: Vec<String>,
    /// The server has the files and mails that the transcripts want, as for suites
    #[arg(long)]
    prepared: bool,
    /// How many transcripts are played at a time [default: 1; against Portico in memory, one for
    /// each processor]
    #[arg(long, value_name = "COUNT")]
    jobs: Option<usize>,
    /// How the verdicts are told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Where they are written [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What all transcripts of a run have in common.
struct Rules {
    /// `None` is a Portico of our own in memory.
    targets: Option<Targets>,
    tls: PlayerTls,
    step_time: Duration,
    script_time: Duration,
    names: Vec<(String, String)>,
    is_prepared: bool,
}

/// What is to be played.
#[derive(Clone)]
enum Piece {
    File(PathBuf),
    Suite(&'static str),
}

pub(super) async fn play_all(args: RunArgs, certs: &Path) -> Result<Outcome, String> {
    let format = if args.json { Format::Json } else { args.format };
    let rules = Arc::new(Rules {
        targets: args.server.targets().await?,
        tls: args.server.tls(certs)?,
        step_time: args.timeout.0,
        script_time: args.script_timeout.0,
        names: definitions(&args.define)?,
        is_prepared: args.prepared,
    });
    let pieces = pieces(&args)?;
    let usual_jobs = if rules.targets.is_none() { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    let permits = Arc::new(Semaphore::new(args.jobs.unwrap_or(usual_jobs).max(1)));
    let (mut playing, started, began) = (JoinSet::new(), Instant::now(), SystemTime::now());
    // People see each verdict as it falls; programs get all of them at the end.
    let is_told_live = format == Format::Text || args.output.is_some();
    let progress = Arc::new(Progress::new(pieces.len(), is_told_live));
    for (index, piece) in pieces.into_iter().enumerate() {
        let permit = permits.clone().acquire_owned().await;
        let (rules, progress) = (rules.clone(), progress.clone());
        playing.spawn(async move {
            progress.begins(&piece.name());
            let report = play_one(&piece, &rules).await;
            progress.ends(&piece.name(), &report);
            drop(permit);
            (index, report)
        });
    }
    let mut reports = BTreeMap::new();
    while let Some(played) = playing.join_next().await {
        let (index, report) = played.map_err(|error| format!("the player broke: {error}"))?;
        reports.insert(index, report);
    }
    progress.is_done();
    let run = Run { reports: reports.into_values().collect(), began, took: started.elapsed(), is_own: rules.targets.is_none() };
    report::write(&run, format, args.output.as_deref(), is_told_live)?;
    Ok(if run.reports.iter().any(Report::has_failed) { Outcome::Failed } else { Outcome::Fine })
}

async fn play_one(piece: &Piece, rules: &Arc<Rules>) -> Report {
    let started = Instant::now();
    let mut report = match piece.load() {
        Err(failure) => Report::new(piece.name(), String::new(), Ok(Grade::of_unplayed(failure))),
        Ok(mut play) => {
            rules.names.iter().for_each(|(name, text)| play.define(name, text));
            let title = play.title().to_owned();
            Report::new(piece.name(), title, grade(play, piece, rules).await)
        }
    };
    report.took = started.elapsed();
    report
}

/// Plays a transcript, or says why it is skipped.
async fn grade(mut play: Play, piece: &Piece, rules: &Arc<Rules>) -> Result<Grade, String> {
    let Some(targets) = &rules.targets else { return grade_own(play, rules.clone()).await };
    if play.needs_our_server(rules.is_prepared || matches!(piece, Piece::Suite(_))) {
        return Err("it wants settings, files or mail of its own in the server, or virtual time".into());
    }
    let stage = Stage {
        network: Network::Real,
        targets: targets.clone(),
        tls: rules.tls.clone(),
        step_time: rules.step_time,
        script_time: rules.script_time,
    };
    match play.listen(&stage.network) {
        Err(failure) => Ok(Grade::of_unplayed(failure)),
        Ok(()) => Ok(play.grade(&stage).await),
    }
}

/// Plays it against a Portico of its own, in memory, where the clock jumps. A thread of its own has
/// the clock of its own.
async fn grade_own(play: Play, rules: Arc<Rules>) -> Result<Grade, String> {
    if play.only() == Some(crate::transcript::script::Mode::Sockets) {
        return Err("it wants sockets".into());
    }
    let playing = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
        // Hours may pass in the script: the clock costs nothing here.
        Ok(runtime.block_on(testing::grade_in_memory(play, rules.step_time, crate::play::ANY_TIME)))
    });
    playing.await.map_err(|error| format!("the player broke: {error}"))?
}

impl Piece {
    fn name(&self) -> String {
        match self {
            Piece::File(path) => path.display().to_string(),
            Piece::Suite(name) => (*name).to_owned(),
        }
    }

    fn load(&self) -> Played<Play> {
        match self {
            Piece::File(path) => Play::load(path),
            Piece::Suite(name) => Play::suite(name),
        }
    }
}

/// The suites, and the transcripts that the paths name, folders with all that is in them.
fn pieces(args: &RunArgs) -> Result<Vec<Piece>, String> {
    let suites = args.suite.iter().map(|name| suites::named(name).map(Piece::Suite));
    let mut found = Vec::new();
    for path in &args.paths {
        if path.is_dir() {
            collect(path, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
        } else if path.exists() {
            found.push(path.clone());
        } else {
            return Err(format!("there is no file {}; a suite that is built in is played by --suite", path.display()));
        }
    }
    found.sort();
    found.dedup();
    let pieces = suites.chain(found.into_iter().map(|path| Ok(Piece::File(path)))).collect::<Result<Vec<_>, _>>()?;
    if pieces.is_empty() { Err("there is no transcript (*.txt) in these folders".into()) } else { Ok(pieces) }
}

/// `NAME=TEXT`, several with commas between: a comma begins another one where a name and `=` follow.
fn definitions(given: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut names: Vec<(String, String)> = Vec::new();
    for define in given {
        let mut is_first = true;
        for piece in define.split(',') {
            let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            match (piece.split_once('=').filter(|(name, _)| is_name(name)), names.last_mut()) {
                (Some((name, text)), _) => names.push((name.to_owned(), text.to_owned())),
                (None, Some((_, text))) if !is_first => text.extend([",", piece]),
                (None, _) => return Err(format!("--define {define}: write it as NAME=TEXT")),
            }
            is_first = false;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_names_can_be_defined_at_once() {
        let told = |given: &str| {
            definitions(&[given.to_owned()]).map(|names| names.iter().map(|(name, text)| format!("{name}:{text}")).collect::<Vec<_>>())
        };
        assert_eq!(told("user=bob,password=hungry").unwrap(), ["user:bob", "password:hungry"]);
        assert_eq!(told("path=a,b,c=d=e").unwrap(), ["path:a,b", "c:d=e"]);
        assert_eq!(told("x=").unwrap(), ["x:"]);
        assert!(told("bob").is_err() && told("a b=c").is_err());
    }
}
