//! An OSD of Ceph.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One OSD.
#[derive(Clone, Debug)]
pub struct CephOsd {
    /// `pve_cluster`, `osd` and `node`.
    pub identity: Identity,
    /// Whether it runs.
    pub up: Option<bool>,
    /// Whether data is placed on it.
    pub is_in: Option<bool>,
    /// Bytes it holds.
    pub size: Option<u64>,
    /// Bytes in use.
    pub usage: Option<u64>,
    /// Seconds that a commit takes.
    pub commit_latency: Option<f64>,
    /// Seconds until a write can be read.
    pub apply_latency: Option<f64>,
    /// Placement groups that it has a copy of.
    pub placement_groups: Option<u64>,
}

impl Subject for CephOsd {
    const NAME: &'static str = "ceph osd";
    const ROWS: &'static str = "one per OSD of Ceph; node is the host that it has in the CRUSH map";
    const LABELS: &'static [&'static str] = &["pve_cluster", "osd", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_ceph_osd_up",
            Unit::None,
            "Whether the OSD runs; /nodes/{node}/ceph/osd status.",
            |osd| osd.up.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_osd_in",
            Unit::None,
            "Whether data is placed on the OSD; /nodes/{node}/ceph/osd in.",
            |osd| osd.is_in.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_osd_size_bytes",
            Unit::Bytes,
            "Size of the OSD; absent when it has not told it; /nodes/{node}/ceph/osd total_space.",
            |osd| osd.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_osd_usage_bytes",
            Unit::Bytes,
            "Bytes in use on the OSD; /nodes/{node}/ceph/osd bytes_used.",
            |osd| osd.usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_osd_commit_latency_seconds",
            Unit::Seconds,
            "How long a commit takes on the OSD, to the millisecond; absent when it is down; /nodes/{node}/ceph/osd commit_latency_ms.",
            |osd| osd.commit_latency.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_osd_apply_latency_seconds",
            Unit::Seconds,
            "How long it takes on the OSD until a write can be read, to the millisecond; absent when it is down; /nodes/{node}/ceph/osd apply_latency_ms.",
            |osd| osd.apply_latency.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_osd_placement_groups",
            Unit::None,
            "Placement groups that the OSD has a copy of; /nodes/{node}/ceph/osd pgs.",
            |osd| osd.placement_groups.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
