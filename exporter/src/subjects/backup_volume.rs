//! The backups that lie on a storage.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};
use crate::subjects::guest::GuestKey;

/// The backups of one guest on one storage.
#[derive(Clone, Debug)]
pub struct BackupVolumes {
    /// `pve_cluster`, `id`, `storage`, and of a storage that is not shared `node`.
    pub identity: Identity,
    /// The guest.
    pub guest: GuestKey,
    /// What they are together.
    pub sum: VolumeSum,
}

/// Several backups of one guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeSum {
    /// How many.
    pub volumes: u64,
    /// Bytes in all; absent where one does not tell.
    pub size: Option<u64>,
    /// When the newest began, in Unix seconds.
    pub newest: Option<u64>,
    /// When the oldest began, in Unix seconds.
    pub oldest: Option<u64>,
    /// How many are not pruned.
    pub protected: u64,
    /// On a Proxmox Backup Server.
    pub server: Option<OnServer>,
}

/// What only a Proxmox Backup Server knows of its backups: how many of them are what.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OnServer {
    /// Verified, and whole.
    pub verified: u64,
    /// Not verified yet.
    pub unverified: u64,
    /// Verified, and damaged.
    pub failed: u64,
    /// Encrypted.
    pub encrypted: u64,
}

impl Subject for BackupVolumes {
    const NAME: &'static str = "backups on a storage";
    const ROWS: &'static str =
        "one per guest and storage with backups of it; PVE lists only those that the token may restore";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "storage", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_backup_volumes",
            Unit::None,
            "Backups of the guest on the storage; /nodes/{node}/storage/{storage}/content.",
            |backups| Some(backups.sum.volumes.into()),
        ),
        Metric::gauge(
            "pve_backup_volumes_size_bytes",
            Unit::Bytes,
            "Bytes of the guest's backups on the storage, on a Proxmox Backup Server before deduplication; /nodes/{node}/storage/{storage}/content size.",
            |backups| backups.sum.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_backup_volumes_newest_timestamp_seconds",
            Unit::Seconds,
            "When the newest of the guest's backups on the storage began; /nodes/{node}/storage/{storage}/content ctime.",
            |backups| backups.sum.newest.map(Into::into),
        ),
        Metric::gauge(
            "pve_backup_volumes_oldest_timestamp_seconds",
            Unit::Seconds,
            "When the oldest of the guest's backups on the storage began; /nodes/{node}/storage/{storage}/content ctime.",
            |backups| backups.sum.oldest.map(Into::into),
        ),
        Metric::gauge(
            "pve_backup_volumes_protected",
            Unit::None,
            "Backups of the guest on the storage that are protected from pruning; /nodes/{node}/storage/{storage}/content protected.",
            |backups| Some(backups.sum.protected.into()),
        ),
        Metric::gauge(
            "pve_backup_volumes_verified",
            Unit::None,
            "Backups of the guest that a Proxmox Backup Server verified and found whole; /nodes/{node}/storage/{storage}/content verification.",
            |backups| backups.sum.server.map(|server| server.verified.into()),
        ),
        Metric::gauge(
            "pve_backup_volumes_unverified",
            Unit::None,
            "Backups of the guest that a Proxmox Backup Server has not verified; /nodes/{node}/storage/{storage}/content verification.",
            |backups| backups.sum.server.map(|server| server.unverified.into()),
        ),
        Metric::gauge(
            "pve_backup_volumes_verification_failed",
            Unit::None,
            "Backups of the guest that a Proxmox Backup Server found damaged; /nodes/{node}/storage/{storage}/content verification.",
            |backups| backups.sum.server.map(|server| server.failed.into()),
        ),
        Metric::gauge(
            "pve_backup_volumes_encrypted",
            Unit::None,
            "Backups of the guest on a Proxmox Backup Server that are encrypted; /nodes/{node}/storage/{storage}/content encrypted.",
            |backups| backups.sum.server.map(|server| server.encrypted.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The backups on one storage whose guests are gone.
#[derive(Clone, Debug)]
pub struct OrphanedBackups {
    /// `pve_cluster`, `storage`, and of a storage that is not shared `node`.
    pub identity: Identity,
    /// How many.
    pub volumes: u64,
    /// Bytes in all; absent where one does not tell.
    pub size: Option<u64>,
}

impl Subject for OrphanedBackups {
    const NAME: &'static str = "orphaned backups";
    const ROWS: &'static str = "one per storage on which backups can be seen, if the token may see every guest";
    const LABELS: &'static [&'static str] = &["pve_cluster", "storage", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_backup_orphaned_volumes",
            Unit::None,
            "Backups on the storage whose guest no longer exists; a backup server that clusters share without namespaces shows those of other clusters, too; /nodes/{node}/storage/{storage}/content vmid, /cluster/resources.",
            |orphans| Some(orphans.volumes.into()),
        ),
        Metric::gauge(
            "pve_backup_orphaned_size_bytes",
            Unit::Bytes,
            "Bytes of the backups on the storage whose guest no longer exists; /nodes/{node}/storage/{storage}/content size, /cluster/resources.",
            |orphans| orphans.size.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
