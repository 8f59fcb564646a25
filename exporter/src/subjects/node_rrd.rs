//! What only a node's round-robin data tell: the pressure on it, and the cache of ZFS.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};
use crate::subjects::guest_pressure::{Percent, share};

/// One minute of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRrd {
    /// `pve_cluster`, `id` and `node`.
    pub identity: Identity,
    /// The end of the minute in Unix seconds.
    pub time: u64,
    /// The pressure; PVE does not record the share in which all tasks waited for a CPU, which no node can have.
    pub percent: Percent,
    /// Bytes of the ZFS cache; absent without ZFS.
    pub arc_size: Option<u64>,
}

impl Subject for NodeRrd {
    const NAME: &'static str = "node pressure";
    const ROWS: &'static str = "one per node; none before PVE 9";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_node_pressure_timestamp_seconds",
            Unit::Seconds,
            "The end of the minute that the node's pressure and ZFS cache are averages of; PVE 9 and later; /nodes/{node}/rrddata time.",
            |node| Some(node.time.into()),
        ),
        Metric::gauge(
            "pve_node_pressure_cpu_some_ratio",
            Unit::Ratio,
            "Share of the time in which at least one task of the node waited for a CPU, over one minute; PVE 9 and later; /nodes/{node}/rrddata pressurecpusome.",
            |node| share(node.percent.cpu_some),
        ),
        Metric::gauge(
            "pve_node_pressure_io_some_ratio",
            Unit::Ratio,
            "Share of the time in which at least one task of the node waited for I/O, over one minute; PVE 9 and later; /nodes/{node}/rrddata pressureiosome.",
            |node| share(node.percent.io_some),
        ),
        Metric::gauge(
            "pve_node_pressure_io_full_ratio",
            Unit::Ratio,
            "Share of the time in which every task of the node that could run waited for I/O, over one minute; PVE 9 and later; /nodes/{node}/rrddata pressureiofull.",
            |node| share(node.percent.io_full),
        ),
        Metric::gauge(
            "pve_node_pressure_memory_some_ratio",
            Unit::Ratio,
            "Share of the time in which at least one task of the node waited for memory, over one minute; PVE 9 and later; /nodes/{node}/rrddata pressurememorysome.",
            |node| share(node.percent.memory_some),
        ),
        Metric::gauge(
            "pve_node_pressure_memory_full_ratio",
            Unit::Ratio,
            "Share of the time in which every task of the node that could run waited for memory, over one minute; PVE 9 and later; /nodes/{node}/rrddata pressurememoryfull.",
            |node| share(node.percent.memory_full),
        ),
        Metric::gauge(
            "pve_node_zfs_arc_size_bytes",
            Unit::Bytes,
            "Memory that the cache of ZFS occupies, which counts as used; absent without ZFS and before PVE 9; /nodes/{node}/rrddata arcsize.",
            |node| node.arc_size.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
