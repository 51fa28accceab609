//! The access log: one line per request in the Combined Log Format, which every log analyser reads.
//!
//! ```text
//! 127.0.0.1 - alice [06/Nov/1994:08:49:37 +0000] "GET /a HTTP/1.1" 200 12 "http://from/" "curl/8.0"
//! ```
//!
//! Lines are handed to a thread of their own: no request waits for the disk. While the disk is
//! slower than the requests are, lines are dropped and counted; the memory for those that wait has
//! a bound.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use time::{OffsetDateTime, macros::format_description};

/// What is logged of one request line, Referer or User-Agent, in octets before escaping: they may be
/// as long as a whole head.
const PART_OCTETS: usize = 4096;
/// Lines that wait to be written, in octets.
const WAITING_OCTETS: usize = 16 * 1024 * 1024;
/// How long lines are collected for one write: long enough to be cheap, short enough for `tail -f`.
const COLLECT: Duration = Duration::from_millis(50);
/// Written at once where more has come together, in octets.
const WRITE_OCTETS: usize = 256 * 1024;

/// What is logged of one request.
pub(super) struct Access<'a> {
    pub peer: IpAddr,
    /// The name in the credentials, whether the password was right or not.
    pub user: Option<&'a str>,
    pub at: SystemTime,
    /// As it came.
    pub request_line: &'a [u8],
    pub status: u16,
    /// Of the body, really sent.
    pub octets: u64,
    pub referer: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
}

impl Access<'_> {
    /// The line with its line end.
    fn line(&self) -> Vec<u8> {
        let at = OffsetDateTime::from(self.at);
        let form = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
        let mut line = Vec::with_capacity(256);
        line.extend_from_slice(self.peer.to_canonical().to_string().as_bytes());
        line.extend_from_slice(b" - ");
        push_name(&mut line, self.user);
        line.extend_from_slice(format!(" [{}] \"", at.format(form).unwrap_or_default()).as_bytes());
        push_escaped(&mut line, self.request_line);
        line.extend_from_slice(format!("\" {} {} \"", self.status, self.octets).as_bytes());
        push_escaped(&mut line, self.referer.unwrap_or(b"-"));
        line.extend_from_slice(b"\" \"");
        push_escaped(&mut line, self.user_agent.unwrap_or(b"-"));
        line.extend_from_slice(b"\"\n");
        line
    }
}

/// A name stands without quotes: what would end it is escaped as well.
fn push_name(line: &mut Vec<u8>, name: Option<&str>) {
    match name.filter(|name| !name.is_empty()) {
        None => line.push(b'-'),
        Some(name) => name.split(' ').enumerate().for_each(|(number, part)| {
            if number > 0 {
                line.extend_from_slice(b"\\x20");
            }
            push_escaped(line, part.as_bytes());
        }),
    }
}

/// Quotes, backslashes and everything that is not visible ASCII become `\xXX`: nobody forges a line.
fn push_escaped(line: &mut Vec<u8>, text: &[u8]) {
    for octet in text.iter().take(PART_OCTETS) {
        match octet {
            b'"' | b'\\' | ..b' ' | 0x7f.. => line.extend_from_slice(format!("\\x{octet:02X}").as_bytes()),
            octet => line.push(*octet),
        }
    }
}

/// The file. Dropping it writes what is left.
pub(crate) struct AccessLog {
    path: PathBuf,
    orders: Mutex<Option<Sender<Order>>>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    writer: Option<JoinHandle<()>>,
}

enum Order {
    Line(Vec<u8>),
    Reopen(File),
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// Opens the file, or creates it with its folder.
    ///
    /// # Errors
    /// Those of opening a file or starting a thread.
    pub(crate) fn open(path: &Path) -> io::Result<AccessLog> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = append_to(path)?;
        let (sender, orders) = channel();
        let (waiting, dropped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let work = Writer { file, orders, waiting: waiting.clone(), dropped: dropped.clone(), is_failing: false };
        let writer = thread::Builder::new().name("access-log".into()).spawn(move || work.run())?;
        Ok(AccessLog { path: path.to_owned(), orders: Mutex::new(Some(sender)), waiting, dropped, writer: Some(writer) })
    }

    /// Hands over a line; never waits.
    pub(super) fn note(&self, access: &Access<'_>) {
        let line = access.line();
        let octets = line.len();
        if self.waiting.fetch_add(octets, Relaxed) + octets > WAITING_OCTETS {
            self.waiting.fetch_sub(octets, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        self.order(Order::Line(line));
    }

    /// Goes on in the file that stands under the name now: after a rotation, a new one.
    ///
    /// # Errors
    /// Those of opening it; then the old one stays in use.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        self.order(Order::Reopen(append_to(&self.path)?));
        Ok(())
    }

    /// Waits until what was handed over so far is written.
    pub(crate) fn flush(&self) {
        let (done, waiting) = sync_channel(1);
        self.order(Order::Flush(done));
        // An error says that the writer is gone and nothing is left to wait for.
        let _gone = waiting.recv();
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &*self.orders.lock().unwrap_or_else(PoisonError::into_inner) {
            // It fails only where the writer has panicked, and nobody is left to hear of it.
            let _gone = orders.send(order);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(writer) = self.writer.take() {
            let _panicked = writer.join();
        }
    }
}

/// Who visits what is not for everybody to read.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// The thread that writes.
struct Writer {
    file: File,
    orders: Receiver<Order>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    /// The last write failed, which was told once.
    is_failing: bool,
}

impl Writer {
    fn run(mut self) {
        let mut lines = Vec::new();
        while let Ok(order) = self.orders.recv() {
            let mut next = Some(order);
            let until = Instant::now() + COLLECT;
            while let Some(order) = next.take() {
                match order {
                    Order::Line(line) => lines.extend_from_slice(&line),
                    Order::Reopen(file) => {
                        self.write(&mut lines);
                        self.file = file;
                    }
                    Order::Flush(done) => {
                        self.write(&mut lines);
                        let _nobody_waits = done.send(());
                    }
                }
                if lines.len() < WRITE_OCTETS {
                    next = self.orders.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
                }
            }
            self.write(&mut lines);
        }
    }

    fn write(&mut self, lines: &mut Vec<u8>) {
        if lines.is_empty() {
            return;
        }
        let written = self.file.write_all(lines);
        match &written {
            Err(error) if !self.is_failing => tracing::error!("the access log can't be written, lines are lost: {error}"),
            Err(_) => {}
            Ok(()) => {
                let dropped = self.dropped.swap(0, Relaxed);
                if dropped > 0 {
                    tracing::warn!(dropped, "the access log could not keep up");
                }
            }
        }
        self.is_failing = written.is_err();
        self.waiting.fetch_sub(lines.len(), Relaxed);
        lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(request_line: &[u8]) -> Access<'_> {
        Access {
            peer: IpAddr::from([127, 0, 0, 1]),
            user: Some("alice"),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777),
            request_line,
            status: 200,
            octets: 12,
            referer: None,
            user_agent: Some(b"curl/8.0"),
        }
    }

    #[test]
    fn lines_are_as_every_analyser_expects_them() {
        let line = |access: Access<'_>| String::from_utf8(access.line()).unwrap();
        assert_eq!(
            line(access(b"GET /a HTTP/1.1")),
            "127.0.0.1 - alice [06/Nov/1994:08:49:37 +0000] \"GET /a HTTP/1.1\" 200 12 \"-\" \"curl/8.0\"\n"
        );
        let forged = Access { user: None, referer: Some(b"a\"b\\c"), user_agent: None, ..access(b"GET /\xc3\xa9\x1b[2J\n1.2.3.4 - -") };
        assert!(line(forged).ends_with("\"GET /\\xC3\\xA9\\x1B[2J\\x0A1.2.3.4 - -\" 200 12 \"a\\x22b\\x5Cc\" \"-\"\n"));
        let user = Access { user: Some("a b\"c] 1"), ..access(b"") };
        assert!(line(user).starts_with("127.0.0.1 - a\\x20b\\x22c]\\x201 ["));
        assert!(line(access(&[b'x'; 100_000])).len() < PART_OCTETS + 200);
    }

    #[test]
    fn a_rotated_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log/access.log"), folder.path().join("access.log.1"));
        let log = AccessLog::open(&path).unwrap();
        log.note(&access(b"one"));
        log.flush();
        fs::rename(&path, &old).unwrap();
        log.note(&access(b"two"));
        log.reopen().unwrap();
        log.note(&access(b"three"));
        drop(log);
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert!(read(&old).contains("one") && read(&old).contains("two") && !read(&old).contains("three"));
        assert!(read(&path).contains("three") && read(&path).lines().count() == 1);
        drop(AccessLog::open(&path).unwrap());
        assert_eq!(read(&path).lines().count(), 1, "what is there stays");
    }
}
