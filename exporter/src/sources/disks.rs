//! `/nodes/{node}/disks/list`: the disks of one node, without waking any.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api::disks_list::{Row, decode};
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::pve::perl::float_to_whole;
use crate::sources::name::SourceName;
use crate::subjects::disk::{Disk, DiskText};

/// Otherwise PVE runs `smartctl` for each disk, one after the other in one call: that wakes disks that sleep, and may take
/// minutes.
const PATH: &str = "disks/list?skipsmart=1";

/// More disks than a node can have are a damaged answer.
const MOST_DISKS: usize = 1024;

/// The longest text that becomes a label, in characters. ATA has 40 for a model, and SCSI 64 for a serial number.
const LONGEST_TEXT: usize = 64;

/// The disks of one node.
#[derive(Debug)]
pub struct NodeDisks {
    /// Sorted by device.
    pub disks: Vec<Disk>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>) -> Result<NodeDisks, ApiError> {
    let request = Request::node(node, PATH, SourceName::Disks.cost());
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, node))
}

fn convert(body: &[u8], cluster: &str, node: &str) -> Result<NodeDisks, DecodeError> {
    let (mut disks, mut unusable) = (BTreeMap::new(), 0);
    let damaged = decode(body, |row| match device(&row.devpath) {
        Some(device) if disks.len() < MOST_DISKS => {
            let device: Arc<str> = device.into();
            disks
                .entry(Arc::clone(&device))
                .or_insert_with(|| disk(&row, cluster, node, device));
        }
        _ => unusable += 1,
    })?;
    Ok(NodeDisks {
        disks: disks.into_values().collect(),
        damaged_rows: damaged + unusable,
    })
}

fn disk(row: &Row<'_>, cluster: &str, node: &str, device: Arc<str>) -> Disk {
    let mut osds: Vec<u64> = row.osdid_list.iter().copied().filter_map(float_to_whole).collect();
    osds.extend(row.osdid);
    osds.sort_unstable();
    osds.dedup();
    let kind = match &*row.r#type {
        "hdd" => "hdd",
        "ssd" => "ssd",
        "nvme" => "nvme",
        "usb" => "usb",
        _ => "",
    };
    let text = DiskText {
        model: label(&row.model),
        serial: label(&row.serial),
        kind,
        vendor: label(&row.vendor),
        wwn: label(&row.wwn),
        usage: if osds.is_empty() { usage(&row.used) } else { "ceph" },
        osd: osds.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
    };
    Disk {
        identity: Identity::new(&[("pve_cluster", cluster), ("node", node), ("device", &device)]),
        device,
        text: text.into(),
        size: row.size.filter(|size| *size > 0),
        rotations: row.rpm.and_then(float_to_whole).filter(|rotations| *rotations > 0),
    }
}

/// The device's name below `/dev`: what PVE takes to read SMART by has these characters and no others.
fn device(path: &str) -> Option<&str> {
    let device = path.strip_prefix("/dev/")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/';
    (!device.is_empty() && device.len() <= 32 && device.bytes().all(allowed)).then_some(device)
}

/// Text as a label; none for PVE's `unknown`.
fn label(text: &str) -> String {
    match text.trim() {
        "unknown" => String::new(),
        text => text.chars().take(LONGEST_TEXT).collect(),
    }
}

/// PVE's word is its own, `lsblk`'s for a file system, or one of a partition's type.
fn usage(used: &str) -> &'static str {
    match used {
        "" => "unused",
        "LVM" | "LVM2_member" => "lvm",
        "ZFS" | "ZFS reserved" | "zfs_member" => "zfs",
        "BIOS boot" | "EFI" => "boot",
        "mounted" => "mounted",
        "partitions" => "partitions",
        "Device Mapper" => "device_mapper",
        "swap" => "swap",
        "crypto_LUKS" | "BitLocker" => "encrypted",
        "linux_raid_member" | "isw_raid_member" | "ddf_raid_member" => "raid",
        "mpath_member" => "multipath",
        used if used.starts_with("ceph") => "ceph",
        "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "bcachefs" | "f2fs" | "vfat" | "exfat" | "ntfs" | "iso9660" => {
            "filesystem"
        }
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
