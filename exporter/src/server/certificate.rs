//! The certificate that is served with. Where its files are renewed it is the new one for connections from then on, as in
//! prometheus-pve-exporter: whoever renews certificates by a timer would otherwise have to restart the exporter.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokio_rustls::TlsAcceptor;

use super::tls::{self, TlsError};
use crate::config::Tls;

/// The certificate and its key.
pub(super) struct Certificate {
    files: Tls,
    current: Mutex<Current>,
}

struct Current {
    stamps: [Stamp; 2],
    acceptor: TlsAcceptor,
}

/// What changes with a file: its place, size, and time of change in seconds and nanoseconds.
type Stamp = Option<(u64, u64, i64, i64)>;

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be served with.
    pub(super) fn read(files: &Tls) -> Result<Self, TlsError> {
        Ok(Self {
            files: files.clone(),
            current: Mutex::new(Current {
                stamps: stamps(files),
                acceptor: tls::acceptor(files)?,
            }),
        })
    }

    /// What encrypts a connection that begins now. Files that cannot be served with, such as a certificate whose key is not
    /// there yet, leave the last ones that could.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.files);
        if stamps != current.stamps {
            current.stamps = stamps;
            match tls::acceptor(&self.files) {
                Ok(acceptor) => {
                    tracing::info!("serving with the renewed certificate");
                    current.acceptor = acceptor;
                }
                Err(error) => tracing::warn!(%error, "the certificate has changed and cannot be used; the old one is"),
            }
        }
        current.acceptor.clone()
    }
}

fn stamps(files: &Tls) -> [Stamp; 2] {
    let stamp = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()))
    };
    [&files.certificate, &files.key].map(|path| stamp(path))
}
