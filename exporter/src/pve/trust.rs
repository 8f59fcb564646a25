//! Which certificate of a PVE node is trusted: by certificate authorities, by fingerprint, or none checked at all.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;

use crate::config::Fingerprint;

/// The trust that the configuration asks for.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Who may sign a certificate.
    pub authorities: Authorities,
    /// Certificates with these SHA-256 fingerprints are trusted, whoever signed them.
    pub fingerprints: Vec<Fingerprint>,
}

/// Who may sign a certificate.
#[derive(Clone, Debug)]
pub enum Authorities {
    /// Whom the operating system trusts.
    System,
    /// Those in a PEM file, such as `/etc/pve/pve-root-ca.pem`, or in a directory as OpenSSL reads it, and no others.
    File(PathBuf),
    /// Nobody.
    Nobody,
    /// Anybody: nothing is checked.
    Anybody,
}

/// A trust that cannot be set up.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file is missing, unreadable or no PEM.
    #[error("cannot read certificates from {}: {problem}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },
    /// There is no certificate authority to trust.
    #[error("{0} holds no certificate authority")]
    NoRoots(String),
    /// rustls refuses the set-up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Fingerprints of nodes, learned from `GET /nodes` over a connection that was trusted already.
#[derive(Clone, Debug, Default)]
pub struct Learned(Arc<RwLock<BTreeMap<String, [u8; 32]>>>);

impl Learned {
    /// Takes the nodes' fingerprints in place of those known before. A node without one, since it is offline, keeps what it had;
    /// the trust in one that is gone ends.
    pub fn learn(&self, nodes: Vec<(String, String)>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let learned = nodes.into_iter().filter_map(|(node, text)| {
            let fingerprint = text
                .parse()
                .ok()
                .map(|fingerprint: Fingerprint| *fingerprint.as_bytes());
            fingerprint
                .or_else(|| known.get(&node).copied())
                .map(|fingerprint| (node, fingerprint))
        });
        *known = learned.collect();
    }

    fn contains(&self, digest: &[u8; 32]) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .any(|known| known == digest)
    }
}

/// A TLS configuration that trusts what `trust` says and what is `learned` later.
///
/// # Errors
/// When the certificate authorities cannot be read.
pub fn tls_config(trust: &Trust, learned: &Learned) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let authorities = match &trust.authorities {
        Authorities::System => Some(authorities(&system_roots(), "the operating system", &provider)?),
        Authorities::File(path) => Some(authorities(&read_pem(path)?, &path.display().to_string(), &provider)?),
        Authorities::Nobody | Authorities::Anybody => None,
    };
    let verifier = Verifier {
        authorities,
        pinned: trust
            .fingerprints
            .iter()
            .map(|fingerprint| *fingerprint.as_bytes())
            .collect(),
        learned: learned.clone(),
        anything: matches!(trust.authorities, Authorities::Anybody),
        provider: Arc::clone(&provider),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// The certificate authorities at `path`, which is a PEM file or a directory of such, as `openssl rehash` names them.
///
/// # Errors
/// When there are none, or they cannot be read.
pub fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates = read_pem(path)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    authorities(&certificates, &path.display().to_string(), &provider)?;
    Ok(certificates)
}

fn read_pem(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    if !path.is_dir() {
        return read_pem_file(path);
    }
    let failed = |error: std::io::Error| TrustError::CaFile {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    let mut paths = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(failed)?;
    paths.retain(|path| path.file_name().and_then(OsStr::to_str).is_some_and(is_hash));
    paths.sort();
    let certificates: Vec<_> = paths
        .iter()
        // As OpenSSL does, which passes over what it cannot read.
        .filter_map(|path| read_pem_file(path).ok())
        .flatten()
        .collect();
    if certificates.is_empty() {
        let problem = "it is a directory without any under such a name as `openssl rehash` gives".to_owned();
        return Err(TrustError::CaFile {
            path: path.to_owned(),
            problem,
        });
    }
    Ok(certificates)
}

/// Whether OpenSSL takes a file of a directory for one of certificate authorities: eight hexadecimal digits, a dot, and a number.
fn is_hash(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn read_pem_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let failed = |error: rustls::pki_types::pem::Error| TrustError::CaFile {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)
}

fn authorities(
    certificates: &[CertificateDer<'static>],
    place: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    if added == 0 {
        return Err(TrustError::NoRoots(place.to_owned()));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| TrustError::Tls(error.to_string()))
}

/// The fingerprint of a certificate in DER form.
fn fingerprint_of(certificate: &[u8]) -> Fingerprint {
    let digest = digest::digest(&digest::SHA256, certificate);
    let mut bytes = [0; 32];
    // A SHA-256 digest has 32 bytes.
    bytes.copy_from_slice(digest.as_ref());
    Fingerprint::new(bytes)
}

#[derive(Debug)]
struct Verifier {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    pinned: BTreeSet<[u8; 32]>,
    learned: Learned,
    anything: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let fingerprint = fingerprint_of(end_entity);
        let digest = fingerprint.as_bytes();
        if self.anything || self.pinned.contains(digest) || self.learned.contains(digest) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.authorities {
            Some(authorities) => authorities
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| {
                    rustls::Error::General(format!(
                        "{error}; put its authority into ca_file, or its SHA-256 fingerprint {fingerprint} into fingerprints if that is the node's"
                    ))
                }),
            None => Err(rustls::Error::General(format!(
                "the certificate's SHA-256 fingerprint {fingerprint} is none of the configured ones"
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
