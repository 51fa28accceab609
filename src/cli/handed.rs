//! Sockets that the service manager bound for us (socket activation, `LISTEN_FDS`): with them
//! Portico needs no root for the well-known ports.

use std::{collections::HashMap, io, net::SocketAddr};

use listenfd::ListenFd;

use crate::{
    net::network::Listener,
    services::{Bound, Kind, Row},
};

/// What was handed over, by address.
pub(crate) struct Handed(HashMap<(SocketAddr, Transport), Bound>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Transport {
    Tcp,
    Udp,
}

impl Handed {
    /// Takes what the environment tells of. Call inside a runtime.
    pub(crate) fn over() -> Handed {
        let mut sockets = ListenFd::from_env();
        let mut handed = HashMap::new();
        for index in 0..sockets.len() {
            match take(&mut sockets, index) {
                Ok(Some((at, transport, bound))) => drop(handed.insert((at, transport), bound)),
                Ok(None) => {}
                Err(error) => tracing::warn!("the socket {index} that the service manager handed over can't be used: {error}"),
            }
        }
        Handed(handed)
    }

    /// The socket that is bound to `at`, of the kind that the service wants.
    pub(crate) fn take(&mut self, row: &Row, at: SocketAddr) -> Option<Bound> {
        let transport = match row.kind {
            Kind::Stream(_) => Transport::Tcp,
            Kind::Datagram(_) => Transport::Udp,
        };
        self.0.remove(&(at, transport))
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        for (at, _) in self.0.keys() {
            tracing::warn!(address = %at, "the service manager handed over a socket that no service listens on");
        }
    }
}

fn take(sockets: &mut ListenFd, index: usize) -> io::Result<Option<(SocketAddr, Transport, Bound)>> {
    if let Ok(Some(listener)) = sockets.take_tcp_listener(index) {
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        return Ok(Some((at, Transport::Tcp, Bound::Stream(Listener::Tcp(listener)))));
    }
    let Some(socket) = sockets.take_udp_socket(index)? else { return Ok(None) };
    socket.set_nonblocking(true)?;
    let at = socket.local_addr()?;
    Ok(Some((at, Transport::Udp, Bound::Datagram(tokio::net::UdpSocket::from_std(socket)?))))
}
