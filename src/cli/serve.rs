//! `portico serve`: from the flags to the last goodbye.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};

use super::{
    Outcome,
    folder::{DataFolder, Lock, cannot},
    handed::Handed,
    house,
    listen::{self, BoundPlace, Place},
    log,
    options::{Global, ServeFlags},
    privileges, ready, reload, say, settings, table,
};
use crate::{
    clock::Clock,
    config::{Settings, certs, check::check_safety},
    control::Control,
    error::StartError,
    net::{
        network::Network,
        stop::{Stage, Stopper, stop},
        tls::Identity,
    },
    services::{House, Row},
    store::Accounts,
    transcript::record::Recorder,
    web::access::AccessLog,
};

/// Runs until a signal ends it.
pub(crate) fn serve(global: &Global, flags: &ServeFlags) -> Result<Outcome, StartError> {
    log::start(global);
    if let Some(path) = &flags.ready_file {
        ready::forget(path)?;
    }
    let prepared = prepare(global, flags)?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError(format!("cannot start the runtime: {error}")))?;
    let served = runtime.block_on(run(prepared));
    // Conversations are over by now; what still blocks was given up by a second signal.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served.map(|()| Outcome::Fine)
}

/// Everything that was read and checked before anything runs.
struct Prepared<'a> {
    global: &'a Global,
    flags: &'a ServeFlags,
    folder: DataFolder,
    settings: Settings,
    plan: Vec<Place>,
    accounts: Accounts,
    identity: Identity,
    _lock: Lock,
}

/// Reads and checks everything, and creates what is missing. What is wrong shows here, before a
/// port is taken.
fn prepare<'a>(global: &'a Global, flags: &'a ServeFlags) -> Result<Prepared<'a>, StartError> {
    let folder = DataFolder::resolve(global)?;
    let settings = settings::load(&folder, global, flags)?;
    let plan = listen::plan(&settings, flags)?;
    listen::check_https(&settings, &plan)?;
    let accounts = Accounts::new(&settings.accounts, settings.sample_accounts).map_err(StartError)?;
    check_safety(&settings, &accounts, plan.iter().map(|place| (place.row.name, place.at.ip())))?;
    folder.check_apart()?;
    folder.check_log_apart(&settings)?;
    folder.create_missing()?;
    let lock = folder.lock()?;
    let identity = certs::load_or_make(&folder.certs, &settings.domains)?;
    Ok(Prepared { global, flags, folder, settings, plan, accounts, identity, _lock: lock })
}

async fn run(prepared: Prepared<'_>) -> Result<(), StartError> {
    let Prepared { global, flags, folder, mut settings, plan, accounts, identity, _lock } = prepared;
    let (stopper, stop) = stop();
    // From here on signals are caught: nobody is killed between binding and serving.
    let signals = tokio::spawn(obey_signals(catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?, stopper));
    let bound = listen::bind(&plan, &Network::Real, &mut Handed::over())?;
    privileges::give_up(&settings.user, &folder)?;
    let https_ports: Vec<u16> = bound.iter().filter(|place| place.row.name == "https").map(|place| place.at.port()).collect();
    settings.http.https_port = https_ports.first().copied();
    settings.proxy.https_ports = https_ports;
    let recorder = recorder(&settings, &folder)?;
    let house = Arc::new(house::build(settings, accounts, identity, &folder, recorder, stop)?);
    let places: Vec<_> = bound.iter().map(|place| (place.row, place.at)).collect();
    let mut tasks = JoinSet::new();
    open_doors(bound, &house, &mut tasks)?;
    tasks.spawn(house.runner().run(house.stop.clone()));
    let where_listening = places.iter().map(|(row, at)| (row.name, at.ip())).collect();
    let reload = reload::reload(folder.clone(), global.clone(), flags.clone(), house.clone(), where_listening);
    let socket = folder.control_socket();
    let listening = places.iter().map(|(row, at)| (row.name.to_owned(), *at)).collect();
    let control = Control::open(&socket, listening).map_err(cannot("open the control socket", &socket))?;
    tasks.spawn(control.serve(house.clone(), reload.clone(), house.stop.clone()));
    let hangups = tokio::spawn(reload::obey_hangups(catch(SignalKind::hangup())?, reload));
    announce(&folder, flags, &places)?;
    while tasks.join_next().await.is_some() {}
    house.web.log().into_iter().for_each(AccessLog::flush);
    signals.abort();
    hangups.abort();
    tracing::info!("stopped");
    Ok(())
}

/// Conversations are recorded below `var/transcripts` where the settings ask for it.
fn recorder(settings: &Settings, folder: &DataFolder) -> Result<Recorder, StartError> {
    if !settings.transcripts {
        return Ok(Recorder::new());
    }
    let transcripts = folder.var.join("transcripts");
    let recorder = Recorder::to_folder(transcripts.clone(), Clock::system());
    recorder.map_err(|error| StartError(format!("cannot write transcripts to {}: {error}", transcripts.display())))
}

/// Starts serving every bound place; those of one service share a door and its limits.
fn open_doors(bound: Vec<BoundPlace>, house: &Arc<House>, tasks: &mut JoinSet<()>) -> Result<(), StartError> {
    let mut last = None;
    for BoundPlace { row, bound, .. } in bound {
        let door = match last.take() {
            Some((name, door)) if name == row.name => door,
            _ => {
                let tls = row.tls_server(house).map_err(|error| StartError(format!("cannot offer TLS for {}: {error}", row.name)))?;
                row.door(house, tls)
            }
        };
        last = Some((row.name, door.clone()));
        let house = house.clone();
        tasks.spawn(async move { row.serve(bound, door, &house).await });
    }
    Ok(())
}

/// Tells everybody that we are ready.
fn announce(folder: &DataFolder, flags: &ServeFlags, places: &[(&'static Row, SocketAddr)]) -> Result<(), StartError> {
    say(format_args!("{}", table::start_up(folder, places)));
    if let Some(path) = &flags.ready_file {
        ready::write_file(path, places)?;
    }
    ready::notify_manager();
    Ok(())
}

/// Catches a signal from now on. A task that did so itself might come to it too late, after the
/// ready file has told somebody that Portico can be stopped.
fn catch(kind: SignalKind) -> Result<Signal, StartError> {
    signal(kind).map_err(|error| StartError(format!("cannot catch signals: {error}")))
}

/// SIGTERM and SIGINT drain; a second one halts.
async fn obey_signals(mut terminate: Signal, mut interrupt: Signal, stopper: Stopper) {
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        match stopper.advance() {
            Stage::Draining => tracing::info!("stopping: waiting for conversations to end; signal again to stop at once"),
            _ => tracing::warn!("stopping at once"),
        }
    }
}

/// Every connection takes a file descriptor; the soft limit is often 1024 for no reason of ours.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!("the limit of open files stays low: {error}");
    }
}
