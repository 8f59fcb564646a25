//! One snapshot of a guest, by its name. Names are people's, so these series are only there when asked for.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `pve_cluster`, `id` and `snapshot`.
    pub identity: Identity,
    /// When it was taken, in Unix seconds.
    pub taken: u64,
}

impl Subject for Snapshot {
    const NAME: &'static str = "snapshot";
    const ROWS: &'static str =
        "one per snapshot, the 100 oldest of each guest at most, where the names of snapshots are asked for";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "snapshot"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_snapshot_timestamp_seconds",
        Unit::Seconds,
        "When the snapshot was taken; /nodes/{node}/{type}/{vmid}/snapshot snaptime.",
        |snapshot| Some(snapshot.taken.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
