//! Stands between any client and any server, passes everything on, and records the conversation.
//!
//! What is passed on is not changed, but for FTP's addresses of data connections, which lead
//! through here too ([`ftp`]). What is written down is decided by [`talk`]: lines as lines, bodies
//! and files as counts, passwords as asterisks. What comes under TLS can't be read, and is counted.

mod ftp;
mod talk;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::{Instant, timeout},
};

use self::{ftp::DataWays, talk::Talk};
use crate::transcript::{
    record::{Event, Recorder, Recording, Side},
    script::Heading,
};

/// What is read at a time, in octets.
const PIECE_OCTETS: usize = 16 * 1024;
/// How long the server may take to be reached.
const DIAL_TIME: Duration = Duration::from_secs(10);
/// Conversations at a time; further clients wait.
const MOST: usize = 256;

/// What to stand between.
#[derive(Clone)]
pub(crate) struct Wiretap {
    pub to: SocketAddr,
    /// The service that both sides speak: it decides what is a line and what is content.
    pub service: String,
    pub shows_secrets: bool,
    pub recorder: Recorder,
    numbers: Arc<AtomicU64>,
}

impl Wiretap {
    pub(crate) fn new(to: SocketAddr, service: &str, shows_secrets: bool, recorder: Recorder) -> Wiretap {
        Wiretap { to, service: service.to_owned(), shows_secrets, recorder, numbers: Arc::new(AtomicU64::new(1)) }
    }

    /// Serves clients, until so many conversations are over, or for ever.
    pub(crate) async fn run(self, listener: TcpListener, conversations: Option<usize>) -> io::Result<()> {
        let mut talking = JoinSet::new();
        let mut begun = 0;
        while conversations.is_none_or(|most| begun < most) {
            if talking.len() >= MOST {
                talking.join_next().await;
            }
            let (client, _) = listener.accept().await?;
            begun += 1;
            talking.spawn(self.clone().converse(client, Way { to: self.to, shown: self.to }, self.service.clone(), None));
            while talking.try_join_next().is_some() {}
        }
        while talking.join_next().await.is_some() {}
        Ok(())
    }

    /// One connection, to its end. `parent` is the one that it belongs to.
    async fn converse(self, client: TcpStream, way: Way, service: String, parent: Option<u64>) {
        let Ok(heading) = self.heading(&client, way.shown, &service, parent) else { return };
        let Some(recording) = Recording::begin(&self.recorder, heading.clone()) else { return };
        let started = Instant::now();
        let why = match timeout(DIAL_TIME, TcpStream::connect(way.to)).await {
            Ok(Ok(server)) => Both { tap: self, recording: &recording, started, heading }.join(client, server).await,
            Ok(Err(error)) => format!("the server can't be reached: {error}"),
            Err(_) => "the server can't be reached in time".to_owned(),
        };
        recording.note(started.elapsed(), Event::Closed(why));
    }

    /// A data connection. In a box, since it is the same conversation again.
    fn carry(self, client: TcpStream, way: Way, parent: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.converse(client, way, "ftp-data".into(), Some(parent)))
    }

    fn heading(&self, client: &TcpStream, server: SocketAddr, service: &str, parent: Option<u64>) -> io::Result<Heading> {
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        Ok(Heading { service: service.to_owned(), client: client.peer_addr()?, server, id, parent })
    }
}

/// Where a connection leads.
#[derive(Clone, Copy)]
struct Way {
    to: SocketAddr,
    /// What the transcript calls it. The control connection of FTP names the address of a data
    /// connection as the client knows it, so its own transcript does too.
    shown: SocketAddr,
}

/// Two connections that are one conversation.
struct Both<'r> {
    tap: Wiretap,
    recording: &'r Recording,
    started: Instant,
    heading: Heading,
}

/// What the two directions share.
struct Shared<'r> {
    talk: Mutex<Talk>,
    recording: &'r Recording,
    started: Instant,
}

impl Both<'_> {
    /// Passes everything on, both ways, and answers how it ended.
    async fn join(self, client: TcpStream, server: TcpStream) -> String {
        // Each side sees the other's timing, and so does the transcript.
        let (Ok(()), Ok(())) = (client.set_nodelay(true), server.set_nodelay(true)) else { return "lost".into() };
        let ways = (self.heading.service == "ftp" && self.heading.parent.is_none()).then(|| self.data_ways(&client, &server)).flatten();
        let shared = Shared {
            talk: Mutex::new(Talk::new(&self.heading.service, self.tap.shows_secrets)),
            recording: self.recording,
            started: self.started,
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (up, down) = tokio::join!(
            shared.pass(Side::Client, from_client, to_server, ways.clone()),
            shared.pass(Side::Server, from_server, to_client, ways),
        );
        match (up, down) {
            (Ok(()), Ok(())) => "done".into(),
            (Err(error), _) | (_, Err(error)) => format!("lost: {error}"),
        }
    }

    fn data_ways(&self, client: &TcpStream, server: &TcpStream) -> Option<DataWays> {
        let ip = |at: io::Result<SocketAddr>| at.ok().map(|at| at.ip());
        let toward_client: IpAddr = ip(client.local_addr())?;
        let toward_server: IpAddr = ip(server.local_addr())?;
        Some(DataWays {
            tap: self.tap.clone(),
            parent: self.heading.id,
            toward_client,
            toward_server,
            server: ip(server.peer_addr())?,
            client: ip(client.peer_addr())?,
        })
    }
}

impl Shared<'_> {
    /// One direction, to its end.
    async fn pass(&self, side: Side, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, ways: Option<DataWays>) -> io::Result<()> {
        let mut piece = vec![0; PIECE_OCTETS];
        let mut addresses = ways.map(|ways| ftp::Addresses::new(ways, side));
        loop {
            let octets = from.read(&mut piece).await?;
            let heard = piece.get(..octets).unwrap_or_default();
            let passed = match &mut addresses {
                Some(addresses) => addresses.lead_here(heard).await,
                None => heard.to_vec(),
            };
            // The transcript shows what the client said and heard.
            self.note(side, if side == Side::Client { heard } else { &passed });
            to.write_all(&passed).await?;
            if octets == 0 {
                return to.shutdown().await;
            }
        }
    }

    fn note(&self, side: Side, octets: &[u8]) {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let events = if octets.is_empty() { talk.end(side) } else { talk.heard(side, octets) };
        events.into_iter().for_each(|event| self.recording.note(self.started.elapsed(), event));
    }
}
