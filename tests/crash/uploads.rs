//! Uploads under `kill -9`: additions in place, renames, and uploads that go on afterwards.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    rounds::nothing_is_left_over,
    support::{Dialogue, Family, Lab, Server, until},
};

/// Octets of one record that is added to a file.
const RECORD_OCTETS: usize = 40_000;
/// Octets of the upload that no round lets come to its end.
const LONG_OCTETS: usize = 200_000_000;

/// How far a client has come.
#[derive(Default)]
struct Count {
    begun: AtomicU32,
    acknowledged: AtomicU32,
}

/// Every addition that was acknowledged is there, one more may be, and no half one; what was
/// renamed has one name; what came of an upload is told truly, and goes on.
pub fn additions_and_renames_survive() {
    let rounds = std::env::var("PORTICO_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10_u32);
    let lab = Lab::new();
    let mut server = lab.start(&[]);
    fs::create_dir(lab.data().join("www/load")).expect("the tree is writable");
    let (mut added, mut renamed, mut resumed) = (0, 0, 0_u64);
    for round in 0..rounds {
        let at = server.at("ftp", Family::V4);
        let (adding, renaming, sent) = (Arc::new(Count::default()), Arc::new(Count::default()), Arc::new(Count::default()));
        let clients = [
            spawn(&adding, move |count| add_records(at, &format!("log{round}"), count)),
            spawn(&renaming, move |count| store_and_rename(at, &format!("moving{round}"), count)),
            spawn(&sent, move |count| send_without_end(at, &format!("long{round}"), count)),
        ];
        let moment = Instant::now() + Duration::from_micros(rand::random_range(0..300_000));
        until("all clients write", || {
            let writes = [&adding, &renaming, &sent].iter().all(|count| count.begun.load(Ordering::SeqCst) > 1);
            (clients.iter().any(JoinHandle::is_finished) || writes && Instant::now() >= moment).then_some(())
        });
        server.kill();
        for client in clients {
            client.join().expect("the clients' own checks hold");
        }
        server = lab.start(&[]);
        nothing_is_left_over(&lab.data());
        let folder = lab.data().join("www/load");
        added += check_records(&folder.join(format!("log{round}")), &adding);
        renamed += check_renames(&folder, &format!("moving{round}"), &renaming);
        resumed += go_on(&server, &folder, &format!("long{round}"));
    }
    println!("{rounds} rounds: {added} additions and {renamed} renames acknowledged, {resumed} octets gone on from");
    server.stop();
}

fn spawn(count: &Arc<Count>, client: impl FnOnce(&Count) -> Option<()> + Send + 'static) -> JoinHandle<Option<()>> {
    let count = count.clone();
    std::thread::spawn(move || client(&count))
}

fn log_in(at: SocketAddr) -> Option<Dialogue> {
    let mut ftp = Dialogue::try_with(at)?;
    ftp.try_reply("220")?;
    for (line, code) in [("USER alice", "331"), ("PASS wonderland", "230"), ("TYPE I", "200"), ("CWD /load", "250")] {
        ftp.try_ask(line, code)?;
    }
    Some(ftp)
}

/// The data connection of a command, when the server is ready to receive.
fn begin(ftp: &mut Dialogue, at: SocketAddr, command: &str) -> Option<Dialogue> {
    ftp.try_send(b"EPSV\r\n")?;
    let reply = ftp.try_reply("229")?;
    let port = reply.split('|').nth(3).and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {reply:?}"));
    let data = Dialogue::try_with((at.ip(), port).into())?;
    ftp.try_ask(command, "1")?;
    Some(data)
}

fn record(number: u32) -> Vec<u8> {
    format!("{number:07}\n").into_bytes().repeat(RECORD_OCTETS / 8)
}

fn add_records(at: SocketAddr, name: &str, count: &Count) -> Option<()> {
    let mut ftp = log_in(at)?;
    for number in 1.. {
        let mut data = begin(&mut ftp, at, &format!("APPE {name}"))?;
        count.begun.store(number, Ordering::SeqCst);
        for piece in record(number).chunks(RECORD_OCTETS / 4) {
            data.try_send(piece)?;
        }
        drop(data);
        ftp.try_reply("226")?;
        count.acknowledged.store(number, Ordering::SeqCst);
    }
    None
}

fn check_records(file: &Path, count: &Count) -> u32 {
    let (begun, acknowledged) = (count.begun.load(Ordering::SeqCst), count.acknowledged.load(Ordering::SeqCst));
    let content = fs::read(file).unwrap_or_default();
    let whole = u32::try_from(content.len() / RECORD_OCTETS).expect("it is no longer than what was sent");
    assert_eq!(content.len() % RECORD_OCTETS, 0, "torn: {} of {begun} begun, {acknowledged} acknowledged", content.len());
    assert!((acknowledged..=begun).contains(&whole), "lost: there are {whole}, {acknowledged} were acknowledged, {begun} begun");
    let expected: Vec<u8> = (1..=whole).flat_map(record).collect();
    assert!(content == expected, "torn: {}", file.display());
    acknowledged
}

fn store_and_rename(at: SocketAddr, name: &str, count: &Count) -> Option<()> {
    let mut ftp = log_in(at)?;
    for number in 1.. {
        let mut data = begin(&mut ftp, at, &format!("STOR {name}-{number}.new"))?;
        data.try_send(&record(number))?;
        drop(data);
        ftp.try_reply("226")?;
        count.begun.store(number, Ordering::SeqCst);
        ftp.try_ask(&format!("RNFR {name}-{number}.new"), "350")?;
        ftp.try_ask(&format!("RNTO {name}-{number}"), "250")?;
        count.acknowledged.store(number, Ordering::SeqCst);
    }
    None
}

fn check_renames(folder: &Path, name: &str, count: &Count) -> u32 {
    let acknowledged = count.acknowledged.load(Ordering::SeqCst);
    for number in 1..=count.begun.load(Ordering::SeqCst) {
        let [old, new] = [format!("{name}-{number}.new"), format!("{name}-{number}")].map(|name| fs::read(folder.join(name)).ok());
        assert!(old.is_some() != new.is_some(), "{name}-{number}: it has one name, {}", if old.is_some() { "not two" } else { "not none" });
        assert!(number > acknowledged || new.is_some(), "lost: the rename of {name}-{number}");
        assert!(old.or(new) == Some(record(number)), "torn: {name}-{number}");
    }
    acknowledged
}

fn piece(number: u32) -> Vec<u8> {
    format!("{number:015}\n").into_bytes().repeat(1000)
}

fn send_without_end(at: SocketAddr, name: &str, count: &Count) -> Option<()> {
    let mut ftp = log_in(at)?;
    let mut data = begin(&mut ftp, at, &format!("STOR {name}"))?;
    for number in 0..u32::try_from(LONG_OCTETS / 16_000).expect("it is a small number") {
        data.try_send(&piece(number))?;
        count.begun.store(number, Ordering::SeqCst);
    }
    None
}

/// Goes on with the long upload where SIZE says, and ends it soon.
fn go_on(server: &Server, folder: &Path, name: &str) -> u64 {
    let at = server.at("ftp", Family::V4);
    assert!(!folder.join(name).exists(), "what is half is not there");
    let mut ftp = log_in(at).expect("the server runs");
    ftp.try_send(format!("SIZE {name}\r\n").as_bytes()).expect("the server runs");
    let reply = ftp.try_line().expect("the server runs");
    let kept: usize = reply.strip_prefix("213 ").map_or(0, |octets| octets.parse().expect("a size"));
    let whole: Vec<u8> = (0..).flat_map(piece).take(kept + 50_000).collect();
    ftp.try_ask(&format!("REST {kept}"), "350").expect("the server runs");
    let mut data = begin(&mut ftp, at, &format!("STOR {name}")).expect("the server runs");
    data.try_send(&whole[kept..]).expect("the server runs");
    drop(data);
    ftp.try_reply("226").expect("the server runs");
    assert!(fs::read(folder.join(name)).is_ok_and(|content| content == whole), "torn: {name} from {kept}");
    kept as u64
}
