//! A drive or mount point in a guest's configuration.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One drive or mount point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestDriveConfig {
    /// `pve_cluster`, `id` and `drive`.
    pub identity: Identity,
    /// The storage that holds it; empty for what is on none.
    pub storage: Arc<str>,
    /// What it is.
    pub media: Media,
    /// Bytes it may hold; `None` for a CD drive, and for what has no size of its own or no limit.
    pub size: Option<u64>,
    /// Whether backups of the guest leave it out.
    pub backup_excluded: bool,
}

/// What a drive or mount point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// A disk, a volume of a container, or firmware state.
    Disk,
    /// A CD drive, be it empty.
    Cdrom,
    /// The CD with cloud-init's data.
    Cloudinit,
    /// A directory of the node in a container.
    Bind,
    /// A device of the node in a container.
    Device,
    /// A volume that belongs to the guest and is in no use.
    Unused,
}

impl Media {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Cdrom => "cdrom",
            Self::Cloudinit => "cloudinit",
            Self::Bind => "bind",
            Self::Device => "device",
            Self::Unused => "unused",
        }
    }
}

impl Subject for GuestDriveConfig {
    const NAME: &'static str = "guest drive configuration";
    const ROWS: &'static str = "one per drive or mount point of a guest whose configuration has been read";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "drive"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_guest_drive_info",
            &["storage", "media"],
            "Where the drive or mount point lies and what it is: disk, cdrom, cloudinit, bind, device or unused; /nodes/{node}/{type}/{vmid}/pending value of scsiN, virtioN, sataN, ideN, efidisk0, tpmstate0, rootfs, mpN, unusedN.",
            |drive, labels| {
                labels.label("storage", &drive.storage);
                labels.label("media", drive.media.as_str());
                true
            },
        ),
        Metric::gauge(
            "pve_guest_drive_size_bytes",
            Unit::Bytes,
            "Size of the drive or mount point; absent for CD drives and where it has no limit; /nodes/{node}/{type}/{vmid}/pending size of the drive.",
            |drive| drive.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_drive_backup_excluded",
            Unit::None,
            "1 where backups of the guest leave the drive out: disks with backup=0, mount points without backup=1, and all bind and device mounts; absent elsewhere; /nodes/{node}/{type}/{vmid}/pending backup of the drive.",
            |drive| drive.backup_excluded.then_some(true.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
