//! A state to which a guest can be brought back.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The newest one that a source has of a guest.
#[derive(Clone, Debug)]
pub struct RecoveryPoint {
    /// `pve_cluster`, `id` and `source`.
    pub identity: Identity,
    /// Unix seconds: the guest's data is as of then.
    pub timestamp: u64,
}

/// What holds the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoverySource {
    /// A backup.
    Backup,
    /// A replica of its disks on another node.
    Replication,
}

impl RecoveryPoint {
    /// The newest point that `source` has of the guest `id`, such as `qemu/100`.
    #[must_use]
    pub fn new(cluster: &str, id: &str, source: RecoverySource, timestamp: u64) -> Self {
        let source = match source {
            RecoverySource::Backup => "backup",
            RecoverySource::Replication => "replication",
        };
        Self {
            identity: Identity::new(&[("pve_cluster", cluster), ("id", id), ("source", source)]),
            timestamp,
        }
    }
}

impl Subject for RecoveryPoint {
    const NAME: &'static str = "recovery point";
    const ROWS: &'static str = "one per guest and source that holds a copy of its data";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "source"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_guest_recovery_point_timestamp_seconds",
        Unit::Seconds,
        "As of when the guest's data can be had back: the start of its last successful backup, from the log of the vzdump task, which counts also when it was pruned or damaged since, or of its last replication, /nodes/{node}/replication last_sync.",
        |point| Some(point.timestamp.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
