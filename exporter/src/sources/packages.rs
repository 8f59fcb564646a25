//! `/nodes/{node}/apt/versions`: which packages of a node wait to be updated, and whether its newest kernel runs.
//!
//! Which packages wait in all PVE tells only to tokens that may change the node. These are those that Proxmox VE is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api::apt_versions::{Row, decode};
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::kernel_release::{compare, is_proxmox, of_package};
use crate::sources::name::SourceName;
use crate::subjects::node;
use crate::subjects::packages::{NodeUpdates, Package};

/// The packages whose versions are told.
const TOLD: [&str; 11] = [
    "ceph",
    "corosync",
    "libpve-storage-perl",
    "lxc-pve",
    "pve-cluster",
    "pve-container",
    "pve-ha-manager",
    "pve-manager",
    "pve-qemu-kvm",
    "qemu-server",
    "zfsutils-linux",
];

/// The packages of one node.
#[derive(Debug)]
pub struct NodePackages {
    /// What waits.
    pub updates: NodeUpdates,
    /// Versions, by package.
    pub packages: Arc<[Package]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>) -> Result<NodePackages, ApiError> {
    let request = Request::node(node, "apt/versions", SourceName::Packages.cost());
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, node))
}

/// Turns a body into subjects.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str, node: &str) -> Result<NodePackages, DecodeError> {
    let mut rows = BTreeMap::new();
    let mut unusable = 0;
    let damaged = decode(body, |row| {
        if row.package.is_empty() {
            unusable += 1;
        } else {
            rows.insert(row.package.clone().into_owned(), row);
        }
    })?;
    let running = rows.get("proxmox-ve").map(|row| &*row.running_kernel);
    let running = running.filter(|release| may_be_label(release)).unwrap_or_default();
    let installed: Vec<&Row<'_>> = rows.values().filter(|row| is_installed(row)).collect();
    let kernels = installed.iter().filter_map(|row| of_package(&row.package));
    let newest = kernels.max_by(|left, right| compare(left, right));
    let comparable = Some(running).filter(|release| is_proxmox(release));
    let waits = |row: &&&Row<'_>| !row.version.is_empty() && row.version != row.old_version;
    let updates = NodeUpdates {
        identity: node::identity(cluster, node),
        pending: (!installed.is_empty()).then(|| installed.iter().filter(waits).count() as u64),
        reboot_needed: comparable
            .zip(newest)
            .map(|(running, newest)| compare(running, newest).is_lt()),
        running_kernel: running.into(),
        newest_kernel: newest.unwrap_or_default().into(),
    };
    let packages = TOLD.into_iter().filter_map(|name| {
        let row = rows.get(name).filter(|row| is_installed(row))?;
        may_be_label(&row.old_version).then(|| Package {
            identity: Identity::new(&[("pve_cluster", cluster), ("node", node), ("package", name)]),
            name,
            version: (&*row.old_version).into(),
        })
    });
    Ok(NodePackages {
        updates,
        packages: packages.collect(),
        damaged_rows: damaged + unusable,
    })
}

fn is_installed(row: &Row<'_>) -> bool {
    !row.old_version.is_empty() && matches!(&*row.current_state, "Installed" | "")
}

/// Whether a version or release is as plain as they all are.
fn may_be_label(version: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+~:_".contains(&byte);
    (1..=64).contains(&version.len()) && version.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> NodePackages {
        convert(body, "main", "pve1").unwrap()
    }

    fn versions(answer: &NodePackages) -> Vec<(&'static str, &str)> {
        answer.packages.iter().map(|row| (row.name, &*row.version)).collect()
    }

    fn kernels(answer: &NodePackages) -> (&str, &str, Option<bool>) {
        let updates = &answer.updates;
        (&updates.running_kernel, &updates.newest_kernel, updates.reboot_needed)
    }

    #[test]
    fn a_recorded_node_without_a_kernel_of_proxmox_tells_its_packages_all_the_same() {
        for body in [
            include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__apt__versions.json").as_slice(),
            include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__apt__versions.json"),
        ] {
            let answer = read(body);
            assert_eq!(versions(&answer), [("corosync", "3.1.9-2+deb13u1")]);
            assert_eq!((answer.updates.pending, answer.damaged_rows), (Some(0), 0));
            assert_eq!(kernels(&answer), ("", "", None));
        }
    }

    #[test]
    fn a_constructed_node_of_9_waits_for_its_new_kernel() {
        let answer = read(include_bytes!(
            "../../tests/fixtures/pve-9/nodes__pve1__apt__versions.json"
        ));
        assert_eq!(kernels(&answer), ("6.17.4-1-pve", "6.17.13-2-pve", Some(true)));
        assert_eq!(answer.updates.pending, Some(3), "what is not installed is no update");
        assert!(versions(&answer).contains(&("pve-manager", "9.1.4")));
        assert_eq!(versions(&answer).len(), 5);
    }

    #[test]
    fn constructed_nodes_of_8_and_7_run_their_newest_kernel() {
        let eight = read(include_bytes!(
            "../../tests/fixtures/pve-8/nodes__pve1__apt__versions.json"
        ));
        assert_eq!(kernels(&eight), ("6.8.12-10-pve", "6.8.12-10-pve", Some(false)));
        assert_eq!(eight.updates.pending, Some(1));
        let seven = read(include_bytes!(
            "../../tests/fixtures/pve-7/nodes__pve1__apt__versions.json"
        ));
        assert_eq!(kernels(&seven), ("5.15.158-2-pve", "5.15.158-2-pve", Some(false)));
        assert_eq!(seven.updates.pending, Some(0));
    }

    #[test]
    fn nothing_is_said_of_a_kernel_that_is_not_of_proxmox() {
        let answer = read(
            br#"{"data":[{"Package":"proxmox-ve","RunningKernel":"6.12.41+deb13-amd64"},
                {"Package":"proxmox-kernel-6.17.4-1-pve-signed","OldVersion":"6.17.4-1","Version":"6.17.4-1","CurrentState":"Installed"}]}"#,
        );
        assert_eq!(kernels(&answer), ("6.12.41+deb13-amd64", "6.17.4-1-pve", None));
    }

    #[test]
    fn damaged_rows_cost_only_themselves() {
        let answer = read(
            br#"{"data":[null,{"Package":{}},{"Package":"pve-manager","OldVersion":"a b","Version":"9"},
                {"Package":"ceph","OldVersion":{},"Version":"19"},{"Package":"qemu-server","OldVersion":"9.1.1","Version":[]}]}"#,
        );
        assert_eq!(versions(&answer), [("qemu-server", "9.1.1")]);
        assert_eq!((answer.updates.pending, answer.damaged_rows), (Some(1), 2));
        assert_eq!(read(br#"{"data":[]}"#).updates.pending, None);
    }
}
