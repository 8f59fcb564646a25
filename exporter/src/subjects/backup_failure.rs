//! Backups that failed before they came to any guest.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The last one of a node.
#[derive(Clone, Debug)]
pub struct BackupFailure {
    /// `pve_cluster` and `node`.
    pub identity: Identity,
    /// When it ended, in Unix seconds.
    pub last: u64,
}

impl Subject for BackupFailure {
    const NAME: &'static str = "backup failure";
    const ROWS: &'static str = "one per node with such a failure";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_backup_unattributed_failure_timestamp_seconds",
        Unit::Seconds,
        "When a backup of several guests last failed, or was killed, before it came to any of them, since its storage could not be reached, say; vzdump task whose log names no guest.",
        |failure| Some(failure.last.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
