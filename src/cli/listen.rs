//! Which service listens where: the plan, and the binding.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use super::{
    handed::Handed,
    options::{Ports, ServeFlags},
};
use crate::{
    config::{Settings, default_hosts, keys::nearest},
    error::StartError,
    net::network::Network,
    services::{Bound, REGISTRY, Row},
};

/// One address of one service, planned.
pub(crate) struct Place {
    pub row: &'static Row,
    /// Port 0: the system chooses.
    pub at: SocketAddr,
    /// Part of a default: skipped where the machine has no such address.
    optional: bool,
}

/// One address of one service, bound.
pub(crate) struct BoundPlace {
    pub row: &'static Row,
    pub at: SocketAddr,
    pub bound: Bound,
}

/// The row of a service that a person named.
pub(crate) fn row_named(name: &str) -> Result<&'static Row, StartError> {
    crate::services::row(name).ok_or_else(|| {
        let hint = match nearest(name, REGISTRY.iter().map(|row| row.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", REGISTRY.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")),
        };
        StartError(format!("unknown service `{}`: {hint}", crate::net::escape::escape(name)))
    })
}

/// Where every service is to listen, in the order of the registry.
pub(crate) fn plan(settings: &Settings, flags: &ServeFlags) -> Result<Vec<Place>, StartError> {
    let only = rows_named(&flags.only)?;
    let without = rows_named(&flags.without)?;
    let moved = flags.listen.iter().map(|text| parse_listen(text)).collect::<Result<Vec<_>, _>>()?;
    let is_wanted = |row: &Row| (only.is_empty() || only.contains(&row.name)) && !without.contains(&row.name);
    let optional = settings.host == default_hosts();
    let mut places = Vec::new();
    for row in REGISTRY.iter().filter(|row| is_wanted(row)) {
        let own = moved.iter().filter(|(name, _)| *name == row.name).map(|(_, at)| *at);
        let own: Vec<_> = own.map(|at| Place { row, at, optional: false }).collect();
        if own.is_empty() {
            let port = port(row, settings, flags)?;
            places.extend(settings.host.iter().map(|host| Place { row, at: SocketAddr::new(*host, port), optional }));
        } else {
            places.extend(own);
        }
    }
    if places.is_empty() {
        return Err(StartError("no service is left to serve: look at --only and --without".into()));
    }
    Ok(places)
}

/// A redirect to https wants an https to lead to.
pub(crate) fn check_https(settings: &Settings, plan: &[Place]) -> Result<(), StartError> {
    match settings.http.redirect_to_https && !plan.iter().any(|place| place.row.name == "https") {
        true => {
            Err(StartError("`http.redirect-to-https` is set, but https is not among the services: look at --only and --without".into()))
        }
        false => Ok(()),
    }
}

/// The services of a plan, each once.
pub(crate) fn services(plan: &[Place]) -> Vec<&'static Row> {
    let mut rows: Vec<&'static Row> = plan.iter().map(|place| place.row).collect();
    rows.dedup_by_key(|row| row.name);
    rows
}

fn rows_named(names: &[String]) -> Result<Vec<&'static str>, StartError> {
    names.iter().map(|name| row_named(name.trim()).map(|row| row.name)).collect()
}

fn parse_listen(text: &str) -> Result<(&'static str, SocketAddr), StartError> {
    let wrong = || StartError(format!("--listen {text}: write it as SERVICE=ADDRESS:PORT, such as smtp=127.0.0.1:2525 or http=[::1]:8080"));
    let (name, at) = text.split_once('=').ok_or_else(wrong)?;
    Ok((row_named(name)?.name, at.parse().map_err(|_| wrong())?))
}

fn port(row: &Row, settings: &Settings, flags: &ServeFlags) -> Result<u16, StartError> {
    if flags.ports == Some(Ports::Any) {
        return Ok(0);
    }
    row.well_known_port.checked_add(settings.port_offset).ok_or_else(|| {
        StartError(format!(
            "the port of {} would be {} + {}, beyond 65535: lower --port-offset, or leave the service out by --without {}",
            row.name, row.well_known_port, settings.port_offset, row.name
        ))
    })
}

/// Binds all places. Where the system chooses, a service gets the same port on all its hosts if
/// that can be had.
pub(crate) fn bind(plan: &[Place], network: &Network, handed: &mut Handed) -> Result<Vec<BoundPlace>, StartError> {
    let mut places: Vec<BoundPlace> = Vec::new();
    for place in plan {
        if let Some(bound) = handed.take(place.row, place.at) {
            places.push(BoundPlace { row: place.row, at: place.at, bound });
            continue;
        }
        let sibling = places.iter().find(|bound| bound.row.name == place.row.name).map(|bound| bound.at.port());
        let at = if place.at.port() == 0 { SocketAddr::new(place.at.ip(), sibling.unwrap_or(0)) } else { place.at };
        let bound = match place.row.bind(network, at) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && at != place.at => place.row.bind(network, place.at),
            bound => bound,
        };
        match bound {
            Ok(bound) => {
                let at = bound.local_addr().map_err(|error| failed(place, &error))?;
                places.push(BoundPlace { row: place.row, at, bound });
            }
            Err(error) if place.optional && is_missing_family(&error) => {
                tracing::debug!(service = place.row.name, address = %place.at, "skipped: this machine has no such address");
            }
            Err(error) => return Err(failed(place, &error)),
        }
    }
    if places.is_empty() {
        return Err(StartError("this machine has neither 127.0.0.1 nor ::1 to listen on: name an address with --host".into()));
    }
    Ok(places)
}

fn is_missing_family(error: &io::Error) -> bool {
    let family_not_supported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(family_not_supported)
}

fn failed(place: &Place, error: &io::Error) -> StartError {
    let (name, at) = (place.row.name, place.at);
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the port is in use, perhaps by another Portico: stop that program, move this service by --listen {name}={}, \
             or all by --port-offset or --ports any",
            SocketAddr::new(at.ip(), 0)
        ),
        io::ErrorKind::PermissionDenied => format!("{error}: ports below 1024 want root; start as root, or raise --port-offset"),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: look at --host and --listen".into(),
        _ => format!("{error}: look at --host and --listen"),
    };
    StartError(format!("cannot listen on {at} for {name}: {why}"))
}

/// Whether an address is reached from this machine alone.
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
