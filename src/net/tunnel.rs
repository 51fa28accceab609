//! Two connections joined into one: what CONNECT leaves behind.

use std::{future::poll_fn, io, sync::Mutex};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    conn::Conn,
    ended::Ended,
    splice::Load,
    wire::{Plain, Wire},
};

/// How much is copied at once, in octets.
const COPY_OCTETS: usize = 64 * 1024;

/// How much went through, in octets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried {
    pub upstream: u64,
    pub downstream: u64,
}

/// Copies both ways until both sides have ended (each side's end is passed on alone, RFC 9110,
/// 9.3.6) or nothing has moved for the client's idle time. Octets read ahead are kept.
pub(crate) async fn join(mut client: Conn, mut server: Conn) -> (Carried, Result<(), Ended>) {
    let mut carried = Carried::default();
    if let Err(ended) = flush_both(&mut client, &mut server).await {
        return (carried, Err(ended));
    }
    let idle = client.limits().idle.0;
    let mut stop = client.stop();
    let (client, from_client) = client.into_tunnel();
    let (server, from_server) = server.into_tunnel();
    let last = Mutex::new(Instant::now());
    let Carried { upstream, downstream } = &mut carried;
    let both = async {
        match (client, server) {
            (Wire::Plain(Plain::Tcp(client)), Wire::Plain(Plain::Tcp(server))) => {
                let up = pass(&client, &server, &from_client, upstream, &last);
                let down = pass(&server, &client, &from_server, downstream, &last);
                tokio::try_join!(up, down).map(drop)
            }
            (client, server) => {
                let (mut client_read, mut client_write) = tokio::io::split(client);
                let (mut server_read, mut server_write) = tokio::io::split(server);
                let up = copy(&mut client_read, &mut server_write, &from_client, upstream, &last);
                let down = copy(&mut server_read, &mut client_write, &from_server, downstream, &last);
                tokio::try_join!(up, down).map(drop)
            }
        }
    };
    let ended = tokio::select! {
        both = both => both.map_err(Ended::from_read),
        () = watch_idle(&last, idle) => Err(Ended::Idle),
        () = stop.halted() => Err(Ended::Shutdown),
    };
    (carried, ended)
}

async fn flush_both(client: &mut Conn, server: &mut Conn) -> Result<(), Ended> {
    client.flush().await?;
    server.flush().await
}

/// One way between two sockets, through a pipe of the kernel.
async fn pass(from: &TcpStream, to: &TcpStream, ahead: &[u8], count: &mut u64, last: &Mutex<Instant>) -> io::Result<()> {
    let mut ahead = ahead;
    while !ahead.is_empty() {
        let written = to.async_io(Interest::WRITABLE, || to.try_write(ahead)).await?;
        ahead = &ahead[written..];
        *count += written as u64;
    }
    while let Some(mut load) = poll_fn(|cx| Load::poll_from(from, usize::MAX, cx)).await? {
        while load.octets() > 0 {
            *count += to.async_io(Interest::WRITABLE, || Ok(load.move_to(to)?)).await? as u64;
        }
        load.unload();
        note_move(last);
    }
    // Errors here mean that the other side is gone already, which ends the tunnel anyway.
    let _gone = rustix::net::shutdown(to, rustix::net::Shutdown::Write);
    Ok(())
}

/// One way between any two wires.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    ahead: &[u8],
    count: &mut u64,
    last: &Mutex<Instant>,
) -> io::Result<()> {
    to.write_all(ahead).await?;
    to.flush().await?;
    *count += ahead.len() as u64;
    let mut buffer = vec![0; COPY_OCTETS];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            // Errors here mean that the other side is gone already, which ends the tunnel anyway.
            return to.shutdown().await.or(Ok(()));
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
        *count += read as u64;
        note_move(last);
    }
}

fn note_move(last: &Mutex<Instant>) {
    *last.lock().expect("no code panics while it holds the time") = Instant::now();
}

/// Resolves once nothing has moved for `idle`.
async fn watch_idle(last: &Mutex<Instant>, idle: std::time::Duration) {
    loop {
        let until = *last.lock().expect("no code panics while it holds the time") + idle;
        if Instant::now() >= until {
            return;
        }
        let _elapsed = timeout_at(until, std::future::pending::<()>()).await;
    }
}
