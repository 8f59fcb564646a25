//! An SDN zone or fabric, as one node sees it.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One zone or fabric on one node.
#[derive(Clone, Debug)]
pub struct Network {
    /// `pve_cluster`, `id`, `node` and `network`.
    pub identity: Identity,
    /// The node.
    pub node: Arc<str>,
    /// `zone` or `fabric`.
    pub kind: &'static str,
    /// The zone's type or the fabric's protocol, where PVE tells it.
    pub protocol: Arc<str>,
    /// PVE's status: `ok`, `available`, `pending`, `error` or `not ok`.
    pub status: Arc<str>,
    /// Whether the node is online; what an offline node last said is not believed.
    pub node_online: bool,
}

impl Subject for Network {
    const NAME: &'static str = "network";
    const ROWS: &'static str = "one per SDN zone or fabric and node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node", "network"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_network_info",
            &["kind", "protocol"],
            "An SDN zone or fabric; /cluster/resources network-type, zone-type and protocol; zones only before PVE 9.1.",
            |network, labels| {
                labels.label("kind", network.kind);
                labels.label("protocol", &network.protocol);
                true
            },
        ),
        Metric::gauge(
            "pve_network_up",
            Unit::None,
            "Whether the zone or fabric works on the node: 0 for error and not ok; absent while pending and when the node is offline; /cluster/resources status.",
            |network| {
                if !network.node_online {
                    return None;
                }
                match &*network.status {
                    "ok" | "available" => Some(true.into()),
                    "error" | "not ok" => Some(false.into()),
                    _ => None,
                }
            },
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
