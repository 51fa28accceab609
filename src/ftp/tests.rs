//! What a dialogue can't show: a full disk, a stranger at a passive port, TLS cut short, a client
//! that dies with both its connections.

mod digests;
mod listings;
mod vanishing;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::*;
use crate::{
    net::{
        Conn,
        dial::Gate,
        limits::{Limits, Permits},
        listener::{Door, serve},
        network::Network,
        resolve::Resolver,
        stop::{Stopper, stop},
        tls::{Identity, TlsClient, TlsOffers},
        wire::Plain,
    },
    store::{
        VirtualPath,
        memory::MemoryTree,
        tree::{Content, Tree},
    },
    transcript::record::Recorder,
};

const CONTROL: ([u8; 4], u16) = ([127, 0, 0, 1], 8021);

/// A server in memory with one file `/a.txt`, and alice logged in to it.
struct Lab {
    tree: MemoryTree,
    dialer: Dialer,
    tls: TlsClient,
    control: Option<BufReader<Plain>>,
    _stopper: Stopper,
}

impl Lab {
    async fn open() -> Lab {
        Lab::with(settings::Settings::default()).await
    }

    async fn with(settings: settings::Settings) -> Lab {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let offers = TlsOffers::new(Identity { chain: vec![made.cert.der().clone()], key });
        let (stopper, stop) = stop();
        let (clock, network, recorder) = (Clock::textbook(), Network::memory(), Recorder::new());
        let tree = MemoryTree::new(clock.clone()).with("/a.txt", "old");
        let limits = Arc::new(Limits::default());
        let dialer = Dialer {
            network: network.clone(),
            resolver: Resolver::default(),
            limits: limits.clone(),
            stop: stop.clone(),
            recorder: recorder.clone(),
            connect_time: Duration::from_secs(5),
            link: None,
            faults: Default::default(),
        };
        let server = Ftp::new(Deps {
            service: "ftp",
            hosts: ["portico.test".to_owned()].into(),
            settings: Arc::new(settings),
            accounts: Arc::new(Accounts::new(&BTreeMap::new(), true).unwrap()),
            tree: Arc::new(tree.clone()),
            clock,
            dialer: dialer.clone(),
            tls: offers.offer_with_tickets(&[], 0).ok(),
            plain_passwords: false,
        });
        let (tls, permits) = (offers.offer_with_tickets(&["ftp"], CONTROL_TICKETS).ok(), Permits::new(&limits));
        let door =
            Door { name: "ftp", service: Arc::new(server), tls, implicit: false, limits, permits, recorder, link: None, faults: None };
        tokio::spawn(serve(network.listen(CONTROL.into()).unwrap(), Arc::new(door), stop));
        let mut lab = Lab { tree, dialer, tls: TlsClient::opportunistic(), control: None, _stopper: stopper };
        lab.log_in().await;
        lab
    }

    async fn log_in(&mut self) {
        let (control, _) = self.dialer.network.dial(CONTROL.into(), None).await.unwrap();
        self.control = Some(BufReader::new(control));
        self.expect(220).await;
        for (line, code) in [("USER alice", 331), ("PASS wonderland", 230), ("TYPE I", 200)] {
            self.say(line, code).await;
        }
    }

    async fn say(&mut self, line: &str, code: u16) -> String {
        self.control.as_mut().unwrap().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.expect(code).await
    }

    async fn expect_line(&mut self) -> String {
        let mut line = String::new();
        self.control.as_mut().unwrap().read_line(&mut line).await.unwrap();
        line
    }

    async fn expect(&mut self, code: u16) -> String {
        let reply = self.expect_line().await;
        assert!(reply.starts_with(&code.to_string()), "{reply}");
        reply
    }

    async fn passive_port(&mut self) -> SocketAddr {
        let reply = self.say("EPSV", 229).await;
        let port = reply.split('|').nth(3).unwrap().parse().unwrap();
        SocketAddr::from((CONTROL.0, port))
    }

    /// Begins to store `/a.txt`.
    async fn begin_upload(&mut self) -> Conn {
        let port = self.passive_port().await;
        let data = self.dialer.connect_to(port, None, Gate::Open, "data", None).await.unwrap();
        self.say("STOR a.txt", 125).await;
        data
    }

    /// Protects the control connection and logs in again, with PROT P.
    async fn secure(&mut self) -> Conn {
        self.say("AUTH TLS", 234).await;
        let plain = self.control.take().unwrap().into_inner();
        let ends = (SocketAddr::from(CONTROL), SocketAddr::from(CONTROL));
        let mut control = self.dialer.adopt(plain, ends, "ftp", 0).secure(&self.tls, "localhost").await.unwrap();
        say_all(&mut control, &["USER alice", "PASS wonderland", "TYPE I", "PBSZ 0", "PROT P"]).await;
        control
    }

    /// Begins to store `/a.txt` through TLS.
    async fn protected_upload(&self, control: &mut Conn, tls: &TlsClient) -> Result<Conn, crate::net::Ended> {
        let reply = say_all(control, &["EPSV"]).await;
        let port = SocketAddr::from((CONTROL.0, reply.split('|').nth(3).unwrap().parse().unwrap()));
        let plain = self.dialer.connect_to(port, None, Gate::Open, "data", None).await.unwrap();
        assert!(say_all(control, &["STOR a.txt"]).await.starts_with("125"));
        plain.secure(tls, "localhost").await
    }

    fn stored(&self) -> Vec<u8> {
        match self.tree.open(&VirtualPath::parse("/a.txt").unwrap()).unwrap().content {
            Content::Memory(octets) => octets.to_vec(),
            Content::Disk(_) => unreachable!("the tree is in memory"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_452_and_the_old_file_stays() {
    let mut lab = Lab::open().await;
    lab.tree.limit(1000);
    let mut data = lab.begin_upload().await;
    data.push(&[b'x'; 2000]);
    data.finish().await.unwrap();
    lab.expect(452).await;
    assert_eq!(lab.stored(), b"old");
    lab.say("NOOP", 200).await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_at_the_passive_port_gets_nothing() {
    let mut lab = Lab::open().await;
    let port = lab.passive_port().await;
    let from = SocketAddr::from(([10, 9, 8, 7], 5000));
    let (mut stranger, _) = lab.dialer.network.dial(port, Some(from)).await.unwrap();
    lab.say("RETR a.txt", 150).await;
    let mut nothing = Vec::new();
    stranger.read_to_end(&mut nothing).await.unwrap();
    assert_eq!(nothing, b"");
    let (mut data, _) = lab.dialer.network.dial(port, None).await.unwrap();
    let mut file = Vec::new();
    data.read_to_end(&mut file).await.unwrap();
    assert_eq!(file, b"old");
    lab.expect(226).await;
}

#[tokio::test(start_paused = true)]
async fn strangers_that_keep_on_coming_do_not_make_it_wait_for_ever() {
    let mut lab = Lab::open().await;
    let port = lab.passive_port().await;
    let network = lab.dialer.network.clone();
    let crowd = tokio::spawn(async move {
        let from = SocketAddr::from(([10, 9, 8, 7], 0));
        while network.dial(port, Some(from)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let begun = tokio::time::Instant::now();
    lab.say("RETR a.txt", 150).await;
    lab.expect(425).await;
    assert!(begun.elapsed() <= Duration::from_secs(31), "{:?}", begun.elapsed());
    crowd.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_tls_is_cut_short_is_not_stored() {
    let mut lab = Lab::open().await;
    let mut control = lab.secure().await;
    for (clean, code, content) in [(false, "426", &b"old"[..]), (true, "226", b"new")] {
        let mut data = lab.protected_upload(&mut control, &lab.tls).await.unwrap();
        data.push(b"new");
        data.flush().await.unwrap();
        if clean {
            data.finish().await.unwrap();
        }
        drop(data);
        assert!(hear(&mut control).await.starts_with(code));
        assert_eq!(lab.stored(), content);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_tls_is_cut_short_counts_as_whole_for_old_clients() {
    let mut lab = Lab::with(settings::Settings { lenient_tls_close: true, ..Default::default() }).await;
    let mut control = lab.secure().await;
    let mut data = lab.protected_upload(&mut control, &lab.tls).await.unwrap();
    data.push(b"new");
    data.flush().await.unwrap();
    drop(data);
    assert!(hear(&mut control).await.starts_with("226"));
    assert_eq!(lab.stored(), b"new");
}

#[tokio::test(start_paused = true)]
async fn data_connections_resume_the_session_of_their_control_connection_where_they_must() {
    let mut lab = Lab::with(settings::Settings { require_tls_reuse: true, ..Default::default() }).await;
    let mut control = lab.secure().await;
    let stranger = TlsClient::opportunistic();
    for (tls, code) in [(&stranger, "425"), (&lab.tls, "226")] {
        let mut data = lab.protected_upload(&mut control, tls).await.unwrap();
        data.push(b"new");
        // Who is not wanted is hung up on, which may show here or not.
        let _finished = data.finish().await;
        drop(data);
        assert!(hear(&mut control).await.starts_with(code));
        assert_eq!(lab.stored() == b"new", code == "226");
    }
}

/// Such as this one is: it uses each ticket once.
#[tokio::test(start_paused = true)]
async fn a_client_never_runs_out_of_tickets() {
    let mut lab = Lab::with(settings::Settings { require_tls_reuse: true, ..Default::default() }).await;
    let mut control = lab.secure().await;
    for number in 0..12 {
        let mut data = lab.protected_upload(&mut control, &lab.tls).await.unwrap();
        data.push(format!("{number}").as_bytes());
        data.finish().await.unwrap();
        // It reads what the server has to say: its tickets.
        while let Ok(Some(_)) = data.bytes().await {}
        let reply = hear(&mut control).await;
        assert!(reply.starts_with("226"), "{number}: {reply}");
    }
    assert_eq!(lab.stored(), b"11");
}

/// Says lines one by one and answers the last reply.
async fn say_all(control: &mut Conn, lines: &[&str]) -> String {
    let mut reply = String::new();
    for line in lines {
        control.say(format!("{line}\r\n"));
        reply = hear(control).await;
    }
    reply
}

async fn hear(control: &mut Conn) -> String {
    match control.more(4096, |_| None).await.unwrap() {
        crate::net::Received::Whole(line) => String::from_utf8(line.text).unwrap(),
        crate::net::Received::TooLong => panic!("a reply too long"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_dies_with_both_connections_leaves_the_old_file() {
    let mut lab = Lab::open().await;
    let mut data = lab.begin_upload().await;
    data.push(b"half a fi");
    data.flush().await.unwrap();
    lab.control = None;
    data.finish().await.unwrap();
    drop(data);
    lab.log_in().await;
    assert_eq!(lab.stored(), b"old");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_given_up() {
    let mut lab = Lab::open().await;
    let mut data = lab.begin_upload().await;
    data.push(&[b'x'; 3_000_000]);
    data.finish().await.unwrap();
    lab.expect(226).await;
    let port = lab.passive_port().await;
    let _silent = lab.dialer.network.dial(port, None).await.unwrap();
    lab.say("RETR a.txt", 125).await;
    lab.expect(426).await;
    lab.say("NOOP", 200).await;
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_many_entries_comes_whole() {
    let mut lab = Lab::open().await;
    for number in 0..20_000 {
        lab.tree = lab.tree.with(&format!("/many/{number:05}"), "");
    }
    let port = lab.passive_port().await;
    let (mut data, _) = lab.dialer.network.dial(port, None).await.unwrap();
    lab.say("NLST many", 125).await;
    let mut listing = Vec::new();
    data.read_to_end(&mut listing).await.unwrap();
    assert_eq!(listing.len(), 20_000 * "many/00000\r\n".len());
    lab.expect(226).await;
}

#[tokio::test(start_paused = true)]
async fn both_transcripts_tell_what_a_data_connection_carried() {
    use crate::transcript::record::Event;
    let mut lab = Lab::open().await;
    let mut notes = lab.dialer.recorder.listen();
    // Who listens hears of connections that began after that.
    lab.log_in().await;
    let port = lab.passive_port().await;
    let (mut data, _) = lab.dialer.network.dial(port, None).await.unwrap();
    lab.say("RETR a.txt", 125).await;
    lab.expect(226).await;
    let mut file = Vec::new();
    data.read_to_end(&mut file).await.unwrap();
    let mut heard = Vec::new();
    while let Ok(noted) = notes.try_recv() {
        if let Event::Carried(text) = noted.event {
            heard.push((noted.conn, text));
        }
    }
    let [(data, own), (control, told)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(own, "sent 3 octets in 0.000 s, in the clear");
    assert_eq!(told, &format!("{own} ({data})"));
    assert_ne!(data, control);
}
