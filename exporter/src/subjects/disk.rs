//! A disk of a node.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Disk {
    /// `pve_cluster`, `node` and `device`.
    pub identity: Identity,
    /// The name of its device below `/dev`, such as `sda`, which may be another one after a boot.
    pub device: Arc<str>,
    /// What it is, in words.
    pub text: Arc<DiskText>,
    /// Bytes.
    pub size: Option<u64>,
    /// Rotations per minute; `None` for what does not rotate.
    pub rotations: Option<u64>,
}

/// A disk in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskText {
    /// The model.
    pub model: String,
    /// The serial number, which stays when the device is another one.
    pub serial: String,
    /// `hdd`, `ssd`, `nvme` or `usb`; empty where PVE cannot tell, as of most disks at SAS.
    pub kind: &'static str,
    /// The vendor.
    pub vendor: String,
    /// The world wide name.
    pub wwn: String,
    /// One of a dozen words.
    pub usage: &'static str,
    /// The numbers of the Ceph OSDs on it, with commas between them.
    pub osd: String,
}

impl Subject for Disk {
    const NAME: &'static str = "disk";
    const ROWS: &'static str = "one per disk of a node, by its device, which may be another one after a boot: the info has the serial number; disks at iSCSI are left out";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "device"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_disk_info",
            &["model", "serial", "type", "vendor", "wwn", "usage", "osd"],
            "What the disk is, what it is used for (unused, partitions, boot, filesystem, mounted, swap, lvm, zfs, ceph, raid, multipath, encrypted, device_mapper or other) and which Ceph OSDs it has; /nodes/{node}/disks/list model, serial, type, vendor, wwn, used, osdid-list.",
            |disk, labels| {
                let text = &disk.text;
                labels.label("model", &text.model);
                labels.label("serial", &text.serial);
                labels.label("type", text.kind);
                labels.label("vendor", &text.vendor);
                labels.label("wwn", &text.wwn);
                labels.label("usage", text.usage);
                labels.label("osd", &text.osd);
                true
            },
        ),
        Metric::gauge(
            "pve_disk_capacity_bytes",
            Unit::Bytes,
            "Size of the disk; /nodes/{node}/disks/list size.",
            |disk| disk.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_rotations_per_minute",
            Unit::None,
            "Rotations per minute of a disk that rotates; absent for others and where udev does not know; /nodes/{node}/disks/list rpm.",
            |disk| disk.rotations.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
