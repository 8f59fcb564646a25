//! A backup job of the cluster.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One job.
#[derive(Clone, Debug)]
pub struct BackupJob {
    /// `pve_cluster` and `job`.
    pub identity: Identity,
    /// The storage that the backups go to, or empty.
    pub storage: String,
    /// When it runs, as a calendar event.
    pub schedule: String,
    /// `snapshot`, `suspend` or `stop`, or empty where the default counts.
    pub mode: String,
    /// What selects the guests: `all`, `pool` or `vmids`.
    pub selection: &'static str,
    /// Whether it runs at all.
    pub enabled: bool,
    /// When it runs next, in Unix seconds.
    pub next_run: Option<u64>,
    /// Whether it limits how many backups are kept.
    pub retention_configured: bool,
}

impl Subject for BackupJob {
    const NAME: &'static str = "backup job";
    const ROWS: &'static str = "one per backup job of the cluster";
    const LABELS: &'static [&'static str] = &["pve_cluster", "job_id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_backup_job_info",
            &["storage", "schedule", "mode", "selection"],
            "Storage, schedule and mode of the job, and whether it selects all guests, a pool or vmids; /cluster/backup storage, schedule, mode, all, pool, vmid.",
            |job, labels| {
                labels.label("storage", &job.storage);
                labels.label("schedule", &job.schedule);
                labels.label("mode", &job.mode);
                labels.label("selection", job.selection);
                true
            },
        ),
        Metric::gauge(
            "pve_backup_job_enabled",
            Unit::None,
            "Whether the job is enabled; /cluster/backup enabled.",
            |job| Some(job.enabled.into()),
        ),
        Metric::gauge(
            "pve_backup_job_next_run_timestamp_seconds",
            Unit::Seconds,
            "When the job runs next; absent while it is disabled; /cluster/backup next-run.",
            |job| job.next_run.filter(|_| job.enabled).map(Into::into),
        ),
        Metric::gauge(
            "pve_backup_job_retention_configured",
            Unit::None,
            "Whether the job itself limits how many backups are kept; at 0 it is up to the storage; /cluster/backup prune-backups.",
            |job| Some(job.retention_configured.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
