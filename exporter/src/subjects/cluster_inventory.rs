//! What is set for a cluster as a whole.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// Settings of one cluster, and how much its nodes differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInventory {
    /// `pve_cluster`.
    pub identity: Identity,
    /// Whether the firewall is on.
    pub firewall_enabled: Option<bool>,
    /// Servers that PVE sends figures to.
    pub metric_servers: Option<u64>,
    /// Versions among the nodes.
    pub versions: Option<u64>,
}

impl Subject for ClusterInventory {
    const NAME: &'static str = "cluster inventory";
    const ROWS: &'static str = "one per cluster";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_firewall_enabled",
            Unit::None,
            "Whether the firewall of the cluster is switched on, which it is not by default; /cluster/firewall/options enable.",
            |inventory| inventory.firewall_enabled.map(Into::into),
        ),
        Metric::gauge(
            "pve_cluster_metric_servers",
            Unit::None,
            "External metric servers that PVE itself sends figures to; those switched off do not count; /cluster/metrics/server disable.",
            |inventory| inventory.metric_servers.map(Into::into),
        ),
        Metric::gauge(
            "pve_cluster_versions",
            Unit::None,
            "Different versions of pve-manager among the nodes that tell theirs: 1 unless an upgrade is under way; /nodes/{node}/status pveversion.",
            |inventory| inventory.versions.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
