//! `/nodes/{node}/disks/lvm`: the volume groups of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::api::node_lvm::Row;
use crate::pve::client::Client;
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::plain_name::is_plain;
use crate::sources::tool::Tool;
use crate::subjects::lvm::VolumeGroup;

/// The most volume groups of one node that are reported on.
const MOST_GROUPS: usize = 256;

const PATH: &str = "disks/lvm";

/// What LVM calls a physical volume whose device is gone.
const MISSING: [&str; 2] = ["[unknown]", "unknown device"];

/// The volume groups of one node, as subjects.
#[derive(Debug, Default)]
pub struct VolumeGroups {
    /// By name.
    pub groups: Vec<VolumeGroup>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>, lvm: &Tool) -> Result<VolumeGroups, ApiError> {
    let Some(answer) = lvm.get(client, node, PATH).await? else {
        return Ok(VolumeGroups::default());
    };
    answer.decode(&format!("/nodes/{node}/{PATH}"), |body| convert(body, cluster, node))
}

fn convert(body: &[u8], cluster: &str, node: &str) -> Result<VolumeGroups, DecodeError> {
    let mut groups = BTreeMap::new();
    let mut unusable = 0;
    let damaged = api::node_lvm::decode(body, |row| {
        if !is_plain(&row.name) {
            unusable += 1;
        } else if groups.len() < MOST_GROUPS {
            groups.insert(row.name.clone().into_owned(), group(&row, cluster, node));
        }
    })?;
    Ok(VolumeGroups {
        groups: groups.into_values().collect(),
        damaged_rows: damaged + unusable,
    })
}

fn group(row: &Row<'_>, cluster: &str, node: &str) -> VolumeGroup {
    let volumes = row.children.iter().flatten();
    let missing = volumes.filter(|volume| MISSING.contains(&&*volume.name)).count();
    // A group has at least one physical volume.
    let known = !row.children.is_empty();
    VolumeGroup {
        identity: Identity::new(&[("pve_cluster", cluster), ("node", node), ("vg", &row.name)]),
        size: row.size,
        free: row.free,
        logical_volumes: row.lvcount,
        physical_volumes: known.then_some(row.children.len() as u64),
        missing_volumes: known.then_some(missing as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> VolumeGroups {
        convert(body, "main", "pve1").unwrap()
    }

    #[test]
    fn recorded_nodes_have_none() {
        let groups = read(include_bytes!(
            "../../tests/fixtures/pve-9.2/nodes__pve1__disks__lvm.json"
        ));
        assert_eq!((groups.groups.len(), groups.damaged_rows), (0, 0));
    }

    #[test]
    fn constructed_groups() {
        let groups = read(include_bytes!(
            "../../tests/fixtures/pve-9/nodes__pve1__disks__lvm.json"
        ));
        let [data, pve] = &*groups.groups else {
            panic!("{groups:?}")
        };
        assert_eq!(
            str::from_utf8(pve.identity.pairs()),
            Ok(r#"pve_cluster="main",node="pve1",vg="pve""#)
        );
        assert_eq!((pve.size, pve.free), (Some(511_033_999_360), Some(17_175_674_880)));
        assert_eq!(
            (pve.physical_volumes, pve.missing_volumes, pve.logical_volumes),
            (Some(1), Some(0), Some(9))
        );
        assert_eq!(
            (data.physical_volumes, data.missing_volumes, data.free),
            (Some(2), Some(1), Some(0))
        );
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let groups = read(
            br#"{"data":{"leaf":0,"children":[7,{"name":"a b","size":1},{"name":"b","size":{},"free":"5","children":"x"},
                {"name":"a","size":"9","lvcount":-1,"children":[null,{"name":7}]}]}}"#,
        );
        let known: Vec<_> = groups
            .groups
            .iter()
            .map(|group| (group.size, group.free, group.physical_volumes))
            .collect();
        assert_eq!(known, [(Some(9), None, Some(2)), (None, Some(5), None)]);
        assert_eq!(groups.damaged_rows, 2);
        assert!(convert(br#"{"data":[]}"#, "main", "pve1").is_err());
    }
}
