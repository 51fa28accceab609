//! The control socket, `var/control.sock`: how subcommands reach a running server.
//!
//! One request per connection, a line of JSON; one answer, a line of JSON, or for `watch` a stream
//! of text lines. Whoever may open the socket (mode 0600, in a folder of mode 0700) has every
//! right, so nothing else is asked.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, net::UnixStream as BlockingStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

use crate::{net::stop::Stop, services::House, store};

pub(crate) mod cache;
pub(crate) mod fault;
pub(crate) mod mail;
pub(crate) mod queue;
pub(crate) mod watch;

/// The longest request, in octets.
const REQUEST_OCTETS: u64 = 64 * 1024;
/// A request must be there, and its answer taken, within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Askers at a time; further ones wait.
const ASKERS: usize = 64;
/// Those of them that watch. They stay, and must leave room for orders.
const WATCHERS: usize = 32;

/// What a subcommand asks of a running server.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Is anybody there, and who?
    Status,
    /// Read accounts and certificates again, as SIGHUP does.
    Reload,
    Queue(queue::Order),
    Mail(mail::Order),
    Cache(cache::Order),
    Fault(fault::Order),
    /// Stream conversations as they happen, until the asker goes.
    Watch(watch::Wanted),
}

/// What it answers: something to show, or why not.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Done(Value),
    Failed(String),
}

/// Reads accounts and certificates again; answers what it did.
pub(crate) type Reload = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Services with the addresses that they listen on.
pub(crate) type Places = Vec<(String, SocketAddr)>;

/// Where the services of the running server are; `None` where none runs.
pub(crate) fn places(socket: &Path) -> Option<Result<Places, String>> {
    let answer = ask(socket, &Request::Status)?;
    Some(answer.and_then(|mut status| {
        let places = status.get_mut("places").map(Value::take).unwrap_or_default();
        serde_json::from_value(places).map_err(|error| format!("cannot read the server's answer: {error}"))
    }))
}

/// The listening end; the socket goes with it.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    places: Arc<Places>,
}

impl Control {
    /// Listens at `path`, where a dead socket may lie: whoever holds the data folder's lock may
    /// remove it.
    pub(crate) fn open(path: &Path, places: Places) -> io::Result<Control> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = via_short_path(path, |short| UnixListener::bind(short))?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Control { listener, path: path.to_owned(), places: Arc::new(places) })
    }

    /// Answers requests until the server drains.
    pub(crate) async fn serve(self, house: Arc<House>, reload: Reload, mut stop: Stop) {
        let mut askers = JoinSet::new();
        let watchers = Arc::new(Semaphore::new(WATCHERS));
        loop {
            let accepted = tokio::select! {
                () = stop.draining() => return,
                Some(_) = askers.join_next() => continue,
                accepted = self.listener.accept(), if askers.len() < ASKERS => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let office =
                        Office { house: house.clone(), reload: reload.clone(), places: self.places.clone(), watchers: watchers.clone() };
                    askers.spawn(attend(stream, office));
                }
                Err(error) => tracing::warn!("the control socket failed: {error}"),
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // A socket that stays behind is removed at the next start.
        let _gone = fs::remove_file(&self.path);
    }
}

/// What orders are carried out with.
struct Office {
    house: Arc<House>,
    reload: Reload,
    places: Arc<Places>,
    watchers: Arc<Semaphore>,
}

/// One asker: an answer, or a stream until it goes.
async fn attend(mut stream: UnixStream, office: Office) {
    let attended = match timeout(PATIENCE, request(&mut stream)).await {
        Err(late) => Err(late.into()),
        Ok(Ok(Ok(Request::Watch(wanted)))) => match office.watchers.try_acquire() {
            Ok(_place) => watch::stream(&mut stream, &wanted, &office.house.recorder).await,
            Err(_) => stream.write_all(format!("-- {WATCHERS} watch already\n").as_bytes()).await,
        },
        Ok(Ok(Ok(request))) => {
            let done = store::blocking(move || perform(request, &office.house, &office.reload, &office.places)).await;
            say(&mut stream, &done.map_or_else(Answer::Failed, Answer::Done)).await
        }
        Ok(Ok(Err(error))) => say(&mut stream, &Answer::Failed(format!("not a request: {error}"))).await,
        Ok(Err(error)) => Err(error),
    };
    if let Err(error) = attended {
        tracing::debug!("the control socket failed: {error}");
    }
}

async fn request(stream: &mut UnixStream) -> io::Result<serde_json::Result<Request>> {
    let mut line = Vec::new();
    tokio::io::BufReader::new(stream.take(REQUEST_OCTETS)).read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line))
}

async fn say(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer).map_err(io::Error::other)?;
    text.push(b'\n');
    timeout(PATIENCE, stream.write_all(&text)).await?
}

fn perform(request: Request, house: &House, reload: &Reload, places: &Places) -> Result<Value, String> {
    match request {
        Request::Status => Ok(serde_json::json!({ "process": std::process::id(), "version": env!("CARGO_PKG_VERSION"), "places": places })),
        Request::Reload => reload().map(Value::String),
        Request::Mail(order) => mail::perform(order, &*house.mail),
        Request::Cache(order) => cache::perform(order, &house.cache, house.clock.now()),
        Request::Fault(order) => fault::perform(order, &house.faults),
        Request::Queue(order) => queue::perform(order, &*house.queue, &house.clock, &house.wake),
        Request::Watch(_) => Err("watching is no order".into()),
    }
}

/// Asks the server behind `socket`; `None` where none runs.
pub(crate) fn ask(socket: &Path, request: &Request) -> Option<Result<Value, String>> {
    let stream = via_short_path(socket, |short| BlockingStream::connect(short)).ok()?;
    Some(converse(stream, request).unwrap_or_else(|error| Err(format!("the running server did not answer: {error}"))))
}

/// Asks for a stream of lines; `None` where no server runs.
pub(crate) fn listen(socket: &Path, request: &Request) -> Option<io::Result<impl BufRead + use<>>> {
    let mut stream = via_short_path(socket, |short| BlockingStream::connect(short)).ok()?;
    let mut ask = || {
        stream.write_all(&serde_json::to_vec(request)?)?;
        stream.write_all(b"\n")
    };
    Some(ask().map(|()| BufReader::new(stream)))
}

fn converse(mut stream: BlockingStream, request: &Request) -> io::Result<Result<Value, String>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, format!("nothing came within {} s", PATIENCE.as_secs())),
        _ => error,
    })?;
    Ok(match serde_json::from_str(&line)? {
        Answer::Done(value) => Ok(value),
        Answer::Failed(why) => Err(why),
    })
}

/// The address of a Unix socket holds 108 octets; data folders may lie deeper than that.
fn via_short_path<T>(path: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    const ADDRESS_OCTETS: usize = 100;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return work(path) };
    if path.as_os_str().len() <= ADDRESS_OCTETS {
        return work(path);
    }
    let folder = File::open(parent)?;
    work(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_in_a_deep_folder_can_be_reached_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(120));
        fs::create_dir(&deep).unwrap();
        let socket = deep.join("control.sock");
        fs::write(&socket, "left behind").unwrap();
        let control = Control::open(&socket, Vec::new()).unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        via_short_path(&socket, |short| BlockingStream::connect(short)).unwrap();
        drop(control);
        assert!(!socket.exists());
        assert!(ask(&socket, &Request::Status).is_none());
    }

    /// Sixteen of them once kept every other subcommand waiting.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn watchers_leave_room_for_orders() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let (house, _stopper) = crate::testing::house_in_memory(Default::default(), crate::net::network::Network::memory()).unwrap();
        let (stop, reload) = (house.stop.clone(), Arc::new(|| Ok(String::new())));
        let control = Control::open(&socket, Vec::new()).unwrap();
        let serving = tokio::spawn(control.serve(Arc::new(house), reload, stop));
        tokio::task::spawn_blocking(move || {
            let (tell, told) = std::sync::mpsc::channel();
            for _ in 0..=WATCHERS {
                let mut lines = listen(&socket, &Request::Watch(watch::Wanted::default())).unwrap().unwrap();
                let tell = tell.clone();
                std::thread::spawn(move || {
                    let mut line = String::new();
                    // Nothing happens here that could be watched: only who is refused hears something.
                    let _heard = lines.read_line(&mut line).map(|_| tell.send(line));
                });
            }
            let refused = told.recv().unwrap();
            assert!(refused.contains("watch already"), "{refused}");
            assert!(ask(&socket, &Request::Status).unwrap().is_ok());
        })
        .await
        .unwrap();
        serving.abort();
    }
}
