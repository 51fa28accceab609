//! What dialogues can't show: clients that are not on this machine, and what an idle client costs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    net::{
        Entry, Protocol,
        limits::Limits,
        network::Network,
        resolve::Resolver,
        stop::{Stopper, stop},
        testing::{self, pair},
        wire::Plain,
    },
    transcript::record::Recorder,
};

const STRANGER: &str = "192.0.2.7:0";
const HERE: &str = "127.0.0.1:0";

/// A proxy in memory.
struct Lab {
    network: Network,
    at: SocketAddr,
    _stopper: Stopper,
}

fn proxy(network: &Network, settings: settings::Settings, stop: crate::net::stop::Stop) -> Arc<Proxy> {
    let recorder = Recorder::new();
    let resolver = Resolver::default().closed();
    let limits = Arc::new(Limits::default());
    let dialer = Dialer {
        network: network.clone(),
        resolver,
        limits,
        stop,
        recorder,
        connect_time: Duration::from_secs(3),
        link: None,
        faults: Default::default(),
    };
    let accounts = Arc::new(Accounts::new(&Default::default(), true).unwrap());
    Proxy::new(Deps {
        cache: open_cache(&settings, None),
        settings,
        accounts,
        plain_passwords: false,
        clock: Clock::textbook(),
        dialer,
        pseudonym: "portico.test".into(),
        head_octets: 1 << 15,
    })
}

fn lab(settings: settings::Settings) -> Lab {
    let network = Network::memory();
    let (stopper, stop) = stop();
    let service = proxy(&network, settings, stop.clone());
    let at = testing::serve(&network, service, Limits::default(), stop);
    Lab { network, at, _stopper: stopper }
}

impl Lab {
    /// Asks from an address for a target and answers the response as text.
    async fn ask(&self, from: &str, target: &str) -> String {
        let (plain, _) = self.network.dial(self.at, Some(from.parse().unwrap())).await.unwrap();
        let Plain::Memory(mut stream) = plain else { unreachable!("the network is in memory") };
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        String::from_utf8(response).unwrap()
    }

    /// An origin that answers every connection with a fresh response.
    fn origin(&self) -> SocketAddr {
        let mut listener = self.network.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((Plain::Memory(mut stream), _)) = listener.accept().await {
                stream.write_all(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\nsecret").await.unwrap();
                tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
            }
        });
        at
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_are_refused_unless_the_proxy_is_open() {
    let lab = lab(settings::Settings::default());
    assert!(lab.ask(STRANGER, "http://a.test/").await.starts_with("HTTP/1.1 403 "));
    assert!(lab.ask(HERE, "http://a.test/").await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test(start_paused = true)]
async fn strangers_of_a_named_network_reach_a_named_private_host() {
    let (allow_clients, private_hosts) = (vec!["192.0.2.0/24".into()], vec!["localhost".into()]);
    let lab = lab(settings::Settings { allow_clients, private_hosts, ..Default::default() });
    let at = lab.origin();
    assert!(lab.ask(STRANGER, &format!("http://localhost:{}/", at.port())).await.ends_with("secret"));
    assert!(lab.ask(STRANGER, &format!("http://{at}/")).await.starts_with("HTTP/1.1 403 "));
    assert!(lab.ask("198.51.100.7:0", "http://localhost/").await.starts_with("HTTP/1.1 403 "));
    assert!(lab.ask(STRANGER, &format!("ftp://{at}/")).await.starts_with("HTTP/1.1 403 "), "nor by FTP");
}

#[tokio::test(start_paused = true)]
async fn strangers_are_not_asked_for_a_password_that_others_could_read() {
    let lab = lab(settings::Settings { require_login: true, ..Default::default() });
    let response = lab.ask(STRANGER, "http://a.test/").await;
    assert!(response.starts_with("HTTP/1.1 403 ") && !response.contains("Proxy-Authenticate"), "{response}");
    assert!(lab.ask(HERE, "http://a.test/").await.starts_with("HTTP/1.1 407 "));
}

#[tokio::test(start_paused = true)]
async fn strangers_reach_no_private_address_and_nothing_stored_from_there() {
    let lab = lab(settings::Settings { allow_open: true, ..Default::default() });
    let target = format!("http://{}/", lab.origin());
    assert!(lab.ask(HERE, &target).await.ends_with("secret"));
    assert!(lab.ask(HERE, &target).await.contains("Portico; hit"));
    let response = lab.ask(STRANGER, &target).await;
    assert!(response.starts_with("HTTP/1.1 403 ") && !response.contains("secret"), "{response}");
    for spelling in ["http://localhost/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://10.0.0.1/", "http://169.254.169.254/"] {
        assert!(lab.ask(STRANGER, spelling).await.starts_with("HTTP/1.1 403 "), "{spelling}");
    }
}

#[tokio::test]
async fn an_idle_client_costs_little() {
    let (mut conn, _client, _stopper) = pair();
    let proxy = proxy(&Network::memory(), settings::Settings::default(), conn.stop());
    let octets = size_of_val(&proxy.converse(&mut conn, Entry::Greeting));
    assert!(octets <= 4096, "{octets}");
}
