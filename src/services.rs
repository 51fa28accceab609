//! THE REGISTRY: one row per service, and the house that all of them live in.
//!
//! A row says everything that start-up, flags, limits, TLS, help and the explain tables need to
//! know about a service. A new protocol is a folder, one row here and one `mod` line.

pub(crate) mod explainer;
mod faults;

pub(crate) use faults::check_fault;

use std::{net::SocketAddr, sync::Arc};

use crate::{
    capital::{
        self,
        conversation::{CapitalTcp, CapitalUdp},
    },
    clock::Clock,
    config::Settings,
    explain::Explained,
    ftp,
    net::{
        dial::Dialer,
        drive::{Datagrams, Service},
        fault::Faults,
        limits::{Limits, Permits},
        link::{self, Links},
        listener::{self, Door},
        network::{Listener, Network},
        stop::Stop,
        suffer::Point,
        tls::{ClientTls, TlsOffers, TlsServer},
    },
    pop3,
    proxy::{self, Proxy},
    smtp::{
        self, Role,
        relay::{Runner, RunnerDeps, Wake},
    },
    store::{
        Accounts,
        mail::{MailStore, Queue},
        tree::Tree,
        turns::Turns,
        visitors::Visitors,
    },
    transcript::record::Recorder,
    units::Span,
    web,
};

/// What a service is and how it is made.
pub(crate) struct Row {
    /// The name in flags, the ready file, logs and transcripts.
    pub name: &'static str,
    /// The port that the field knows it by; the default one is this plus the port offset.
    pub well_known_port: u16,
    pub tls: TlsMode,
    /// The names that a TLS client may ask for (RFC 7301); empty where nothing is registered.
    pub alpn: &'static [&'static str],
    pub kind: Kind,
    /// The service's own defaults where they differ from [`Limits::default`].
    pub limits: fn() -> Limits,
    pub explain: &'static [Explained],
    /// A command to try it with, at most 43 columns; filled in are `{host}` and `{port}`, `{ca}` (the
    /// authority's file) and `{http}` (host and port of the web server).
    pub example: &'static str,
}

/// How TLS comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    None,
    /// Inside the conversation: STARTTLS, STLS, AUTH TLS.
    Upgrade,
    /// Before everything else.
    Implicit,
}

/// Streams or datagrams, and the constructor.
pub(crate) enum Kind {
    Stream(fn(&House) -> Arc<dyn Service>),
    Datagram(fn(&House) -> Arc<dyn Datagrams>),
}

/// Everything that the services share. Built once, by start-up or by a test.
pub(crate) struct House {
    pub settings: Arc<Settings>,
    pub clock: Clock,
    pub network: Network,
    pub dialer: Dialer,
    /// TLS under the one certificate; FTP's data connections take theirs from here too.
    pub tls: Arc<TlsOffers>,
    pub accounts: Arc<Accounts>,
    pub tree: Arc<dyn Tree>,
    pub mail: Arc<dyn MailStore>,
    pub queue: Arc<dyn Queue>,
    /// Whose turn it is at each maildrop, for pop3, pop3s and the mailboxes in the browser alike.
    pub turns: Turns,
    /// What http and https share, the access log above all.
    pub web: Arc<web::Shared>,
    /// The cookie page's database; `VisitorBook::in_memory()` for tests.
    pub visitors: Arc<dyn Visitors>,
    /// The proxy's stored responses.
    pub cache: Arc<proxy::Cache>,
    /// Wakes the queue runner (`Wake::default()` makes one): for submissions and `queue retry`.
    pub wake: Wake,
    /// TLS for the relay's outgoing connections; without it they stay in the clear.
    pub tls_client: Option<ClientTls>,
    pub recorder: Recorder,
    /// Services, and what we dial, behind emulated links.
    pub links: Links,
    /// What is to go wrong.
    pub faults: Arc<Faults>,
    pub stop: Stop,
}

impl House {
    /// The queue runner. It runs beside the listeners: `house.runner().run(house.stop.clone())`.
    pub(crate) fn runner(&self) -> Runner {
        let runner = Runner::new(RunnerDeps {
            settings: self.settings.smtp.clone(),
            domains: self.settings.domains.clone(),
            accounts: self.accounts.clone(),
            mail: self.mail.clone(),
            queue: self.queue.clone(),
            dialer: self.dialer.behind(self.links.of(link::RELAY_OUT)),
            tls: self.tls_client.clone(),
            clock: self.clock.clone(),
            wake: self.wake.clone(),
        });
        runner.expect("start-up has checked the settings")
    }
}

/// All services, in the order of the start-up table.
pub(crate) static REGISTRY: &[Row] = &[
    Row {
        name: "http",
        well_known_port: 80,
        tls: TlsMode::None,
        alpn: &[],
        kind: Kind::Stream(|house| web("http", house)),
        limits: web_limits,
        explain: web::explain::TABLE,
        example: "curl http://{host}:{port}/",
    },
    Row {
        name: "https",
        well_known_port: 443,
        tls: TlsMode::Implicit,
        alpn: &["http/1.1", "http/1.0"],
        kind: Kind::Stream(|house| web("https", house)),
        limits: web_limits,
        explain: web::explain::TABLE,
        example: "curl --cacert {ca} https://localhost:{port}/",
    },
    Row {
        name: "proxy",
        well_known_port: 3128,
        tls: TlsMode::None,
        alpn: &[],
        kind: Kind::Stream(|house| Proxy::new(proxy_deps(house))),
        // A tunnel that nobody uses is cut after this time too.
        limits: || Limits { idle: Span::secs(300), ..Limits::default() },
        explain: proxy::explain::TABLE,
        example: "curl -x {host}:{port} {http}/",
    },
    Row {
        name: "smtp",
        well_known_port: 25,
        tls: TlsMode::Upgrade,
        alpn: &["smtp"],
        kind: Kind::Stream(|house| smtp("smtp", Role::Mx, house)),
        limits: mail_limits,
        explain: smtp::explain::TABLE,
        example: "telnet {host} {port}",
    },
    Row {
        name: "submission",
        well_known_port: 587,
        tls: TlsMode::Upgrade,
        alpn: &["smtp"],
        kind: Kind::Stream(|house| smtp("submission", Role::Submission, house)),
        limits: mail_limits,
        explain: smtp::explain::TABLE,
        example: "telnet {host} {port}",
    },
    Row {
        name: "smtps",
        well_known_port: 465,
        tls: TlsMode::Implicit,
        alpn: &["smtp"],
        kind: Kind::Stream(|house| smtp("smtps", Role::Submission, house)),
        limits: mail_limits,
        explain: smtp::explain::TABLE,
        example: "openssl s_client -crlf {host}:{port}",
    },
    Row {
        name: "pop3",
        well_known_port: 110,
        tls: TlsMode::Upgrade,
        alpn: &["pop3"],
        kind: Kind::Stream(|house| pop3("pop3", house)),
        limits: Limits::default,
        explain: pop3::explain::TABLE,
        example: "telnet {host} {port}",
    },
    Row {
        name: "pop3s",
        well_known_port: 995,
        tls: TlsMode::Implicit,
        alpn: &["pop3"],
        kind: Kind::Stream(|house| pop3("pop3s", house)),
        limits: Limits::default,
        explain: pop3::explain::TABLE,
        example: "openssl s_client -crlf {host}:{port}",
    },
    Row {
        name: "ftp",
        well_known_port: 21,
        tls: TlsMode::Upgrade,
        alpn: &["ftp"],
        kind: Kind::Stream(|house| ftp("ftp", house)),
        limits: || Limits { idle: Span::secs(300), ..Limits::default() },
        explain: ftp::explain::TABLE,
        example: "curl ftp://{host}:{port}/",
    },
    Row {
        name: "ftps",
        well_known_port: 990,
        tls: TlsMode::Implicit,
        alpn: &["ftp"],
        kind: Kind::Stream(|house| ftp("ftps", house)),
        limits: || Limits { idle: Span::secs(300), ..Limits::default() },
        explain: ftp::explain::TABLE,
        example: "curl --cacert {ca} ftps://{host}:{port}/",
    },
    Row {
        name: "capital-tcp",
        well_known_port: 6789,
        tls: TlsMode::None,
        alpn: &[],
        kind: Kind::Stream(|_| Arc::new(CapitalTcp)),
        limits: || Limits { idle: Span::secs(300), ..Limits::default() },
        explain: capital::EXPLAIN,
        example: "telnet {host} {port}",
    },
    Row {
        name: "capital-udp",
        well_known_port: 9876,
        tls: TlsMode::None,
        alpn: &[],
        kind: Kind::Datagram(|_| Arc::new(CapitalUdp)),
        limits: Limits::default,
        explain: capital::EXPLAIN,
        example: "nc -u {host} {port}",
    },
];

fn web(service: &'static str, house: &House) -> Arc<dyn Service> {
    Arc::new(web::Web::new(web::Deps {
        service,
        tree: house.tree.clone(),
        accounts: house.accounts.clone(),
        visitors: house.visitors.clone(),
        mail: house.mail.clone(),
        turns: house.turns.clone(),
        clock: house.clock.clone(),
        settings: house.settings.http.clone(),
        shared: house.web.clone(),
        domains: house.settings.domains.clone(),
        plain_passwords: house.settings.allow_plain_passwords,
    }))
}

/// Browsers open a new connection when they need one: idle ones need not be kept for long.
fn web_limits() -> Limits {
    Limits { idle: Span::secs(60), ..Limits::default() }
}

fn proxy_deps(house: &House) -> proxy::Deps {
    proxy::Deps {
        settings: house.settings.proxy.clone(),
        cache: house.cache.clone(),
        accounts: house.accounts.clone(),
        plain_passwords: house.settings.allow_plain_passwords,
        clock: house.clock.clone(),
        dialer: house.dialer.behind(house.links.of(link::PROXY_OUT)),
        pseudonym: house.settings.domains.first().cloned().unwrap_or_else(|| "portico".into()),
        head_octets: usize::try_from(house.settings.http.max_head.0).unwrap_or(usize::MAX),
    }
}

/// RFC 5321, 4.5.3.2: five minutes for a command, three between two pieces of a message. People type
/// their lines by hand, and some telnets send each letter at once.
fn mail_limits() -> Limits {
    Limits { idle: Span::secs(300), line: Span::secs(120), stall: Span::secs(180), ..Limits::default() }
}

fn smtp(service: &'static str, role: Role, house: &House) -> Arc<dyn Service> {
    let smtp = smtp::Smtp::new(smtp::Deps {
        service,
        role,
        settings: house.settings.smtp.clone(),
        domains: house.settings.domains.clone(),
        accounts: house.accounts.clone(),
        mail: house.mail.clone(),
        clock: house.clock.clone(),
        wake: house.wake.clone(),
        resolver: house.dialer.resolver.clone(),
        plain_passwords: house.settings.allow_plain_passwords,
    });
    Arc::new(smtp.expect("start-up has checked the settings"))
}

fn ftp(service: &'static str, house: &House) -> Arc<dyn Service> {
    Arc::new(ftp::Ftp::new(ftp::Deps {
        service,
        hosts: house.settings.domains.clone().into(),
        settings: Arc::new(house.settings.ftp.clone()),
        accounts: house.accounts.clone(),
        tree: house.tree.clone(),
        clock: house.clock.clone(),
        dialer: house.dialer.behind(house.links.of(service)),
        // Whoever could secure the control connection can secure data connections: same certificate.
        tls: house.tls.offer_with_tickets(&["ftp", "ftp-data"], 0).ok(),
        plain_passwords: house.settings.allow_plain_passwords,
    }))
}

fn pop3(service: &'static str, house: &House) -> Arc<dyn Service> {
    Arc::new(pop3::Pop3::new(pop3::Deps {
        service,
        settings: house.settings.pop3.clone(),
        accounts: house.accounts.clone(),
        mail: house.mail.clone(),
        turns: house.turns.clone(),
        plain_passwords: house.settings.allow_plain_passwords,
    }))
}

/// The row of a service.
pub(crate) fn row(name: &str) -> Option<&'static Row> {
    REGISTRY.iter().find(|row| row.name == name)
}

/// A listener that is bound and waits to be served.
pub(crate) enum Bound {
    Stream(Listener),
    Datagram(tokio::net::UdpSocket),
}

impl Row {
    /// Binds one address of this service; port 0 lets the system choose.
    ///
    /// # Errors
    /// Those of `bind`, `AddrInUse` above all.
    pub(crate) fn bind(&self, network: &Network, at: SocketAddr) -> std::io::Result<Bound> {
        match self.kind {
            Kind::Stream(_) => network.listen(at).map(Bound::Stream),
            Kind::Datagram(_) => {
                let socket = std::net::UdpSocket::bind(at)?;
                socket.set_nonblocking(true)?;
                tokio::net::UdpSocket::from_std(socket).map(Bound::Datagram)
            }
        }
    }

    /// TLS as this service offers it.
    ///
    /// # Errors
    /// Those of rustls: a key that doesn't fit its certificate.
    pub(crate) fn tls_server(&self, house: &House) -> Result<Option<TlsServer>, rustls::Error> {
        match self.tls {
            TlsMode::None => Ok(None),
            _ if self.alpn.contains(&"ftp") => house.tls.offer_with_tickets(self.alpn, ftp::CONTROL_TICKETS).map(Some),
            TlsMode::Upgrade | TlsMode::Implicit => house.tls.offer(self.alpn).map(Some),
        }
    }

    /// The door through which the listeners of this service let connections in; `None` for
    /// datagrams. All listeners of a service share it, and its limits.
    pub(crate) fn door(&self, house: &House, tls: Option<TlsServer>) -> Option<Arc<Door>> {
        let Kind::Stream(make) = self.kind else { return None };
        let limits = house.settings.limits_of(self);
        let service = make(house);
        let faults = Some(Arc::new(Point { faults: house.faults.clone(), service: self.name, reply: service.ordered_reply() }));
        Some(Arc::new(Door {
            name: self.name,
            service,
            tls,
            implicit: self.tls == TlsMode::Implicit,
            permits: Permits::new(&limits),
            limits: Arc::new(limits),
            recorder: house.recorder.clone(),
            link: house.links.of(self.name),
            faults,
        }))
    }

    /// Serves one bound listener until the house stops.
    pub(crate) async fn serve(&self, bound: Bound, door: Option<Arc<Door>>, house: &House) {
        match (bound, &self.kind, door) {
            (Bound::Stream(listener), _, Some(door)) => listener::serve(listener, door, house.stop.clone()).await,
            (Bound::Datagram(socket), Kind::Datagram(make), _) => {
                listener::serve_datagrams(socket, self.name, make(house), house.stop.clone()).await;
            }
            _ => unreachable!("a service is bound as what its row says it is"),
        }
    }
}

impl Bound {
    pub(crate) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match self {
            Bound::Stream(listener) => listener.local_addr(),
            Bound::Datagram(socket) => socket.local_addr(),
        }
    }
}
