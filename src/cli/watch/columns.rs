//! Lays conversations out side by side: the client on the left, the server on the right, what
//! belongs to both across.
//!
//! Several conversations are shown as they come; a rule tells where another one goes on. The data
//! connections of FTP stand in the rows of their session, at the session's time.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    time::Duration,
};

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{CLIENT, QUIET, SERVER, STRONG};
use crate::{
    explain::Explained,
    services::explainer::Explainer,
    transcript::{
        record::Side,
        script::{Heading, Item, Script, Step},
        text::Place,
    },
};

/// The time and the blank behind it.
const TIME_WIDTH: usize = 10;
const GAP: &str = " │ ";
/// Conversations whose ends were missed are forgotten in the end.
const MOST: usize = 4096;

pub(crate) struct Columns {
    width: usize,
    explains: bool,
    conversations: HashMap<u64, Conversation>,
    /// The one that was shown last.
    current: u64,
}

struct Conversation {
    explainer: Explainer,
    /// What has been explained: once in a conversation is enough.
    explained: HashSet<&'static str>,
    /// The conversation that this connection belongs to, or its own number.
    family: u64,
    title: String,
}

impl Columns {
    pub(crate) fn new(width: usize, explains: bool) -> Columns {
        Columns { width, explains, conversations: HashMap::new(), current: 0 }
    }

    /// A line of the stream, laid out; with a rule above it where it is of another conversation.
    pub(crate) fn show(&mut self, line: &str) -> String {
        let Some((service, conn, item)) = parse(line) else { return format!("{QUIET}{line}{QUIET:#}\n") };
        if let Step::Recorded(heading) = &item.step {
            self.open(heading);
        }
        let mut text = self.rule(service, conn);
        text.push_str(&self.row(service, conn, &item));
        if matches!(&item.step, Step::Note(note) if note.starts_with("ended: ")) {
            self.conversations.remove(&conn);
        }
        text
    }

    fn open(&mut self, heading: &Heading) {
        if self.conversations.len() >= MOST {
            self.conversations.clear();
        }
        let family = heading.parent.filter(|parent| self.conversations.contains_key(parent)).unwrap_or(heading.id);
        let title = format!("{}#{} {} → {}", heading.service, heading.id, heading.client, heading.server);
        let explainer = Explainer::new(&heading.service);
        self.conversations.insert(heading.id, Conversation { explainer, explained: HashSet::new(), family, title });
    }

    /// The rule above a conversation that goes on.
    fn rule(&mut self, service: &str, conn: u64) -> String {
        let (family, title) = match self.conversations.get(&conn) {
            Some(known) => (known.family, known.title.clone()),
            None => (conn, format!("{service}#{conn}")),
        };
        if family == self.current {
            return String::new();
        }
        self.current = family;
        let title = self.conversations.get(&family).map_or(title, |known| known.title.clone());
        let rest = self.width.saturating_sub(title.width() + 4);
        format!("{STRONG}── {title} {}{STRONG:#}\n", "─".repeat(rest))
    }

    fn row(&mut self, service: &str, conn: u64, item: &Item) -> String {
        let time = item.at.map(|at| format!("{:9.3}", at.as_secs_f64())).unwrap_or_default();
        let is_side = self.conversations.get(&conn).is_some_and(|known| known.family != conn);
        match &item.step {
            // A connection of its own has its rule already.
            Step::Recorded(_) if !is_side => String::new(),
            Step::Recorded(heading) => self.across(&time, &format!("═ {service}#{conn}: {} → {}", heading.client, heading.server)),
            Step::Said { side, text } if !is_side || self.speaks(conn) => {
                let line = text.print(Place::Line);
                let mut rows = self.columns(*side, &time, &line, side_style(*side));
                if let Some(row) = self.explain(conn, *side, &line) {
                    rows.push_str(&self.columns(*side, "", &format!("· {} ({})", row.sentence, row.source), QUIET));
                }
                rows
            }
            Step::Octets { side, octets } => {
                let marked = if is_side { format!("═ {service}#{conn}: ") } else { String::new() };
                let to = if *side == Side::Client { "from the client" } else { "to the client" };
                self.across(&time, &format!("{marked}{octets} octets {to}"))
            }
            Step::Note(note) | Step::Data(note) if is_side => self.across(&time, &format!("═ {service}#{conn}: {note}")),
            step if is_side => self.across(&time, &format!("═ {service}#{conn}: {step}")),
            Step::Note(note) => self.across(&time, &format!("-- {note}")),
            step => self.across(&time, &step.to_string()),
        }
    }

    fn explain(&mut self, conn: u64, side: Side, line: &str) -> Option<&'static Explained> {
        let known = self.conversations.get_mut(&conn)?;
        let row = known.explainer.explain(side, line)?;
        (self.explains && known.explained.insert(row.term)).then_some(row)
    }

    /// Whether a connection that belongs to another has a dialogue of its own to show.
    fn speaks(&self, conn: u64) -> bool {
        self.conversations.get(&conn).is_some_and(|known| !known.title.starts_with("ftp-data"))
    }

    /// Text in one of the two columns, wrapped.
    fn columns(&self, side: Side, time: &str, text: &str, style: Style) -> String {
        let each = self.width.saturating_sub(TIME_WIDTH + GAP.width()) / 2;
        let mut rows = String::new();
        for (index, piece) in wrap(text, each).into_iter().enumerate() {
            let time = if index == 0 { time } else { "" };
            let blanks = |octets: usize| " ".repeat(octets);
            let (left, right) = match side {
                Side::Client => (format!("{style}{piece}{style:#}{}", blanks(each - piece.width().min(each))), String::new()),
                Side::Server => (blanks(each), format!("{style}{piece}{style:#}")),
            };
            // Writing to a string cannot fail.
            let _written = writeln!(rows, "{QUIET}{time:>9}{QUIET:#} {left}{QUIET}{GAP}{QUIET:#}{right}");
        }
        rows
    }

    /// Text that belongs to neither side.
    fn across(&self, time: &str, text: &str) -> String {
        let pieces = wrap(text, self.width.saturating_sub(TIME_WIDTH));
        let rows = pieces.iter().enumerate().map(|(index, piece)| {
            let time = if index == 0 { time } else { "" };
            format!("{QUIET}{time:>9} {piece}{QUIET:#}\n")
        });
        rows.collect()
    }
}

fn side_style(side: Side) -> Style {
    match side {
        Side::Client => CLIENT,
        Side::Server => SERVER,
    }
}

/// `smtp#17     0.412 C: EHLO lab`
fn parse(line: &str) -> Option<(&str, u64, Item)> {
    let (label, rest) = line.split_once(' ')?;
    let (service, conn) = label.split_once('#')?;
    // A heading is a heading at the beginning of a transcript only, and has no time in front there.
    let (time, after_time) = rest.trim_start().split_once(' ')?;
    let source = if after_time.starts_with("# ") { after_time } else { rest };
    let mut item = Script::parse(source).ok()?.items.into_iter().next()?;
    item.at = time.parse().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    Some((service, conn.parse().ok()?, item))
}

/// Pieces of at most `width` columns, cut at blanks where there are any.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let last = pieces.last().map_or(0, |piece| piece.width());
        if last > 0 && last + word.trim_end().width() > width {
            pieces.push(String::new());
        }
        for character in word.chars() {
            let piece = pieces.last_mut().expect("there is always one");
            if piece.width() + character.width().unwrap_or(0) <= width {
                piece.push(character);
            } else if character != ' ' {
                pieces.push(character.to_string());
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: usize, lines: &[&str]) -> Vec<String> {
        let mut columns = Columns::new(width, true);
        let text: String = lines.iter().map(|line| columns.show(line)).collect();
        anstream::adapter::strip_str(&text).to_string().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn client_and_server_stand_side_by_side_with_what_it_means() {
        let lines = shown(
            72,
            &[
                "pop3#7     0.000 # pop3 127.0.0.1:1 -> 127.0.0.1:2 (7)",
                "pop3#7     0.001 S: +OK ready",
                "pop3#7     0.002 C: USER bob",
                "pop3#7     0.003 -- note ended: done",
            ],
        );
        assert_eq!(
            lines,
            [
                "── pop3#7 127.0.0.1:1 → 127.0.0.1:2 ────────────────────────────────────",
                "    0.001                               │ +OK ready",
                "                                        │ · The command was carried",
                "                                        │ out. (RFC 1939, 3)",
                "    0.002 USER bob                      │",
                "          · Names the account; the      │",
                "          password follows with PASS.   │",
                "          (RFC 1939, 7)                 │",
                "    0.003 -- ended: done",
            ]
        );
    }

    #[test]
    fn data_connections_stand_in_the_rows_of_their_session() {
        let lines = shown(
            80,
            &[
                "ftp#1     0.000 # ftp 127.0.0.1:1 -> 127.0.0.1:2 (1)",
                "ftp-data#2     0.100 # ftp-data 127.0.0.1:3 -> 127.0.0.1:4 (2 of 1)",
                "ftp-data#2     0.101 -- octets S 512",
                "ftp#1     0.102 S: 226 done",
            ],
        );
        assert_eq!(lines.iter().filter(|line| line.starts_with("──")).count(), 1, "{lines:#?}");
        assert_eq!(lines[1], "    0.100 ═ ftp-data#2: 127.0.0.1:3 → 127.0.0.1:4");
        assert_eq!(lines[2], "    0.101 ═ ftp-data#2: 512 octets to the client");
    }

    #[test]
    fn long_lines_are_wrapped_and_nothing_of_them_is_lost() {
        for width in [1, 7, 40] {
            let text = "a few words and averyverylongonewithoutblanks";
            let pieces = wrap(text, width);
            assert!(pieces.iter().all(|piece| piece.width() <= width), "{pieces:?}");
            let strip = |text: &str| text.replace(' ', "");
            assert_eq!(strip(&pieces.concat()), strip(text));
        }
        assert_eq!(shown(80, &["-- 7 events missed: too slow", "x#1 nonsense"]).len(), 2);
    }
}
