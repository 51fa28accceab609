//! TLS as the player uses it, on both sides.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::net::{
    tls::AnyCertificate,
    wire::{Plain, Wire},
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
