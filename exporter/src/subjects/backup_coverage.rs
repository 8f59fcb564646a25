//! The guests that no backup job names.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One such guest.
#[derive(Clone, Debug)]
pub struct UncoveredGuest {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
}

impl Subject for UncoveredGuest {
    const NAME: &'static str = "guest without a backup job";
    const ROWS: &'static str = "one per guest that no backup job names; templates are left out";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_backup_uncovered",
        Unit::None,
        "1 for a guest that no backup job names, be the job enabled or disabled, and absent for any other; /cluster/backup-info/not-backed-up.",
        |_| Some(true.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// How many they are.
#[derive(Clone, Debug)]
pub struct BackupCoverage {
    /// `pve_cluster`.
    pub identity: Identity,
    /// Guests that no job names.
    pub uncovered: u64,
}

impl Subject for BackupCoverage {
    const NAME: &'static str = "backup coverage";
    const ROWS: &'static str = "one per cluster";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_backup_uncovered_guests",
        Unit::None,
        "Guests that no backup job names, without templates; PVE counts a guest as covered by a disabled job too; /cluster/backup-info/not-backed-up.",
        |coverage| Some(coverage.uncovered.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
