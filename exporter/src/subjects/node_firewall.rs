//! The firewall of a node.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The firewall of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFirewall {
    /// `pve_cluster`, `id` and `node`.
    pub identity: Identity,
    /// Whether it is switched on at the node.
    pub enabled: bool,
}

impl Subject for NodeFirewall {
    const NAME: &'static str = "node firewall";
    const ROWS: &'static str = "one per node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_node_firewall_enabled",
        Unit::None,
        "Whether the firewall of the node is switched on, as it is by default; it does nothing unless that of the cluster is on as well; /nodes/{node}/firewall/options enable.",
        |firewall| Some(firewall.enabled.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
