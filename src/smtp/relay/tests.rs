//! The relay against a DNS server on loopback, next hops that send arbitrary octets, and a queue of
//! a hundred thousand entries: what no transcript can say.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, CNAME, MX},
    },
};
use tokio::net::UdpSocket;

use super::{caller::Caller, verdict::Verdict};
use crate::{
    net::{
        dial::Dialer,
        dns::{Dns, Names, NoAnswer},
        limits::Limits,
        network::{Listener, Network},
        resolve::Resolver,
        stop::stop,
    },
    smtp::route::Destination,
    transcript::record::Recorder,
};

/// A DNS server that knows a few names; it counts what it was asked.
struct Zone {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

fn records(name: &str, kind: RecordType) -> Result<Vec<RData>, ResponseCode> {
    let mx = |preference, host: &str| RData::MX(MX::new(preference, Name::from_ascii(host).unwrap()));
    let a = |last| RData::A(A(Ipv4Addr::new(127, 0, 0, last)));
    match (name, kind) {
        ("two.example.", RecordType::MX) => Ok(vec![mx(20, "b.example."), mx(10, "A.example.")]),
        ("null.example.", RecordType::MX) => Ok(vec![mx(0, ".")]),
        ("loop.example.", RecordType::MX) => Ok(vec![mx(10, "portico.test."), mx(20, "b.example.")]),
        ("lost.example.", RecordType::MX) => Ok(vec![mx(10, "nowhere.example.")]),
        ("alias.example.", RecordType::MX) => {
            Ok(vec![RData::CNAME(CNAME(Name::from_ascii("two.example.").unwrap())), mx(10, "a.example.")])
        }
        ("a.example.", RecordType::A) => Ok(vec![a(2)]),
        ("b.example.", RecordType::A) => Ok(vec![a(3)]),
        ("bare.example.", RecordType::A) => Ok(vec![a(4)]),
        ("broken.example.", _) => Err(ResponseCode::ServFail),
        ("a.example." | "b.example." | "bare.example." | "empty.example.", _) => Ok(Vec::new()),
        _ => Err(ResponseCode::NXDomain),
    }
}

impl Zone {
    async fn open() -> Zone {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let zone = Zone { at: socket.local_addr().unwrap(), asked: Arc::default() };
        let asked = zone.asked.clone();
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((octets, from)) = socket.recv_from(&mut packet).await {
                let answer = answer(&packet[..octets], &asked);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        zone
    }

    fn dns(&self) -> Dns {
        Dns::new(Some(self.at)).unwrap()
    }
}

fn answer(question: &[u8], asked: &Mutex<Vec<String>>) -> Vec<u8> {
    let mut message = Message::from_vec(question).unwrap();
    let query = message.queries[0].clone();
    let name = query.name().to_string().to_ascii_lowercase();
    asked.lock().unwrap().push(format!("{name} {}", query.query_type()));
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    match records(&name, query.query_type()) {
        Ok(found) => found.into_iter().for_each(|data| {
            let owner = if matches!(data, RData::MX(_)) && name == "alias.example." {
                Name::from_ascii("two.example.").unwrap()
            } else {
                query.name().clone()
            };
            message.answers.push(Record::from_rdata(owner, 60, data));
        }),
        Err(code) => message.metadata.response_code = code,
    }
    message.to_vec().unwrap()
}

#[tokio::test]
async fn the_dns_tells_hosts_and_what_is_not_there_from_what_is_not_known() {
    let zone = Zone::open().await;
    let dns = zone.dns();
    let hosts = |found: Vec<crate::net::dns::Mx>| found.into_iter().map(|mx| format!("{} {}", mx.preference, mx.host)).collect::<Vec<_>>();
    let mut two = hosts(dns.mx("two.example").await.unwrap());
    two.sort();
    assert_eq!(two, ["10 a.example", "20 b.example"]);
    assert_eq!(hosts(dns.mx("null.example").await.unwrap()), ["0 "]);
    assert_eq!(hosts(dns.mx("alias.example").await.unwrap()), ["10 a.example"], "by way of another name");
    assert_eq!(dns.mx("bare.example").await, Err(NoAnswer::NoRecord));
    assert_eq!(dns.mx("missing.example").await, Err(NoAnswer::NoName));
    assert!(matches!(dns.mx("broken.example").await, Err(NoAnswer::Unknown(_))));
    assert_eq!(dns.addresses("a.example").await.unwrap(), [IpAddr::from([127, 0, 0, 2])]);
    assert_eq!(dns.addresses("empty.example").await, Err(NoAnswer::NoRecord));
    assert_eq!(dns.addresses("missing.example").await, Err(NoAnswer::NoName));
    let asked = zone.asked.lock().unwrap().len();
    assert_eq!(dns.addresses("a.example").await.unwrap().len(), 1);
    assert_eq!(zone.asked.lock().unwrap().len(), asked + 1, "the address is remembered; that there is no AAAA came without a time");
}

/// A caller in a network in memory, with the zone as its DNS.
fn caller(zone: &Zone, network: &Network, mx_private: bool) -> Caller {
    let dialer = Dialer {
        network: network.clone(),
        resolver: Resolver::new(&BTreeMap::new()).closed(),
        limits: Arc::new(Limits::default()),
        stop: stop().1,
        recorder: Recorder::new(),
        connect_time: std::time::Duration::from_secs(1),
        link: None,
        faults: Default::default(),
    };
    Caller {
        dialer,
        tls: None,
        name: "portico.test".into(),
        own_names: vec!["portico.test".into()],
        names: Some(Ok(Arc::new(zone.dns()))),
        records: BTreeMap::new(),
        mx_port: 25,
        mx_private,
    }
}

/// A server that greets with its address's last octet.
fn serve(network: &Network, last: u8) {
    let mut listener: Listener = network.listen(SocketAddr::from(([127, 0, 0, last], 25))).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            stream.write_all(format!("220 host{last}\r\n").as_bytes()).await.unwrap();
            let mut line = [0; 100];
            let _hello = stream.read(&mut line).await.unwrap();
            stream.write_all(format!("250-host{last}\r\n250 XHOST{last}\r\n").as_bytes()).await.unwrap();
            tokio::spawn(async move { stream.read(&mut line).await });
        }
    });
}

async fn reached(caller: &Caller, domain: &str) -> String {
    match caller.open(&Destination::Domain(domain.into())).await {
        Ok(session) => session.remote,
        Err(Verdict::Later(reason)) => format!("later: {}", reason.text),
        Err(Verdict::Failed(reason)) => format!("never: {}", reason.text),
        Err(verdict) => panic!("{verdict:?}"),
    }
}

#[tokio::test]
async fn mail_goes_to_the_best_host_that_answers() {
    let zone = Zone::open().await;
    let network = Network::memory();
    serve(&network, 3);
    serve(&network, 4);
    let caller = caller(&zone, &network, true);
    assert_eq!(reached(&caller, "two.example").await, "b.example", "the better one does not answer");
    serve(&network, 2);
    assert_eq!(reached(&caller, "two.example").await, "a.example");
    assert_eq!(reached(&caller, "bare.example").await, "bare.example", "no MX: the domain itself");
    for (domain, outcome) in [
        ("null.example", "never: 556 5.1.10"),
        ("loop.example", "never: 554 5.4.6"),
        ("missing.example", "never: 550 5.1.2"),
        ("empty.example", "never: 550 5.1.2"),
        ("lost.example", "never: 550 5.4.4"),
        ("broken.example", "later: 451 4.4.3"),
    ] {
        let reached = reached(&caller, domain).await;
        assert!(reached.starts_with(outcome), "{domain}: {reached}");
    }
}

#[tokio::test]
async fn no_domain_leads_the_relay_into_our_own_network() {
    let zone = Zone::open().await;
    let network = Network::memory();
    serve(&network, 3);
    let caller = caller(&zone, &network, false);
    assert!(reached(&caller, "two.example").await.starts_with("never: 550 5.4.4"));
    let literal = caller.open(&Destination::Literal(IpAddr::from([127, 0, 0, 3]))).await;
    assert!(matches!(literal, Err(Verdict::Failed(_))));
}
