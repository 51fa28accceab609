//! Reads scripts: from the disk or out of the binary, with everything that they include.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Difference, Failure, Played, recording, siblings, suites};
use crate::transcript::script::{ParseError, Script, Step};

/// The longest script that is read, in octets.
const SCRIPT_OCTETS: u64 = 8 << 20;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// How deep scripts may include one another.
const INCLUDE_DEPTH: usize = 8;
/// The most lines that a script has with all that it includes.
const MAX_LINES: usize = 100_000;

/// A line of a script with the file that it stands in.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub file: Arc<str>,
    pub line: usize,
    pub step: Step,
}

/// Where scripts lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    Disk,
    BuiltIn,
}

impl Shelf {
    fn read(self, path: &Path) -> Result<String, (usize, String)> {
        match self {
            Shelf::BuiltIn => {
                suites::source(&path.to_string_lossy()).map(str::to_owned).ok_or_else(|| (1, "no such file is built in".into()))
            }
            Shelf::Disk => read_text(path),
        }
    }
}

fn read_text(path: &Path) -> Result<String, (usize, String)> {
    let mut source = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(SCRIPT_OCTETS + 1).read_to_end(&mut source));
    read.map_err(|error| (1, format!("the file can't be read: {error}")))?;
    if source.len() as u64 > SCRIPT_OCTETS {
        return Err((1, format!("the file is longer than {SCRIPT_OCTETS} octets")));
    }
    // Some editors begin a file with a byte order mark.
    if source.starts_with(BYTE_ORDER_MARK) {
        source.drain(..BYTE_ORDER_MARK.len());
    }
    String::from_utf8(source).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|octet| **octet == b'\n').count() + 1;
        (line, "a transcript is UTF-8; other octets are written \\xHH".into())
    })
}

/// Reads a script and what it includes.
pub(super) fn load(path: &Path, shelf: Shelf) -> Played<Vec<Placed>> {
    let source = shelf.read(path).map_err(|(line, what)| failure(&path.display().to_string(), line, what))?;
    expand(path, &source, shelf)
}

/// The lines of a script, those of included ones in their places.
pub(super) fn expand(path: &Path, source: &str, shelf: Shelf) -> Played<Vec<Placed>> {
    let mut reader = Reader { shelf, open: Vec::new(), lines: Vec::new() };
    reader.read(path, source)?;
    Ok(reader.lines)
}

struct Reader {
    shelf: Shelf,
    /// The scripts that are being read, each included by the one before.
    open: Vec<PathBuf>,
    lines: Vec<Placed>,
}

impl Reader {
    fn read(&mut self, path: &Path, source: &str) -> Played<()> {
        let file: Arc<str> = path.display().to_string().into();
        let script = Script::parse(source).map_err(|error| misread(&file, &error))?;
        let is_recording = self.open.is_empty() && script.recorded().is_some();
        let script = if is_recording { recording::loosen(siblings::join(script, path)) } else { script };
        self.open.push(path.to_owned());
        for item in script.items {
            if let Step::Include(included) = &item.step {
                self.include(&path.with_file_name(included)).map_err(|problem| match problem {
                    Problem::Here(what) => failure(&file, item.line, what),
                    Problem::Inside(failure) => failure,
                })?;
            } else if self.lines.len() == MAX_LINES {
                return Err(failure(&file, item.line, format!("a script has at most {MAX_LINES} lines, with all that it includes")));
            } else {
                self.lines.push(Placed { file: file.clone(), line: item.line, step: item.step });
            }
        }
        self.open.pop();
        Ok(())
    }

    fn include(&mut self, path: &Path) -> Result<(), Problem> {
        if self.open.iter().any(|open| open == path) {
            return Err(Problem::Here(format!("{} includes itself", path.display())));
        }
        if self.open.len() > INCLUDE_DEPTH {
            return Err(Problem::Here(format!("scripts include one another at most {INCLUDE_DEPTH} deep")));
        }
        let source = self.shelf.read(path).map_err(|(_, what)| Problem::Here(format!("{}: {what}", path.display())))?;
        self.read(path, &source).map_err(Problem::Inside)
    }
}

/// What went wrong with an inclusion: it itself, or something in what is included.
enum Problem {
    Here(String),
    Inside(Box<Failure>),
}

fn misread(file: &str, error: &ParseError) -> Box<Failure> {
    Box::new(Failure {
        file: file.to_owned(),
        line: error.line,
        difference: Difference::new(format!("column {}: {}", error.column, error.message)),
        because: None,
        so_far: error.pointer(),
    })
}

pub(super) fn failure(file: &str, line: usize, what: String) -> Box<Failure> {
    Box::new(Failure { file: file.to_owned(), line, difference: Difference::new(what), because: None, so_far: String::new() })
}
