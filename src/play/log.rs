//! What has been said so far, for the message about the first difference.

use std::{fmt::Write, time::Duration};

use tokio::time::Instant;

use crate::transcript::{
    record::Side,
    text::{Place, print_octets},
};

/// How many lines of a conversation are kept for a message.
const KEPT_LINES: usize = 200;
/// How much of a line is kept, in octets.
const KEPT_OCTETS: usize = 500;

/// The conversations of one script, in the order in which they happened.
pub(super) struct Log {
    started: Instant,
    entries: std::collections::VecDeque<(Duration, String, String)>,
    dropped: usize,
}

impl Log {
    pub(super) fn new() -> Log {
        Log { started: Instant::now(), entries: Default::default(), dropped: 0 }
    }

    pub(super) fn said(&mut self, name: &str, side: Side, line: &[u8]) {
        let shown = print_octets(&line[..line.len().min(KEPT_OCTETS)], Place::Line, false);
        let cut = if line.len() > KEPT_OCTETS { format!("... ({} octets)", line.len()) } else { String::new() };
        self.add(name, format!("{side}: {shown}{cut}"));
    }

    /// Octets that are shown as lines where they are lines.
    pub(super) fn octets(&mut self, name: &str, side: Side, octets: &[u8]) {
        const SHOWN_LINES: usize = 40;
        if octets.split(|octet| *octet == b'\n').count() > SHOWN_LINES || std::str::from_utf8(octets).is_err() {
            return self.add(name, format!("-- octets {side} {}", octets.len()));
        }
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            self.said(name, side, line.strip_suffix(b"\r\n").unwrap_or(line));
        }
    }

    pub(super) fn event(&mut self, name: &str, event: &str) {
        self.add(name, format!("-- {event}"));
    }

    fn add(&mut self, name: &str, text: String) {
        if self.entries.len() == KEPT_LINES {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back((self.started.elapsed(), name.to_owned(), text));
    }

    /// The transcript so far.
    pub(super) fn print(&self) -> String {
        let mut out = String::new();
        if self.dropped > 0 {
            out.push_str(&format!("# {} lines before these\n", self.dropped));
        }
        let mut current = "main";
        for (at, name, text) in &self.entries {
            if name != current {
                out.push_str(&format!("          -- on {name}\n"));
                current = name;
            }
            // Writing to a string cannot fail.
            let _written = writeln!(out, "{:9.3} {text}", at.as_secs_f64());
        }
        out
    }
}
