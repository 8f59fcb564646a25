//! A resource pool.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One pool. PVE sums up the running members; a pool in which nothing runs has no figures.
#[derive(Clone, Debug)]
pub struct Pool {
    /// `pve_cluster` and `pool`.
    pub identity: Identity,
    /// Share of the members' CPUs in use.
    pub cpu_usage: Option<f64>,
    /// CPUs of the running members.
    pub cpus: Option<f64>,
    /// Bytes of memory of the running members.
    pub memory_size: Option<u64>,
    /// Bytes of memory in use by the running members.
    pub memory_usage: Option<u64>,
}

impl Subject for Pool {
    const NAME: &'static str = "pool";
    const ROWS: &'static str = "one per pool";
    const LABELS: &'static [&'static str] = &["pve_cluster", "pool"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_pool_info",
            &[],
            "A pool that exists, be it empty; /cluster/resources pool.",
            |_, _| true,
        ),
        Metric::gauge(
            "pve_pool_cpu_usage_ratio",
            Unit::Ratio,
            "Share of the CPUs of the pool's running members in use; /cluster/resources cpu.",
            |pool| pool.cpu_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_pool_cpus",
            Unit::None,
            "CPUs of the pool's running members; /cluster/resources maxcpu.",
            |pool| pool.cpus.map(Into::into),
        ),
        Metric::gauge(
            "pve_pool_memory_size_bytes",
            Unit::Bytes,
            "Memory that the pool's running members may use; /cluster/resources maxmem.",
            |pool| pool.memory_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_pool_memory_usage_bytes",
            Unit::Bytes,
            "Memory that the pool's running members use; /cluster/resources mem.",
            |pool| pool.memory_usage.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
