//! `/nodes/{node}/network`: the network interfaces of a node, which of them are up and which should be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::metrics::labels::Identity;
use crate::pve::api::node_network::{Row, decode};
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::devices::may_be_label;
use crate::sources::name::SourceName;
use crate::subjects::node_interface::NodeInterface;

/// The most interfaces of a node that are reported on.
const MOST: usize = 256;

/// The interfaces of one node.
#[derive(Debug, Default)]
pub struct NodeInterfaces {
    /// By name, without further addresses of one (`eno1:1`).
    pub interfaces: Arc<[NodeInterface]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>) -> Result<NodeInterfaces, ApiError> {
    let request = Request::node(node, "network", SourceName::Interfaces.cost());
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, node))
}

/// Turns a body into subjects.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str, node: &str) -> Result<NodeInterfaces, DecodeError> {
    let mut rows: BTreeMap<String, Row<'_>> = BTreeMap::new();
    let mut unusable = 0;
    let damaged = decode(body, |row| {
        if matches!(&*row.kind, "alias" | "loopback") {
            return;
        }
        if may_be_label(&row.iface) {
            rows.insert(row.iface.clone().into_owned(), row);
        } else {
            unusable += 1;
        }
    })?;
    while rows.len() > MOST {
        rows.pop_last();
    }
    let layers = Layers::new(&rows);
    // A token that may not see bridges sees none, and what is a port of one looks like what nobody uses.
    let with_bridges = rows.values().any(|row| matches!(&*row.kind, "bridge" | "OVSBridge"));
    let bounded = |text: &str| -> Box<str> { Some(text).filter(|text| may_be_label(text)).unwrap_or_default().into() };
    let interface = |(name, row): (&String, &Row<'_>)| NodeInterface {
        identity: Identity::new(&[("pve_cluster", cluster), ("node", node), ("interface", name)]),
        kind: bounded(&row.kind),
        bridge: layers.bridges.get(&**name).copied().unwrap_or_default().into(),
        bond: layers.bonds.get(&**name).copied().unwrap_or_default().into(),
        bond_mode: bounded(&row.bond_mode),
        raw_device: bounded(&row.vlan_raw_device),
        up: row
            .active
            .filter(|active| *active || is_kernels_name(name, &row.altnames)),
        expected_up: if layers.expected.contains(&**name) {
            Some(true)
        } else {
            row.autostart.filter(|starts| *starts || with_bridges)
        },
    };
    Ok(NodeInterfaces {
        interfaces: rows.iter().map(interface).collect(),
        damaged_rows: damaged + unusable,
    })
}

/// Whether an interface that is also called `others` is listed by the name that the kernel knows it by, as far as one can tell:
/// of the names that systemd finds for an interface the kernel gets the first of its usual order.
fn is_kernels_name(name: &str, others: &Value) -> bool {
    match others {
        Value::Null => true,
        Value::Array(others) => others
            .iter()
            .all(|other| other.as_str().is_some_and(|other| rank(name) < rank(other))),
        _ => false,
    }
}

/// The place in the usual order: names that somebody has chosen, and then what is on board, in a slot, at a place of the bus, or
/// known by its address.
fn rank(name: &str) -> usize {
    let prefixes = ["eno", "ens", "enp", "enx"];
    prefixes
        .iter()
        .position(|prefix| name.starts_with(prefix))
        .map_or(0, |place| place + 1)
}

/// What lies on what.
struct Layers<'a> {
    /// The bridge of each port.
    bridges: BTreeMap<&'a str, &'a str>,
    /// The bond of each of its parts.
    bonds: BTreeMap<&'a str, &'a str>,
    /// What starts at boot, and what that brings up or does not work without.
    expected: BTreeSet<&'a str>,
}

impl<'a> Layers<'a> {
    fn new(rows: &'a BTreeMap<String, Row<'a>>) -> Self {
        let mut layers = Self {
            bridges: BTreeMap::new(),
            bonds: BTreeMap::new(),
            expected: BTreeSet::new(),
        };
        for (name, row) in rows {
            layers.bridges.extend(ports(row).map(|port| (port, &**name)));
            layers.bonds.extend(parts(row).map(|part| (part, &**name)));
        }
        let starts = rows.iter().filter(|(_, row)| row.autostart == Some(true));
        let mut found: Vec<&str> = starts.map(|(name, _)| &**name).collect();
        while let Some(name) = found.pop() {
            if !layers.expected.insert(name) {
                continue;
            }
            // A VLAN need not be an interface with a row of its own: a bridge may have the port eno1.5.
            found.extend(name.rsplit_once('.').map(|(below, _)| below));
            if let Some(row) = rows.get(name) {
                found.extend(ports(row).chain(parts(row)));
                found.extend(rows.get_key_value(&*row.vlan_raw_device).map(|(below, _)| &**below));
            }
        }
        layers
    }
}

fn ports<'a>(row: &'a Row<'_>) -> impl Iterator<Item = &'a str> {
    row.bridge_ports
        .split_whitespace()
        .chain(row.ovs_ports.split_whitespace())
}

fn parts<'a>(row: &'a Row<'_>) -> impl Iterator<Item = &'a str> {
    row.slaves.split_whitespace().chain(row.ovs_bonds.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> NodeInterfaces {
        convert(body, "main", "pve1").unwrap()
    }

    fn find<'a>(answer: &'a NodeInterfaces, name: &str) -> &'a NodeInterface {
        let label = format!("interface=\"{name}\"");
        let mut rows = answer.interfaces.iter();
        rows.find(|row| str::from_utf8(row.identity.pairs()).unwrap().ends_with(&label))
            .unwrap()
    }

    fn states(answer: &NodeInterfaces, name: &str) -> (Option<bool>, Option<bool>) {
        let row = find(answer, name);
        (row.up, row.expected_up)
    }

    #[test]
    fn a_recorded_port_should_be_up_because_its_bridge_should() {
        for body in [
            include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__network.json").as_slice(),
            include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__network.json"),
        ] {
            let answer = read(body);
            assert_eq!((answer.interfaces.len(), answer.damaged_rows), (2, 0));
            assert_eq!(states(&answer, "eno1"), (Some(true), Some(true)));
            assert_eq!(states(&answer, "vmbr0"), (Some(true), Some(true)));
            let port = find(&answer, "eno1");
            assert_eq!((&*port.kind, &*port.bridge), ("eth", "vmbr0"));
        }
    }

    #[test]
    fn constructed_bonds_and_vlans_need_what_they_are_made_of() {
        let answer = read(include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__network.json"));
        assert_eq!(answer.damaged_rows, 0);
        let bond = find(&answer, "bond0");
        assert_eq!(
            (&*bond.kind, &*bond.bridge, &*bond.bond_mode),
            ("bond", "vmbr0", "802.3ad")
        );
        for name in ["bond0", "eno1", "vmbr0", "vmbr1", "eno3", "vlan20", "enp5s0"] {
            assert_eq!(states(&answer, name), (Some(true), Some(true)), "{name}");
        }
        assert_eq!(states(&answer, "eno2"), (Some(false), Some(true)), "a part of a bond");
        assert_eq!(&*find(&answer, "eno2").bond, "bond0");
        assert_eq!(states(&answer, "eno4"), (Some(false), Some(false)), "nobody uses it");
        assert_eq!(&*find(&answer, "vlan20").raw_device, "enp5s0");
        assert_eq!(answer.interfaces.len(), 9, "further addresses are no interfaces");
    }

    #[test]
    fn without_any_bridge_nobody_knows_what_is_not_needed() {
        let answer = read(include_bytes!(
            "../../tests/fixtures/no-rights/nodes__pve1__network.json"
        ));
        assert_eq!(
            states(&answer, "eno3"),
            (Some(true), None),
            "the port of a hidden bridge"
        );
        assert_eq!(states(&answer, "eno4"), (Some(false), None));
        assert_eq!(states(&answer, "eno2"), (Some(false), Some(true)), "a part of a bond");
    }

    #[test]
    fn constructed_open_vswitch_ports_start_with_their_bridge() {
        let answer = read(
            br#"{"data":[{"iface":"vmbr0","type":"OVSBridge","autostart":1,"ovs_ports":"bond0 mgmt","active":1},
                {"iface":"bond0","type":"OVSBond","ovs_bonds":"eno1 eno2","ovs_bridge":"vmbr0","bond_mode":"balance-slb","active":1},
                {"iface":"mgmt","type":"OVSIntPort","ovs_bridge":"vmbr0"},{"iface":"eno1","type":"eth","active":1},{"iface":"eno2","type":"eth"}]}"#,
        );
        assert_eq!(states(&answer, "mgmt"), (Some(false), Some(true)));
        assert_eq!(states(&answer, "eno2"), (Some(false), Some(true)));
        assert_eq!(
            (&*find(&answer, "bond0").bridge, &*find(&answer, "eno1").bond),
            ("vmbr0", "bond0")
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_down() {
        let answer = read(
            br#"{"data":[null,{"iface":"a b"},{"iface":"eno1","type":"eth","active":{},"autostart":"x","bond_mode":"a b"},
                {"iface":"eno2","active":"1","autostart":"0","bridge_ports":[7]},{"iface":"vmbr0","type":"bridge"}]}"#,
        );
        assert_eq!(states(&answer, "eno1"), (None, None));
        assert_eq!(states(&answer, "eno2"), (Some(true), Some(false)));
        assert_eq!((answer.damaged_rows, &*find(&answer, "eno1").bond_mode), (2, ""));
    }

    #[test]
    fn an_interface_that_may_be_listed_by_another_name_than_the_kernels_is_up_or_unknown() {
        let answer = read(
            br#"{"data":[{"iface":"enp3s0","type":"eth","exists":1,"altnames":["eno1","enx0a0000000001"]},
                {"iface":"eno2","type":"eth","active":1,"altnames":["enp4s0"]},{"iface":"eno3","type":"eth","autostart":1},
                {"iface":"ens18","altnames":["enp0s18","enx0a0000000002"]},{"iface":"nic0","altnames":["eno5"]},
                {"iface":"eno6","altnames":["lan0"]},{"iface":"eno7","altnames":[7]},{"iface":"eno8","altnames":"enp8s0"}]}"#,
        );
        for (name, up) in [
            ("enp3s0", None),
            ("ens18", Some(false)),
            ("nic0", Some(false)),
            ("eno6", None),
            ("eno7", None),
            ("eno8", None),
        ] {
            assert_eq!(states(&answer, name).0, up, "{name}");
        }
        assert_eq!(states(&answer, "eno2").0, Some(true));
        assert_eq!(
            states(&answer, "eno3").0,
            Some(false),
            "a card that is gone has no other names"
        );
    }

    #[test]
    fn interfaces_are_bounded_and_may_lie_in_a_ring() {
        let rows: Vec<String> = (0..1000)
            .map(|n| {
                format!(
                    r#"{{"iface":"v{n:04}","autostart":1,"slaves":"v{:04}"}}"#,
                    (n + 1) % 1000
                )
            })
            .collect();
        let body = format!(r#"{{"data":[{}]}}"#, rows.join(","));
        assert_eq!(read(body.as_bytes()).interfaces.len(), MOST);
    }
}
