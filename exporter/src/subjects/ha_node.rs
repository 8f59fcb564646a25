//! A node, as HA sees it.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One node of a cluster that uses HA.
#[derive(Clone, Debug)]
pub struct HaNode {
    /// `pve_cluster`, `id` and `node`.
    pub identity: Identity,
    /// What the manager thinks of it: one of [`NODE_STATES`], or `other`.
    pub state: Option<&'static str>,
    /// The mode of its resource manager: one of [`LRM_MODES`], or `other`.
    pub lrm_mode: Option<&'static str>,
    /// The state of its resource manager: one of [`LRM_STATES`], or `other`.
    pub lrm_state: Option<&'static str>,
    /// Unix seconds of its resource manager's last round.
    pub lrm_timestamp: Option<u64>,
}

/// The states of a node.
pub const NODE_STATES: &[&str] = &["online", "maintenance", "unknown", "fence", "gone"];

/// The modes of a resource manager.
pub const LRM_MODES: &[&str] = &["active", "maintenance", "restart", "shutdown", "disarm"];

/// The states of a resource manager.
pub const LRM_STATES: &[&str] = &["active", "wait_for_agent_lock", "maintenance", "lost_agent_lock"];

impl Subject for HaNode {
    const NAME: &'static str = "ha node";
    const ROWS: &'static str = "one per node that HA knows";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::state(
            "pve_ha_node_state",
            &["state"],
            "What the HA manager thinks of the node: online, maintenance, unknown, fence, gone or other; /cluster/ha/status/manager_status node_status.",
            |node| node.state,
        ),
        Metric::state(
            "pve_ha_lrm_mode",
            &["mode"],
            "The mode of the node's local resource manager: active, maintenance, restart, shutdown, disarm or other; /cluster/ha/status/manager_status lrm_status mode.",
            |node| node.lrm_mode,
        ),
        Metric::state(
            "pve_ha_lrm_state",
            &["state"],
            "The state of the node's local resource manager: active, wait_for_agent_lock (also when it has nothing to do), maintenance, lost_agent_lock or other; /cluster/ha/status/manager_status lrm_status state.",
            |node| node.lrm_state,
        ),
        Metric::gauge(
            "pve_ha_lrm_timestamp_seconds",
            Unit::Seconds,
            "When the node's local resource manager did its last round, which it does every 5 to 10 s; /cluster/ha/status/manager_status lrm_status timestamp.",
            |node| node.lrm_timestamp.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
