//! HTTPS, with a certificate from a file.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// A certificate that cannot be served with.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is missing, unreadable or no PEM.
    #[error("{}: {problem}; name a PEM file that the exporter's user can read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        problem: pem::Error,
    },
    /// The key is not that of the certificate.
    #[error("{} and its key do not work: {problem}", path.display())]
    Pair {
        /// The file of the certificate.
        path: PathBuf,
        /// What went wrong.
        problem: rustls::Error,
    },
}

/// What turns connections into encrypted ones.
///
/// # Errors
/// When the certificate or its key cannot be used.
pub fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |problem| TlsError::File { path, problem }
    };
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect)
        .map_err(failed(&tls.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(failed(&tls.key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let config = config.map_err(|problem| TlsError::Pair {
        path: tls.certificate.clone(),
        problem,
    })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
