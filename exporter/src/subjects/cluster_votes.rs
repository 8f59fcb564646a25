//! The votes in a cluster.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The votes of the nodes and of a QDevice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterVotes {
    /// `pve_cluster`.
    pub identity: Identity,
    /// All votes there are.
    pub expected: Option<u64>,
    /// Those of whom is there.
    pub online: Option<u64>,
    /// Whether the QDevice is connected, where there is one.
    pub qdevice_connected: Option<bool>,
    /// How it votes: `ffsplit`, `lms` or `other`; empty without one.
    pub qdevice_algorithm: &'static str,
    /// Its address and port.
    pub qdevice_host: Box<str>,
}

impl ClusterVotes {
    /// The votes that are a majority.
    #[must_use]
    pub fn quorum(&self) -> Option<u64> {
        self.expected.map(|expected| expected / 2 + 1)
    }
}

impl Subject for ClusterVotes {
    const NAME: &'static str = "cluster votes";
    const ROWS: &'static str = "one per cluster; none for a standalone node";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_cluster_votes_expected",
            Unit::None,
            "Votes of all nodes, and of the QDevice as its algorithm gives them (ffsplit: 1, lms: one less than there are nodes), which is expected for a day after its daemon was last seen; absent with another algorithm; /cluster/config/nodes quorum_votes.",
            |votes| votes.expected.map(Into::into),
        ),
        Metric::gauge(
            "pve_cluster_votes_online",
            Unit::None,
            "Votes of the nodes that are online, and of the QDevice while it is connected; /cluster/config/nodes quorum_votes, /cluster/status online.",
            |votes| votes.online.map(Into::into),
        ),
        Metric::gauge(
            "pve_cluster_votes_quorum",
            Unit::None,
            "Votes that are needed for quorum: more than half of pve_cluster_votes_expected.",
            |votes| votes.quorum().map(Into::into),
        ),
        Metric::gauge(
            "pve_cluster_qdevice_configured",
            Unit::None,
            "Whether a QDevice votes in the cluster: its daemon runs on the node that answers, or was seen there or elsewhere within a day; /cluster/config/qdevice.",
            |votes| Some(votes.qdevice_connected.is_some().into()),
        ),
        Metric::info(
            "pve_cluster_qdevice_info",
            &["algorithm", "host"],
            "How the QDevice votes (ffsplit, lms or other), and its address and port; absent without one; /cluster/config/qdevice Algorithm, QNetd host.",
            |votes, labels| {
                labels.label("algorithm", votes.qdevice_algorithm);
                labels.label("host", &votes.qdevice_host);
                votes.qdevice_connected.is_some()
            },
        ),
        Metric::gauge(
            "pve_cluster_qdevice_connected",
            Unit::None,
            "Whether the node that answers is connected to the QDevice, 0 for a day when its daemon runs there no more, be it stopped or removed; absent without one; /cluster/config/qdevice State.",
            |votes| votes.qdevice_connected.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
