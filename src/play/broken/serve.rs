//! A broken server at work: a Portico in memory, and in front of it the layer that spoils what passes.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use rand::RngExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

use super::{
    Broken, Fault,
    layer::{Seen, line, text},
    secure::Upgrade,
};
use crate::{
    net::{
        network::{Listener, Network},
        wire::{Plain, Wire},
    },
    play::{Play, tls::PlayerTls},
    services::{TlsMode, row},
    testing,
};

/// The most that is held back until a line is whole, in octets.
const LINE_OCTETS: usize = 64 * 1024;
/// How much is read at once, in octets.
const READ_OCTETS: usize = 16 * 1024;
/// How many answers [`Fault::CachesForEver`] keeps, so that nobody fills the memory.
const KEPT_ANSWERS: usize = 1000;

/// A broken server that is open for clients. It ends when this is dropped.
pub(crate) struct Running {
    pub at: SocketAddr,
    _tasks: JoinSet<()>,
    _stopper: crate::net::stop::Stopper,
}

/// Opens a broken server at `at`, on the network; what the scripts want is in place behind it.
///
/// # Errors
/// The address is taken, or what a script wants can't be had.
pub(crate) fn open(
    broken: &'static Broken,
    service: &'static str,
    at: SocketAddr,
    network: &Network,
    settings: crate::config::Settings,
    prepare: &[Play],
) -> Result<Running, String> {
    let row = row(service).ok_or_else(|| format!("there is no service {service}"))?;
    let (house, stopper) = testing::house_in_memory(settings, network.clone())?;
    let house = Arc::new(house);
    prepare.iter().try_for_each(|play| testing::furnish(&house, play))?;
    let bound = row.bind(network, SocketAddr::new(at.ip(), 0)).map_err(|error| format!("cannot listen behind {service}: {error}"))?;
    let behind = bound.local_addr().map_err(|error| error.to_string())?;
    let listener = network.listen(at).map_err(|error| format!("cannot listen on {at}: {error}"))?;
    let at = listener.local_addr().map_err(|error| error.to_string())?;
    let mut tasks = JoinSet::new();
    tasks.spawn(house.runner().run(house.stop.clone()));
    let tls = row.tls_server(&house).map_err(|error| error.to_string())?;
    let door = row.door(&house, tls);
    tasks.spawn(async move { row.serve(bound, door, &house).await });
    let front = Front {
        fault: broken.fault,
        service,
        is_implicit: row.tls == TlsMode::Implicit,
        tls: testing::memory_tls()?,
        behind,
        network: network.clone(),
        kept: Arc::default(),
    };
    tasks.spawn(front.serve(listener));
    Ok(Running { at, _tasks: tasks, _stopper: stopper })
}

/// What stands before the server.
#[derive(Clone)]
pub(super) struct Front {
    pub fault: Fault,
    pub service: &'static str,
    /// TLS comes before everything else.
    is_implicit: bool,
    /// Both sides of TLS: what passes must be seen in the clear.
    pub tls: PlayerTls,
    behind: SocketAddr,
    network: Network,
    /// What was answered, by target, for [`Fault::CachesForEver`].
    kept: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

impl Front {
    async fn serve(self, mut listener: Listener) {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let front = self.clone();
            connections.spawn(async move {
                // However a connection ends: nobody is told.
                let _ended = front.connection(client).await;
            });
            while connections.try_join_next().is_some() {}
        }
    }

    async fn connection(&self, mut client: Plain) -> io::Result<()> {
        match self.fault {
            Fault::Endless => loop {
                client.write_all(&[b'x'; 4096]).await?;
            },
            Fault::Garbage => self.garbage(client).await,
            Fault::Hangs => self.hang(client).await,
            Fault::ClosesEarly => self.close_early(client).await,
            _ => {
                let (server, _) = self.network.dial(self.behind, None).await?;
                let (client, server) = self.begin(client, server).await?;
                let passing = Passing {
                    front: self,
                    client,
                    server,
                    seen: Seen::default(),
                    upgrade: Upgrade::default(),
                    answered: None,
                    held: Vec::new(),
                    data: JoinSet::new(),
                };
                passing.run().await
            }
        }
    }

    async fn begin(&self, client: Plain, server: Plain) -> io::Result<(Wire, Wire)> {
        match (self.is_implicit, self.fault) {
            (false, _) => Ok((Wire::Plain(client), Wire::Plain(server))),
            (true, Fault::StaysPlain) => Ok((Wire::Plain(client), self.secure_server(server).await?)),
            (true, _) => self.secure(client, server).await,
        }
    }

    fn is_web(&self) -> bool {
        matches!(self.service, "http" | "https" | "proxy")
    }

    /// Whether the server speaks first.
    fn greets(&self) -> bool {
        !self.is_web() && self.service != "capital-tcp"
    }

    async fn garbage(&self, mut client: Plain) -> io::Result<()> {
        let mut said = self.greets();
        let mut buffer = [0; 4096];
        loop {
            if said {
                let mut octets = [0u8; 64];
                rand::rng().fill(&mut octets);
                client.write_all(&octets).await?;
                client.write_all(b"\r\n").await?;
            }
            said = client.read(&mut buffer).await? > 0;
            if !said {
                return Ok(());
            }
        }
    }

    async fn hang(&self, mut client: Plain) -> io::Result<()> {
        if self.greets() {
            client.write_all(&self.greeting().await?).await?;
        }
        let mut buffer = [0; 4096];
        while client.read(&mut buffer).await? > 0 {}
        Ok(())
    }

    async fn greeting(&self) -> io::Result<Vec<u8>> {
        let (mut server, _) = self.network.dial(self.behind, None).await?;
        let mut greeting = vec![0; 4096];
        let read = server.read(&mut greeting).await?;
        greeting.truncate(read);
        Ok(greeting)
    }

    async fn close_early(&self, mut client: Plain) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        if self.greets() {
            client.write_all(&self.greeting().await?).await?;
            let _said = client.read(&mut buffer).await?;
            return client.shutdown().await;
        }
        let (mut server, _) = self.network.dial(self.behind, None).await?;
        let asked = client.read(&mut buffer).await?;
        server.write_all(&buffer[..asked]).await?;
        if self.service == "capital-tcp" {
            return client.shutdown().await;
        }
        // Some octets of the body, not all of them.
        let read = server.read(&mut buffer).await?;
        let head = memchr::memmem::find(&buffer[..read], b"\r\n\r\n").map_or(0, |at| at + 4);
        client.write_all(&buffer[..read.min(head + 3)]).await?;
        client.shutdown().await
    }
}

/// A conversation that passes.
pub(super) struct Passing<'a> {
    pub front: &'a Front,
    pub client: Wire,
    pub server: Wire,
    seen: Seen,
    pub upgrade: Upgrade,
    /// The target whose answer is under way.
    answered: Option<String>,
    /// A head of a request that is not complete.
    held: Vec<u8>,
    /// Bridges for data connections.
    data: JoinSet<()>,
}

impl Passing<'_> {
    async fn run(mut self) -> io::Result<()> {
        let (mut from_client, mut from_server) = (BytesMut::new(), BytesMut::new());
        let mut client_is_there = true;
        loop {
            from_client.reserve(READ_OCTETS);
            from_server.reserve(READ_OCTETS);
            tokio::select! {
                // What comes behind the reply to STARTTLS is the handshake, which is not read here.
                read = self.client.read_buf(&mut from_client), if client_is_there && !self.upgrade.is_awaited => match read? {
                    0 => {
                        client_is_there = false;
                        self.client_has_ended().await?;
                    }
                    _ => self.pass_to_server(&mut from_client).await?,
                },
                read = self.server.read_buf(&mut from_server) => match read? {
                    0 => return self.end().await,
                    _ => self.pass_to_client(&mut from_server, &mut from_client).await?,
                },
            }
        }
    }

    async fn end(&mut self) -> io::Result<()> {
        if matches!(self.front.fault, Fault::NoCloseNotify) { Ok(()) } else { self.client.shutdown().await }
    }

    async fn client_has_ended(&mut self) -> io::Result<()> {
        if matches!(self.front.fault, Fault::QuitsForTheClient) {
            self.server.write_all(b"QUIT\r\n").await?;
        }
        self.server.shutdown().await
    }

    async fn pass_to_server(&mut self, said: &mut BytesMut) -> io::Result<()> {
        while let Some(at) = memchr::memchr(b'\n', said) {
            if self.upgrade.is_awaited {
                return Ok(());
            }
            let line = said.split_to(at + 1);
            self.seen.client_says(&line);
            if !self.seen.is_client_content && self.hears_upgrade(&line).await? {
                continue;
            }
            let passed = match self.front.fault {
                Fault::Lines(hears, _) => hears(&mut self.seen, &line),
                Fault::CachesForEver => self.ask_unless_known(&line).await?,
                _ => line.to_vec(),
            };
            self.server.write_all(&passed).await?;
        }
        // A line may come in pieces; a body needs no line end to be passed on.
        let is_body = self.front.is_web() && !self.seen.asked.is_empty() && !self.seen.is_request_head;
        if is_body || said.len() > LINE_OCTETS {
            self.server.write_all(&said.split()).await?;
        }
        self.server.flush().await
    }

    async fn pass_to_client(&mut self, said: &mut BytesMut, from_client: &mut BytesMut) -> io::Result<()> {
        while let Some(at) = memchr::memchr(b'\n', said).or_else(|| self.end_of_piece(said)) {
            let line = said.split_to(at + 1);
            self.seen.server_says(&line);
            let passed = match self.front.fault {
                Fault::Lines(_, says) => says(&mut self.seen, &line),
                Fault::KeepsDataOpen if line.starts_with(b"227") => self.bridge(&line)?,
                _ => line.to_vec(),
            };
            self.keep(&passed);
            self.send(&passed).await?;
            self.client.flush().await?;
            if self.upgrade.is_awaited && line.get(3) != Some(&b'-') {
                self.upgrade(line.starts_with(b"2") || line.starts_with(b"+"), from_client).await?;
                self.pass_to_server(from_client).await?;
            }
        }
        self.client.flush().await
    }

    /// Where a piece ends that is no line and goes on as it is: octets of a body. Others wait for the
    /// rest of their line.
    fn end_of_piece(&self, said: &[u8]) -> Option<usize> {
        let may_be_head = self.seen.is_response_head || b"HTTP/1.".starts_with(&said[..said.len().min(7)]);
        if (self.front.is_web() && !may_be_head) || said.len() > LINE_OCTETS { said.len().checked_sub(1) } else { None }
    }

    async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        if !matches!(self.front.fault, Fault::Drips) {
            return self.client.write_all(octets).await;
        }
        for octet in octets {
            self.client.write_all(&[*octet]).await?;
            self.client.flush().await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    /// What goes to the server when a head is complete: nothing where the answer is known.
    async fn ask_unless_known(&mut self, said: &[u8]) -> io::Result<Vec<u8>> {
        self.held.extend_from_slice(said);
        if self.seen.is_request_head {
            return Ok(Vec::new());
        }
        let head = std::mem::take(&mut self.held);
        let kept = self.front.kept.lock().map_or(None, |kept| kept.get(&self.seen.asked).cloned());
        self.answered = kept.is_none().then(|| self.seen.asked.clone());
        let Some(kept) = kept else { return Ok(head) };
        self.client.write_all(&kept).await?;
        self.client.flush().await?;
        Ok(Vec::new())
    }

    fn keep(&mut self, octets: &[u8]) {
        let (Fault::CachesForEver, Some(target)) = (self.front.fault, &self.answered) else { return };
        let Ok(mut kept) = self.front.kept.lock() else { return };
        if kept.len() < KEPT_ANSWERS || kept.contains_key(target) {
            let answer = kept.entry(target.clone()).or_default();
            if answer.len() < LINE_OCTETS {
                answer.extend_from_slice(octets);
            }
        }
    }

    /// A data connection that passes through here, and that nobody closes.
    fn bridge(&mut self, reply: &[u8]) -> io::Result<Vec<u8>> {
        let numbers: Vec<u16> = text(reply).split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        let [.., high, low] = numbers[..] else { return Ok(reply.to_vec()) };
        let real = SocketAddr::new(self.front.behind.ip(), high.wrapping_mul(256).wrapping_add(low));
        let ip = IpAddr::from([127, 0, 0, 1]);
        let network = self.front.network.clone();
        let mut listener = network.listen(SocketAddr::new(ip, 0))?;
        let port = listener.local_addr()?.port();
        self.data.spawn(async move {
            let Ok((mut client, _)) = listener.accept().await else { return };
            let Ok((mut server, _)) = network.dial(real, None).await else { return };
            let (mut client_in, mut client_out) = tokio::io::split(&mut client);
            let (mut server_in, mut server_out) = tokio::io::split(&mut server);
            let up = async {
                let _copied = tokio::io::copy(&mut client_in, &mut server_out).await;
                let _shut = server_out.shutdown().await;
            };
            let down = async {
                let _copied = tokio::io::copy(&mut server_in, &mut client_out).await;
                std::future::pending::<()>().await;
            };
            tokio::join!(up, down);
        });
        Ok(line(format!("227 Entering Passive Mode (127,0,0,1,{},{})", port / 256, port % 256)))
    }
}
