//! A network interface of a node.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One interface, physical or configured, of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeInterface {
    /// `pve_cluster`, `node` and `interface`.
    pub identity: Identity,
    /// `eth`, `bridge`, `bond`, `vlan` and so on, in PVE's words.
    pub kind: Box<str>,
    /// The bridge that it is a port of.
    pub bridge: Box<str>,
    /// The bond that it is a part of.
    pub bond: Box<str>,
    /// The mode of a bond.
    pub bond_mode: Box<str>,
    /// The interface that a VLAN is on.
    pub raw_device: Box<str>,
    /// Whether it is up.
    pub up: Option<bool>,
    /// Whether it should be.
    pub expected_up: Option<bool>,
}

impl Subject for NodeInterface {
    const NAME: &'static str = "node interface";
    const ROWS: &'static str =
        "one per node and interface that is configured or physical; bridges need SDN.Audit to be seen";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "interface"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_node_interface_info",
            &["kind", "bridge", "bond", "bond_mode", "raw_device"],
            "Kind of the interface (eth, bridge, bond, vlan, OVSBridge and so on), bridge or bond that it belongs to, mode of a bond, and what a VLAN is on; /nodes/{node}/network type, bridge_ports, slaves, bond_mode, vlan-raw-device.",
            |interface, labels| {
                labels.label("kind", &interface.kind);
                labels.label("bridge", &interface.bridge);
                labels.label("bond", &interface.bond);
                labels.label("bond_mode", &interface.bond_mode);
                labels.label("raw_device", &interface.raw_device);
                true
            },
        ),
        Metric::gauge(
            "pve_node_interface_up",
            Unit::None,
            "Whether the interface exists and is up; PVE does not tell whether there is a cable in it, nor that it is down of one that is configured by another name than the one systemd gives it; /nodes/{node}/network active, altnames.",
            |interface| interface.up.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_interface_expected_up",
            Unit::None,
            "Whether the interface should be up: it starts at boot, or belongs to a bridge, a bond or a VLAN that does; where no bridge is to be seen it is told only of what should; /nodes/{node}/network autostart, bridge_ports, slaves, vlan-raw-device.",
            |interface| interface.expected_up.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
