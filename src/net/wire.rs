//! The byte stream beneath a connection: a socket, a pipe in memory, or TLS over either.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

use super::link::Linked;

/// A stream without TLS.
pub(crate) enum Plain {
    Tcp(TcpStream),
    /// The in-memory network of the tests and the lab.
    Memory(DuplexStream),
    /// Either, behind an emulated link.
    Linked(Linked),
}

/// What a connection reads from and writes to.
pub(crate) enum Wire {
    Plain(Plain),
    Tls(Box<TlsStream<Plain>>),
}

impl Plain {
    /// Lets the peer see a reset, once this is dropped, and not a clean end.
    pub(super) fn reset(&self) {
        match self {
            Plain::Tcp(tcp) => {
                // Where this fails the peer sees a clean end, as it would without.
                let _reset = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
            }
            Plain::Linked(linked) => linked.reset(),
            Plain::Memory(_) => {}
        }
    }
}

impl Wire {
    /// The TCP socket where the wire is plain TCP, for `sendfile` and urgent data; nothing else
    /// may look beneath.
    pub(crate) fn as_tcp(&self) -> Option<&TcpStream> {
        match self {
            Wire::Plain(Plain::Tcp(stream)) => Some(stream),
            _ => None,
        }
    }

    /// The stream without TLS, for what concerns the connection as such: its end, its news.
    pub(super) fn beneath(&self) -> &Plain {
        match self {
            Wire::Plain(plain) => plain,
            Wire::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether something has come that nobody has read yet, be it the end of the stream. Asks the
    /// system itself; where it can't be asked the answer is yes.
    pub(super) fn has_news(&self) -> bool {
        let Plain::Tcp(tcp) = self.beneath() else { return true };
        let peeked = rustix::net::recv(tcp, &mut [0_u8; 1], rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT);
        peeked.err() != Some(rustix::io::Errno::AGAIN)
    }

    /// See [`super::Conn::exporter`]. TLS 1.2 has none that is safe without an extension which
    /// says so.
    pub(super) fn exporter(&self) -> Option<Vec<u8>> {
        let Wire::Tls(stream) = self else { return None };
        let (label, context) = (b"EXPORTER-Channel-Binding", Some(&b""[..]));
        let exported = match &**stream {
            _ if stream.get_ref().1.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) => return None,
            TlsStream::Server(server) => server.get_ref().1.export_keying_material(vec![0; EXPORTER_OCTETS], label, context),
            TlsStream::Client(client) => client.get_ref().1.export_keying_material(vec![0; EXPORTER_OCTETS], label, context),
        };
        exported.ok()
    }
}

/// RFC 9266, 2.
const EXPORTER_OCTETS: usize = 32;

macro_rules! forward {
    ($type:ty, $self:ident, $($variant:pat => $inner:expr),+) => {
        impl AsyncRead for $type {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                let $self = self.get_mut();
                match $self { $($variant => Pin::new($inner).poll_read(cx, buf)),+ }
            }
        }
        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                let $self = self.get_mut();
                match $self { $($variant => Pin::new($inner).poll_write(cx, bytes)),+ }
            }
            fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
                let $self = self.get_mut();
                match $self { $($variant => Pin::new($inner).poll_write_vectored(cx, parts)),+ }
            }
            fn is_write_vectored(&self) -> bool {
                let $self = self;
                match $self { $($variant => $inner.is_write_vectored()),+ }
            }
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $self = self.get_mut();
                match $self { $($variant => Pin::new($inner).poll_flush(cx)),+ }
            }
            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $self = self.get_mut();
                match $self { $($variant => Pin::new($inner).poll_shutdown(cx)),+ }
            }
        }
    };
}
forward!(Plain, this, Plain::Tcp(inner) => inner, Plain::Memory(inner) => inner, Plain::Linked(inner) => inner);
forward!(Wire, this, Wire::Plain(inner) => inner, Wire::Tls(inner) => inner);
