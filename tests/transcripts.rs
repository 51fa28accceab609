//! Every dialogue under `tests/transcripts`: one test per file and mode.
//!
//! `memory::` plays it against a fresh server in this process, on a network in memory and a clock
//! that jumps; `sockets::` against a fresh process of the built program. `docs/transcripts.md`
//! describes the format; run one with `cargo test --test transcripts smtp/rset`.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Failed, Trial};
use portico::testing::{self, Started};

/// A script may take so long in real time before it counts as hanging for good.
const SCRIPT_TIME: Duration = Duration::from_secs(60);
/// The program must be ready in this time, on a machine that is busy with all the other tests.
const START_TIME: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut scripts = Vec::new();
    collect(&root, &mut scripts);
    scripts.sort();
    let mut trials: Vec<_> = scripts.into_iter().flat_map(|path| trials(&root, path)).collect();
    trials.push(Trial::test("program::transcript-run-tells-right-from-wrong", || within_time(run_tells_right_from_wrong)));
    trials.push(Trial::test("program::every-suite-passes-against-portico-over-sockets", || within_time(suites_pass)));
    trials.push(Trial::test("program::exported-suites-are-played", || within_time(exported_suites)));
    trials.push(Trial::test("program::a-broken-server-gets-its-verdict", || within_time(broken_servers)));
    trials.push(Trial::test("program::what-is-damaged-is-told", || within_time(damaged_files)));
    trials.push(Trial::test("program::recordings-play-back", || within_time(recordings_play_back)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("tests/transcripts is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
}

fn trials(root: &Path, path: PathBuf) -> Vec<Trial> {
    let name = path.strip_prefix(root).unwrap_or(&path).with_extension("").display().to_string();
    let (in_memory, over_sockets) = match testing::wanted_modes(&path) {
        Ok(wanted) => wanted,
        Err(wrong) => return vec![Trial::test(format!("memory::{name}"), move || Err(Failed::from(wrong)))],
    };
    let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&path).to_owned();
    let memory = Trial::test(format!("memory::{name}"), {
        let path = shown.clone();
        move || within_time(move || play_in_memory(&path))
    });
    let sockets = Trial::test(format!("sockets::{name}"), move || within_time(move || play_over_sockets(&shown)));
    vec![only(memory, in_memory, "sockets only"), only(sockets, over_sockets, "memory only")]
}

/// A test that is listed as ignored where its script asks for that.
fn only(trial: Trial, is_wanted: bool, otherwise: &str) -> Trial {
    if is_wanted { trial } else { trial.with_ignored_flag(true).with_kind(otherwise) }
}

/// Runs a test on a thread of its own, so that one which spins for ever fails like any other.
fn within_time(test: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), Failed> {
    let (done, verdict) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(test()));
    match verdict.recv_timeout(SCRIPT_TIME) {
        Ok(verdict) => verdict.map_err(Failed::from),
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Err(format!("no verdict after {SCRIPT_TIME:?} of real time").into()),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err("the player panicked".into()),
    }
}

fn play_in_memory(path: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(testing::play_in_memory(path))
}

fn play_over_sockets(path: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let mut server = None;
    let verdict = runtime.block_on(testing::play_over_sockets(path, |file, sets| {
        let server = server.insert(Server::start(file, sets, Some(certificates()?))?);
        Ok(Started { services: server.services.clone(), data: server.data.path().join("data"), certs: server.certs.clone() })
    }));
    verdict.map_err(|difference| match &mut server {
        Some(server) => format!("{difference}{}", server.last_words()),
        None => difference,
    })
}

/// `portico transcript run` against a started server: what agrees, what differs, a server that
/// hangs, and a script that is wrong; plainly and as JSON.
fn run_tells_right_from_wrong() -> Result<(), String> {
    let server = Server::start("", &[], Some(certificates()?))?;
    let target = server.services.get("capital-tcp").ok_or("no capitalising server")?.to_string();
    for (script, code, says) in [
        ("-- connect capital-tcp\nC: a\nS: A\n-- close\n", 0, "1 passed, 0 failed"),
        ("-- connect capital-tcp\nC: a\nS: B\n", 1, "expected  S: B\n  received  S: A\n"),
        ("-- connect capital-tcp\nS: never\n", 1, "nothing arrived in time"),
        ("-- connect capital-tcp\nX: a\n", 1, "x.txt:2: column 1"),
        ("-- connect capital-tcp\nX: a\n", 1, "x.txt\n"),
        ("-- connect capital-tcp\n-- send raw \"x\" x 99999999999999\n", 1, "x.txt:2: a content has at most"),
        ("\u{feff}-- connect capital-tcp\nC: a\nS: A\n", 0, "1 passed, 0 failed"),
        ("-- memory only\n-- connect capital-tcp\n", 0, "1 skipped"),
        ("# nothing\n", 1, "nothing to play"),
    ] {
        let file = server.data.path().join("x.txt");
        fs::write(&file, script).map_err(|error| error.to_string())?;
        for json in [false, true] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_portico"));
            command.args(["transcript", "run", "--timeout", "300ms", "--target", &target]).arg(&file);
            let output = command.args(json.then_some("--json")).output().map_err(|error| error.to_string())?;
            let told = String::from_utf8_lossy(&output.stdout);
            if output.status.code() != Some(code) || (!json && !told.contains(says)) {
                return Err(format!("{script}wants {code} and `{says}`: {}\n{told}", output.status));
            }
            let is_list = serde_json::from_str::<Vec<serde_json::Value>>(&told).is_ok_and(|list| list.len() == 1);
            if json && !is_list {
                return Err(format!("{script}as JSON: {told}"));
            }
        }
    }
    Ok(())
}

/// Every suite, played by the program in this process's place against a started server that has what
/// the suite wants.
fn suites_pass() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    for name in testing::suite_names() {
        let mut server = None;
        let verdict = runtime.block_on(testing::play_suite_over_sockets(name, |file, sets| {
            let server = server.insert(Server::start(file, sets, Some(certificates()?))?);
            Ok(Started { services: server.services.clone(), data: server.data.path().join("data"), certs: server.certs.clone() })
        }));
        verdict.map_err(|difference| format!("{name}: {difference}"))?;
    }
    Ok(())
}

/// Runs a subcommand; answers its exit code and what it printed.
fn portico(words: &[&str]) -> Result<(Option<i32>, String), String> {
    let output = Command::new(env!("CARGO_BIN_EXE_portico")).args(words).output().map_err(|error| error.to_string())?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)))
}

/// Suites written to a folder are transcripts like any other, and reports go to files.
fn exported_suites() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    portico(&["transcript", "suites", "--export", &path("x")])?;
    for (format, says) in [("junit", "<testsuites "), ("tap", "TAP version 13\n1.."), ("gradescope", "\"max_score\""), ("json", "[\n")] {
        let words = ["transcript", "run", &path("x/suites"), "--format", format, "--output", &path("report")];
        let (code, told) = portico(&words)?;
        let report = fs::read_to_string(path("report")).map_err(|error| error.to_string())?;
        if code != Some(0) || !told.contains(" passed, 0 failed, 0 skipped; ") || !report.contains(says) {
            return Err(format!("{format}: {code:?}\n{told}\n{report}"));
        }
    }
    let (code, told) = portico(&["transcript", "run", "--suite", "smtp-basc"])?;
    if code == Some(2) && told.contains("did you mean smtp-basic?") { Ok(()) } else { Err(format!("{code:?}: {told}")) }
}

/// A setting that does not exist fails its script. A damaged recording keeps no other from the export, and
/// one that claims any number of octets fills neither memory nor disk.
fn damaged_files() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &[u8]| fs::write(path(name), text).map_err(|error| error.to_string());
    let head = "# pop3 127.0.0.1:50000 -> 127.0.0.1:8110 (3)\n    0.500 S: +OK\n";
    write("a.txt", b"\n-- set nonsense=1\n-- connect pop3\nS: +OK\n")?;
    fs::create_dir(path("var")).map_err(|error| error.to_string())?;
    write("var/good.txt", format!("{head}    0.6 -- octets S 99999999999999\n").as_bytes())?;
    write("var/noise.txt", b"# pop3 127.0.0.1:50000 -> 127.0.0.1:8110 (3)\n\xff\n")?;
    for (words, says) in [
        (["run", &path("a.txt"), "--timeout", "5s"], "a.txt:2: --set nonsense: unknown setting"),
        (["export", &path("var"), "--pcapng", &path("all.pcapng")], "packets of 1 recordings in"),
    ] {
        let (code, told) = portico(&[&["transcript"], &words[..]].concat())?;
        if code != Some(1) || !told.contains(says) {
            return Err(format!("{words:?}: {code:?}\n{told}"));
        }
    }
    Ok(())
}

/// Servers that hang, flood and drip, each a process of its own: there is a verdict, and soon.
fn broken_servers() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    for (name, says) in
        [("endless-line", "sends without end"), ("hangs", "nothing arrived in time"), ("slow-drip", "did not arrive in time")]
    {
        let ready = folder.path().join(name);
        let mut server = Command::new(env!("CARGO_BIN_EXE_portico"));
        server.args(["broken", name, "--service", "pop3", "--ready-file"]).arg(&ready).stdout(Stdio::null());
        let mut server = server.spawn().map_err(|error| error.to_string())?;
        let started = Instant::now();
        let at = loop {
            let text = fs::read_to_string(&ready).unwrap_or_default();
            match text.trim_end().strip_prefix("pop3 ") {
                Some(at) if text.ends_with('\n') => break at.to_owned(),
                _ if started.elapsed() > START_TIME => return Err(format!("{name} does not listen")),
                _ => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let told =
            portico(&["transcript", "run", "--suite", "pop3-delete", "--timeout", "200ms", "--script-timeout", "2s", "--target", &at]);
        // It is ours to end.
        let _ended = (server.kill(), server.wait());
        let (code, told) = told?;
        if code != Some(1) || !told.contains(says) {
            return Err(format!("{name}: {code:?}: {told}"));
        }
    }
    Ok(())
}

/// What `--transcripts` recorded, played back without an edit by `portico transcript run`.
fn recordings_play_back() -> Result<(), String> {
    const PLAYED: &[&str] = &[
        "capital/a-line-comes-back-in-capitals",
        "capital/a-line-too-long-is-refused",
        "http/version-not-supported",
        "pop3/capabilities-before-and-after-the-login",
        "pop3/stls-begins-anew-under-tls",
        "smtp/mail-reaches-the-mailbox",
    ];
    let mut server = Server::start("", &["transcripts=true".to_owned()], Some(certificates()?))?;
    let ready = server.data.path().join("ready");
    let recorded = server.data.path().join("data/var/transcripts");
    let first = server.data.path().join("first");
    let run = |paths: &[PathBuf]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portico"));
        command.args(["transcript", "run", "--define", "secret=hungry", "--certs"]).arg(certificates()?);
        let output = command.arg("--ready-file").arg(&ready).args(paths).output().map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(told) } else { Err(format!("{}\n{told}", output.status)) }
    };
    let scripts: Vec<_> = PLAYED.iter().map(|name| Path::new("tests/transcripts").join(name).with_extension("txt")).collect();
    run(&scripts)?;
    // What is played back is recorded too: elsewhere than what is being played.
    fs::rename(&recorded, &first).and_then(|()| fs::create_dir(&recorded)).map_err(|error| error.to_string())?;
    let told = run(&[first])?;
    server.stop();
    if told.contains(" 0 failed, 0 skipped") { Ok(()) } else { Err(told) }
}

/// The certificates that all servers share, made once by the program itself.
fn certificates() -> Result<&'static Path, String> {
    static MADE: OnceLock<Result<(tempfile::TempDir, PathBuf), String>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let mut server = Server::start("", &[], None)?;
        let kept = tempfile::tempdir().map_err(|error| error.to_string())?;
        let certs = kept.path().join("certs");
        server.stop();
        fs::rename(&server.certs, &certs).map_err(|error| format!("the program made no certificates: {error}"))?;
        Ok((kept, certs))
    });
    made.as_ref().map(|(_, certs)| certs.as_path()).map_err(Clone::clone)
}

/// A process of the program with a data folder of its own.
struct Server {
    process: Child,
    data: tempfile::TempDir,
    certs: PathBuf,
    services: BTreeMap<String, SocketAddr>,
}

impl Server {
    /// `file` is the text of its `portico.toml`, `sets` are settings for the command line.
    fn start(file: &str, sets: &[String], certs: Option<&Path>) -> Result<Server, String> {
        let told = |error: std::io::Error| error.to_string();
        let data = tempfile::tempdir().map_err(told)?;
        let certs = certs.map_or_else(|| data.path().join("certs"), Path::to_owned);
        let log = fs::File::create(data.path().join("log")).map_err(told)?;
        // Where these folders are there, no samples are put into them.
        fs::create_dir_all(data.path().join("data/maildir")).map_err(told)?;
        fs::create_dir_all(data.path().join("data/www")).map_err(told)?;
        fs::write(data.path().join("data/portico.toml"), file).map_err(told)?;
        let ready = data.path().join("ready");
        let mut command = Command::new(env!("CARGO_BIN_EXE_portico"));
        command.arg("--data").arg(data.path().join("data")).args(["--ports", "any"]).arg("--ready-file").arg(&ready);
        command.arg("--certs").arg(&certs);
        for setting in sets {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().map_err(|error| format!("the program does not start: {error}"))?;
        let mut server = Server { process, data, certs, services: BTreeMap::new() };
        server.services = server.await_ready(&ready)?;
        Ok(server)
    }

    /// Reads the ready file once it is there; it appears whole, under its name, at once.
    fn await_ready(&mut self, ready: &Path) -> Result<BTreeMap<String, SocketAddr>, String> {
        let started = Instant::now();
        loop {
            if let Ok(text) = fs::read_to_string(ready) {
                let services = text.lines().rev().filter_map(|line| line.split_once(' '));
                return Ok(services.filter_map(|(name, at)| Some((name.to_owned(), at.trim().parse().ok()?))).collect());
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("the program ended at once, {status}{}", self.last_words()));
            }
            if started.elapsed() > START_TIME {
                return Err(format!("the program was not ready after {START_TIME:?}{}", self.last_words()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn last_words(&mut self) -> String {
        self.stop();
        let log = fs::read_to_string(self.data.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(12)..];
        if last.is_empty() { String::new() } else { format!("\nthe program's last words:\n{}\n", last.join("\n")) }
    }

    fn stop(&mut self) {
        // It may have ended by itself already.
        let _killed = self.process.kill();
        let _waited = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
