//! Where the servers under test are, and whose certificates are believed.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::play::{
    Targets,
    tls::{PlayerTls, Trust},
};

/// How long looking up a name may take.
const LOOKUP_TIME: Duration = Duration::from_secs(10);

/// The server under test.
#[derive(Args, Debug)]
pub(super) struct TargetArgs {
    /// The server: HOST:PORT for whatever a transcript connects to, or SERVICE=HOST:PORT,...
    /// [default: a fresh Portico in memory for each transcript]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// The ready file of a running Portico, which tells its ports
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    ready_file: Option<PathBuf>,
    /// The authority that must have signed the server's certificate [default: ca.pem in --certs]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Believe any certificate
    #[arg(long)]
    insecure: bool,
}

impl TargetArgs {
    /// Where the servers are; `None` for one of our own.
    pub(super) async fn targets(&self) -> Result<Option<Targets>, String> {
        if let Some(file) = &self.ready_file {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let lines = text.lines().rev().filter_map(|line| line.split_once(' '));
            return Ok(Some(Targets::Named(lines.filter_map(|(name, at)| Some((name.to_owned(), at.trim().parse().ok()?))).collect())));
        }
        let Some(target) = &self.target else { return Ok(None) };
        if !target.contains('=') {
            return Ok(Some(Targets::One(resolve(target).await?)));
        }
        let mut named = BTreeMap::new();
        for target in target.split(',') {
            let (service, at) = target.split_once('=').ok_or_else(|| format!("`{target}` is not SERVICE=HOST:PORT"))?;
            let service = service.trim();
            if crate::services::row(service).is_none() {
                let names: Vec<_> = crate::services::REGISTRY.iter().map(|row| row.name).collect();
                return Err(format!("--target {service}=...: there is no service `{service}`; there are {}", names.join(", ")));
            }
            named.insert(service.to_owned(), resolve(at.trim()).await?);
        }
        Ok(Some(Targets::Named(named)))
    }

    pub(super) fn tls(&self, certs: &Path) -> Result<PlayerTls, String> {
        let trust = match &self.ca {
            _ if self.insecure => Trust::Anybody,
            Some(file) => Trust::Roots(roots(file)?),
            // Scripts without TLS run where there are no certificates.
            None if !certs.join("ca.pem").exists() => Trust::Roots(RootCertStore::empty()),
            None => Trust::Roots(roots(&certs.join("ca.pem"))?),
        };
        // What the script shows where it plays a TLS server itself.
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        PlayerTls::new(trust, Some((vec![made.cert.der().clone()], key))).map_err(|error| error.to_string())
    }
}

pub(super) async fn resolve(at: &str) -> Result<SocketAddr, String> {
    let found =
        tokio::time::timeout(LOOKUP_TIME, tokio::net::lookup_host(at)).await.map_err(|_| format!("looking up `{at}` takes too long"))?;
    let found: Vec<_> = found.map_err(|error| format!("`{at}` is not HOST:PORT: {error}"))?.collect();
    // `localhost` is both; servers of students listen on the older one.
    let older = found.iter().find(|at| at.is_ipv4());
    older.or(found.first()).copied().ok_or_else(|| format!("`{at}` has no address"))
}

/// The authorities of a file.
fn roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| told(&error))? {
        roots.add(certificate.map_err(|error| told(&error))?).map_err(|error| told(&error))?;
    }
    Ok(roots)
}
