//! The TLS side of `drive`: implicit, upgraded, refused.

use std::{net::IpAddr, sync::Arc};

use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{
    conn::{Conn, Received},
    drive::{Entry, Exit, Farewell, Protocol, drive},
    ended::Ended,
    limits::Limits,
    stop::stop,
    tap::Tap,
    tls::{Identity, TlsOffers},
    wire::{Plain, Wire},
};

/// Greets, goes over to TLS on `tls`, and answers everything else with itself.
struct Upgrading;

impl Protocol for Upgrading {
    fn name(&self) -> &str {
        "upgrading"
    }
    async fn converse(&self, conn: &mut Conn, entry: Entry) -> Result<Exit, Ended> {
        conn.say(format!("{entry:?}\r\n"));
        loop {
            match conn.command(64, |_| None).await? {
                Received::Whole(line) if line.text == b"tls" => {
                    conn.say("go ahead\r\n");
                    return Ok(Exit::StartTls);
                }
                Received::Whole(line) => conn.say([&line.text[..], b"\r\n"].concat()),
                Received::TooLong => return Ok(Exit::Done),
            }
        }
    }
    fn farewell(&self, _: &Ended) -> Option<Farewell> {
        None
    }
    fn busy(&self, _: IpAddr) -> Option<Farewell> {
        None
    }
}

/// Starts a conversation whose client ends are a pipe and the TLS client that trusts the server.
fn start(implicit: bool, alpn: &[&[u8]]) -> (DuplexStream, tokio_rustls::TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let offers = TlsOffers::new(Identity { chain: vec![made.cert.der().clone()], key });
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (stopper, stop) = stop();
    let at = "127.0.0.1:1".parse().unwrap();
    let conn = Conn::new(Wire::Plain(Plain::Memory(ours)), (1, at, at), Arc::new(Limits::default()), stop, Tap::default());
    let tls = offers.offer(&["ours"]).unwrap();
    tokio::spawn(async move {
        drive(conn, Arc::new(Upgrading), Some(tls), implicit).await;
        drop(stopper);
    });
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (theirs, Arc::new(config).into())
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

async fn expect(peer: &mut (impl AsyncReadExt + Unpin), text: &str) {
    let mut got = vec![0; text.len()];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), text);
}

#[tokio::test(start_paused = true)]
async fn what_was_smuggled_in_before_the_handshake_is_never_read() {
    let (mut peer, connector) = start(false, &[]);
    expect(&mut peer, "Greeting\r\n").await;
    peer.write_all(b"tls\r\nsmuggled\r\n").await.unwrap();
    expect(&mut peer, "go ahead\r\n").await;
    let mut secured = connector.connect(name(), peer).await.unwrap();
    expect(&mut secured, "Secured\r\n").await;
    secured.write_all(b"asked\r\n").await.unwrap();
    expect(&mut secured, "asked\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn implicit_tls_comes_before_the_greeting() {
    let (peer, connector) = start(true, &[b"ours"]);
    let mut secured = connector.connect(name(), peer).await.unwrap();
    expect(&mut secured, "Greeting\r\n").await;
    assert_eq!(secured.get_ref().1.alpn_protocol(), Some(&b"ours"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_wants_another_protocol_is_refused() {
    let (peer, connector) = start(true, &[b"http/1.1"]);
    let refused = connector.connect(name(), peer).await;
    assert!(refused.is_err(), "a browser must not be tricked into another protocol");
}
