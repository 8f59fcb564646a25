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
    /// Logs that are still to be read; absent while the guests are not known.
    pub waiting: Option<u64>,
}

impl Subject for BackupLogs {
    const NAME: &'static str = "backup log";
    const ROWS: &'static str = "one per cluster";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "pve_backup_logs_unreadable_total",
            Unit::None,
            "Logs of vzdump tasks that could not be read in three attempts or that PVE had thrown away, so that their backups are not known; /nodes/{node}/tasks/{upid}/log.",
            |logs| Some(logs.unreadable.into()),
        ),
        Metric::gauge(
            "pve_backup_logs_waiting",
            Unit::None,
            "Logs of vzdump tasks that are still to be read, one a second at most: until it is 0, backups that were made may not be known; those count that failed and will be tried again; /cluster/tasks and /nodes/{node}/tasks.",
            |logs| logs.waiting.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
