//! What a run tells while it goes on: each verdict as it falls, and on a terminal a line that says
//! what is being played.

use std::{
    collections::BTreeSet,
    io::{IsTerminal, Write},
    sync::Mutex,
};

use super::report::{Report, text};
use crate::cli::say;

/// Where a run is.
pub(super) struct Progress {
    total: usize,
    /// Whether verdicts are told as they fall.
    tells: bool,
    has_line: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: usize,
    failed: usize,
    playing: BTreeSet<String>,
}

impl Progress {
    pub(super) fn new(total: usize, tells: bool) -> Progress {
        Progress { total, tells, has_line: std::io::stderr().is_terminal(), state: Mutex::default() }
    }

    pub(super) fn begins(&self, name: &str) {
        let change = |state: &mut State| {
            state.playing.insert(name.to_owned());
        };
        self.change(change, None);
    }

    pub(super) fn ends(&self, name: &str, report: &Report) {
        let change = |state: &mut State| {
            state.playing.remove(name);
            state.done += 1;
            state.failed += usize::from(report.has_failed());
        };
        self.change(change, Some(report).filter(|_| self.tells));
    }

    /// Takes the line away.
    pub(super) fn is_done(&self) {
        if self.has_line {
            draw("");
        }
    }

    fn change(&self, change: impl FnOnce(&mut State), report: Option<&Report>) {
        let mut state = self.state.lock().expect("no code panics while it holds the state");
        change(&mut state);
        if let (true, Some(_)) = (self.has_line, report) {
            draw("");
        }
        if let Some(report) = report {
            say(format_args!("{}", text::one(report)));
        }
        if self.has_line {
            let playing: Vec<_> = state.playing.iter().map(String::as_str).collect();
            draw(&line(state.done, self.total, state.failed, &playing.join(", ")));
        }
    }
}

fn line(done: usize, total: usize, failed: usize, playing: &str) -> String {
    const SHOWN_CHARS: usize = 76;
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    let line = format!("{done} of {total}{failed}: {playing}");
    if line.chars().count() <= SHOWN_CHARS { line } else { line.chars().take(SHOWN_CHARS - 3).chain("...".chars()).collect() }
}

/// Puts a line over the one before.
fn draw(line: &str) {
    let _nobody_looks = write!(anstream::stderr().lock(), "\r\x1b[K{line}").and_then(|()| anstream::stderr().flush());
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_line_fits_on_a_terminal() {
        assert_eq!(line(3, 9, 0, "smtp-basic"), "3 of 9: smtp-basic");
        assert_eq!(line(3, 9, 2, &"x".repeat(200)).chars().count(), 76);
    }
}
