//! Two connections joined into one: what CONNECT leaves behind.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{conn::Conn, ended::Ended};

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
    let (mut client_read, mut client_write) = tokio::io::split(client);
    let (mut server_read, mut server_write) = tokio::io::split(server);
    let last = std::sync::Mutex::new(Instant::now());
    let ended = {
        let up = copy(&mut client_read, &mut server_write, &from_client, &mut carried.upstream, &last);
        let down = copy(&mut server_read, &mut client_write, &from_server, &mut carried.downstream, &last);
        let watch = watch_idle(&last, idle);
        tokio::select! {
            both = async { tokio::try_join!(up, down) } => both.map(|_| ()).map_err(Ended::from_read),
            () = watch => Err(Ended::Idle),
            () = stop.halted() => Err(Ended::Shutdown),
        }
    };
    (carried, ended)
}

async fn flush_both(client: &mut Conn, server: &mut Conn) -> Result<(), Ended> {
    client.flush().await?;
    server.flush().await
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    ahead: &[u8],
    count: &mut u64,
    last: &std::sync::Mutex<Instant>,
) -> std::io::Result<()> {
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
        *last.lock().expect("no code panics while it holds the time") = Instant::now();
    }
}

/// Resolves once nothing has moved for `idle`.
async fn watch_idle(last: &std::sync::Mutex<Instant>, idle: std::time::Duration) {
    loop {
        let until = *last.lock().expect("no code panics while it holds the time") + idle;
        if Instant::now() >= until {
            return;
        }
        let _elapsed = timeout_at(until, std::future::pending::<()>()).await;
    }
}
