//! TLS, both sides. One certificate serves all protocols; each listener insists on its own names.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::WebPkiSupportedAlgorithms,
    server::{NoServerSessionStorage, ParsedCertificate, ProducesTickets},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{
    ended::Ended,
    tickets::{NumberedTickets, Tickets},
    wire::Plain,
};

/// What a handshake agreed on, for trace fields and logs.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The name of the cipher suite as the registry has it: `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The name that the client asked for (SNI, RFC 6066, 3).
    pub server_name: Option<String>,
    /// The protocol name that was agreed on (ALPN, RFC 7301).
    pub alpn: Option<String>,
    /// The TLS session that this one resumes.
    pub resumes: Option<Resumed>,
}

/// A TLS session that is gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// The number of the connection that began it.
    pub of: u64,
    /// Tells the ticket that was shown from others of the session.
    pub ticket: u64,
}

/// The server's certificate chain and key; shared by all listeners and replaced on reload.
pub(crate) struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// All that is offered under one identity, so that a new certificate reaches everybody.
pub(crate) struct TlsOffers {
    identity: ArcSwap<Identity>,
    /// Makes and reads the tickets with which clients resume sessions; one for all, so that an FTP
    /// data connection can resume the session of its control connection.
    ticketer: Arc<dyn ProducesTickets>,
    made: Mutex<Vec<TlsServer>>,
}

impl TlsOffers {
    pub(crate) fn new(identity: Identity) -> TlsOffers {
        let ticketer = rustls::crypto::ring::Ticketer::new().expect("the system has random numbers");
        TlsOffers { identity: ArcSwap::from_pointee(identity), ticketer, made: Mutex::default() }
    }

    /// Whether certificate and key can be used, belong together, and are within their dates.
    pub(crate) fn check(identity: &Identity) -> Result<(), rustls::Error> {
        server_config(identity, &[])?;
        let algorithms = provider().signature_verification_algorithms.all;
        let leaf = identity.chain.first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let leaf = ParsedCertificate::try_from(leaf)?;
        // Nobody is trusted here: the dates are looked at before the issuers are.
        let verified = verify_server_cert_signed_by_trust_anchor(&leaf, &RootCertStore::empty(), &[], UnixTime::now(), algorithms);
        use rustls::CertificateError as Bad;
        match verified {
            Err(rustls::Error::InvalidCertificate(
                bad @ (Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. }),
            )) => Err(rustls::Error::InvalidCertificate(bad)),
            _ => Ok(()),
        }
    }

    /// Whether a client that asks for `name` would accept the certificate for it.
    pub(crate) fn is_valid_for(identity: &Identity, name: &str) -> bool {
        let leaf = identity.chain.first().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
        let name = ServerName::try_from(name.to_owned());
        matches!((leaf, name), (Some(leaf), Ok(name)) if verify_server_name(&leaf, &name).is_ok())
    }

    /// TLS under the protocol names `alpn`; see [`TlsServer::new`].
    pub(crate) fn offer(&self, alpn: &[&str]) -> Result<TlsServer, rustls::Error> {
        let server = TlsServer::new(&self.identity.load(), alpn)?;
        server.change(&self.identity.load(), |config| config.ticketer = self.ticketer.clone())?;
        self.made.lock().expect("no code panics while it adds").push(server.clone());
        Ok(server)
    }

    /// Like [`TlsOffers::offer`], with so many tickets after a handshake of TLS 1.3. None for
    /// connections on which a client may say all it has to say and close without reading a word
    /// (an FTP upload): tickets would be answered with a reset, which takes away what was said before.
    pub(crate) fn offer_with_tickets(&self, alpn: &[&str], count: usize) -> Result<TlsServer, rustls::Error> {
        let server = self.offer(alpn)?;
        server.change(&self.identity.load(), |config| config.send_tls13_tickets = count)?;
        Ok(server)
    }

    /// Replaces the certificate of everything offered so far; handshakes under way keep the old.
    pub(crate) fn replace(&self, identity: Identity) -> Result<(), rustls::Error> {
        for server in self.made.lock().expect("no code panics while it adds").iter() {
            server.replace(&identity)?;
        }
        self.identity.store(Arc::new(identity));
        Ok(())
    }
}

/// TLS as one listener offers it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TlsServer(Arc<ArcSwap<ServerConfig>>);

impl TlsServer {
    /// Offers `identity` under the protocol names `alpn`. A client that names protocols, none of
    /// them ours, is refused: a browser must not be tricked into talking mail (ALPACA attack,
    /// RFC 7301, 3.2).
    fn new(identity: &Identity, alpn: &[&str]) -> Result<TlsServer, rustls::Error> {
        Ok(TlsServer(Arc::new(ArcSwap::from_pointee(server_config(identity, alpn)?))))
    }

    /// Replaces the certificate for the handshakes to come.
    fn replace(&self, identity: &Identity) -> Result<(), rustls::Error> {
        self.change(identity, |_| ())
    }

    /// The same protocol names and tickets under `identity`, and `adjust`ed.
    fn change(&self, identity: &Identity, adjust: impl FnOnce(&mut ServerConfig)) -> Result<(), rustls::Error> {
        let mut config = server_config(identity, &[])?;
        let old = self.0.load();
        config.alpn_protocols = old.alpn_protocols.clone();
        (config.ticketer, config.send_tls13_tickets) = (old.ticketer.clone(), old.send_tls13_tickets);
        adjust(&mut config);
        self.0.store(Arc::new(config));
        Ok(())
    }

    pub(super) async fn accept(&self, plain: Plain, tickets: Tickets) -> Result<(TlsStream<Plain>, TlsFacts), Ended> {
        let mut config = ServerConfig::clone(&self.0.load());
        let ticketer = Arc::new(NumberedTickets::new(config.ticketer, tickets));
        config.ticketer = ticketer.clone();
        if let Tickets::Of { count, .. } = tickets {
            config.send_tls13_tickets = count;
            // Sessions that the server itself remembers are nobody's in particular.
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        let accepting = TlsAcceptor::from(Arc::new(config)).accept(plain);
        let stream = accepting.await.map_err(|error| Ended::Tls(error.to_string()))?;
        let server = stream.get_ref().1;
        let mut facts = facts(server);
        facts.server_name = server.server_name().map(str::to_owned);
        let is_resumed = server.handshake_kind() == Some(HandshakeKind::Resumed);
        facts.resumes = ticketer.resumed().filter(|_| is_resumed);
        Ok((TlsStream::Server(stream), facts))
    }
}

/// TLS as the relay uses it.
#[derive(Clone)]
pub(crate) struct ClientTls {
    /// With whoever answers.
    pub any: TlsClient,
    /// With servers that prove their name.
    pub checked: TlsClient,
}

impl ClientTls {
    /// `roots` are the authorities that are believed.
    pub(crate) fn new(roots: RootCertStore) -> ClientTls {
        ClientTls { any: TlsClient::opportunistic(), checked: TlsClient::checked(roots) }
    }
}

/// TLS as our clients (relay, proxy) use it.
#[derive(Clone)]
pub(crate) struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Takes any certificate: encryption against those who only listen, for conversations that
    /// would else go in the clear (opportunistic security, RFC 7435). It proves nothing about who
    /// is at the other end.
    pub(crate) fn opportunistic() -> TlsClient {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring offers both TLS versions")
            .dangerous()
            .with_custom_certificate_verifier(AnyCertificate::verifier())
            .with_no_client_auth();
        TlsClient(Arc::new(config))
    }

    /// Takes certificates for the server's name that these authorities vouch for.
    fn checked(roots: RootCertStore) -> TlsClient {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring offers both TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsClient(Arc::new(config))
    }

    pub(super) async fn connect(&self, plain: Plain, name: &str) -> Result<(TlsStream<Plain>, TlsFacts), Ended> {
        let server = ServerName::try_from(name.to_owned()).map_err(|error| Ended::Tls(format!("{name}: {error}")))?;
        let connector = TlsConnector::from(self.0.clone());
        let stream = connector.connect(server, plain).await.map_err(|error| Ended::Tls(error.to_string()))?;
        let facts = facts(stream.get_ref().1);
        Ok((TlsStream::Client(stream), facts))
    }
}

/// Accepts every certificate whose key signed the handshake.
#[derive(Debug)]
pub(crate) struct AnyCertificate(WebPkiSupportedAlgorithms);

impl AnyCertificate {
    pub(crate) fn verifier() -> Arc<AnyCertificate> {
        Arc::new(AnyCertificate(provider().signature_verification_algorithms))
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

fn server_config(identity: &Identity, alpn: &[&str]) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(config)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn facts<D>(common: &rustls::ConnectionCommon<D>) -> TlsFacts {
    let version = match common.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let suite = common.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let alpn = common.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    // rustls names the TLS 1.3 suites TLS13_...; the registry does not.
    TlsFacts { version, cipher: suite.unwrap_or_default().replace("TLS13_", "TLS_"), server_name: None, alpn, resumes: None }
}
