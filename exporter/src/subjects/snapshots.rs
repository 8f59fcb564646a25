//! The snapshots of a guest, taken together.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// All snapshots of one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshots {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// How many there are.
    pub count: u64,
    /// How many hold the memory of the machine.
    pub with_memory: u64,
    /// When the oldest was taken, in Unix seconds.
    pub oldest: Option<u64>,
    /// When the newest was taken, in Unix seconds.
    pub newest: Option<u64>,
}

impl Subject for Snapshots {
    const NAME: &'static str = "guest snapshots";
    const ROWS: &'static str = "one per guest whose snapshots have been read";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_guest_snapshots",
            Unit::None,
            "Snapshots of the guest; rows of /nodes/{node}/{type}/{vmid}/snapshot.",
            |snapshots| Some(snapshots.count.into()),
        ),
        Metric::gauge(
            "pve_guest_snapshots_with_memory",
            Unit::None,
            "Snapshots that hold the memory of the machine; absent for a guest without snapshots; /nodes/{node}/{type}/{vmid}/snapshot vmstate.",
            |snapshots| (snapshots.count > 0).then_some(snapshots.with_memory.into()),
        ),
        Metric::gauge(
            "pve_guest_snapshot_oldest_timestamp_seconds",
            Unit::Seconds,
            "When the guest's oldest snapshot was taken; /nodes/{node}/{type}/{vmid}/snapshot snaptime.",
            |snapshots| snapshots.oldest.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_snapshot_newest_timestamp_seconds",
            Unit::Seconds,
            "When the guest's newest snapshot was taken; /nodes/{node}/{type}/{vmid}/snapshot snaptime.",
            |snapshots| snapshots.newest.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
