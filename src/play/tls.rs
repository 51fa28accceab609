//! TLS as the player uses it, on both sides.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::time::timeout_at;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{
    Difference,
    peer::Peer,
    player::{Player, SERVER_NAME},
};
use crate::{
    net::{
        tls::AnyCertificate,
        wire::{Plain, Wire},
    },
    transcript::{matching::excerpt, record::Side, text::Text},
};

/// Both sides of TLS for the connections of a script.
#[derive(Clone)]
pub(crate) struct PlayerTls {
    client: Arc<ClientConfig>,
    server: Option<Arc<ServerConfig>>,
}

/// Which servers the player believes.
pub(crate) enum Trust {
    /// Those that these authorities vouch for.
    Roots(RootCertStore),
    /// Any: for servers under test that have made their certificate themselves.
    Anybody,
}

impl PlayerTls {
    /// `identity` is what the script shows on connections that it accepts.
    pub(crate) fn new(
        trust: Trust,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<PlayerTls, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let client = match trust {
            Trust::Roots(roots) => client.with_root_certificates(roots),
            Trust::Anybody => client.dangerous().with_custom_certificate_verifier(AnyCertificate::verifier()),
        };
        let server = match identity {
            None => None,
            Some((chain, key)) => {
                let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
                Some(Arc::new(config.with_no_client_auth().with_single_cert(chain, key)?))
            }
        };
        Ok(PlayerTls { client: Arc::new(client.with_no_client_auth()), server })
    }

    pub(super) async fn connect(&self, plain: Plain, name: &str) -> Result<Wire, String> {
        let server = ServerName::try_from(name.to_owned()).map_err(|error| format!("{name}: {error}"))?;
        let stream = TlsConnector::from(self.client.clone()).connect(server, plain).await.map_err(|error| error.to_string())?;
        Ok(Wire::Tls(Box::new(TlsStream::Client(stream))))
    }

    pub(super) async fn accept(&self, plain: Plain) -> Result<Wire, String> {
        let server = self.server.clone().ok_or("there is no certificate for the script's own server")?;
        let stream = TlsAcceptor::from(server).accept(plain).await.map_err(|error| error.to_string())?;
        Ok(Wire::Tls(Box::new(TlsStream::Server(stream))))
    }
}

/// What came of a TLS handshake.
enum Shaken {
    Secured,
    /// The peer hung up instead, as it may.
    Closed,
}

impl Player<'_> {
    /// Puts the current connection under TLS. Where the peer may hang up instead and does, the rest of
    /// the part is left out.
    pub(super) async fn secure(&mut self, name: Option<&Text>, or_closed: bool) -> Result<(), Difference> {
        let name = name.map_or(Ok(SERVER_NAME.into()), |name| self.play.names.fill(name)).map_err(Difference::new)?;
        match self.handshake(&String::from_utf8_lossy(&name), or_closed).await? {
            Shaken::Secured => {}
            Shaken::Closed => self.leave_part(),
        }
        Ok(())
    }

    /// Shakes hands, where nothing may have been said already.
    async fn handshake(&mut self, server_name: &str, or_closed: bool) -> Result<Shaken, Difference> {
        let (tls, until) = (self.stage.tls.clone(), self.until());
        let peer = self.peer()?;
        if !peer.input.is_empty() {
            let early = peer.take_unexpected();
            return Err(Difference::between("the peer said something before the TLS handshake", "nothing", excerpt(&early)));
        }
        let Some(Wire::Plain(plain)) = peer.wire.take() else {
            return Err(Difference::new("TLS is there already, or the connection is closed"));
        };
        let ours = peer.ours;
        let shaken = async {
            match ours {
                Side::Client => tls.connect(plain, server_name).await,
                Side::Server => tls.accept(plain).await,
            }
        };
        let wire = timeout_at(until, shaken).await.map_err(|_| Difference::between("no TLS in time", "a TLS handshake", "nothing"))?;
        let wire = match wire {
            Ok(wire) => wire,
            Err(error) if or_closed => {
                self.log.event(&self.current, &format!("note no TLS: {error}"));
                return Ok(Shaken::Closed);
            }
            Err(error) => return Err(Difference::between("the TLS handshake failed", "TLS", error)),
        };
        self.log.event(&self.current, "tls");
        *self.peer()? = Peer::new(ours, wire);
        Ok(Shaken::Secured)
    }
}
