//! The sending half of `portico mail send`: from a message to the server's replies.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

use super::{
    failed,
    send::{SendArgs, Tls, password},
};
use crate::{
    cli::{Outcome, folder::DataFolder, house, options::Global, say, settings},
    config::Settings,
    control,
    error::StartError,
    net::{
        dial::Dialer,
        escape::{escape, escape_json},
        limits::Limits,
        network::Network,
        resolve::Resolver,
        stop::stop,
        tls::ClientTls,
    },
    smtp::{
        relay::{errand::Errand, settings::RouteTls},
        route::{Hop, Login},
    },
    transcript::record::{Event, Noted, Recorder, Side},
};

/// One attempt to connect.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Brings the message to its server, and prints what that says.
pub(super) fn submit(
    global: &Global,
    args: &SendArgs,
    (sender, recipients): (String, Vec<String>),
    message: Vec<u8>,
) -> Result<Outcome, StartError> {
    let folder = DataFolder::resolve(global)?;
    let settings = settings::load(&folder, global, &Default::default())?;
    let (host, port) = match &args.server {
        Some(server) => parse_server(server)?,
        None => match own_server(&folder, args) {
            Ok(at) => (if at.ip().is_loopback() { "localhost".to_owned() } else { at.ip().to_string() }, at.port()),
            Err(why) => return Ok(failed(&why)),
        },
    };
    let (tls, implicit) = tls(args, &host);
    let login = match (&args.user, &args.password_file) {
        (Some(user), Some(file)) => Some(Login { user: user.clone(), password: password(file)? }),
        _ => None,
    };
    let name = settings.domains.first().cloned().unwrap_or_else(|| "localhost".into());
    let errand = Errand { hop: Hop { host, port, tls, implicit, login }, name, sender, recipients, message };
    let authorities = house::authorities(args.ca.as_deref().unwrap_or(&folder.certs.join("ca.pem")));
    perform(errand, ClientTls::new(authorities), &settings, args.json)
}

/// Runs the errand while the replies are noted.
fn perform(errand: Errand, tls: ClientTls, settings: &Settings, json: bool) -> Result<Outcome, StartError> {
    let (_stopper, stop) = stop();
    let recorder = Recorder::new();
    let mut replies = recorder.listen();
    let dialer = Dialer {
        network: Network::Real,
        resolver: Resolver::new(&settings.hosts),
        limits: Limits::default().into(),
        stop,
        recorder,
        connect_time: CONNECT_TIME,
        link: None,
        faults: Default::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StartError(format!("cannot start: {error}")))?;
    let outcomes = runtime.block_on(errand.run(dialer, tls));
    let replies = said_by_server(&mut replies);
    if !json {
        replies.iter().for_each(|reply| say(format_args!("S: {}\n", escape(reply))));
    }
    let outcomes = match outcomes {
        Ok(outcomes) => outcomes,
        Err(why) => return Ok(failed(&why)),
    };
    if json {
        let recipient = |(address, refused): &(String, Option<String>)| json!({ "address": address, "accepted": refused.is_none(), "refused": refused });
        let recipients: Vec<_> = outcomes.iter().map(recipient).collect();
        say(format_args!("{}\n", escape_json(&json!({ "recipients": recipients, "replies": replies }))));
    }
    let mut outcome = Outcome::Fine;
    for (address, refused) in outcomes.into_iter().filter_map(|(address, refused)| Some((address, refused?))) {
        outcome = failed(&format!("not sent to {address}: {refused}"));
    }
    Ok(outcome)
}

/// The lines of the server, in their order.
fn said_by_server(listener: &mut Receiver<Noted>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        match listener.try_recv() {
            Ok(Noted { event: Event::Line { side: Side::Server, line }, .. }) => lines.push(String::from_utf8_lossy(&line).into_owned()),
            Ok(_) | Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return lines,
        }
    }
}

/// Where the running Portico takes mail: from those who log in, or from anybody for its domains.
fn own_server(folder: &DataFolder, args: &SendArgs) -> Result<SocketAddr, String> {
    let service = match (args.tls, &args.user) {
        (Some(Tls::Implicit), _) => "smtps",
        (_, Some(_)) => "submission",
        (_, None) => "smtp",
    };
    let places = control::places(&folder.control_socket());
    let places = places.ok_or("no Portico runs on this data folder; start one, or name a server with --server HOST:PORT")??;
    let found = places.iter().find(|(name, _)| name == service);
    found.map(|(_, at)| *at).ok_or_else(|| format!("the running Portico has no service {service}; name a server with --server HOST:PORT"))
}

/// `localhost:8587`, `192.0.2.1:25` or `[::1]:25`.
fn parse_server(text: &str) -> Result<(String, u16), StartError> {
    let wrong = || StartError(format!("--server {text}: give host and port, such as localhost:8587"));
    if let Ok(at) = text.parse::<SocketAddr>() {
        return Ok((at.ip().to_string(), at.port()));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let is_name = !host.is_empty() && !host.contains([':', '[', ' ']);
    Ok((is_name.then(|| host.to_owned()).ok_or_else(wrong)?, port.parse().map_err(|_| wrong())?))
}

/// A password goes to a server that proves its name, or to this machine.
fn tls(args: &SendArgs, host: &str) -> (RouteTls, bool) {
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    match args.tls {
        Some(Tls::Opportunistic) => (RouteTls::Opportunistic, false),
        Some(Tls::Required) => (RouteTls::Required, false),
        Some(Tls::Implicit) => (RouteTls::Required, true),
        Some(Tls::Never) => (RouteTls::Never, false),
        None if args.user.is_some() && !is_here => (RouteTls::Required, false),
        None => (RouteTls::Opportunistic, false),
    }
}

/// The path of the authorities is that of the lab, unless another was named.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_in_three_ways() {
        let read = |text: &str| parse_server(text).ok();
        assert_eq!(read("localhost:8587"), Some(("localhost".into(), 8587)));
        assert_eq!(read("192.0.2.1:25"), Some(("192.0.2.1".into(), 25)));
        assert_eq!(read("[::1]:25"), Some(("::1".into(), 25)));
        for text in ["localhost", ":25", "::1:25:x", "a:b", "a b:25", "[::1]"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
