//! The logs of vzdump tasks, of a whole cluster.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The reading of logs.
#[derive(Clone, Debug)]
pub struct BackupLogs {
    /// `pve_cluster`.
    pub identity: Identity,
    /// Logs that were given up.
    pub unreadable: u64,
}

impl Subject for BackupLogs {
    const NAME: &'static str = "backup log";
    const ROWS: &'static str = "one per cluster";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[Metric::counter(
        "pve_backup_logs_unreadable_total",
        Unit::None,
        "Logs of vzdump tasks that could not be read in three attempts, so that their backups are not known; /nodes/{node}/tasks/{upid}/log.",
        |logs| Some(logs.unreadable.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
