//! The backups of a guest, as the logs of its vzdump tasks tell them.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};
use crate::pve::task_status::TaskResult;

/// The backups of one guest.
#[derive(Clone, Debug)]
pub struct Backup {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// When its last backup ended, in Unix seconds, and how that ended.
    pub last_attempt: Option<(u64, TaskResult)>,
    /// Its last backup that succeeded.
    pub last_success: Option<BackupSuccess>,
}

/// A backup that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupSuccess {
    /// When it began, in Unix seconds: it holds the guest's data as of then.
    pub started: u64,
    /// When it ended, in Unix seconds.
    pub finished: u64,
    /// Seconds it took.
    pub duration: Option<u64>,
    /// Bytes of the archive; on a Proxmox Backup Server of the guest's disks or files.
    pub size: Option<u64>,
    /// Bytes read from a virtual machine's disks, or of a container's files that were archived.
    pub transferred: Option<u64>,
    /// Whether a virtual machine with its agent on was backed up without its file systems being frozen.
    pub freeze_skipped: Option<bool>,
    /// `snapshot`, `suspend` or `stop`.
    pub mode: Option<&'static str>,
    /// The storage that holds it.
    pub storage: Option<Arc<str>>,
}

impl Backup {
    fn of_success<T>(&self, field: impl FnOnce(&BackupSuccess) -> Option<T>) -> Option<T> {
        self.last_success.as_ref().and_then(field)
    }
}

impl Subject for Backup {
    const NAME: &'static str = "backup";
    const ROWS: &'static str = "one per guest of which a backup is known; what a log does not tell is absent";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_backup_info",
            &["mode", "storage"],
            "Mode and storage of the guest's last successful backup; log of its vzdump task.",
            |backup, labels| {
                let Some(success) = &backup.last_success else {
                    return false;
                };
                labels.label("mode", success.mode.unwrap_or_default());
                labels.label("storage", success.storage.as_deref().unwrap_or_default());
                true
            },
        ),
        Metric::gauge(
            "pve_backup_last_success_timestamp_seconds",
            Unit::Seconds,
            "When the guest's last successful backup ended; local time in the log of its vzdump task, put between the task's start and end.",
            |backup| backup.of_success(|success| Some(success.finished.into())),
        ),
        Metric::gauge(
            "pve_backup_last_attempt_timestamp_seconds",
            Unit::Seconds,
            "When the guest's last backup ended, whether it succeeded or not; log of its vzdump task.",
            |backup| backup.last_attempt.map(|(finished, _)| finished.into()),
        ),
        Metric::state(
            "pve_backup_last_result",
            &["result"],
            "How the guest's last backup ended: ok; warning, which is a backup as well; error; unknown where it was killed; a job that failed before it came to any guest is not in it but in pve_backup_unattributed_failure_timestamp_seconds; log of its vzdump task.",
            |backup| backup.last_attempt.map(|(_, result)| result.as_str()),
        ),
        Metric::gauge(
            "pve_backup_last_success_duration_seconds",
            Unit::Seconds,
            "How long the guest's last successful backup took; Finished Backup in the log of its vzdump task.",
            |backup| backup.of_success(|success| success.duration.map(Into::into)),
        ),
        Metric::gauge(
            "pve_backup_last_success_size_bytes",
            Unit::Bytes,
            "Size of the guest's last successful backup: of the archive, as coarse as the log tells it; on a Proxmox Backup Server of the disks or files in it; log of its vzdump task.",
            |backup| backup.of_success(|success| success.size.map(Into::into)),
        ),
        Metric::gauge(
            "pve_backup_last_success_transferred_bytes",
            Unit::Bytes,
            "Bytes that the guest's last successful backup read from a virtual machine's disks, or archived of a container's files; on a Proxmox Backup Server only what had changed; log of its vzdump task.",
            |backup| backup.of_success(|success| success.transferred.map(Into::into)),
        ),
        Metric::gauge(
            "pve_backup_last_success_freeze_skipped",
            Unit::None,
            "Whether the last successful backup was made without freezing the guest's file systems though its agent is on, since the agent did not run or failed; absent where no freeze was wanted; log of its vzdump task.",
            |backup| backup.of_success(|success| success.freeze_skipped.map(Into::into)),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
