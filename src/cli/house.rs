//! Builds the house that the services live in, on disk.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::folder::DataFolder;
use crate::{
    clock::Clock,
    config::Settings,
    error::StartError,
    net::{
        dial::Dialer,
        fault::Faults,
        limits::Limits,
        link::Links,
        network::Network,
        resolve::Resolver,
        stop::Stop,
        tls::{ClientTls, Identity, TlsOffers},
    },
    proxy,
    services::House,
    smtp::relay::Wake,
    store::{Accounts, StoreError, disk_mail::DiskMail, disk_tree::DiskTree, visitors::VisitorBook},
    transcript::record::Recorder,
    web::{self, access::AccessLog},
};

/// One attempt to connect to another server.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Opens the stores and puts everything together.
pub(crate) fn build(
    settings: Settings,
    accounts: Accounts,
    identity: Identity,
    folder: &DataFolder,
    recorder: Recorder,
    stop: Stop,
) -> Result<House, StartError> {
    let (clock, network) = (Clock::system(), Network::Real);
    let mail = Arc::new(open_mail(folder)?);
    let tree = DiskTree::open(&folder.www).map_err(failed("open the file tree", &folder.www))?;
    let book = folder.var.join("visitors.redb");
    let visitors = VisitorBook::open(&book).map_err(failed("open the visitors' book", &book))?;
    let faults = Faults::new(&settings.faults).map_err(StartError)?;
    let dialer = Dialer {
        network: network.clone(),
        resolver: Resolver::new(&settings.hosts),
        limits: Arc::new(Limits::default()),
        stop: stop.clone(),
        recorder: recorder.clone(),
        connect_time: CONNECT_TIME,
        link: None,
        faults: faults.clone(),
    };
    let web = web::Shared::new(&settings.http, access_log(&settings, folder)?);
    Ok(House {
        web: Arc::new(web),
        links: Links::new(&settings.links),
        faults,
        cache: proxy::open_cache(&settings.proxy, Some(&folder.var.join("cache"))),
        settings: Arc::new(settings),
        tree: Arc::new(tree),
        clock,
        network,
        dialer,
        tls: Arc::new(TlsOffers::new(identity)),
        accounts: Arc::new(accounts),
        queue: mail.clone(),
        turns: Default::default(),
        mail,
        visitors: Arc::new(visitors),
        wake: Wake::default(),
        tls_client: Some(ClientTls::new(authorities(&folder.certs.join("ca.pem")))),
        recorder,
        stop,
    })
}

/// Whom the relay believes about the names of other servers: the lab's own authority (`own`), and those of
/// the system.
pub(crate) fn authorities(own: &Path) -> RootCertStore {
    /// Where Debian and Fedora, and those that follow them, keep them.
    const OF_SYSTEM: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
    let mut roots = RootCertStore::empty();
    for path in [own.to_owned()].into_iter().chain(OF_SYSTEM.map(PathBuf::from)) {
        // Each is missing somewhere, and what can't be read vouches for nobody.
        let certificates = CertificateDer::pem_file_iter(&path).into_iter().flatten().filter_map(Result::ok);
        roots.add_parsable_certificates(certificates);
    }
    roots
}

/// Opens the access log where the settings name one.
fn access_log(settings: &Settings, folder: &DataFolder) -> Result<Option<AccessLog>, StartError> {
    let Some(path) = folder.access_log(settings) else { return Ok(None) };
    let log = AccessLog::open(&path).map_err(|error| StartError(format!("cannot open the access log {}: {error}", path.display())));
    log.map(Some)
}

/// Opens the mailboxes and the queue.
pub(crate) fn open_mail(folder: &DataFolder) -> Result<DiskMail, StartError> {
    DiskMail::open(&folder.maildir, &folder.var).map_err(failed("open the mailboxes or the queue", &folder.maildir))
}

fn failed<'a>(what: &'a str, path: &'a Path) -> impl Fn(StoreError) -> StartError + 'a {
    move |error| StartError(format!("cannot {what} {}: {error}", path.display()))
}
