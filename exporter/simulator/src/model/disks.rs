//! The disks of a node, and what they say of themselves.

use crate::{
    Options,
    calendar::{Seconds, seconds},
    clock::Milliseconds,
    random::{counted, hash, walk, whole},
};

const SECTOR: u64 = 512;

/// How a disk is attached, which decides what it tells and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskKind {
    Nvme,
    Ssd,
    Hdd,
    Sas,
}

/// One disk.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) device: &'static str,
    pub(crate) kind: DiskKind,
    pub(crate) serial: String,
    pub(crate) wwn: String,
    /// It replaces more and more sectors, and says that it fails.
    pub(crate) failing: bool,
    /// Percent of its life that are left, if it wears.
    pub(crate) life_left: Option<u64>,
    started: Seconds,
    stream: u64,
}

/// The readings of a disk at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiskSample {
    pub(crate) temperature: u64,
    pub(crate) power_on_hours: u64,
    pub(crate) reallocated: u64,
    pub(crate) pending: u64,
    pub(crate) read: u64,
    pub(crate) written: u64,
}

/// The disks of a node. In a lively cluster one of the first node fails, and one of the second is worn.
pub(super) fn disks(options: &Options, node: u64, start: Milliseconds) -> Vec<Disk> {
    let (failing, worn) = if options.is_troubled() {
        (node == 1, node == 2.min(options.nodes as u64))
    } else {
        (false, false)
    };
    let disk = |device: &'static str, kind: DiskKind, number: u64| {
        let stream = hash(&[options.seed, 0x6469_736B, node, number]);
        Disk {
            device,
            kind,
            serial: format!("S{:012X}", stream >> 16),
            wwn: format!("0x5000c5{:010x}", stream >> 24),
            failing: failing && kind == DiskKind::Hdd,
            life_left: match kind {
                DiskKind::Ssd if worn => Some(4),
                DiskKind::Ssd | DiskKind::Nvme => Some(70 + stream % 30),
                DiskKind::Hdd | DiskKind::Sas => None,
            },
            started: seconds(start),
            stream,
        }
    };
    let mut disks = vec![
        disk("nvme0n1", DiskKind::Nvme, 1),
        disk("sda", DiskKind::Hdd, 2),
        disk("sdb", DiskKind::Ssd, 3),
    ];
    if node.is_multiple_of(3) {
        disks.push(disk("sdc", DiskKind::Sas, 4));
    }
    disks
}

impl Disk {
    pub(crate) fn model(&self) -> &'static str {
        match self.kind {
            DiskKind::Nvme => "SAMSUNG MZQL2960HCJR-00A07",
            DiskKind::Ssd => "INTEL_SSDSC2KB960G8",
            DiskKind::Hdd => "ST4000NM0035-1V4107",
            DiskKind::Sas => "ST4000NM0295",
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self.kind {
            DiskKind::Nvme | DiskKind::Ssd => 960_197_124_096,
            DiskKind::Hdd | DiskKind::Sas => 4_000_787_030_016,
        }
    }

    /// In the words of `smartctl`.
    pub(crate) fn health(&self) -> &'static str {
        match self.kind {
            DiskKind::Sas => "OK",
            _ if self.failing => "FAILED!",
            _ => "PASSED",
        }
    }

    pub(crate) fn sample(&self, at: Seconds) -> DiskSample {
        let part = |number: u64| hash(&[self.stream, number]);
        let age = 4_000 * 3_600 + part(1) % (20_000 * 3_600);
        let hours = (age + at.saturating_sub(self.started)) / 3_600;
        let since_start = at.saturating_sub(self.started);
        let moved = |number: u64, rate: f64| {
            let before = age * whole(rate);
            (before + counted(part(number), rate, since_start as f64)) / SECTOR * SECTOR
        };
        let bad = if self.failing { 24 + since_start / 600 } else { 0 };
        DiskSample {
            temperature: 28 + whole(12.0 * walk(part(2), at as f64, 7_200.0)),
            power_on_hours: hours,
            reallocated: bad,
            pending: bad / 3,
            read: moved(3, 4e6),
            written: moved(4, 2e6),
        }
    }
}
