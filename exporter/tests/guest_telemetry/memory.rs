//! What one guest can make the exporter hold, counted by the allocator.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use pve_exporter::config::GuestTelemetry;
use pve_exporter::telemetry::{Intake, Moment, Reason};
use pve_guest_protocol::areas::{
    ArpEntries, Cpu, Disk, FileSystem, Interface, Kernel, Memory, NetworkCounters, Protocols, SchedulerCpu, Sockets,
    SoftnetCpu, System,
};
use pve_guest_protocol::{Areas, MAX_LINE_BYTES};

use crate::port::{Collector, disks};

/// What is held at most at a time while `lines` are taken, each as one portion.
fn held(settings: &GuestTelemetry, lines: &[&[u8]]) -> (u64, Intake) {
    let start = Instant::now();
    let mut intake = Intake::new(settings, start);
    let counted = measure(|| {
        for (number, line) in (0..).zip(lines) {
            let now = Moment {
                at: start + Duration::from_millis(number),
                unix: 1_800_000_000.0,
            };
            intake.take(line, now);
        }
    });
    (counted.bytes_max, intake)
}

fn unlimited() -> GuestTelemetry {
    GuestTelemetry {
        bytes_per_second: 1 << 40,
        lines_per_second: 1_000_000,
        ..GuestTelemetry::default()
    }
}

/// A guest with all that there usually is: four CPUs, two disks, three file systems, two interfaces.
pub(crate) fn usual() -> Areas {
    let text = |text: &str| Some(text.to_owned());
    let numbered = |count: u32| 0..count;
    Areas {
        kernel: Some(Kernel {
            ticks_per_second: 100,
            context_switches: Some(812_345_678),
            interrupts: Some(412_345_678),
            forks: Some(345_678),
            ..Kernel::default()
        }),
        memory: Some(Memory {
            total: Some(8_123_456),
            free: Some(1_234_567),
            available: Some(5_123_456),
            buffers: Some(123_456),
            cached: Some(3_123_456),
            active: Some(2_123_456),
            inactive: Some(1_923_456),
            dirty: Some(1234),
            slab: Some(323_456),
            ..Memory::default()
        }),
        protocols: Some(Protocols {
            tcp_established: Some(12),
            tcp_in_segments: Some(123_456_789),
            tcp_out_segments: Some(123_456_789),
            ..Protocols::default()
        }),
        sockets: Some(Sockets {
            used: Some(234),
            tcp_in_use: Some(12),
            ..Sockets::default()
        }),
        system: Some(System {
            id: text("debian"),
            pretty_name: text("Debian GNU/Linux 13 (trixie)"),
            version_id: text("13"),
            kernel_name: text("Linux"),
            kernel_release: text("6.12.41+deb13-amd64"),
            kernel_version: text("#1 SMP PREEMPT_DYNAMIC Debian 6.12.41-1 (2025-08-12)"),
            machine: text("x86_64"),
            host_name: text("web-01"),
            ..System::default()
        }),
        cpus: Some(
            numbered(4)
                .map(|cpu| Cpu {
                    cpu,
                    user: 1_234_567,
                    system: 345_678,
                    idle: 98_765_432,
                    ..Cpu::default()
                })
                .collect(),
        ),
        scheduler: Some(
            numbered(4)
                .map(|cpu| SchedulerCpu {
                    cpu,
                    running_nanoseconds: 123_456_789_012,
                    ..SchedulerCpu::default()
                })
                .collect(),
        ),
        softnet: Some(
            numbered(4)
                .map(|cpu| SoftnetCpu {
                    cpu,
                    processed: 1_234_567,
                    ..SoftnetCpu::default()
                })
                .collect(),
        ),
        disks: Some(
            ["sda", "sdb"]
                .map(|device| Disk {
                    device: device.to_owned(),
                    reads: 1_234_567,
                    sectors_read: 123_456_789,
                    writes: 2_345_678,
                    sectors_written: 234_567_890,
                    ..Disk::default()
                })
                .into(),
        ),
        file_systems: Some(
            ["/", "/var", "/boot/efi"]
                .map(|mount_point| FileSystem {
                    device: "/dev/sda1".to_owned(),
                    mount_point: mount_point.to_owned(),
                    kind: "ext4".to_owned(),
                    size_bytes: Some(64 << 30),
                    free_bytes: Some(32 << 30),
                    available_bytes: Some(30 << 30),
                    ..FileSystem::default()
                })
                .into(),
        ),
        network: Some(
            ["lo", "eth0"]
                .map(|interface| NetworkCounters {
                    interface: interface.to_owned(),
                    receive_bytes: 123_456_789_012,
                    transmit_bytes: 12_345_678_901,
                    ..NetworkCounters::default()
                })
                .into(),
        ),
        interfaces: Some(
            ["lo", "eth0"]
                .map(|interface| Interface {
                    interface: interface.to_owned(),
                    operational_state: "up".to_owned(),
                    address: text("bc:24:11:00:00:01"),
                    mtu_bytes: Some(1500),
                    ..Interface::default()
                })
                .into(),
        ),
        ..Areas::default()
    }
}

#[test]
fn a_usual_guest_takes_less_than_100_kb() {
    let mut collector = Collector::new();
    let samples: Vec<_> = (0..50).map(|_| collector.lines(&usual(), None)).collect();
    let samples: Vec<_> = samples.iter().map(Vec::as_slice).collect();
    let (bytes, intake) = held(&GuestTelemetry::default(), &samples);
    assert_eq!(intake.counts().samples, 50);
    assert!(bytes < 60_000, "{bytes}");
    // In any portions.
    let all = samples.concat();
    let portions: Vec<_> = all.chunks(700).collect();
    let (bytes, intake) = held(&GuestTelemetry::default(), &portions);
    assert_eq!(intake.counts().samples, 50);
    assert!(bytes < 60_000, "{bytes}");
}

#[test]
fn a_line_without_an_end_takes_one_line() {
    let portions = vec![[b'{'; 10_000]; 10_000];
    let portions: Vec<_> = portions.iter().map(<[u8; 10_000]>::as_slice).collect();
    let (bytes, _) = held(&unlimited(), &portions);
    assert!(bytes < 3 * MAX_LINE_BYTES as u64, "{bytes}");
}

#[test]
fn a_million_label_sets_take_those_of_a_day() {
    let mut collector = Collector::new();
    let lines: Vec<_> = (0..250)
        .map(|number| collector.lines(&arp(number * 4000, 4000), None))
        .collect();
    let portions: Vec<_> = lines
        .iter()
        .flat_map(|lines| lines.split_inclusive(|byte| *byte == b'\n'))
        .collect();
    let (bytes, intake) = held(&unlimited(), &portions);
    let dropped = intake.counts().dropped.of(Reason::LabelSets);
    assert_eq!(dropped, 1_000_000 - 1250);
    assert!(bytes < 600_000, "{bytes}");
}

fn arp(first: usize, count: usize) -> Areas {
    let entries = (first..first + count).map(|number| ArpEntries {
        device: format!("eth{number}"),
        entries: 1,
    });
    Areas {
        arp: Some(entries.collect()),
        ..Areas::default()
    }
}

/// Lines of samples that never begin are none of use, and nothing of them is remembered.
#[test]
fn samples_that_never_begin_take_nothing() {
    let mut collector = Collector::new();
    let orphans: Vec<_> = (0..300)
        .map(|number| {
            let lines = collector.lines(&arp(number * 512, 512), None);
            let mut lines = lines.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec);
            lines.nth(1).unwrap()
        })
        .collect();
    let orphans: Vec<_> = orphans.iter().map(Vec::as_slice).collect();
    let (bytes, mut intake) = held(&unlimited(), &orphans);
    assert!(bytes < 200_000, "{bytes}");
    assert_eq!(intake.counts().dropped.of(Reason::Incomplete), 300);
    assert_eq!(intake.counts().dropped.of(Reason::LabelSets), 0);
    let now = Moment {
        at: Instant::now(),
        unix: 1_800_000_000.0,
    };
    assert!(!intake.take(orphans.last().unwrap(), now).useful);
}

/// Samples of as many lines as there may be that never end, with as many rows as are admitted, and the longest texts.
#[test]
fn samples_that_never_end_take_what_is_admitted() {
    let mut collector = Collector::new();
    let settings = GuestTelemetry {
        new_label_sets_per_day: 1_000_000,
        ..unlimited()
    };
    let long = |number: usize| format!("/{number:0255}");
    let mounts = (0..1100).map(|number| FileSystem {
        device: long(number),
        mount_point: long(number),
        kind: long(number),
        ..FileSystem::default()
    });
    let mounts = Areas {
        file_systems: Some(mounts.collect()),
        ..Areas::default()
    };
    // 555 disks are admitted, and all file systems.
    for (areas, most) in [
        (disks((0..3000).map(|number| format!("disk{number}"))), 600_000),
        (mounts, 1_500_000),
    ] {
        let sample = collector.lines(&areas, None);
        let lines: Vec<&[u8]> = sample.split_inclusive(|byte| *byte == b'\n').collect();
        let all_but_last = &lines[..lines.len() - 1];
        let (bytes, intake) = held(&settings, &all_but_last.repeat(3));
        assert_eq!(intake.counts().samples, 0);
        assert!(bytes < most, "{bytes}");
    }
}
