//! A service of a node that Proxmox VE needs or uses.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One service that is installed on one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `pve_cluster`, `node` and `service`.
    pub identity: Identity,
    /// Whether it is active; one that starts, stops or waits for its next try is not.
    pub running: Option<bool>,
    /// Whether it starts by itself.
    pub enabled: Option<bool>,
    /// Whether it has given up.
    pub failed: Option<bool>,
}

impl Subject for Service {
    const NAME: &'static str = "service";
    const ROWS: &'static str =
        "one per node and service that is installed, of the 23 that PVE lists; corosync only where there is a cluster";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "service"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_service_running",
            Unit::None,
            "Whether the service is active; one that is starting, or waits to be started again, is not; absent of one that runs once and has ended well; /nodes/{node}/services active-state, state.",
            |service| service.running.map(Into::into),
        ),
        Metric::gauge(
            "pve_service_enabled",
            Unit::None,
            "Whether the service starts by itself; 0 where it is disabled or masked; absent where something else starts it when it is wanted, as of static units; /nodes/{node}/services unit-state.",
            |service| service.enabled.map(Into::into),
        ),
        Metric::gauge(
            "pve_service_failed",
            Unit::None,
            "Whether the service has ended with a failure and is not started again; /nodes/{node}/services active-state.",
            |service| service.failed.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
