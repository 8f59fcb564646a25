//! What a guest's configuration attaches to it: drives, mount points and network devices, and their shares of its counters.

use super::{Guest, GuestKind, GuestSample};
use crate::random::{hash, unit, whole};

const GIB: u64 = 1 << 30;

/// A drive of a virtual machine, or the root file system or a mount point of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drive {
    /// PVE's key for it, for example `scsi0`.
    pub(crate) name: &'static str,
    pub(crate) content: Content,
    /// In bytes.
    pub(crate) size: u64,
    /// How many thousandths of the guest's reads, and of its writes, are its own.
    shares: [u64; 2],
    stream: u64,
}

/// What a drive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Disk,
    /// The variables of the firmware.
    Efi,
    EmptyCdrom,
    CloudInit,
}

/// What QEMU counts for a drive since it started; everything only grows with the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BlockStatistics {
    pub(crate) bytes: [u64; 2],
    pub(crate) operations: [u64; 2],
    pub(crate) nanoseconds: [u64; 2],
    pub(crate) flushes: u64,
    pub(crate) flush_nanoseconds: u64,
    pub(crate) unmaps: u64,
    pub(crate) unmapped_bytes: u64,
    /// The end of the last sector that was ever written.
    pub(crate) highest_offset: u64,
}

impl Guest {
    fn draw(&self, question: u64) -> u64 {
        hash(&[self.stream, 0x6472_6976_6573, question])
    }

    /// Its drives, the first of which holds its system.
    pub(crate) fn drives(&self) -> Vec<Drive> {
        let drive = |name, content, size, shares| Drive {
            name,
            content,
            size,
            shares,
            stream: self.draw(crate::random::text(name)),
        };
        let (size, has) = (self.settings.disk, |question, one_in: u64| {
            self.draw(question).is_multiple_of(one_in)
        });
        let mut drives = Vec::new();
        match self.kind {
            GuestKind::Qemu => {
                drives.push(drive("scsi0", Content::Disk, size, [0, 0]));
                if has(1, 3) {
                    drives.push(drive("scsi1", Content::Disk, size * 4, [250, 320]));
                }
                if has(2, 3) {
                    drives.push(drive("efidisk0", Content::Efi, 4 << 20, [2, 1]));
                }
                if has(3, 2) {
                    let content = if has(4, 4) {
                        Content::CloudInit
                    } else {
                        Content::EmptyCdrom
                    };
                    let reads = if content == Content::CloudInit { 1 } else { 0 };
                    drives.push(drive("ide2", content, 4 << 20, [reads, 0]));
                }
                drives.truncate(3);
            }
            GuestKind::Lxc => {
                drives.push(drive("rootfs", Content::Disk, size, [0, 0]));
                if has(1, 3) {
                    drives.push(drive("mp0", Content::Disk, 64 * GIB, [0, 0]));
                }
            }
        }
        drives
    }

    /// Whether it boots with UEFI, on a modern board.
    pub(crate) fn has_firmware(&self) -> bool {
        self.drives().iter().any(|drive| drive.content == Content::Efi)
    }

    /// What QEMU counted for each of the drives. The first drive has what the others leave over, so that the sums are
    /// the guest's own counters.
    pub(crate) fn block_statistics(&self, sample: &GuestSample) -> Vec<(Drive, BlockStatistics)> {
        let drives = self.drives();
        let totals = [sample.disk_read, sample.disk_write];
        let share = |drive: &Drive, way: usize| totals[way] * drive.shares[way] / 1_000;
        let rest = [0, 1].map(|way| totals[way] - drives.iter().map(|drive| share(drive, way)).sum::<u64>());
        let of = |(number, drive): (usize, Drive)| {
            let bytes = if number == 0 {
                rest
            } else {
                [share(&drive, 0), share(&drive, 1)]
            };
            let statistics = drive.statistics(bytes);
            (drive, statistics)
        };
        drives.into_iter().enumerate().map(of).collect()
    }

    /// What went in and out of each of its network devices, `net0` and on.
    pub(crate) fn network_counters(&self, sample: &GuestSample) -> Vec<[u64; 2]> {
        let totals = [sample.net_in, sample.net_out];
        if self.networks() == 1 {
            return vec![totals];
        }
        let second = totals.map(|total| total / 8);
        vec![[totals[0] - second[0], totals[1] - second[1]], second]
    }

    pub(crate) fn networks(&self) -> usize {
        if self.draw(5).is_multiple_of(4) { 2 } else { 1 }
    }

    /// The identity of a network device.
    pub(crate) fn hardware_address(&self, network: usize) -> String {
        let [.., a, b, c] = self.draw(100 + network as u64).to_be_bytes();
        format!("BC:24:11:{a:02X}:{b:02X}:{c:02X}")
    }
}

impl Drive {
    fn statistics(&self, bytes: [u64; 2]) -> BlockStatistics {
        let within = |question: u64, low: f64, high: f64| {
            let share = unit(&[self.stream, question]);
            whole(low + share * (high - low))
        };
        let operations = [
            bytes[0] / within(1, 12_000.0, 48_000.0),
            bytes[1] / within(2, 6_000.0, 24_000.0),
        ];
        let flushes = operations[1] / within(3, 6.0, 40.0);
        let unmaps = if self.content == Content::Disk {
            operations[1] / 400
        } else {
            0
        };
        BlockStatistics {
            bytes,
            operations,
            nanoseconds: [
                operations[0] * within(4, 90_000.0, 900_000.0),
                operations[1] * within(5, 150_000.0, 2_500_000.0),
            ],
            flushes,
            flush_nanoseconds: flushes * within(6, 400_000.0, 6_000_000.0),
            unmaps,
            unmapped_bytes: unmaps * 131_072,
            highest_offset: if bytes[1] > 0 {
                (self.size / 100 * 97) & !0x1FF
            } else {
                0
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::population;

    fn guests() -> impl Iterator<Item = Guest> {
        (100..160).map(|vmid| {
            let mut guest = Guest::new(1, vmid, GuestKind::Qemu, 0, population::settings("web-01"));
            guest.start(1_000_000_000);
            guest
        })
    }

    #[test]
    fn shares_add_up_and_only_grow() {
        for guest in guests() {
            let mut before: Vec<(Drive, BlockStatistics)> = guest.block_statistics(&guest.sample(1_000_000_000));
            for step in 1..50 {
                let sample = guest.sample(1_000_000_000 + step * 1_000);
                let now = guest.block_statistics(&sample);
                let sum = |way: usize| now.iter().map(|(_, drive)| drive.bytes[way]).sum::<u64>();
                assert_eq!([sum(0), sum(1)], [sample.disk_read, sample.disk_write]);
                let networks = guest.network_counters(&sample);
                let sum = |way: usize| networks.iter().map(|network| network[way]).sum::<u64>();
                assert_eq!([sum(0), sum(1)], [sample.net_in, sample.net_out]);
                for ((drive, now), (_, before)) in now.iter().zip(&before) {
                    let grew = (0..2).all(|way| {
                        now.bytes[way] >= before.bytes[way] && now.nanoseconds[way] >= before.nanoseconds[way]
                    });
                    assert!(
                        grew && now.flushes >= before.flushes,
                        "{} of {}",
                        drive.name,
                        guest.vmid
                    );
                }
                before = now;
            }
        }
    }

    #[test]
    fn guests_differ_in_what_they_have() {
        let drives: Vec<String> = guests()
            .flat_map(|guest| guest.drives())
            .map(|drive| format!("{} {:?}", drive.name, drive.content))
            .collect();
        for expected in [
            "scsi0 Disk",
            "scsi1 Disk",
            "efidisk0 Efi",
            "ide2 EmptyCdrom",
            "ide2 CloudInit",
        ] {
            assert!(drives.iter().any(|drive| drive == expected), "no {expected}");
        }
        assert!(guests().all(|guest| (1..=3).contains(&guest.drives().len())));
        assert!(guests().any(|guest| guest.networks() == 2));
    }
}
