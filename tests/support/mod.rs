//! What the black-box tests share: a started Portico in a folder of its own, clients with a time
//! limit, and waiting for something to happen instead of sleeping.
//!
//! Every test has its own [`Lab`] and its own ports, which the system chooses; the ready file
//! tells them. A server is ended by its own process id, also when the test fails.

// Each test binary uses its own part of this module.
#![allow(dead_code)]

mod dialogue;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

pub use dialogue::Dialogue;
use libtest_mimic::{Completion, Failed, Trial};

/// Nothing in these tests takes longer, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Which loopback address a test uses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn loopback(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }

    fn is_missing(self) -> bool {
        TcpListener::bind((self.loopback(), 0)).is_err()
    }
}

/// A test that needs programs of the machine. Where one is missing it is ignored and says so,
/// unless PORTICO_REQUIRE_CLIENTS is set, as `.ci/run` does.
pub fn trial(name: impl Into<String>, programs: &'static [&'static str], family: Family, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        let mut missing: Vec<_> = programs.iter().filter(|program| !is_installed(program)).map(ToString::to_string).collect();
        if !missing.is_empty() && std::env::var_os("PORTICO_REQUIRE_CLIENTS").is_some_and(|value| value != "0") {
            return Err(Failed::from(format!("not installed: {}", missing.join(", "))));
        }
        if family.is_missing() {
            missing.push("an IPv6 loopback address".into());
        }
        if !missing.is_empty() {
            return Ok(Completion::ignored_with(format!("this machine lacks {}", missing.join(", "))));
        }
        test();
        Ok(Completion::Completed)
    })
}

/// Like [`trial`], of programs that only the superuser can start, since they change their user.
pub fn superuser_trial(name: impl Into<String>, programs: &'static [&'static str], test: impl FnOnce() + Send + 'static) -> Trial {
    if rustix::process::geteuid().is_root() {
        return trial(name, programs, Family::V4, test);
    }
    Trial::ignorable_test(name, || Ok(Completion::ignored_with("only the superuser can start this server")))
}

pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A folder for one test: the data folder of a server, its log, and what clients leave.
pub struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    pub fn new() -> Lab {
        let folder = tempfile::Builder::new().prefix("portico-lab-").tempdir().expect("the temporary folder is writable");
        // Maildrops begin empty here: where the folder is there, no sample mail is put into it.
        fs::create_dir_all(folder.path().join("data/maildir")).expect("the temporary folder is writable");
        Lab { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("the lab is writable");
        path
    }

    /// Runs a subcommand on the data folder and answers what it printed.
    pub fn portico(&self, words: &[&str]) -> String {
        run(env!("CARGO_BIN_EXE_portico"), &[words, &["--data", text(&self.data())]].concat())
    }

    /// Starts a server on the data folder, on ports that the system chooses.
    pub fn start(&self, options: &[&str]) -> Server {
        self.start_under(&[], options)
    }

    /// Starts a server under a command such as `strace -o FILE`.
    pub fn start_under(&self, wrapper: &[&str], options: &[&str]) -> Server {
        let ready = self.path("ready");
        let _none_yet = fs::remove_file(&ready);
        let log = File::options().create(true).append(true).open(self.path("log")).expect("the lab is writable");
        let mut words = wrapper.to_vec();
        words.push(env!("CARGO_BIN_EXE_portico"));
        let process = command(words[0])
            .args(&words[1..])
            .arg("--data")
            .arg(self.data())
            .args(["--ports", "any", "--ready-file"])
            .arg(&ready)
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the program can be started");
        let mut server = Server { process, services: BTreeMap::new(), log: self.path("log"), ca: self.data().join("certs/ca.pem") };
        server.await_ready(&ready);
        server
    }
}

/// A running Portico; killed when dropped.
pub struct Server {
    process: Child,
    services: BTreeMap<String, Vec<SocketAddr>>,
    log: PathBuf,
    /// The certificate that its clients trust.
    pub ca: PathBuf,
}

impl Server {
    fn await_ready(&mut self, file: &Path) {
        let text = until("the server is ready", || {
            if let Ok(Some(status)) = self.process.try_wait() {
                panic!("the server ended at once, {status}:\n{}", self.log());
            }
            fs::read_to_string(file).ok().filter(|text| text.ends_with('\n'))
        });
        for line in text.lines() {
            let (service, address) = line.split_once(' ').unwrap_or_else(|| panic!("a line of the ready file: {line:?}"));
            let address = address.trim().parse().unwrap_or_else(|_| panic!("an address in the ready file: {line:?}"));
            self.services.entry(service.to_owned()).or_default().push(address);
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where a service listens.
    pub fn at(&self, service: &str, family: Family) -> SocketAddr {
        let all = self.services.get(service).unwrap_or_else(|| panic!("no service {service} in {:?}", self.services));
        *all.iter().find(|address| address.ip() == family.loopback()).unwrap_or_else(|| panic!("{service} listens on {all:?} only"))
    }

    /// What it has written so far; the end of it where that is long.
    pub fn log(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(8000)..]).into_owned()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        self.process.kill().expect("it is ours to kill");
        self.process.wait().expect("it is ours to wait for");
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.id()).expect("process ids are small")).expect("no process has the id 0");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it is ours to stop");
        let status = until("the server has stopped", || self.process.try_wait().expect("it is ours to wait for"));
        assert!(status.success(), "stopped with {status}:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.process.kill();
        let _waited = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the server ---\n{}", self.log());
        }
    }
}

/// Waits until `look` finds something, and fails the test when nothing comes of it.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a client and answers what it printed; the test fails where the client does.
pub fn run(program: &str, arguments: &[&str]) -> String {
    run_with(program, arguments, b"")
}

/// Like [`run`], with `input` on its standard input.
pub fn run_with(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let output = attempt(program, arguments, input);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {}: {}\n{text}\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Runs a client that may fail.
pub fn attempt(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let stdin = tempfile::tempfile().expect("the temporary folder is writable");
    std::os::unix::fs::FileExt::write_all_at(&stdin, input, 0).expect("the temporary folder is writable");
    let mut command = Command::new("timeout");
    command.args([&PATIENCE.as_secs().to_string(), program]).args(arguments).env("LC_ALL", "C.UTF-8");
    // The proxies of the machine are none of ours.
    for name in ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.stdin(stdin).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// A command without what the environment of the tests may say: settings of ours (and the switches
/// of these tests, whose names begin alike) and proxies.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("PORTICO_") || name == "RUST_LOG" || name.to_lowercase().ends_with("_proxy") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs one of the Python scripts beside the tests.
pub fn python(script: &str, arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let mut words = vec!["-I", path.to_str().expect("the path is text")];
    words.extend(arguments);
    run("python3", &words)
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}
