//! A cluster, or a node that stands alone.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One configured cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `pve_cluster`.
    pub identity: Identity,
    /// Whether any endpoint answers.
    pub up: Option<bool>,
    /// Corosync's view; absent without the privilege for it.
    pub membership: Option<Membership>,
    /// Version of the node that answers.
    pub version: Option<Version>,
    /// Whether the node's certificate is checked.
    pub tls_verification: bool,
}

/// Corosync's view from the node that answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    /// The cluster's own name; absent on a standalone node.
    pub name: Option<String>,
    /// Version of the corosync configuration.
    pub config_version: Option<u64>,
    /// Whether the answering side has quorum; absent on a standalone node.
    pub quorate: Option<bool>,
    /// Nodes in the configuration.
    pub nodes: u64,
    /// Nodes online; absent when that is not known of one of them.
    pub nodes_online: Option<u64>,
}

/// A PVE version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Version {
    /// Such as `9.2`.
    pub release: String,
    /// Such as `9.2.11`.
    pub version: String,
    /// The commit that it was built from.
    pub repoid: String,
}

impl Subject for Cluster {
    const NAME: &'static str = "cluster";
    const ROWS: &'static str = "one per configured cluster";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_cluster_up",
            Unit::None,
            "Whether an endpoint of the cluster answers; absent until the first answer or failure.",
            |cluster| cluster.up.map(Into::into),
        ),
        Metric::info(
            "pve_cluster_info",
            &["id", "nodes", "quorate", "version"],
            "The cluster by its own name; absent on a standalone node; /cluster/status.",
            |cluster, labels| {
                let Some(membership) = &cluster.membership else {
                    return false;
                };
                let Some(name) = &membership.name else { return false };
                labels.label("id", &format!("cluster/{name}"));
                labels.label("nodes", itoa::Buffer::new().format(membership.nodes));
                if let Some(quorate) = membership.quorate {
                    labels.label("quorate", if quorate { "1" } else { "0" });
                }
                if let Some(version) = membership.config_version {
                    labels.label("version", itoa::Buffer::new().format(version));
                }
                true
            },
        ),
        Metric::gauge(
            "pve_cluster_quorate",
            Unit::None,
            "Whether the side of the cluster that answers has quorum; absent on a standalone node; /cluster/status quorate.",
            |cluster| {
                cluster
                    .membership
                    .as_ref()
                    .and_then(|membership| membership.quorate)
                    .map(Into::into)
            },
        ),
        Metric::gauge(
            "pve_cluster_nodes",
            Unit::None,
            "Nodes in the cluster's configuration; /cluster/status.",
            |cluster| cluster.membership.as_ref().map(|membership| membership.nodes.into()),
        ),
        Metric::gauge(
            "pve_cluster_nodes_online",
            Unit::None,
            "Nodes online, as the node that answers sees it; /cluster/status online.",
            |cluster| {
                cluster
                    .membership
                    .as_ref()
                    .and_then(|membership| membership.nodes_online)
                    .map(Into::into)
            },
        ),
        Metric::info(
            "pve_version_info",
            &["release", "repoid", "version"],
            "PVE's version on the node that answers; /version.",
            |cluster, labels| {
                let Some(version) = &cluster.version else { return false };
                labels.label("release", &version.release);
                labels.label("repoid", &version.repoid);
                labels.label("version", &version.version);
                true
            },
        ),
        Metric::gauge(
            "pve_cluster_tls_verification_enabled",
            Unit::None,
            "Whether the certificates of the cluster's nodes are checked: 0 with insecure_skip_verify.",
            |cluster| Some(cluster.tls_verification.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
