//! The command line as a black box: what is served where, what is refused and how, and the
//! subcommands that look after settings and accounts.

mod support;

#[path = "start/accounts.rs"]
mod accounts;
#[path = "start/certificates.rs"]
mod certificates;
#[path = "start/mail.rs"]
mod mail;
#[path = "start/readme.rs"]
mod readme;
#[path = "start/refusals.rs"]
mod refusals;
#[path = "start/running.rs"]
mod running;
#[path = "start/serving.rs"]
mod serving;
#[path = "start/settings.rs"]
mod settings;
#[path = "start/sheets.rs"]
mod sheets;

use std::{path::Path, process::Stdio};

use tempfile::TempDir;

use support::{Family, Server};

/// Services with the ports that README and lab sheets name.
const PORTS: [(&str, u16); 10] = [
    ("http", 8080),
    ("https", 8443),
    ("proxy", 11128),
    ("smtp", 8025),
    ("submission", 8587),
    ("smtps", 8465),
    ("pop3", 8110),
    ("pop3s", 8995),
    ("ftp", 8021),
    ("ftps", 8990),
];

/// Commands from a document, with the ports that `server` really has.
pub fn with_ports_of(server: &Server, commands: &str) -> String {
    PORTS.iter().fold(commands.to_owned(), |commands, (service, port)| {
        let own = server.at(service, Family::V4).port();
        [":", " "].iter().fold(commands, |commands, separator| {
            commands.replace(&format!("localhost{separator}{port}"), &format!("localhost{separator}{own}"))
        })
    })
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs `portico` in `folder` to its end, which must come soon.
pub fn portico(folder: &Path, arguments: &[&str]) -> Said {
    portico_with(folder, arguments, "", &[])
}

/// The same with something on standard input and in the environment.
pub fn portico_with(folder: &Path, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Said {
    use std::os::unix::fs::FileExt;
    let stdin = tempfile::tempfile().expect("the temporary folder is writable");
    stdin.write_all_at(input.as_bytes(), 0).expect("the temporary folder is writable");
    let output = support::command("timeout")
        .args(["30", env!("CARGO_BIN_EXE_portico")])
        .args(arguments)
        .current_dir(folder)
        .envs(environment.iter().copied())
        .stdin(Stdio::from(stdin))
        .output()
        .expect("the program can be started");
    let text = |octets: Vec<u8>| String::from_utf8(octets).expect("Portico speaks UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Said {
    /// Fine, and nothing to complain about; answers what was printed.
    pub fn fine(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out
    }

    /// Refused with exit code 2 and one line that holds all the `words`.
    pub fn refused(self, words: &[&str]) {
        self.complained(2, words);
    }

    /// Failed with exit code 1 and one line.
    pub fn failed(self, words: &[&str]) {
        self.complained(1, words);
    }

    fn complained(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "one line: {self:?}");
        assert!(self.err.starts_with("portico: "), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing: {self:?}");
        }
    }
}

/// An empty folder.
pub fn empty() -> TempDir {
    tempfile::Builder::new().prefix("portico-start-").tempdir().expect("the temporary folder is writable")
}
