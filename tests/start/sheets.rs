//! The lab sheets: every command of theirs is executed, as it stands, against a server that was
//! started as the sheet says. Only ports are others, and `portico` is the one that was built.

use std::{env, fs, net::TcpListener, path::Path};

use crate::{
    support::{Lab, Server, attempt, is_installed},
    with_ports_of,
};

/// A block of a sheet.
enum Block {
    /// Starts the server with these flags.
    Server(Vec<String>),
    Commands(String),
}

fn blocks(sheet: &str) -> Vec<Block> {
    let parts = sheet.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let block = |(fence, body): (&str, &str)| match fence {
        "sh server" => {
            let flags = body.trim().strip_prefix("portico").expect("the server is Portico");
            Some(Block::Server(flags.split_whitespace().map(str::to_owned).collect()))
        }
        "sh" => Some(Block::Commands(body.to_owned())),
        _ => None,
    };
    parts.filter_map(block).collect()
}

/// Executes a sheet from top to bottom.
fn play(path: &str) {
    if !["curl", "nc", "lftp"].iter().all(|program| is_installed(program)) {
        return; // .ci/run installs them.
    }
    let sheet = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lab = Lab::new();
    // The samples come with the first start, as in an empty folder.
    let _samples = (fs::remove_dir(lab.data().join("maildir")), fs::remove_dir(lab.data().join("www")));
    let (mut server, mut executed) = (None, 0);
    for block in blocks(&sheet) {
        match block {
            Block::Server(flags) => server = Some(lab.start(&flags.iter().map(String::as_str).collect::<Vec<_>>())),
            Block::Commands(commands) => {
                execute(path, &lab, server.as_ref(), &commands);
                executed += 1;
            }
        }
    }
    assert!(executed > 0, "{path} has no commands");
}

fn execute(path: &str, lab: &Lab, server: Option<&Server>, commands: &str) {
    let commands = server.map_or_else(|| commands.to_owned(), |server| with_ports_of(server, commands));
    let built = Path::new(env!("CARGO_BIN_EXE_portico")).parent().expect("it lies in a folder");
    // The port that sheets use beside those of the server.
    let commands = commands.replace("9025", &free_port().to_string());
    let script = format!("set -eu; cd '{}'; PATH='{}':$PATH\n{commands}", lab.data().display(), built.display());
    let output = attempt("bash", &["-c", &script], b"");
    let (out, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{path}: {}\n{commands}\n{out}{complaints}", output.status);
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

macro_rules! sheets {
    ($($name:ident: $path:literal),+ $(,)?) => {
        $(#[test] fn $name() { play($path); })+

        #[test]
        fn every_sheet_is_executed() {
            let listed = [$($path),+];
            for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/labs")).expect("the sheets are there").flatten() {
                let path = format!("docs/labs/{}", entry.file_name().to_string_lossy());
                assert!(path.ends_with("/README.md") || listed.contains(&path.as_str()), "{path} is not executed");
            }
        }
    };
}

sheets! {
    http: "docs/labs/http.md",
    cache: "docs/labs/cache.md",
    mail: "docs/labs/mail.md",
    ftp: "docs/labs/ftp.md",
    networks: "docs/labs/networks.md",
    recording: "docs/labs/recording.md",
    instructor: "docs/labs/instructor.md",
}
