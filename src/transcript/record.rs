//! Records conversations as they happen: to listeners such as `watch`, and to files.
//!
//! Listeners share a bounded broadcast: one that is slow misses events and never slows a
//! conversation down. Files miss nothing: each connection writes its own, line by line, as it
//! goes, so that what was said before a crash is there after it. Nothing but the current line is
//! held in memory.

use std::{
    fmt::Write as _,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use time::{OffsetDateTime, macros::format_description};
use tokio::sync::broadcast;

use super::{
    script::{Content, Heading, Item, Step},
    text::Text,
};
use crate::clock::Clock;

/// Events that may wait for a slow listener before the oldest are dropped.
const BACKLOG: usize = 4096;
/// The most that is kept of one conversation, in octets: a peer must not fill the disk.
const FILE_OCTETS: usize = 16 << 20;

/// What the note of a login begins with; the account's name follows.
pub(crate) const LOGIN: &str = "login ";

/// Who says a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// Something that happened on a connection.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Opened(Heading),
    /// A line without its end, secrets already masked.
    Line {
        side: Side,
        line: Vec<u8>,
    },
    /// A line that was too long to be kept.
    LongLine {
        side: Side,
        octets: usize,
    },
    /// Octets of a body or file.
    Bytes {
        side: Side,
        octets: usize,
    },
    /// A TLS handshake, and what it agreed on.
    Secured(String),
    /// Anything else worth a `--` line.
    Happened(String),
    /// What a data connection has carried.
    Carried(String),
    Closed(String),
}

/// An event with its connection and the time since that connection began.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub conn: u64,
    pub at: Duration,
    pub event: Event,
}

/// What every tap feeds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recorder {
    listeners: broadcast::Sender<Noted>,
    files: Option<Arc<Files>>,
}

struct Files {
    folder: PathBuf,
    clock: Clock,
}

impl Recorder {
    /// A recorder for listeners only.
    pub(crate) fn new() -> Recorder {
        Recorder { listeners: broadcast::channel(BACKLOG).0, files: None }
    }

    /// A recorder that also writes every connection to a file in `folder`, which is made.
    pub(crate) fn to_folder(folder: PathBuf, clock: Clock) -> io::Result<Recorder> {
        // Mail and file names are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Recorder { files: Some(Arc::new(Files { folder, clock })), ..Recorder::new() })
    }

    /// Whether anybody wants to know; if not, connections carry no tap.
    pub(crate) fn is_wanted(&self) -> bool {
        self.files.is_some() || self.listeners.receiver_count() > 0
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Noted> {
        self.listeners.subscribe()
    }

    /// Begins the file of a connection, if there are to be files.
    pub(super) fn begin(&self, heading: Heading) -> Option<Record> {
        let files = self.files.as_ref()?;
        let now = OffsetDateTime::from(files.clock.now());
        let date = now.format(format_description!("[year][month][day]-[hour][minute][second]")).unwrap_or_default();
        let path = files.folder.join(format!("{}-{date}-{}.txt", heading.service, heading.id));
        match OpenOptions::new().append(true).create(true).mode(0o600).open(&path) {
            Ok(file) => Some(Record::new(file, heading, now)),
            Err(error) => {
                tracing::warn!("{} can't be written: {error}", path.display());
                None
            }
        }
    }

    /// Tells the listeners.
    pub(super) fn tell(&self, noted: Noted) {
        // Nobody listening is no failure.
        let _listeners = self.listeners.send(noted);
    }
}

/// The recording of one connection as it is told to listeners and written to its file.
pub(crate) struct Recording {
    recorder: Recorder,
    conn: u64,
    file: Option<std::sync::Mutex<Record>>,
}

impl Recording {
    /// Begins to record connection `id`; `None` where nobody wants to know.
    pub(crate) fn begin(recorder: &Recorder, heading: Heading) -> Option<Recording> {
        if !recorder.is_wanted() {
            return None;
        }
        let id = heading.id;
        recorder.tell(Noted { conn: id, at: Duration::ZERO, event: Event::Opened(heading.clone()) });
        let file = recorder.begin(heading).map(std::sync::Mutex::new);
        Some(Recording { recorder: recorder.clone(), conn: id, file })
    }

    pub(crate) fn note(&self, at: Duration, event: Event) {
        if let Some(file) = &self.file {
            file.lock().unwrap_or_else(std::sync::PoisonError::into_inner).note(at, &event);
        }
        self.recorder.tell(Noted { conn: self.conn, at, event });
    }
}

/// The file of one connection.
pub(super) struct Record {
    /// Gone after an error, or when enough has been kept.
    file: Option<File>,
    kept_octets: usize,
    /// Octets of a body that goes on, perhaps.
    pending: Option<(Side, u64, Duration)>,
}

impl Record {
    fn new(file: File, heading: Heading, now: OffsetDateTime) -> Record {
        let mut record = Record { file: Some(file), kept_octets: 0, pending: None };
        let date =
            now.format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3] UTC")).unwrap_or_default();
        record.write(&format!("# {heading}\n-- note {date}\n"));
        record
    }

    fn note(&mut self, at: Duration, event: &Event) {
        let mut text = String::new();
        match (event, &mut self.pending) {
            (Event::Bytes { side, octets }, Some((pending, sum, _))) if side == pending => *sum += *octets as u64,
            (Event::Bytes { side, octets }, _) => {
                text = self.settle();
                self.pending = Some((*side, *octets as u64, at));
            }
            _ => {
                text = self.settle();
                steps(event).into_iter().for_each(|step| print(&mut text, at, step));
            }
        }
        if !text.is_empty() {
            self.write(&text);
        }
    }

    /// The line of the octets that are pending.
    fn settle(&mut self) -> String {
        let mut text = String::new();
        if let Some((side, octets, at)) = self.pending.take() {
            print(&mut text, at, Step::Octets { side, octets });
        }
        text
    }

    fn write(&mut self, text: &str) {
        let Some(file) = &mut self.file else { return };
        self.kept_octets += text.len();
        let is_enough = self.kept_octets > FILE_OCTETS;
        let text = if is_enough { "-- note the rest is not kept\n" } else { text };
        if let Err(error) = file.write_all(text.as_bytes()) {
            tracing::warn!("a transcript broke off: {error}");
            self.file = None;
        } else if is_enough {
            self.file = None;
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let rest = self.settle();
        if !rest.is_empty() {
            self.write(&rest);
        }
    }
}

/// An event as lines of a transcript.
pub(crate) fn steps(event: &Event) -> Vec<Step> {
    match event {
        Event::Opened(heading) => vec![Step::Recorded(heading.clone())],
        Event::Line { side, line } => vec![Step::Said { side: *side, text: Text::plain(line.as_slice()) }],
        Event::LongLine { side, octets } => {
            vec![Step::Send(Content::Text { text: Text::plain("x"), times: *octets }), Step::Said { side: *side, text: Text::default() }]
        }
        Event::Bytes { side, octets } => vec![Step::Octets { side: *side, octets: *octets as u64 }],
        Event::Secured(facts) => vec![Step::Tls { name: None, or_closed: false }, Step::Note(facts.clone())],
        Event::Happened(what) => vec![Step::Note(what.clone())],
        Event::Carried(extent) => vec![Step::Data(extent.clone())],
        Event::Closed(why) => vec![Step::Note(format!("ended: {why}"))],
    }
}

fn print(text: &mut String, at: Duration, step: Step) {
    let item = Item { line: 0, at: Some(at), step };
    // Writing to a string cannot fail.
    let _written = writeln!(text, "{item}");
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::transcript::script::Script;

    fn heading(id: u64, parent: Option<u64>) -> Heading {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Heading { service: "smtp".into(), client: at(1), server: at(2), id, parent }
    }

    fn line(side: Side, line: &[u8]) -> Event {
        Event::Line { side, line: line.to_vec() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_recording_is_a_transcript() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::to_folder(folder.path().join("transcripts"), Clock::textbook()).unwrap();
        let recording = Recording::begin(&recorder, heading(17, Some(3))).unwrap();
        let millis = Duration::from_millis;
        recording.note(millis(0), line(Side::Server, b"220 {hello} "));
        recording.note(millis(400), line(Side::Client, b"\x1b[31m\xff"));
        recording.note(millis(500), Event::Bytes { side: Side::Client, octets: 1000 });
        recording.note(millis(600), Event::Bytes { side: Side::Client, octets: 24 });
        recording.note(millis(700), Event::Secured("TLSv1.3 X".into()));
        recording.note(millis(800), Event::Bytes { side: Side::Server, octets: 5 });
        drop(recording);
        let path = folder.path().join("transcripts/smtp-19941106-084937-17.txt");
        let text = std::fs::read_to_string(path).unwrap();
        let expected = "# smtp 127.0.0.1:1 -> 127.0.0.1:2 (17 of 3)\n-- note 1994-11-06 08:49:37.000 UTC\n    0.000 S: 220 {{hello}\\x20\n    \
                        0.400 C: \\x1b[31m\\xff\n    0.500 -- octets C 1024\n    0.700 -- tls\n    0.700 -- note TLSv1.3 X\n    \
                        0.800 -- octets S 5\n";
        assert_eq!(text, expected);
        assert_eq!(Script::parse(&text).unwrap().to_string(), text);
    }

    #[tokio::test]
    async fn listeners_that_are_slow_miss_events_and_files_miss_none() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::to_folder(folder.path().to_owned(), Clock::textbook()).unwrap();
        let mut listener = recorder.listen();
        let recording = Recording::begin(&recorder, heading(1, None)).unwrap();
        let count = BACKLOG * 2;
        (0..count).for_each(|_| recording.note(Duration::ZERO, line(Side::Client, b"x")));
        assert!(matches!(listener.recv().await, Err(broadcast::error::RecvError::Lagged(_))));
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), count + 2);
    }

    #[tokio::test]
    async fn nobody_listening_costs_nothing_and_one_conversation_does_not_fill_the_disk() {
        assert!(Recording::begin(&Recorder::new(), heading(1, None)).is_none());
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::to_folder(folder.path().to_owned(), Clock::textbook()).unwrap();
        let recording = Recording::begin(&recorder, heading(1, None)).unwrap();
        let long = vec![b'x'; 1 << 20];
        (0..20).for_each(|_| recording.note(Duration::ZERO, line(Side::Client, &long)));
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
        assert!(file.metadata().unwrap().len() < FILE_OCTETS as u64);
        assert!(std::fs::read_to_string(file.path()).unwrap().ends_with("-- note the rest is not kept\n"));
    }
}
