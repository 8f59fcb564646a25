//! A storage, as it is configured.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One storage, whichever nodes have it.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// `pve_cluster` and `storage`.
    pub identity: Identity,
    /// Whether it is switched on.
    pub enabled: bool,
}

impl Subject for StorageConfig {
    const NAME: &'static str = "storage configuration";
    const ROWS: &'static str = "one per storage that the token may see, be it switched off";
    const LABELS: &'static [&'static str] = &["pve_cluster", "storage"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_storage_enabled",
        Unit::None,
        "Whether the storage is switched on in the configuration; /storage disable.",
        |storage| Some(storage.enabled.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
