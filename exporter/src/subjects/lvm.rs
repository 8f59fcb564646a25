//! LVM on a node: thin pools and volume groups.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// A thin pool.
#[derive(Clone, Debug)]
pub struct ThinPool {
    /// `pve_cluster`, `node`, `vg` and `lv`.
    pub identity: Identity,
    /// Bytes it holds.
    pub size: Option<u64>,
    /// Bytes in use; absent where it is not active.
    pub usage: Option<u64>,
    /// Bytes that its metadata may take.
    pub metadata_size: Option<u64>,
    /// Bytes that they take; absent where it is not active.
    pub metadata_usage: Option<u64>,
}

/// A volume group.
#[derive(Clone, Debug)]
pub struct VolumeGroup {
    /// `pve_cluster`, `node` and `vg`.
    pub identity: Identity,
    /// Bytes of its physical volumes.
    pub size: Option<u64>,
    /// Bytes of them in no logical volume.
    pub free: Option<u64>,
    /// Its physical volumes.
    pub physical_volumes: Option<u64>,
    /// Those of them that are gone.
    pub missing_volumes: Option<u64>,
    /// Its logical volumes.
    pub logical_volumes: Option<u64>,
}

impl Subject for ThinPool {
    const NAME: &'static str = "lvm thin pool";
    const ROWS: &'static str = "one per thin pool of a node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "vg", "lv"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_lvmthin_pool_size_bytes",
            Unit::Bytes,
            "Size of the thin pool; /nodes/{node}/disks/lvmthin lv_size.",
            |pool| pool.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_lvmthin_pool_usage_bytes",
            Unit::Bytes,
            "Bytes in use in the thin pool; when it is full its guests cannot write; absent when it is not active; /nodes/{node}/disks/lvmthin used.",
            |pool| pool.usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_lvmthin_pool_metadata_size_bytes",
            Unit::Bytes,
            "Space for the metadata of the thin pool; /nodes/{node}/disks/lvmthin metadata_size.",
            |pool| pool.metadata_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_lvmthin_pool_metadata_usage_bytes",
            Unit::Bytes,
            "Space that the metadata of the thin pool take; when it is full the pool fails; absent when it is not active; /nodes/{node}/disks/lvmthin metadata_used.",
            |pool| pool.metadata_usage.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for VolumeGroup {
    const NAME: &'static str = "lvm volume group";
    const ROWS: &'static str =
        "one per volume group and node that sees it: one on a shared disk is seen by several nodes";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "vg"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_lvm_vg_size_bytes",
            Unit::Bytes,
            "Size of the volume group; /nodes/{node}/disks/lvm size.",
            |group| group.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_lvm_vg_free_bytes",
            Unit::Bytes,
            "Space of the volume group that no logical volume has; a thin pool has all of its size; /nodes/{node}/disks/lvm free.",
            |group| group.free.map(Into::into),
        ),
        Metric::gauge(
            "pve_lvm_vg_physical_volumes",
            Unit::None,
            "Physical volumes of the volume group; /nodes/{node}/disks/lvm children.",
            |group| group.physical_volumes.map(Into::into),
        ),
        Metric::gauge(
            "pve_lvm_vg_physical_volumes_missing",
            Unit::None,
            "Physical volumes of the volume group whose device is gone; /nodes/{node}/disks/lvm children name.",
            |group| group.missing_volumes.map(Into::into),
        ),
        Metric::gauge(
            "pve_lvm_vg_logical_volumes",
            Unit::None,
            "Logical volumes of the volume group; /nodes/{node}/disks/lvm lvcount.",
            |group| group.logical_volumes.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
