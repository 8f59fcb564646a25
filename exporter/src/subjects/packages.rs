//! The packages of a node: what waits to be updated, which kernel runs, and the versions of what matters most.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// What waits at one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeUpdates {
    /// `pve_cluster`, `id` and `node`.
    pub identity: Identity,
    /// Installed packages of which APT has another version.
    pub pending: Option<u64>,
    /// Whether a newer kernel is installed than the one that runs.
    pub reboot_needed: Option<bool>,
    /// The release of the kernel that runs.
    pub running_kernel: Box<str>,
    /// The release of the newest kernel that is installed.
    pub newest_kernel: Box<str>,
}

impl Subject for NodeUpdates {
    const NAME: &'static str = "node updates";
    const ROWS: &'static str = "one per node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_update_packages_pending",
            Unit::None,
            "Installed packages of which APT would install another version, as of the last time the node asked its repositories; only of the 70 or so that Proxmox VE is made of, and not of the rest of Debian; /nodes/{node}/apt/versions Version, OldVersion.",
            |node| node.pending.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_reboot_needed",
            Unit::None,
            "Whether a newer Proxmox kernel is installed than the one that runs, be it that the older one is pinned; absent where no Proxmox kernel runs; /nodes/{node}/apt/versions RunningKernel, Package.",
            |node| node.reboot_needed.map(Into::into),
        ),
        Metric::info(
            "pve_node_kernel_info",
            &["running", "newest"],
            "Releases of the kernel that runs and of the newest Proxmox kernel that is installed; /nodes/{node}/apt/versions RunningKernel, Package.",
            |node, labels| {
                labels.label("running", &node.running_kernel);
                labels.label("newest", &node.newest_kernel);
                !node.running_kernel.is_empty()
            },
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// One package that is installed on one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// `pve_cluster`, `node` and `package`.
    pub identity: Identity,
    /// Its name.
    pub name: &'static str,
    /// The installed version.
    pub version: Box<str>,
}

impl Subject for Package {
    const NAME: &'static str = "package";
    const ROWS: &'static str =
        "one per node and package of a short list: what runs guests, the cluster, HA, storages and the API";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "package"];
    const TABLE: &'static [Metric<Self>] = &[Metric::info(
        "pve_node_package_info",
        &["version"],
        "The version of the package that is installed; /nodes/{node}/apt/versions OldVersion.",
        |package, labels| {
            labels.label("version", &package.version);
            true
        },
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
