//! `/nodes/{node}/hardware/pci`: how many PCI devices of each class a node has.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api::node_pci::decode;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::name::SourceName;
use crate::subjects::pci_devices::PciDevices;

/// The classes that are told apart, each with the base class of PCI that it is; the last one is all others.
const CLASSES: [(&str, Option<u8>); 8] = [
    ("storage", Some(0x01)),
    ("network", Some(0x02)),
    ("display", Some(0x03)),
    ("multimedia", Some(0x04)),
    ("serial_bus", Some(0x0c)),
    ("encryption", Some(0x10)),
    ("accelerator", Some(0x12)),
    ("other", None),
];

/// The devices of one node.
#[derive(Debug, Default)]
pub struct NodePciDevices {
    /// One row for each class, with 0 for one of which there are none: that is what a vanished device leaves behind. No rows
    /// where some could not be read, lest a device seem to have vanished.
    pub classes: Arc<[PciDevices]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>) -> Result<NodePciDevices, ApiError> {
    // Else PVE reads the names of all devices of the world from a file of more than a megabyte.
    let request = Request::node(node, "hardware/pci?verbose=0", SourceName::PciDevices.cost());
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, node))
}

/// Turns a body into subjects.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str, node: &str) -> Result<NodePciDevices, DecodeError> {
    let (mut found, mut unusable) = (Vec::new(), 0);
    let damaged = decode(body, |row| match base_class(&row.class) {
        Some(class) => found.push(class_name(class)),
        None => unusable += 1,
    })?;
    let row = |(class, _)| PciDevices {
        identity: Identity::new(&[("pve_cluster", cluster), ("node", node), ("class", class)]),
        devices: found.iter().filter(|name| **name == class).count() as u64,
    };
    let damaged_rows = damaged + unusable;
    let is_whole = damaged_rows == 0;
    Ok(NodePciDevices {
        classes: CLASSES.into_iter().filter(|_| is_whole).map(row).collect(),
        damaged_rows,
    })
}

/// The first byte of a class such as `0x020000`.
fn base_class(class: &str) -> Option<u8> {
    u8::from_str_radix(class.strip_prefix("0x")?.get(..2)?, 16).ok()
}

fn class_name(base: u8) -> &'static str {
    let mut classes = CLASSES.iter();
    let class = classes.find(|(_, known)| known.is_none_or(|known| known == base));
    class.map_or("other", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> (Vec<(String, u64)>, u64) {
        let answer = convert(body, "main", "pve1").unwrap();
        let row = |row: &PciDevices| {
            let pairs = str::from_utf8(row.identity.pairs()).unwrap();
            let class = pairs.strip_prefix(r#"pve_cluster="main",node="pve1",class=""#).unwrap();
            (class.trim_end_matches('"').to_owned(), row.devices)
        };
        (answer.classes.iter().map(row).collect(), answer.damaged_rows)
    }

    fn counts(body: &[u8]) -> Vec<u64> {
        read(body).0.into_iter().map(|(_, devices)| devices).collect()
    }

    #[test]
    fn recorded_devices_are_counted_by_class() {
        for body in [
            include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__hardware__pci.json").as_slice(),
            include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__hardware__pci.json"),
        ] {
            let (classes, damaged) = read(body);
            let names: Vec<&str> = classes.iter().map(|(name, _)| &**name).collect();
            assert_eq!(names, CLASSES.map(|(name, _)| name));
            assert_eq!((counts(body), damaged), (vec![1, 1, 0, 0, 0, 0, 0, 3], 0));
        }
    }

    #[test]
    fn constructed_devices_of_all_classes() {
        let classes = [
            "0x010802", "0x010601", "0x020000", "0x030200", "0x040300", "0x0c0330", "0x108000", "0x120000",
        ];
        let others = ["0x070002", "0x130000", "0xff0000"];
        let rows = classes
            .iter()
            .chain(&others)
            .map(|class| format!(r#"{{"id":"0000:01:00.0","class":"{class}"}}"#));
        let body = format!(r#"{{"data":[{}]}}"#, rows.collect::<Vec<_>>().join(","));
        assert_eq!(counts(body.as_bytes()), [2, 1, 1, 1, 1, 1, 1, 3]);
        assert_eq!(counts(br#"{"data":[]}"#), [0; 8], "that is known");
    }

    #[test]
    fn devices_that_cannot_be_read_have_not_vanished() {
        for row in [
            "7",
            r#"{"id":"0000:01:00.0"}"#,
            r#"{"class":"0xzz0000"}"#,
            r#"{"class":[]}"#,
            r#"{"class":"0x1"}"#,
        ] {
            let body = format!(r#"{{"data":[{{"class":"0x020000"}},{row}]}}"#);
            assert_eq!(read(body.as_bytes()), (vec![], 1), "{row}");
        }
        assert!(convert(br#"{"data":null}"#, "main", "pve1").is_err());
    }
}
