//! The closed list of sources: what each is called, how old its data may get, what it costs PVE and which privilege it needs.

use std::time::Duration;

use serde::Deserialize;

use crate::pve::budget::Cost;

/// A source: one kind of data, read from one PVE endpoint (and its fall-backs).
///
/// The name is the value of the label `source`, of `collect[]` and of the table `[sources.<name>]` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceName {
    /// `GET /cluster/resources`.
    Resources,
    /// `GET /cluster/metrics/export`, or per node where that is slow or incomplete.
    MetricsExport,
    /// `GET /cluster/status`.
    ClusterStatus,
    /// `GET /nodes/{node}/status`.
    NodeStatus,
    /// `GET /version`.
    Version,
    /// `GET /access/permissions`.
    Permissions,
}

impl SourceName {
    /// Every source, in the order of documentation and exposition.
    pub const ALL: [Self; 6] = [
        Self::Resources,
        Self::MetricsExport,
        Self::ClusterStatus,
        Self::NodeStatus,
        Self::Version,
        Self::Permissions,
    ];

    /// The name as in labels, parameters and configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::MetricsExport => "metrics_export",
            Self::ClusterStatus => "cluster_status",
            Self::NodeStatus => "node_status",
            Self::Version => "version",
            Self::Permissions => "permissions",
        }
    }

    /// The endpoint that the source reads.
    #[must_use]
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Resources => "/cluster/resources",
            Self::MetricsExport => "/cluster/metrics/export",
            Self::ClusterStatus => "/cluster/status",
            Self::NodeStatus => "/nodes/{node}/status",
            Self::Version => "/version",
            Self::Permissions => "/access/permissions",
        }
    }

    /// The age at which its data is read again unless the configuration says otherwise.
    #[must_use]
    pub const fn default_max_age(self) -> Duration {
        match self {
            // pvestatd samples every 10 s: asking more often brings nothing new.
            Self::Resources | Self::MetricsExport => Duration::from_secs(10),
            Self::ClusterStatus => Duration::from_secs(30),
            Self::NodeStatus => Duration::from_secs(300),
            Self::Version | Self::Permissions => Duration::from_secs(3600),
        }
    }

    /// What one request occupies.
    #[must_use]
    pub const fn cost(self) -> Cost {
        Cost::Cheap
    }

    /// The privileges it needs, each with the path on which PVE checks it.
    #[must_use]
    pub const fn privileges(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Resources => &[
                ("Sys.Audit", "/nodes"),
                ("VM.Audit", "/vms"),
                ("Datastore.Audit", "/storage"),
                ("Pool.Audit", "/pool"),
                ("SDN.Audit", "/sdn"),
            ],
            Self::MetricsExport | Self::ClusterStatus => &[("Sys.Audit", "/")],
            Self::NodeStatus => &[("Sys.Audit", "/nodes")],
            Self::Version | Self::Permissions => &[],
        }
    }
}
