//! The one hidden door through which tests, benches and fuzz targets reach inside, and the Portico in
//! memory that they share with `transcript run` and with broken servers.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::task::JoinSet;

use crate::{
    clock::Clock,
    config::{self, Settings},
    net::{
        dial::Dialer,
        fault::Faults,
        limits::Limits,
        link::Links,
        network::Network,
        resolve::Resolver,
        stop::{Stopper, stop},
        tls::{ClientTls, Identity, TlsOffers},
    },
    play::{
        ANY_TIME, Failure, Fixture, Grade, Play, Played, STEP_TIME, Stage, Targets,
        tls::{PlayerTls, Trust},
    },
    proxy,
    services::{House, Kind, REGISTRY},
    store::{
        Accounts, VirtualPath,
        mail::{LocalDelivery, MailStore, Parcel},
        memory::{MemoryMail, MemoryTree},
        tree::{Receive, Tree},
        visitors::VisitorBook,
    },
    transcript::{record::Recorder, script::Mode},
    web,
};

pub mod bench;
pub mod fuzz;

/// The port offset of servers in memory.
const MEMORY_OFFSET: u16 = 8000;

/// Where a script wants to be played: `(in memory, over sockets)`.
///
/// # Errors
/// What is wrong with the script.
pub fn wanted_modes(path: &Path) -> Result<(bool, bool), String> {
    let play = Play::load(path).map_err(told)?;
    Ok((play.only() != Some(Mode::Sockets), play.only() != Some(Mode::Memory)))
}

/// Plays a script against a fresh server in memory. Call it in a runtime whose clock is paused.
///
/// # Errors
/// The first difference, ready to be shown.
pub async fn play_in_memory(path: &Path) -> Result<(), String> {
    let play = Play::load(path).map_err(told)?;
    let grade = grade_in_memory(play, STEP_TIME, ANY_TIME).await;
    grade.into_first_failure().map_or(Ok(()), |failure| Err(told(failure)))
}

/// Plays a script against a fresh server of ours in memory. It wants a clock that is paused, else
/// scripts that wait for long do wait.
pub(crate) async fn grade_in_memory(mut play: Play, step_time: Duration, script_time: Duration) -> Grade {
    match stage_in_memory(&mut play, step_time, script_time) {
        Ok((stage, _running)) => play.grade(&stage).await,
        Err(failure) => Grade::of_unplayed(failure),
    }
}

/// A server as the script wants it, which runs as long as what comes with the stage is kept.
fn stage_in_memory(play: &mut Play, step_time: Duration, script_time: Duration) -> Played<(Stage, impl Sized + use<>)> {
    let network = Network::memory();
    play.listen(&network)?;
    let (file, sets) = split_settings(play.settings()?);
    let house = config::read::merge(("portico.toml", &file), std::iter::empty(), &sets)
        .map_err(|error| error.to_string())
        .and_then(|merged| house_in_memory(merged.settings, network.clone()));
    let (house, stopper) = house.map_err(|what| play.unready(what))?;
    let opened = open_house(Arc::new(house), |house| {
        play.know_targets(&all_targets());
        furnish(house, play)
    });
    let (targets, serving) = opened.map_err(|what| play.unready(what))?;
    let tls = memory_tls().map_err(|what| play.unready(what))?;
    Ok((Stage { network, targets, tls, step_time, script_time }, (stopper, serving)))
}

fn told(failure: Box<Failure>) -> String {
    failure.to_string()
}

/// A script's settings: those for a `portico.toml`, since passwords are not taken from the command
/// line, and those for `--set`.
pub(crate) fn split_settings(changes: Vec<String>) -> (String, Vec<String>) {
    let (passwords, sets): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| {
        let key = change.split('=').next().unwrap_or_default();
        (key.starts_with("accounts.") && key.contains(".password")) || key.ends_with("-password") || key.ends_with(".password")
    });
    (passwords.iter().map(|line| format!("{line}\n")).collect(), sets)
}

/// A house with doubles for stores and the network, at the date of the textbook.
pub(crate) fn house_in_memory(mut settings: Settings, network: Network) -> Result<(House, Stopper), String> {
    let (stopper, stop) = stop();
    let clock = Clock::textbook();
    settings.http.https_port = Some(443 + MEMORY_OFFSET);
    let recorder = Recorder::new();
    let mail = Arc::new(MemoryMail::new());
    let faults = Faults::new(&settings.faults)?;
    let dialer = Dialer {
        network: network.clone(),
        resolver: Resolver::new(&settings.hosts).closed(),
        limits: Arc::new(Limits::default()),
        stop: stop.clone(),
        recorder: recorder.clone(),
        connect_time: Duration::from_secs(10),
        link: None,
        faults: faults.clone(),
    };
    let house = House {
        accounts: Arc::new(Accounts::new(&settings.accounts, settings.sample_accounts)?),
        web: Arc::new(web::Shared::new(&settings.http, None)),
        cache: proxy::open_cache(&settings.proxy, None),
        links: Links::new(&settings.links),
        faults,
        settings: Arc::new(settings),
        tree: Arc::new(MemoryTree::new(clock.clone())),
        clock,
        network,
        dialer,
        tls: Arc::new(TlsOffers::new(memory_certificate().identity())),
        mail: mail.clone(),
        queue: mail,
        turns: Default::default(),
        visitors: Arc::new(VisitorBook::in_memory().map_err(|error| error.to_string())?),
        wake: Default::default(),
        tls_client: Some(ClientTls::new(memory_certificate().roots()?)),
        recorder,
        stop,
    };
    Ok((house, stopper))
}

/// The addresses of a house in memory.
fn all_targets() -> Targets {
    let streams = REGISTRY.iter().filter(|row| matches!(row.kind, Kind::Stream(_)));
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port.wrapping_add(MEMORY_OFFSET)));
    Targets::Named(streams.map(|row| (row.name.to_owned(), at(row.well_known_port))).collect())
}

/// Lets `prepare` put things in place, then serves all services of a house. Serving ends when the
/// answer is dropped.
pub(crate) fn open_house(house: Arc<House>, prepare: impl FnOnce(&House) -> Result<(), String>) -> Result<(Targets, JoinSet<()>), String> {
    prepare(&house)?;
    let targets = all_targets();
    let Targets::Named(addresses) = &targets else { return Err("a house has many addresses".into()) };
    let mut serving = JoinSet::new();
    serving.spawn(house.runner().run(house.stop.clone()));
    for row in REGISTRY {
        let Some(at) = addresses.get(row.name) else { continue };
        let bound = row.bind(&house.network, *at).map_err(|error| format!("{}: {error}", row.name))?;
        let door = row.door(&house, row.tls_server(&house).map_err(|error| error.to_string())?);
        let house = house.clone();
        serving.spawn(async move { row.serve(bound, door, &house).await });
    }
    Ok((targets, serving))
}

/// Puts a script's files and messages into the stores.
pub(crate) fn furnish(house: &House, play: &Play) -> Result<(), String> {
    let broken = |fixture: &Fixture, error: &dyn std::fmt::Display| format!("{}: {error}", fixture.place);
    for file in play.files().map_err(told)? {
        put_file(&*house.tree, &file).map_err(|error| broken(&file, &error))?;
    }
    for message in play.mails().map_err(told)? {
        put_message(&*house.mail, &message).map_err(|error| broken(&message, &error))?;
    }
    Ok(())
}

pub(crate) fn put_file(tree: &dyn Tree, file: &Fixture) -> Result<(), crate::store::StoreError> {
    let path = VirtualPath::parse(&file.place)?;
    let mut folder = VirtualPath::root();
    for name in path.parent().components() {
        folder = folder.join(name)?;
        if tree.facts(&folder).is_err() {
            tree.make_folder(&folder)?;
        }
    }
    let mut upload = tree.receive(&path, Receive::Replace)?;
    upload.write(&file.content)?;
    upload.commit().map(drop)
}

pub(crate) fn put_message(mail: &dyn MailStore, message: &Fixture) -> Result<(), crate::store::StoreError> {
    let mut spool = mail.spool()?;
    spool.write(&message.content)?;
    let delivery = LocalDelivery { account: message.place.clone(), prefix: Vec::new() };
    mail.accept(Parcel { message: spool, local: vec![delivery], relay: None, forwards: Vec::new() })
}

/// The one certificate of all servers in memory, which vouches for itself.
struct MemoryCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

fn memory_certificate() -> &'static MemoryCertificate {
    static MADE: OnceLock<MemoryCertificate> = OnceLock::new();
    MADE.get_or_init(|| {
        let names = ["localhost", "portico.test", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("these names can stand in a certificate");
        MemoryCertificate { chain: vec![made.cert.der().clone()], key: made.signing_key.serialize_der() }
    })
}

impl MemoryCertificate {
    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }

    fn identity(&self) -> Identity {
        Identity { chain: self.chain.clone(), key: self.key() }
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        self.chain.iter().try_for_each(|certificate| roots.add(certificate.clone())).map_err(|error| error.to_string())?;
        Ok(roots)
    }
}

pub(crate) fn memory_tls() -> Result<PlayerTls, String> {
    let certificate = memory_certificate();
    PlayerTls::new(Trust::Roots(certificate.roots()?), Some((certificate.chain.clone(), certificate.key())))
        .map_err(|error| error.to_string())
}

/// A server that has been started for one script.
pub struct Started {
    /// Service name to address, as in the ready file.
    pub services: BTreeMap<String, SocketAddr>,
    /// Its data folder.
    pub data: PathBuf,
    pub certs: PathBuf,
}

/// Plays a script over sockets against the server that `start` starts with the script's settings:
/// the text of its `portico.toml` and what goes to `--set`.
///
/// # Errors
/// The first difference, ready to be shown.
pub async fn play_over_sockets(path: &Path, start: impl FnOnce(&str, &[String]) -> Result<Started, String>) -> Result<(), String> {
    play_against(Play::load(path).map_err(told)?, start).await
}

/// The suites that are built in.
pub fn suite_names() -> impl Iterator<Item = &'static str> {
    crate::play::suites::names()
}

/// Plays a suite over sockets, as [`play_over_sockets`] plays a script.
///
/// # Errors
/// The first difference, ready to be shown.
pub async fn play_suite_over_sockets(name: &str, start: impl FnOnce(&str, &[String]) -> Result<Started, String>) -> Result<(), String> {
    play_against(Play::suite(name).map_err(told)?, start).await
}

async fn play_against(mut play: Play, start: impl FnOnce(&str, &[String]) -> Result<Started, String>) -> Result<(), String> {
    play.listen(&Network::Real).map_err(told)?;
    let (file, sets) = split_settings(play.settings().map_err(told)?);
    let started = start(&file, &sets)?;
    let targets = Targets::Named(started.services.clone());
    play.know_targets(&targets);
    place_on_disk(&started.data, &play)?;
    let stage = Stage { network: Network::Real, targets, tls: disk_tls(&started.certs)?, step_time: STEP_TIME, script_time: ANY_TIME };
    play.run(&stage).await.map_err(told)
}

/// Puts a script's files and messages into a data folder, as other tools would.
fn place_on_disk(data: &Path, play: &Play) -> Result<(), String> {
    let place = |path: PathBuf, content: &[u8]| {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let done = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, content));
        done.map_err(|error| format!("{}: {error}", path.display()))
    };
    for file in play.files().map_err(told)? {
        place(data.join("www").join(file.place.trim_start_matches('/')), &file.content)?;
    }
    for (number, message) in play.mails().map_err(told)?.iter().enumerate() {
        let maildir = data.join("maildir").join(&message.place);
        for folder in ["new", "cur", "tmp"] {
            std::fs::create_dir_all(maildir.join(folder)).map_err(|error| format!("{}: {error}", maildir.display()))?;
        }
        // Maildir tools write LF; names sort by their time.
        let lines = String::from_utf8_lossy(&message.content).replace("\r\n", "\n");
        let is_text = std::str::from_utf8(&message.content).is_ok();
        let content = if is_text { lines.as_bytes() } else { &message.content };
        place(maildir.join("new").join(format!("7841117{number:02}.M{number}P1.fixture")), content)?;
    }
    Ok(())
}

fn disk_tls(certs: &Path) -> Result<PlayerTls, String> {
    let read = |name: &str| CertificateDer::pem_file_iter(certs.join(name)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let ca = read("ca.pem").map_err(|error| format!("ca.pem: {error}"))?;
    let chain = read("server.pem").map_err(|error| format!("server.pem: {error}"))?;
    let key = PrivateKeyDer::from_pem_file(certs.join("server.key")).map_err(|error| format!("server.key: {error}"))?;
    let mut roots = RootCertStore::empty();
    ca.into_iter().try_for_each(|certificate| roots.add(certificate)).map_err(|error| error.to_string())?;
    PlayerTls::new(Trust::Roots(roots), Some((chain, key))).map_err(|error| error.to_string())
}
