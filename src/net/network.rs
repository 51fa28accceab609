//! The real network and one in memory, behind one type: listen and dial.
//!
//! The network in memory exists for the tests and the lab. Its addresses are ordinary socket
//! addresses, but nothing leaves the process, and with tokio's clock paused hours pass at once.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
};

use super::{link::prepare_listener, wire::Plain};

/// Pending connections per listener.
const BACKLOG: i32 = 4096;
/// What a pipe in memory holds in each direction, in octets: like a small socket buffer.
const PIPE_OCTETS: usize = 64 * 1024;

/// Where listeners and outgoing connections come from.
#[derive(Clone)]
pub(crate) enum Network {
    Real,
    Memory(Arc<MemoryNetwork>),
}

/// A listener of either network.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Memory { at: SocketAddr, queue: mpsc::Receiver<(Plain, SocketAddr)>, network: Arc<MemoryNetwork> },
}

/// The listeners of a network in memory.
#[derive(Default)]
pub(crate) struct MemoryNetwork {
    ports: Mutex<MemoryPorts>,
}

#[derive(Default)]
struct MemoryPorts {
    listeners: HashMap<SocketAddr, mpsc::Sender<(Plain, SocketAddr)>>,
    given: u16,
}

impl Network {
    pub(crate) fn memory() -> Network {
        Network::Memory(Arc::default())
    }

    /// Listens on `at`; port 0 lets the system choose.
    pub(crate) fn listen(&self, at: SocketAddr) -> io::Result<Listener> {
        match self {
            Network::Real => Ok(Listener::Tcp(TcpListener::from_std(bind(at)?.into())?)),
            Network::Memory(network) => network.listen(at),
        }
    }

    /// Connects to `to`; from `from` where it is given (port 0: any port).
    pub(crate) async fn dial(&self, to: SocketAddr, from: Option<SocketAddr>) -> io::Result<(Plain, SocketAddr)> {
        match self {
            Network::Real => {
                let stream = match from {
                    None => TcpStream::connect(to).await?,
                    Some(from) => {
                        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                        socket.set_reuseaddr(true)?;
                        socket.bind(from)?;
                        socket.connect(to).await?
                    }
                };
                stream.set_nodelay(true)?;
                let local = stream.local_addr()?;
                Ok((Plain::Tcp(stream), local))
            }
            Network::Memory(network) => network.dial(to, from).await,
        }
    }
}

fn bind(at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // Connections inherit it. Replies are joined before they are written, so waiting for more
    // never helps.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SockAddr::from(at))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Listener {
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr(),
            Listener::Memory { at, .. } => Ok(*at),
        }
    }

    /// The next connection and the peer's address. Cancel-safe.
    pub(crate) async fn accept(&mut self) -> io::Result<(Plain, SocketAddr)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Plain::Tcp(stream), peer))
            }
            Listener::Memory { queue, .. } => queue.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Listener {
    /// A connection that has come already, without waiting for one. Asks the system itself, which
    /// knows of connections before the reactor has heard of them.
    pub(crate) fn accept_now(&mut self) -> io::Result<Option<(Plain, SocketAddr)>> {
        match self {
            Listener::Tcp(listener) => match SockRef::from(&*listener).accept() {
                Ok((socket, peer)) => {
                    socket.set_nonblocking(true)?;
                    socket.set_tcp_nodelay(true)?;
                    let peer = peer.as_socket().ok_or(io::ErrorKind::InvalidData)?;
                    Ok(Some((Plain::Tcp(TcpStream::from_std(socket.into())?), peer)))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            },
            Listener::Memory { queue, .. } => Ok(queue.try_recv().ok()),
        }
    }
}

impl Listener {
    /// Prepares the connections that come for an emulated link.
    pub(super) fn put_behind_link(&self) {
        if let Listener::Tcp(listener) = self {
            prepare_listener(&SockRef::from(listener));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Memory { at, network, .. } = self {
            network.lock().listeners.remove(at);
        }
    }
}

impl MemoryNetwork {
    fn lock(&self) -> std::sync::MutexGuard<'_, MemoryPorts> {
        self.ports.lock().expect("no code panics while it holds the ports")
    }

    fn listen(self: &Arc<Self>, mut at: SocketAddr) -> io::Result<Listener> {
        let mut ports = self.lock();
        if at.port() == 0 {
            at.set_port(ports.next_port());
        }
        if ports.listeners.contains_key(&at) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, queue) = mpsc::channel(128);
        ports.listeners.insert(at, sender);
        Ok(Listener::Memory { at, queue, network: self.clone() })
    }

    async fn dial(&self, to: SocketAddr, from: Option<SocketAddr>) -> io::Result<(Plain, SocketAddr)> {
        let (listener, local) = {
            let mut ports = self.lock();
            let listener = ports.listeners.get(&to).cloned().ok_or(io::ErrorKind::ConnectionRefused)?;
            let mut local = from.unwrap_or_else(|| SocketAddr::new(loopback_like(to.ip()), 0));
            if local.port() == 0 {
                local.set_port(ports.next_port());
            }
            (listener, local)
        };
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        let sent = listener.send((Plain::Memory(theirs), local)).await;
        sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok((Plain::Memory(ours), local))
    }
}

impl MemoryPorts {
    fn next_port(&mut self) -> u16 {
        loop {
            self.given = self.given.checked_add(1).unwrap_or(1);
            let port = 49_152 + self.given % 16_384;
            if !self.listeners.keys().any(|at| at.port() == port) {
                return port;
            }
        }
    }
}

fn loopback_like(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    }
}
