//! The collectors of prometheus-pve-exporter, by the names of its flags.

use std::collections::BTreeSet;

/// One collector: a few families, which a flag switches off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Collector {
    /// Which nodes, guests and storages are up.
    Status,
    /// Sizes, usage and counters of everything, and states of guests.
    Resources,
    /// Names and subscription levels of the nodes.
    Node,
    /// The cluster's own row.
    Cluster,
    /// The version of PVE.
    Version,
    /// Guests without a backup job.
    BackupInfo,
    /// The third vote of a cluster of two nodes.
    QDevice,
    /// The subscription of a node.
    Subscription,
    /// Which guests start with their node.
    Config,
    /// Replication jobs of a node.
    Replication,
}

impl Collector {
    /// Every collector, in the order of the exposition.
    pub const ALL: [Self; 10] = [
        Self::Status,
        Self::Resources,
        Self::Node,
        Self::Cluster,
        Self::Version,
        Self::BackupInfo,
        Self::QDevice,
        Self::Subscription,
        Self::Config,
        Self::Replication,
    ];

    /// The name, as in `--collector.NAME`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Resources => "resources",
            Self::Node => "node",
            Self::Cluster => "cluster",
            Self::Version => "version",
            Self::BackupInfo => "backup-info",
            Self::QDevice => "qdevice",
            Self::Subscription => "subscription",
            Self::Config => "config",
            Self::Replication => "replication",
        }
    }

    /// Whether the parameter `node` asks for it, and not `cluster`.
    #[must_use]
    pub const fn is_of_node(self) -> bool {
        matches!(self, Self::Subscription | Self::Config | Self::Replication)
    }
}

/// Collectors that a scrape asks for, or that are switched on.
pub type Collectors = BTreeSet<Collector>;
