//! A file system of a guest, as its agent tells.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One file system.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestFilesystem {
    /// `pve_cluster`, `id` and `mountpoint`.
    pub identity: Identity,
    /// Its device and type, where they are to be shown.
    pub device: Option<(Box<str>, Box<str>)>,
    /// Bytes that it holds, those kept for root among them where they are known.
    pub size: Option<u64>,
    /// Bytes in use.
    pub usage: Option<u64>,
    /// Bytes that users may still use.
    pub available: Option<u64>,
}

impl Subject for GuestFilesystem {
    const NAME: &'static str = "guest file system";
    const ROWS: &'static str = "one per file system on a disk of a virtual machine whose agent tells them, by its shortest mount point however often it is mounted; at most 32 per guest; without those that are full by nature or not on a disk, such as squashfs, erofs, iso9660, udf, overlay and tmpfs";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "mountpoint"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_guest_filesystem_size_bytes",
            Unit::Bytes,
            "Size of the file system with what is kept for root, or without it where the agent is too old to tell; /nodes/{node}/qemu/{vmid}/agent/get-fsinfo total-bytes-privileged or total-bytes.",
            |file_system| file_system.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_filesystem_usage_bytes",
            Unit::Bytes,
            "Bytes in use; absent where the agent tells more than the size; /nodes/{node}/qemu/{vmid}/agent/get-fsinfo used-bytes.",
            |file_system| file_system.usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_filesystem_available_bytes",
            Unit::Bytes,
            "Bytes that users other than root may still use, so less than size without usage where some are kept for root; /nodes/{node}/qemu/{vmid}/agent/get-fsinfo total-bytes less used-bytes.",
            |file_system| file_system.available.map(Into::into),
        ),
        Metric::info(
            "pve_guest_filesystem_info",
            &["device", "type"],
            "The device and type of the file system; /nodes/{node}/qemu/{vmid}/agent/get-fsinfo name, type.",
            |file_system, labels| match &file_system.device {
                Some((device, kind)) => {
                    labels.label("device", device);
                    labels.label("type", kind);
                    true
                }
                None => false,
            },
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
