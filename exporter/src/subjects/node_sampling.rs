//! Whether a node still tells how it is.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The sampling of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSampling {
    /// `pve_cluster`, `id` and `node`.
    pub identity: Identity,
    /// Whether its figures stand still.
    pub stalled: bool,
}

impl Subject for NodeSampling {
    const NAME: &'static str = "node sampling";
    const ROWS: &'static str = "one per node that is not offline";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_node_sampling_stalled",
        Unit::None,
        "Whether the figures of the node and its guests have stood still for a minute or more, since pvestatd hangs or does not run: its uptime does not move; where there is pve_node_sample_timestamp_seconds, that tells since when; /cluster/resources uptime.",
        |node| Some(node.stalled.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
