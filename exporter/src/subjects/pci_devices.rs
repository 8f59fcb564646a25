//! The PCI devices of a node, counted.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The devices of one class of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PciDevices {
    /// `pve_cluster`, `node` and `class`.
    pub identity: Identity,
    /// How many there are.
    pub devices: u64,
}

impl Subject for PciDevices {
    const NAME: &'static str = "PCI devices";
    const ROWS: &'static str = "one per node and class: storage, network, display, multimedia, serial_bus (USB and the like), encryption, accelerator and other";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "class"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_node_pci_devices",
        Unit::None,
        "PCI devices of the class that the node has; each function counts, be it virtual; bridges, memory controllers and processors do not; fewer than before is a device that has vanished from the bus; /nodes/{node}/hardware/pci class.",
        |row| Some(row.devices.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
