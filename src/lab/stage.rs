//! What an experiment plays on: servers of this binary, and clients that reach them over links.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use super::Setting;
use crate::{
    config::read,
    net::{
        Conn,
        dial::{Dialer, Gate},
        limits::Limits,
        link::Link,
        network::Network,
        resolve::Resolver,
        stop::{Stop, Stopper, stop},
    },
    play::Fixture,
    services::{self, House},
    testing,
    transcript::record::Recorder,
    units::Span,
};

/// Slow links take long: nobody is to be called slow, unless an experiment is about that.
const PATIENT: &str = "[limits]\nidle = \"30days\"\nline = \"30days\"\nstall = \"30days\"\n";
const PATIENCE: Span = Span::secs(30 * 86_400);

/// Paths in the tree, and what is to be there.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// The stage of one experiment.
pub(super) struct Stage {
    pub setting: Setting,
    network: Network,
    begun: Instant,
    /// Clients end with the stage.
    stop: Stop,
    _stopper: Stopper,
}

/// A house whose services are up; they end with it.
pub(super) struct Opened {
    pub house: Arc<House>,
    addresses: BTreeMap<&'static str, SocketAddr>,
    _serving: JoinSet<()>,
    _stopper: Stopper,
}

impl Stage {
    pub(super) fn new(setting: Setting) -> Stage {
        let network = if setting.is_real { Network::Real } else { Network::memory() };
        let (stopper, stop) = stop();
        Stage { setting, network, begun: Instant::now(), stop, _stopper: stopper }
    }

    /// Builds a house with these settings (the text of a `portico.toml`) and these files, and opens
    /// some of its services.
    pub(super) fn open(&self, settings: &str, names: &[&'static str], files: Files) -> Result<Opened, String> {
        self.open_at(settings, names, &[], files)
    }

    /// The same, each service at an address that was chosen before.
    pub(super) fn open_at(&self, settings: &str, names: &[&'static str], places: &[SocketAddr], files: Files) -> Result<Opened, String> {
        let text = if settings.contains("[limits") { settings.to_owned() } else { format!("{settings}\n{PATIENT}") };
        let read = read::merge(("the experiment's settings", &text), std::iter::empty(), &[]).map_err(|error| error.to_string())?;
        let (house, stopper) = testing::house_in_memory(read.settings, self.network.clone())?;
        files.into_iter().try_for_each(|(path, content)| put_file(&house, &path, content))?;
        let house = Arc::new(house);
        let (mut serving, mut addresses) = (JoinSet::new(), BTreeMap::new());
        serving.spawn(house.runner().run(house.stop.clone()));
        for (index, name) in names.iter().enumerate() {
            let row = services::row(name).ok_or_else(|| format!("there is no service {name}"))?;
            let at = places.get(index).copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
            let bound = row.bind(&self.network, at).map_err(|error| format!("{name} at {at}: {error}"))?;
            addresses.insert(*name, bound.local_addr().map_err(|error| error.to_string())?);
            let door = row.door(&house, row.tls_server(&house).map_err(|error| error.to_string())?);
            let house = house.clone();
            serving.spawn(async move { row.serve(bound, door, &house).await });
        }
        Ok(Opened { house, addresses, _serving: serving, _stopper: stopper })
    }

    /// An address that nothing listens on yet.
    pub(super) fn free_address(&self) -> Result<SocketAddr, String> {
        let listener = self.network.listen(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(|error| error.to_string())?;
        listener.local_addr().map_err(|error| error.to_string())
    }

    /// What clients connect with, over a link of their own.
    pub(super) fn clients_behind(&self, link: &str) -> Result<Dialer, String> {
        Ok(self.dialer(&self::link(link)?))
    }

    /// What clients connect with, over `link`.
    pub(super) fn dialer(&self, link: &Arc<Link>) -> Dialer {
        Dialer {
            network: self.network.clone(),
            resolver: Resolver::new(&BTreeMap::new()).closed(),
            limits: Arc::new(Limits { idle: PATIENCE, line: PATIENCE, stall: PATIENCE, ..Limits::default() }),
            stop: self.stop.clone(),
            recorder: Recorder::new(),
            connect_time: PATIENCE.0,
            link: Some(link.clone()),
            faults: Arc::default(),
        }
    }

    /// Seconds since the stage was set up.
    pub(super) fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    pub(super) async fn wait_until(&self, secs: f64) {
        tokio::time::sleep_until(self.begun + Duration::from_secs_f64(secs.max(0.0))).await;
    }
}

/// A link as it is written on the command line.
pub(super) fn link(text: &str) -> Result<Arc<Link>, String> {
    text.parse().map(Link::new)
}

/// Connects as a client.
pub(super) async fn connect(dialer: &Dialer, to: SocketAddr) -> Result<Conn, String> {
    dialer.connect_to(to, None, Gate::Open, "lab", None).await.map_err(|error| format!("{to}: {error}"))
}

impl Opened {
    pub(super) fn at(&self, service: &str) -> Result<SocketAddr, String> {
        self.addresses.get(service).copied().ok_or_else(|| format!("{service} is not up"))
    }
}

/// Puts a file into the tree.
pub(super) fn put_file(house: &House, path: &str, content: Vec<u8>) -> Result<(), String> {
    testing::put_file(&*house.tree, &Fixture { place: path.to_owned(), content }).map_err(|error| format!("{path}: {error}"))
}

/// Octets that look like a picture: nothing shortens them.
pub(super) fn noise(octets: usize, seed: u64) -> Vec<u8> {
    use rand::{Rng, SeedableRng};
    let mut noise = vec![0; octets];
    rand::rngs::Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut noise);
    noise
}

/// Runs all of them at once; their results in their order.
pub(super) async fn join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(cx) {
                *output = Some(ready);
            }
        }
        if running.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}
