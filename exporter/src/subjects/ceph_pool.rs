//! A pool of Ceph.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One pool.
#[derive(Clone, Debug)]
pub struct CephPool {
    /// `pve_cluster` and `pool`.
    pub identity: Identity,
    /// Bytes in use, all copies together.
    pub usage: Option<u64>,
    /// Their share of what the pool could use.
    pub usage_ratio: Option<f64>,
    /// Copies of each object, or chunks.
    pub size: Option<u64>,
    /// Copies without which nothing is written.
    pub min_size: Option<u64>,
    /// Placement groups.
    pub placement_groups: Option<u64>,
}

impl Subject for CephPool {
    const NAME: &'static str = "ceph pool";
    const ROWS: &'static str = "one per pool of Ceph";
    const LABELS: &'static [&'static str] = &["pve_cluster", "pool"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_ceph_pool_usage_bytes",
            Unit::Bytes,
            "Bytes in use by the pool, all copies together; /nodes/{node}/ceph/pool bytes_used.",
            |pool| pool.usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_pool_usage_ratio",
            Unit::Ratio,
            "Share of what the pool could use that is in use; /nodes/{node}/ceph/pool percent_used.",
            |pool| pool.usage_ratio.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_pool_size",
            Unit::None,
            "Copies that the pool keeps of each object, or chunks if it is erasure-coded; /nodes/{node}/ceph/pool size.",
            |pool| pool.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_pool_min_size",
            Unit::None,
            "Copies or chunks without which the pool takes no writes; /nodes/{node}/ceph/pool min_size.",
            |pool| pool.min_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_ceph_pool_placement_groups",
            Unit::None,
            "Placement groups of the pool; /nodes/{node}/ceph/pool pg_num.",
            |pool| pool.placement_groups.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
