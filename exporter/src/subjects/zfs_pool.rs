//! A ZFS pool of a node.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One pool, as `zpool list` tells of it.
#[derive(Clone, Debug)]
pub struct ZfsPool {
    /// `pve_cluster`, `node` and `pool`.
    pub identity: Identity,
    /// Its name.
    pub name: Arc<str>,
    /// One of [`HEALTH`], or `other`.
    pub health: Option<&'static str>,
    /// Bytes of its disks, parity included.
    pub size: Option<u64>,
    /// Bytes of them that are allocated.
    pub allocated: Option<u64>,
    /// Bytes of them that are free.
    pub free: Option<u64>,
    /// Fragmentation of the free space, from 0 to 1.
    pub fragmentation: Option<f64>,
    /// How many times over the data would need the space without deduplication: 1 or more.
    pub deduplication: Option<f64>,
}

/// One pool, as `zpool status` tells of it.
#[derive(Clone, Debug)]
pub struct ZfsPoolDetail {
    /// `pve_cluster`, `node` and `pool`.
    pub identity: Identity,
    /// Read errors of all disks, at least.
    pub read_errors: Option<f64>,
    /// Write errors of all disks, at least.
    pub write_errors: Option<f64>,
    /// Checksum errors of all disks, at least.
    pub checksum_errors: Option<f64>,
    /// Damaged files and other data.
    pub data_errors: Option<u64>,
    /// Disks that are not as they should be.
    pub unhealthy_vdevs: Option<u64>,
    /// When the last scrub ended, in Unix seconds.
    pub scrub_timestamp: Option<u64>,
    /// Errors that it could not repair.
    pub scrub_errors: Option<u64>,
    /// Whether a scrub is under way.
    pub is_scrubbing: Option<bool>,
    /// Whether a resilver is under way.
    pub is_resilvering: Option<bool>,
}

/// The states of a pool.
pub const HEALTH: &[&str] = &[
    "online",
    "degraded",
    "faulted",
    "offline",
    "unavail",
    "removed",
    "suspended",
];

impl Subject for ZfsPool {
    const NAME: &'static str = "zfs pool";
    const ROWS: &'static str = "one per ZFS pool of a node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "pool"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::state(
            "pve_zfs_pool_health",
            &["health"],
            "State of the pool: online, degraded, faulted, offline, unavail, removed, suspended or other; /nodes/{node}/disks/zfs health.",
            |pool| pool.health,
        ),
        Metric::gauge(
            "pve_zfs_pool_size_bytes",
            Unit::Bytes,
            "Size of the pool, of raidz with its parity; absent when the pool cannot be opened; /nodes/{node}/disks/zfs size.",
            |pool| pool.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_allocated_bytes",
            Unit::Bytes,
            "Space of the pool that is allocated, of raidz with its parity; /nodes/{node}/disks/zfs alloc.",
            |pool| pool.allocated.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_free_bytes",
            Unit::Bytes,
            "Space of the pool that is not allocated; /nodes/{node}/disks/zfs free.",
            |pool| pool.free.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_fragmentation_ratio",
            Unit::Ratio,
            "Fragmentation of the free space, 0 also where ZFS does not know it; /nodes/{node}/disks/zfs frag.",
            |pool| pool.fragmentation.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_deduplication_ratio",
            Unit::Ratio,
            "How many times over the data would need its space without deduplication, 1 or more; /nodes/{node}/disks/zfs dedup.",
            |pool| pool.deduplication.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for ZfsPoolDetail {
    const NAME: &'static str = "zfs pool in detail";
    const ROWS: &'static str = "one per ZFS pool of a node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "pool"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_zfs_pool_read_errors",
            Unit::None,
            "Read errors of all disks since they were cleared: a lower bound, since PVE makes 1.2 of a figure such as 1.2K; /nodes/{node}/disks/zfs/{pool} read.",
            |pool| pool.read_errors.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_write_errors",
            Unit::None,
            "Write errors of all disks since they were cleared: a lower bound, since PVE makes 1.2 of a figure such as 1.2K; /nodes/{node}/disks/zfs/{pool} write.",
            |pool| pool.write_errors.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_checksum_errors",
            Unit::None,
            "Checksum errors of all disks since they were cleared: a lower bound, since PVE makes 1.2 of a figure such as 1.2K; /nodes/{node}/disks/zfs/{pool} cksum.",
            |pool| pool.checksum_errors.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_data_errors",
            Unit::None,
            "Damaged files and other data that the pool has lost; /nodes/{node}/disks/zfs/{pool} errors.",
            |pool| pool.data_errors.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_vdevs_unhealthy",
            Unit::None,
            "Disks of the pool, its logs, caches and spares among them, that are neither online nor a spare in waiting or in use; /nodes/{node}/disks/zfs/{pool} state.",
            |pool| pool.unhealthy_vdevs.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_scrub_timestamp_seconds",
            Unit::Seconds,
            "When the last scrub ended, an hour off if the clocks have changed since; absent while one runs and after a resilver; /nodes/{node}/disks/zfs/{pool} scan.",
            |pool| pool.scrub_timestamp.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_scrub_errors",
            Unit::None,
            "Errors that the last scrub could not repair; absent while one runs and after a resilver; /nodes/{node}/disks/zfs/{pool} scan.",
            |pool| pool.scrub_errors.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_scrub_running",
            Unit::None,
            "Whether a scrub is under way and not paused; /nodes/{node}/disks/zfs/{pool} scan.",
            |pool| pool.is_scrubbing.map(Into::into),
        ),
        Metric::gauge(
            "pve_zfs_pool_resilver_running",
            Unit::None,
            "Whether a resilver is under way; /nodes/{node}/disks/zfs/{pool} scan.",
            |pool| pool.is_resilvering.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
