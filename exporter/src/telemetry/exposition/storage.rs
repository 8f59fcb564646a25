//! Disks and file systems.

use std::collections::BTreeSet;

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::{Disk, FileSystem};

use super::filter::is_disk;
use super::{Filter, Row, parts, rows, whole};
use crate::metrics::catalog::{Group, group};
use crate::metrics::exposition::Section;
use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit, Value};

const SECTOR: u64 = 512;
const MILLISECONDS: f64 = 1e3;

pub(super) fn sections(areas: &Areas, filter: Filter) -> Vec<Box<dyn Section>> {
    let disks = areas.disks.iter().flatten().filter(|disk| is_disk(&disk.device));
    let disks = disks.map(|disk| Row {
        identity: Identity::new(&[("device", &disk.device)]),
        value: disk.clone(),
    });
    let shown = areas.file_systems.iter().flatten();
    let shown: Vec<_> = shown.filter(|system| filter.file_system(system)).collect();
    let file_systems = shown.iter().map(|system| Row {
        identity: Identity::new(&[
            ("device", &system.device),
            ("fstype", &system.kind),
            ("mountpoint", &system.mount_point),
        ]),
        value: FileSystem::clone(system),
    });
    let mut seen = BTreeSet::new();
    let mounts = shown.iter().filter_map(|system| {
        let numbers = Numbers::of(system)?;
        let (device, mount_point) = (&*system.device, &*system.mount_point);
        // One that covers another has perhaps nothing but its type of its own.
        seen.insert((device, mount_point)).then(|| Row {
            identity: Identity::new(&[("device", device), ("mountpoint", mount_point)]),
            value: numbers,
        })
    });
    vec![
        rows(disks.collect()),
        rows(file_systems.collect()),
        rows(mounts.collect()),
    ]
}

/// Of the device of a file system.
#[derive(Clone)]
struct Numbers {
    major: u32,
    minor: u32,
}

impl Numbers {
    fn of(system: &FileSystem) -> Option<Self> {
        let (Some(major), Some(minor), None) = (system.major, system.minor, &system.error) else {
            return None;
        };
        Some(Self { major, minor })
    }
}

pub(super) fn groups() -> Vec<Group> {
    vec![
        group::<Row<Disk>>(),
        group::<Row<FileSystem>>(),
        group::<Row<Numbers>>(),
    ]
}

fn bytes(sectors: u64) -> Option<Value> {
    Some(sectors.saturating_mul(SECTOR).into())
}

fn seconds(milliseconds: Option<u64>) -> Option<Value> {
    parts(milliseconds, MILLISECONDS)
}

impl Subject for Row<Disk> {
    const NAME: &'static str = "disk";
    const ROWS: &'static str = "one per block device, without partitions, loops and RAM disks";
    const LABELS: &'static [&'static str] = &["device"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge_info(
            "node_disk_info",
            &["major", "minor"],
            "The numbers of the device.",
            |disk, labels| {
                labels.label("major", itoa::Buffer::new().format(disk.major));
                labels.label("minor", itoa::Buffer::new().format(disk.minor));
                true
            },
        ),
        Metric::counter("node_disk_reads_completed_total", Unit::None, "Reads done.", |disk| {
            whole(Some(disk.reads))
        }),
        Metric::counter(
            "node_disk_reads_merged_total",
            Unit::None,
            "Reads that were joined with others before they were done.",
            |disk| whole(Some(disk.reads_merged)),
        ),
        Metric::counter("node_disk_read_bytes_total", Unit::Bytes, "Bytes read.", |disk| {
            bytes(disk.sectors_read)
        }),
        Metric::counter(
            "node_disk_read_time_seconds_total",
            Unit::Seconds,
            "Time that reads took, each counted.",
            |disk| seconds(Some(disk.read_milliseconds)),
        ),
        Metric::counter("node_disk_writes_completed_total", Unit::None, "Writes done.", |disk| {
            whole(Some(disk.writes))
        }),
        Metric::counter(
            "node_disk_writes_merged_total",
            Unit::None,
            "Writes that were joined with others before they were done.",
            |disk| whole(Some(disk.writes_merged)),
        ),
        Metric::counter("node_disk_written_bytes_total", Unit::Bytes, "Bytes written.", |disk| {
            bytes(disk.sectors_written)
        }),
        Metric::counter(
            "node_disk_write_time_seconds_total",
            Unit::Seconds,
            "Time that writes took, each counted.",
            |disk| seconds(Some(disk.write_milliseconds)),
        ),
        Metric::gauge("node_disk_io_now", Unit::None, "Requests under way.", |disk| {
            whole(Some(disk.in_progress))
        }),
        Metric::counter(
            "node_disk_io_time_seconds_total",
            Unit::Seconds,
            "Time in which requests were under way.",
            |disk| seconds(Some(disk.busy_milliseconds)),
        ),
        Metric::counter(
            "node_disk_io_time_weighted_seconds_total",
            Unit::Seconds,
            "Time in which requests were under way, each counted.",
            |disk| seconds(Some(disk.weighted_milliseconds)),
        ),
        Metric::counter(
            "node_disk_discards_completed_total",
            Unit::None,
            "Discards done; since Linux 4.18.",
            |disk| whole(disk.discards),
        ),
        Metric::counter(
            "node_disk_discards_merged_total",
            Unit::None,
            "Discards that were joined with others before they were done; since Linux 4.18.",
            |disk| whole(disk.discards_merged),
        ),
        Metric::counter(
            "node_disk_discarded_sectors_total",
            Unit::None,
            "Sectors of 512 bytes discarded; since Linux 4.18.",
            |disk| whole(disk.sectors_discarded),
        ),
        Metric::counter(
            "node_disk_discard_time_seconds_total",
            Unit::Seconds,
            "Time that discards took, each counted; since Linux 4.18.",
            |disk| seconds(disk.discard_milliseconds),
        ),
        Metric::counter(
            "node_disk_flush_requests_total",
            Unit::None,
            "Flushes done; since Linux 5.5.",
            |disk| whole(disk.flushes),
        ),
        Metric::counter(
            "node_disk_flush_requests_time_seconds_total",
            Unit::Seconds,
            "Time that flushes took, each counted; since Linux 5.5.",
            |disk| seconds(disk.flush_milliseconds),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Row<FileSystem> {
    /// A figure of a file system that could be asked.
    fn told(&self, figure: Option<u64>) -> Option<Value> {
        whole(figure.filter(|_| self.error.is_none()))
    }
}

impl Subject for Row<FileSystem> {
    const NAME: &'static str = "file system";
    const ROWS: &'static str =
        "one per mount, without those of the kernel, of containers and of images that are packed read-only";
    const LABELS: &'static [&'static str] = &["device", "fstype", "mountpoint"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge("node_filesystem_size_bytes", Unit::Bytes, "Size.", |system| {
            system.told(system.size_bytes)
        }),
        Metric::gauge(
            "node_filesystem_free_bytes",
            Unit::Bytes,
            "What is free, that for root alone included.",
            |system| system.told(system.free_bytes),
        ),
        Metric::gauge(
            "node_filesystem_avail_bytes",
            Unit::Bytes,
            "What is free for everybody.",
            |system| system.told(system.available_bytes),
        ),
        Metric::gauge("node_filesystem_files", Unit::None, "Inodes.", |system| {
            system.told(system.inodes)
        }),
        Metric::gauge("node_filesystem_files_free", Unit::None, "Free inodes.", |system| {
            system.told(system.inodes_free)
        }),
        Metric::gauge(
            "node_filesystem_readonly",
            Unit::None,
            "Whether nothing can be written.",
            |system| Some(system.read_only.into()),
        ),
        Metric::gauge(
            "node_filesystem_device_error",
            Unit::None,
            "Whether it did not tell how full it is, or not in time.",
            |system| Some(system.error.is_some().into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Numbers> {
    const NAME: &'static str = "mount";
    const ROWS: &'static str = "one per mount of those that told how full they are";
    const LABELS: &'static [&'static str] = &["device", "mountpoint"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge_info(
        "node_filesystem_mount_info",
        &["major", "minor"],
        "The numbers of its device.",
        |numbers, labels| {
            labels.label("major", itoa::Buffer::new().format(numbers.major));
            labels.label("minor", itoa::Buffer::new().format(numbers.minor));
            true
        },
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
