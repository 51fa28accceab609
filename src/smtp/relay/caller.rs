//! From a destination to a conversation with one of its servers: whom the settings or the DNS name,
//! TLS as it is asked for, and a login where there is one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use rand::seq::SliceRandom;

use super::{
    letter::Offers,
    login, mx,
    session::{GREETING, Lost, Session},
    verdict::{Reason, Verdict},
};
use crate::{
    net::{
        Conn,
        dial::{DialError, Dialer, Gate},
        dns::{Mx, Names, NoAnswer},
        tls::ClientTls,
    },
    smtp::{
        route::{Destination, Hop, Login},
        settings::RouteTls,
    },
};

/// How to reach other servers.
pub(super) struct Caller {
    pub dialer: Dialer,
    pub tls: Option<ClientTls>,
    /// Our name.
    pub name: String,
    /// All names that mean us: an MX record with one of them leads back here.
    pub own_names: Vec<String>,
    /// Whom to ask where mail goes; without `mx` in the settings nobody.
    pub names: Option<Result<Arc<dyn Names>, String>>,
    /// MX records of the settings.
    pub records: BTreeMap<String, Vec<Mx>>,
    pub mx_port: u16,
    pub mx_private: bool,
}

/// One server of a destination.
struct Server<'a> {
    name: String,
    port: u16,
    /// Without them the name is looked up as the settings' names are.
    addresses: Option<Vec<SocketAddr>>,
    gate: Gate,
    tls: RouteTls,
    implicit: bool,
    login: Option<&'a Login>,
}

impl<'a> Server<'a> {
    /// What the settings name may be anywhere.
    fn of_hop(hop: &'a Hop) -> Server<'a> {
        let Hop { host, port, tls, implicit, login } = hop;
        let (name, login) = (host.clone(), login.as_ref());
        Server { name, port: *port, addresses: None, gate: Gate::Open, tls: *tls, implicit: *implicit, login }
    }
}

impl Caller {
    /// A conversation with the first server of a destination that will have one.
    ///
    /// # Errors
    /// `Later` where nobody could be reached, `Failed` where nobody ever will.
    pub(super) async fn open(&self, to: &Destination) -> Result<Session, Verdict> {
        match to {
            Destination::Hop(hop) => self.open_server(&Server::of_hop(hop)).await,
            Destination::Literal(ip) => self.open_server(&self.literal(*ip)).await,
            Destination::Domain(domain) => self.open_domain(domain).await,
            Destination::Sender | Destination::Nowhere => Err(later("there is no route to the domain any more".into())),
        }
    }

    fn literal(&self, ip: IpAddr) -> Server<'_> {
        let addresses = Some(vec![SocketAddr::new(ip, self.mx_port)]);
        self.found(format!("[{ip}]"), self.mx_port, addresses, self.gate())
    }

    /// A server that the settings do not name.
    fn found(&self, name: String, port: u16, addresses: Option<Vec<SocketAddr>>, gate: Gate) -> Server<'_> {
        Server { name, port, addresses, gate, tls: RouteTls::Opportunistic, implicit: false, login: None }
    }

    /// Against domains whose MX records point into our own network.
    fn gate(&self) -> Gate {
        if self.mx_private { Gate::Open } else { Gate::Public }
    }

    /// The servers of a domain, one after the other (RFC 5321, 5.1).
    async fn open_domain(&self, domain: &str) -> Result<Session, Verdict> {
        let mut failed = None;
        for mx in self.hosts(domain).await? {
            let opened = match self.server(domain, &mx).await {
                Ok(server) => self.open_server(&server).await,
                Err(verdict) => Err(verdict),
            };
            match opened {
                Ok(session) => return Ok(session),
                // As long as there is hope with one of them, there is hope.
                Err(Verdict::Failed(_)) if matches!(failed, Some(Verdict::Later(_))) => {}
                Err(verdict) => {
                    tracing::debug!(domain, host = mx.host, "not by this one: {verdict}");
                    failed = Some(verdict);
                }
            }
        }
        Err(failed.unwrap_or_else(|| later(format!("451 4.4.3 {domain} has no server"))))
    }

    /// The hosts that take a domain's mail, best first; the domain itself where it has no MX record.
    async fn hosts(&self, domain: &str) -> Result<Vec<Mx>, Verdict> {
        let records = match self.records.get(domain) {
            Some(records) => Ok(records.clone()),
            None if self.dialer.resolver.is_local_name(domain) => Err(NoAnswer::NoRecord),
            None => self.names()?.mx(domain).await,
        };
        let records = match records {
            Ok(records) => records,
            Err(NoAnswer::NoRecord) => vec![Mx { preference: 0, host: domain.to_owned(), port: None }],
            Err(NoAnswer::NoName) => return Err(failed(format!("550 5.1.2 there is no domain {domain}"))),
            Err(NoAnswer::Unknown(why)) => return Err(later(format!("451 4.4.3 looking {domain} up: {why}"))),
        };
        let is_own = |host: &str| self.own_names.iter().any(|own| own == host);
        match mx::order(records, is_own, |equals| equals.shuffle(&mut rand::rng())) {
            mx::Order::Hosts(hosts) => Ok(hosts),
            mx::Order::Null => Err(failed(format!("556 5.1.10 {domain} takes no mail (null MX)"))),
            mx::Order::Loop => Err(failed(format!("554 5.4.6 mail for {domain} would come back here"))),
        }
    }

    fn names(&self) -> Result<&dyn Names, Verdict> {
        match &self.names {
            Some(Ok(names)) => Ok(&**names),
            Some(Err(why)) => Err(later(format!("451 4.4.3 {why}"))),
            None => Err(later("451 4.4.3 mail is not routed by DNS here".into())),
        }
    }

    /// Where a host of an MX record is.
    async fn server(&self, domain: &str, mx: &Mx) -> Result<Server<'_>, Verdict> {
        let port = mx.port.unwrap_or(self.mx_port);
        if self.dialer.resolver.is_in_table(&mx.host) {
            return Ok(self.found(mx.host.clone(), port, None, Gate::Open));
        }
        let ips = match self.names()?.addresses(&mx.host).await {
            Ok(ips) => ips,
            Err(NoAnswer::Unknown(why)) => return Err(later(format!("451 4.4.3 looking {} up: {why}", mx.host))),
            Err(_) if mx.host == domain => return Err(failed(format!("550 5.1.2 {domain} has neither MX nor address records"))),
            Err(why) => return Err(failed(format!("550 5.4.4 {}, the server of {domain}: {why}", mx.host))),
        };
        let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        Ok(self.found(mx.host.clone(), port, Some(addresses), self.gate()))
    }

    async fn open_server(&self, server: &Server<'_>) -> Result<Session, Verdict> {
        let mut session = self.open_secured(server).await?;
        if let Some(login) = server.login {
            login::log_in(&mut session, login).await.map_err(|lost| server.later(lost))?;
        }
        Ok(session)
    }

    /// Connects and says EHLO; with TLS as the route asks for it. What is opportunistic goes in the
    /// clear where the handshake fails, as it would have without (RFC 7435).
    async fn open_secured(&self, server: &Server<'_>) -> Result<Session, Verdict> {
        let required = server.tls == RouteTls::Required;
        let tls = self.tls.as_ref().map(|tls| if required { &tls.checked } else { &tls.any });
        let conn = self.connect(server).await?;
        if server.implicit {
            let tls = tls.ok_or_else(|| later("454 4.7.0 there is no TLS here".into()))?;
            let conn = conn.secure(tls, &server.name).await.map_err(|ended| server.later(Lost(ended.to_string())))?;
            return self.greet(conn, server).await;
        }
        let mut session = self.greet(conn, server).await?;
        let wanted = server.tls != RouteTls::Never && session.offers.has("STARTTLS");
        let Some(tls) = tls.filter(|_| wanted) else {
            return if required {
                Err(server.later(Lost("454 4.7.4 the next hop offers no TLS, and the route requires it".into())))
            } else {
                Ok(session)
            };
        };
        let answer = session.ask("STARTTLS", GREETING).await.map_err(|lost| server.later(lost))?;
        if !answer.is_positive() {
            return if required { Err(server.later(Lost(format!("STARTTLS: {answer}")))) } else { Ok(session) };
        }
        match session.into_conn().secure(tls, &server.name).await {
            // RFC 3207, 4.2: what was learnt in the clear is forgotten.
            Ok(conn) => self.hello(Session::new(conn, &server.name), server).await,
            Err(ended) if required => Err(server.later(Lost(format!("454 4.7.5 TLS: {ended}")))),
            Err(ended) => {
                tracing::info!(to = server.name, "no TLS, going on in the clear: {ended}");
                self.greet(self.connect(server).await?, server).await
            }
        }
    }

    async fn connect(&self, server: &Server<'_>) -> Result<Conn, Verdict> {
        let connected = match &server.addresses {
            None => self.dialer.connect((&server.name, server.port), server.gate, "relay", None).await,
            Some(addresses) => self.dialer.connect_any(addresses.clone(), server.gate, "relay", None).await,
        };
        connected.map_err(|error| {
            let text = format!("connecting to {}:{}: {error}", server.name, server.port);
            match error {
                DialError::Forbidden(_) => failed(format!("550 5.4.4 {text}")),
                _ => later(text),
            }
        })
    }

    async fn greet(&self, conn: Conn, server: &Server<'_>) -> Result<Session, Verdict> {
        let mut session = Session::new(conn, &server.name);
        let greeting = session.answer(GREETING).await.map_err(|lost| server.later(lost))?;
        match greeting.code {
            code if (200..300).contains(&code) => self.hello(session, server).await,
            // RFC 7504, 3: it never takes mail; the quit is a courtesy that it need not wait for.
            521 | 556 => Err(Verdict::Failed(server.reason(format!("greeting: {greeting}")))),
            // RFC 5321, 3.1: 554 means no service here, which may be so for now only.
            _ => Err(server.later(Lost(format!("greeting: {greeting}")))),
        }
    }

    /// EHLO, or HELO where the other side does not know it (RFC 5321, 3.2).
    async fn hello(&self, mut session: Session, server: &Server<'_>) -> Result<Session, Verdict> {
        let told = |lost| server.later(lost);
        let answer = session.ask(&format!("EHLO {}", self.name), GREETING).await.map_err(told)?;
        if answer.is_positive() {
            session.offers = Offers::new(answer.lines);
            return Ok(session);
        }
        match session.ask(&format!("HELO {}", self.name), GREETING).await.map_err(told)? {
            answer if answer.is_positive() => Ok(session),
            answer => Err(Verdict::of(&answer, &server.name)),
        }
    }
}

impl Server<'_> {
    fn reason(&self, text: String) -> Reason {
        Reason { text, remote: Some(self.name.clone()) }
    }

    fn later(&self, lost: Lost) -> Verdict {
        Verdict::Later(self.reason(lost.0))
    }
}

fn later(text: String) -> Verdict {
    Verdict::Later(Reason::here(text))
}

fn failed(text: String) -> Verdict {
    Verdict::Failed(Reason::here(text))
}
