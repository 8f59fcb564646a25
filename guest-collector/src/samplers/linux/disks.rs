//! Block devices: `/proc/diskstats`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Disk;

use super::Roots;
use super::rows::Refill;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines};

pub(super) struct DiskCounters {
    file: Source,
}

impl DiskCounters {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: Source::new(roots.proc.join("diskstats"), Shape::Rows),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let Some(contents) = self.file.read_list(reading) else {
            areas.disks = None;
            return;
        };
        let mut disks = Refill::new(areas.disks.get_or_insert_default(), |disk: &mut Disk| &mut disk.device);
        for line in lines(contents) {
            if let Some(disk) = row(line, &mut disks) {
                disks.push(disk);
            }
        }
    }
}

/// Fourteen columns up to 4.17, eighteen up to 5.4, twenty since.
fn row(line: &[u8], disks: &mut Refill<'_, Disk>) -> Option<Disk> {
    let mut words = Words::of(line);
    let (major, minor) = (words.number()?, words.number()?);
    let device = words.next().filter(|name| !is_left_out(name))?;
    let mut columns = [None; 17];
    for column in &mut columns {
        *column = words.number();
    }
    let [
        reads,
        reads_merged,
        sectors_read,
        read_milliseconds,
        writes,
        writes_merged,
        sectors_written,
        write_milliseconds,
        in_progress,
        busy_milliseconds,
        weighted_milliseconds,
        discards,
        discards_merged,
        sectors_discarded,
        discard_milliseconds,
        flushes,
        flush_milliseconds,
    ] = columns;
    let weighted_milliseconds = weighted_milliseconds?;
    Some(Disk {
        device: disks.name(device),
        major: u32::try_from(major).ok()?,
        minor: u32::try_from(minor).ok()?,
        reads: reads?,
        reads_merged: reads_merged?,
        sectors_read: sectors_read?,
        read_milliseconds: read_milliseconds?,
        writes: writes?,
        writes_merged: writes_merged?,
        sectors_written: sectors_written?,
        write_milliseconds: write_milliseconds?,
        in_progress: in_progress?,
        busy_milliseconds: busy_milliseconds?,
        weighted_milliseconds,
        discards,
        discards_merged,
        sectors_discarded,
        discard_milliseconds,
        flushes,
        flush_milliseconds,
    })
}

/// Partitions, whose disk is told, and devices in memory, on other files or without a medium: what node_exporter leaves out as well.
fn is_left_out(name: &[u8]) -> bool {
    let Some(last) = name.iter().rposition(|byte| !byte.is_ascii_digit()) else {
        return true;
    };
    let (stem, digits) = name.split_at(last + 1);
    if digits.is_empty() {
        return false;
    }
    let is_lettered = |prefix: &[u8]| {
        stem.strip_prefix(prefix)
            .is_some_and(|letters| !letters.is_empty() && letters.iter().all(u8::is_ascii_lowercase))
    };
    matches!(stem, b"ram" | b"zram" | b"loop" | b"fd")
        || [&b"hd"[..], b"sd", b"vd", b"xvd"].into_iter().any(is_lettered)
        || is_nvme_partition(stem)
}

/// `nvme0n1p`
fn is_nvme_partition(stem: &[u8]) -> bool {
    let Some(numbers) = stem.strip_prefix(b"nvme").and_then(|rest| rest.strip_suffix(b"p")) else {
        return false;
    };
    let mut numbers = numbers
        .split(|byte| *byte == b'n')
        .map(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit));
    (numbers.next(), numbers.next(), numbers.next()) == (Some(true), Some(true), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_devices_in_memory_are_left_out() {
        for name in [
            "sda1",
            "vdz12",
            "xvda1",
            "hdb5",
            "sdaa3",
            "nvme0n1p1",
            "nvme10n12p3",
            "ram0",
            "zram1",
            "loop7",
            "fd0",
            "9",
        ] {
            assert!(is_left_out(name.as_bytes()), "{name}");
        }
        for name in [
            "sda", "vdaa", "nvme0n1", "dm-0", "md127", "sr0", "nbd0", "zd16", "mmcblk0", "xvd1", "nvmen1p1", "loop",
            "rbd3",
        ] {
            assert!(!is_left_out(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn columns_come_with_the_kernel() {
        let mut rows = Vec::new();
        let mut disks = Refill::new(&mut rows, |disk: &mut Disk| &mut disk.device);
        let mut parse = |line: &str| row(line.as_bytes(), &mut disks);
        let old = parse(" 8 0 sda 1 2 3 4 5 6 7 8 9 10 11").unwrap();
        assert_eq!((old.weighted_milliseconds, old.discards), (11, None));
        let middle = parse(" 8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15").unwrap();
        assert_eq!((middle.discard_milliseconds, middle.flushes), (Some(15), None));
        let future = parse(" 8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20").unwrap();
        assert_eq!(future.flush_milliseconds, Some(17));
        assert_eq!(parse(" 8 0 sda 1 2 3 4 5 6 7 8 9 10"), None);
        assert_eq!(parse(" 8 0 sda 1 2 3 x 5 6 7 8 9 10 11"), None);
        assert_eq!(parse(" 8"), None);
    }
}
