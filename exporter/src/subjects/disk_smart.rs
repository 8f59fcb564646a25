//! What a disk says of itself by SMART.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The readings of one disk.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskSmart {
    /// `pve_cluster`, `node` and `device`.
    pub identity: Identity,
    /// What was read.
    pub readings: Arc<Readings>,
}

/// What a disk says; each value is `None` where it does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// `ok`, `failing` or `unknown`.
    pub health: Option<&'static str>,
    /// The share of its rated life that is used up.
    pub life_used: Option<f64>,
    /// Degrees Celsius.
    pub temperature: Option<f64>,
    /// Attributes of ATA whose value is at their threshold or below.
    pub failing_attributes: Option<u64>,
    /// Seconds that it has been on.
    pub power_on: Option<f64>,
    /// How often it was switched on.
    pub power_cycles: Option<u64>,
    /// How often NVMe lost power without notice.
    pub unsafe_shutdowns: Option<u64>,
    /// Sectors, or blocks of flash, that were replaced.
    pub reallocated: Option<u64>,
    /// Sectors that could not be read and wait for a write.
    pub pending: Option<u64>,
    /// Sectors that a scan could not correct.
    pub uncorrectable: Option<u64>,
    /// Defects that SAS has found since it was made.
    pub grown_defects: Option<u64>,
    /// Errors beyond correction that ATA told its host of.
    pub reported_uncorrectable: Option<u64>,
    /// Times that NVMe found its data damaged.
    pub media_errors: Option<u64>,
    /// Commands that ATA gave up.
    pub command_timeouts: Option<u64>,
    /// Errors between ATA and its host.
    pub crc_errors: Option<u64>,
    /// The bits of NVMe.
    pub critical_warning: Option<u64>,
    /// The share of spare blocks that are left.
    pub available_spare: Option<f64>,
    /// Bytes read in its life.
    pub read_bytes: Option<u64>,
    /// Bytes written in its life.
    pub written_bytes: Option<u64>,
}

impl Subject for DiskSmart {
    const NAME: &'static str = "disk's own readings";
    const ROWS: &'static str = "one per disk that has been asked, only with the source disk_smart, which is off by default; the disks of a node are asked one after the other, every six hours by default, and one that sleeps is woken by it";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "device"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::state(
            "pve_disk_health",
            &["health"],
            "What the disk says of itself: ok, failing, or unknown for one without SMART; /nodes/{node}/disks/smart health.",
            |disk| disk.readings.health,
        ),
        Metric::gauge(
            "pve_disk_life_used_ratio",
            Unit::Ratio,
            "Share of its rated life that a solid-state disk has used up, more than 1 beyond that; /nodes/{node}/disks/smart wearout, of a disk at ATA the attribute that PVE takes for it, both of which tell what is left.",
            |disk| disk.readings.life_used.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_temperature_celsius",
            Unit::Celsius,
            "Temperature of the disk when it was last asked, which is hours ago; /nodes/{node}/disks/smart attribute 194 or 190, Temperature, Current Drive Temperature.",
            |disk| disk.readings.temperature.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_smart_failing_attributes",
            Unit::None,
            "Attributes that are at their threshold or below now, of a disk at ATA; /nodes/{node}/disks/smart fail.",
            |disk| disk.readings.failing_attributes.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_power_on_seconds",
            Unit::Seconds,
            "Time that the disk has been on in its life; /nodes/{node}/disks/smart attribute 9, Power On Hours, Accumulated power on time.",
            |disk| disk.readings.power_on.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_power_cycles",
            Unit::None,
            "How often the disk was switched on; /nodes/{node}/disks/smart attribute 12, Power Cycles.",
            |disk| disk.readings.power_cycles.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_unsafe_shutdowns",
            Unit::None,
            "How often an NVMe disk lost its power without notice; /nodes/{node}/disks/smart Unsafe Shutdowns.",
            |disk| disk.readings.unsafe_shutdowns.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_reallocated_sectors",
            Unit::None,
            "Sectors, or blocks of flash, that a disk at ATA has replaced by spare ones; /nodes/{node}/disks/smart attribute 5.",
            |disk| disk.readings.reallocated.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_pending_sectors",
            Unit::None,
            "Sectors that a disk at ATA could not read and replaces when they are written; /nodes/{node}/disks/smart attribute 197.",
            |disk| disk.readings.pending.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_uncorrectable_sectors",
            Unit::None,
            "Sectors that a scan of a disk at ATA found to be beyond correction; /nodes/{node}/disks/smart attribute 198.",
            |disk| disk.readings.uncorrectable.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_grown_defects",
            Unit::None,
            "Defects that a disk at SAS has found since it was made; /nodes/{node}/disks/smart Elements in grown defect list.",
            |disk| disk.readings.grown_defects.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_reported_uncorrectable_errors",
            Unit::None,
            "Errors beyond correction that a disk at ATA told its host of; /nodes/{node}/disks/smart attribute 187.",
            |disk| disk.readings.reported_uncorrectable.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_media_errors",
            Unit::None,
            "How often an NVMe disk found data that it could not read or verify; /nodes/{node}/disks/smart Media and Data Integrity Errors.",
            |disk| disk.readings.media_errors.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_command_timeouts",
            Unit::None,
            "Commands that a disk at ATA did not end in time; /nodes/{node}/disks/smart attribute 188.",
            |disk| disk.readings.command_timeouts.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_crc_errors",
            Unit::None,
            "Errors in the transfer between a disk at ATA and its host, mostly of a cable; /nodes/{node}/disks/smart attribute 199.",
            |disk| disk.readings.crc_errors.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_critical_warning",
            Unit::None,
            "What an NVMe disk warns of, in bits: 1 spare blocks are short, 2 temperature, 4 reliability, 8 read-only, 16 backup of volatile memory, 32 persistent memory; /nodes/{node}/disks/smart Critical Warning.",
            |disk| disk.readings.critical_warning.map(Into::into),
        ),
        Metric::gauge(
            "pve_disk_available_spare_ratio",
            Unit::Ratio,
            "Share of its spare blocks that an NVMe disk has left; /nodes/{node}/disks/smart Available Spare.",
            |disk| disk.readings.available_spare.map(Into::into),
        ),
        Metric::counter(
            "pve_disk_smart_read_bytes_total",
            Unit::Bytes,
            "Bytes read from the disk in its life; of a disk at ATA only where smartctl says in which units it counts, LBAs taken for 512 bytes; /nodes/{node}/disks/smart attribute 242, Data Units Read.",
            |disk| disk.readings.read_bytes.map(Into::into),
        ),
        Metric::counter(
            "pve_disk_smart_written_bytes_total",
            Unit::Bytes,
            "Bytes written to the disk in its life; of a disk at ATA only where smartctl says in which units it counts, LBAs taken for 512 bytes; /nodes/{node}/disks/smart attribute 241, Data Units Written.",
            |disk| disk.readings.written_bytes.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
