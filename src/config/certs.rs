//! The certificates in `certs/`: made at the first start, or the user's own.
//!
//! The lab's authority (`ca.pem`) is made to be trusted by browsers and `curl --cacert`, so it is
//! fenced in: name constraints (RFC 5280, 4.2.1.10) keep it to our domains and the loopback
//! addresses. Whoever steals `ca.key` can pretend to be nobody else.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::CertificateError;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{
    error::StartError,
    net::tls::{Identity, TlsOffers},
};

/// The lab's certificates hold this long, in days: browsers refuse longer ones.
const VALID_DAYS: i64 = 397;
/// The authority outlives several server certificates.
const CA_VALID_DAYS: i64 = 3650;

/// Makes what is missing in `folder` and reads the server's certificate chain and key.
pub(crate) fn load_or_make(folder: &Path, domains: &[String]) -> Result<Identity, StartError> {
    if !folder.join("server.pem").exists() && !folder.join("server.key").exists() {
        make(folder, domains).map_err(|error| StartError(format!("cannot make the certificates in {}: {error}", folder.display())))?;
    }
    let identity = load(folder)?;
    for name in names(domains).filter(|name| !TlsOffers::is_valid_for(&identity, name)) {
        tracing::warn!(
            "{} is not valid for {name}, one of `domains`; remove what is in certs/ to have new certificates made",
            folder.join("server.pem").display()
        );
    }
    Ok(identity)
}

/// Reads `server.pem` and `server.key` and sees that they belong together.
pub(crate) fn load(folder: &Path) -> Result<Identity, StartError> {
    let way_out = "mend it, or remove server.pem and server.key and start again to have new ones made";
    let failed = |file: &Path, why: String| StartError(format!("bad certificate: {}: {why}; {way_out}", file.display()));
    let (chain_file, key_file) = (folder.join("server.pem"), folder.join("server.key"));
    let read = |file: &Path| fs::read(file).map_err(|error| failed(file, format!("cannot be read: {error}")));
    let chain = CertificateDer::pem_slice_iter(&read(&chain_file)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| failed(&chain_file, error.to_string()))?;
    if chain.is_empty() {
        return Err(failed(&chain_file, "holds no certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&key_file)?)
        .map_err(|error| failed(&key_file, format!("holds no usable private key: {error}")))?;
    let identity = Identity { chain, key };
    TlsOffers::check(&identity).map_err(|error| failed(&chain_file, explain(&error)))?;
    Ok(identity)
}

fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "does not belong to server.key".into(),
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => "has expired".into(),
        rustls::Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "is not valid yet; look at the clock of this machine".into()
        }
        error => error.to_string(),
    }
}

/// Makes the server's certificate, and the authority too unless there is one with its key.
fn make(folder: &Path, domains: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(folder)?;
    let (ca_file, ca_key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
    let ca_params = ca_params(domains);
    let ca_key = match (ca_file.exists(), fs::read_to_string(&ca_key_file)) {
        (true, Ok(pem)) => KeyPair::from_pem(&pem)?,
        _ => {
            let key = KeyPair::generate()?;
            write(&ca_key_file, &key.serialize_pem(), 0o600)?;
            write(&ca_file, &ca_params.self_signed(&key)?.pem(), 0o644)?;
            key
        }
    };
    let issuer = Issuer::new(ca_params, ca_key);
    let key = KeyPair::generate()?;
    let certificate = server_params(domains)?.signed_by(&key, &issuer)?;
    let chain = format!("{}{}", certificate.pem(), fs::read_to_string(&ca_file)?);
    write(&folder.join("server.key"), &key.serialize_pem(), 0o600)?;
    write(&folder.join("server.pem"), &chain, 0o644)?;
    Ok(())
}

fn ca_params(domains: &[String]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "Portico lab CA");
    params.distinguished_name.push(DnType::OrganizationName, domains.first().map_or("localhost", String::as_str));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let dns = names(domains).map(|name| GeneralSubtree::DnsName(name.to_owned()));
    let ips = [CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8), CidrSubnet::from_v6_prefix(std::net::Ipv6Addr::LOCALHOST.octets(), 128)];
    let permitted_subtrees = dns.chain(ips.map(GeneralSubtree::IpAddress)).collect();
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    (params.not_before, params.not_after) = validity(CA_VALID_DAYS);
    params
}

fn server_params(domains: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names(domains).map(str::to_owned).collect::<Vec<_>>())?;
    let loopback = super::default_hosts().into_iter().map(|ip: IpAddr| SanType::IpAddress(ip));
    params.subject_alt_names.extend(loopback);
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, domains.first().map_or("localhost", String::as_str));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = validity(VALID_DAYS);
    Ok(params)
}

/// Our domains, and `localhost`.
fn names(domains: &[String]) -> impl Iterator<Item = &str> {
    let localhost = (!domains.iter().any(|domain| domain == "localhost")).then_some("localhost");
    domains.iter().map(String::as_str).chain(localhost)
}

/// From yesterday, for clocks that are a little behind.
fn validity(days: i64) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let now = time::OffsetDateTime::now_utc();
    (now - time::Duration::days(1), now + time::Duration::days(days - 1))
}

/// Writes a new file with these permissions from its first moment on; a key must at no time be
/// readable by others.
fn write(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let temporary = file.with_file_name(format!(".portico-{}", file.file_name().unwrap_or_default().to_string_lossy()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&temporary, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains() -> Vec<String> {
        vec!["portico.test".into(), "lab.example".into()]
    }

    #[test]
    fn the_certificate_is_for_our_domains_and_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let identity = load_or_make(folder.path(), &domains()).unwrap();
        for (name, valid) in [("portico.test", true), ("lab.example", true), ("localhost", true), ("::1", true), ("other.example", false)] {
            assert_eq!(TlsOffers::is_valid_for(&identity, name), valid, "{name}");
        }
    }

    #[test]
    fn an_expired_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &domains()).unwrap();
        let key = KeyPair::from_pem(&fs::read_to_string(folder.path().join("server.key")).unwrap()).unwrap();
        let mut params = server_params(&domains()).unwrap();
        params.not_after = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
        write(&folder.path().join("server.pem"), &params.self_signed(&key).unwrap().pem(), 0o644).unwrap();
        let error = load(folder.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains("server.pem: has expired"), "{error}");
    }
}
