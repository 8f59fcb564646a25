//! Which rows of a guest become series, and how many of them in the course of days.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use pve_exporter::config::GuestTelemetry;
use pve_exporter::metrics::exposition::Format;
use pve_exporter::telemetry::exposition::{Filter, Guest, exposition};
use pve_exporter::telemetry::{Intake, Moment, Reason};
use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::{
    ArpEntries, Cpu, Disk, FileSystem, Interface, Kernel, NetworkCounters, SchedulerCpu, SoftnetCpu, System,
};

use crate::port::{Collector, disks};

const DAY: u64 = 24 * 3600;

/// A guest whose lines are taken at moments of the test's choice.
struct Taken {
    intake: Intake,
    collector: Collector,
    start: Instant,
}

impl Taken {
    fn with(settings: &GuestTelemetry) -> Self {
        let start = Instant::now();
        Self {
            intake: Intake::new(settings, start),
            collector: Collector::new(),
            start,
        }
    }

    fn take(&mut self, areas: &Areas, seconds: u64) {
        self.collector.header.monotonic_seconds = 100.0 + seconds as f64;
        let lines = self.collector.lines(areas, None);
        let now = Moment {
            at: self.start + Duration::from_secs(seconds),
            unix: 1_800_000_000.0 + seconds as f64,
        };
        let samples = self.intake.counts().samples;
        self.intake.take(&lines, now);
        assert_eq!(self.intake.counts().samples, samples + 1);
    }

    fn areas(&self) -> &Areas {
        &self.intake.sample().unwrap().areas
    }

    fn dropped(&self, reason: Reason) -> u64 {
        self.intake.counts().dropped.of(reason)
    }

    fn dropped_in_all(&self) -> u64 {
        self.intake.counts().dropped.iter().map(|(_, count)| count).sum()
    }

    fn series(&self) -> HashSet<String> {
        let sample = self.intake.sample().unwrap();
        let guest = Guest {
            name: "web-01",
            time: sample.header.time_seconds,
            areas: &sample.areas,
        };
        let text = exposition(guest, Filter::default(), Format::Classic).into_text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect()
    }

    fn has(&self, start: &str) -> bool {
        self.series().iter().any(|series| series.starts_with(start))
    }
}

fn unlimited() -> GuestTelemetry {
    GuestTelemetry {
        bytes_per_second: 1 << 40,
        lines_per_second: 1000,
        ..GuestTelemetry::default()
    }
}

fn names(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("dm-{number}"))
}

fn arp(numbers: std::ops::Range<usize>) -> Areas {
    let entries = numbers.map(|number| ArpEntries {
        device: format!("eth{number}"),
        entries: 1,
    });
    Areas {
        arp: Some(entries.collect()),
        ..Areas::default()
    }
}

fn file_system(device: &str, mount_point: &str, kind: &str) -> FileSystem {
    FileSystem {
        device: device.to_owned(),
        mount_point: mount_point.to_owned(),
        kind: kind.to_owned(),
        major: Some(8),
        minor: Some(1),
        ..FileSystem::default()
    }
}

fn network(interface: &str) -> NetworkCounters {
    NetworkCounters {
        interface: interface.to_owned(),
        ..NetworkCounters::default()
    }
}

/// The system, `/` and `eth0`.
fn essentials() -> Areas {
    Areas {
        system: Some(System {
            kernel_name: Some("Linux".to_owned()),
            ..System::default()
        }),
        file_systems: Some(vec![file_system("/dev/sda1", "/", "ext4")]),
        network: Some(vec![network("eth0")]),
        interfaces: Some(vec![Interface {
            interface: "eth0".to_owned(),
            operational_state: "up".to_owned(),
            ..Interface::default()
        }]),
        ..Areas::default()
    }
}

const ESSENTIAL: [&str; 4] = [
    "node_uname_info{",
    "node_filesystem_readonly{",
    "node_network_receive_bytes_total{",
    "node_network_up{",
];

#[test]
fn label_sets_are_those_of_a_guest_on_the_first_day_and_64_on_others() {
    let mut guest = Taken::with(&unlimited());
    for sample in 0..20 {
        guest.take(&arp(sample * 1000..(sample + 1) * 1000), 10 * sample as u64);
    }
    assert_eq!(guest.dropped(Reason::LabelSets), 20_000 - 1250);
    // The first are admitted still.
    guest.take(&arp(0..2000), 300);
    assert_eq!(guest.areas().arp.as_ref().unwrap().len(), 1250);
    for day in 1..4 {
        let new = 100_000 * day..100_000 * day + 1000;
        guest.take(&arp(new), day as u64 * (DAY + 1));
        assert_eq!(guest.areas().arp.as_ref().unwrap().len(), 64, "day {day}");
    }
}

#[test]
fn five_hundred_disks_are_seen_at_once() {
    let mut guest = Taken::with(&GuestTelemetry::default());
    let areas = Areas {
        disks: disks(names(0..500)).disks,
        ..essentials()
    };
    guest.take(&areas, 0);
    assert_eq!(guest.areas().disks.as_ref().unwrap().len(), 500);
    assert_eq!(guest.dropped_in_all(), 0);
}

#[test]
fn too_many_disks_and_cpus_hide_nothing_else() {
    let cpus = 0..512;
    let areas = Areas {
        disks: disks(names(0..2000)).disks,
        cpus: Some(cpus.clone().map(|cpu| Cpu { cpu, ..Cpu::default() }).collect()),
        scheduler: Some(
            cpus.clone()
                .map(|cpu| SchedulerCpu {
                    cpu,
                    ..SchedulerCpu::default()
                })
                .collect(),
        ),
        softnet: Some(
            cpus.map(|cpu| SoftnetCpu {
                cpu,
                ..SoftnetCpu::default()
            })
            .collect(),
        ),
        ..essentials()
    };
    for settings in [
        unlimited(),
        GuestTelemetry {
            series_per_guest: 1000,
            ..unlimited()
        },
    ] {
        let mut guest = Taken::with(&settings);
        // Areas that are told less often stay, too.
        for (seconds, areas) in [
            (0, &areas),
            (
                10,
                &Areas {
                    interfaces: None,
                    system: None,
                    ..areas.clone()
                },
            ),
        ] {
            guest.take(areas, seconds);
            assert!(guest.dropped(Reason::Series) > 1000);
            for essential in ESSENTIAL {
                assert!(guest.has(essential), "{essential} at {seconds} s");
            }
            assert!(guest.series().len() < settings.series_per_guest + 50);
        }
    }
}

/// Mounts and interfaces of containers are many and are not shown: they cost others nothing.
#[test]
fn what_is_not_shown_costs_nothing() {
    let mut guest = Taken::with(&unlimited());
    for day in 0..5_usize {
        let numbers = 1000 * day..1000 * day + 700;
        let mut areas = essentials();
        let mounts = areas.file_systems.as_mut().unwrap();
        mounts.splice(
            0..0,
            numbers.clone().map(|number| {
                let place = format!("/var/lib/kubelet/pods/{number:036}/volumes/kubernetes.io~projected/token");
                file_system("tmpfs", &place, "tmpfs")
            }),
        );
        let interfaces = areas.network.as_mut().unwrap();
        interfaces.splice(0..0, numbers.clone().map(|number| network(&format!("veth{number:x}"))));
        areas.arp = arp(0..1).arp;
        areas.disks = disks(numbers.map(|number| format!("loop{number}")).chain(["sda".to_owned()])).disks;
        guest.take(&areas, day as u64 * (DAY + 1));
        assert_eq!(guest.dropped_in_all(), 0);
        assert!(ESSENTIAL.iter().all(|essential| guest.has(essential)));
        let taken = guest.areas();
        let lengths = [
            taken.file_systems.as_ref().unwrap().len(),
            taken.network.as_ref().unwrap().len(),
            taken.disks.as_ref().unwrap().len(),
        ];
        assert_eq!(lengths, [1; 3]);
    }
}

#[test]
fn numbers_of_cpus_are_512_a_day() {
    let mut guest = Taken::with(&unlimited());
    let kernel = Kernel {
        ticks_per_second: 100,
        ..Kernel::default()
    };
    let mut shown = BTreeSet::new();
    for sample in 0..40_u32 {
        let cpus = (100 * sample..100 * (sample + 1)).map(|cpu| Cpu { cpu, ..Cpu::default() });
        let areas = Areas {
            kernel: Some(kernel.clone()),
            cpus: Some(cpus.collect()),
            ..Areas::default()
        };
        guest.take(&areas, 10 * u64::from(sample));
        shown.extend(guest.areas().cpus.iter().flatten().map(|row| row.cpu));
    }
    assert_eq!(shown, (0..512).collect());
}

/// The numbers of devices are labels, too.
#[test]
fn numbers_of_devices_are_label_sets() {
    let settings = GuestTelemetry {
        series_per_guest: 800,
        ..unlimited()
    };
    let mut guest = Taken::with(&settings);
    let mut shown = HashSet::new();
    for sample in 0..200_u32 {
        let disks = (0..10).map(|number| Disk {
            device: format!("dm-{number}"),
            major: 253,
            minor: sample,
            ..Disk::default()
        });
        let mount = FileSystem {
            minor: Some(sample),
            ..file_system("/dev/sda1", "/", "ext4")
        };
        let areas = Areas {
            disks: Some(disks.collect()),
            file_systems: Some(vec![mount]),
            ..Areas::default()
        };
        guest.take(&areas, 10 * u64::from(sample));
        shown.extend(guest.series());
    }
    let numbers = shown.iter().filter(|series| series.contains("minor=")).count();
    assert_eq!(numbers, 100);
}

/// Areas of earlier samples are shown for a while; with those of the newest they stay within the budget.
#[test]
fn areas_by_turns_are_no_more_series_than_at_once() {
    let settings = GuestTelemetry {
        series_per_guest: 1000,
        new_label_sets_per_day: 10_000,
        ..unlimited()
    };
    let mut guest = Taken::with(&settings);
    let scheduler = (0..512).map(|cpu| SchedulerCpu {
        cpu,
        ..SchedulerCpu::default()
    });
    let turns = [
        disks(names(0..100)),
        arp(0..2000),
        Areas {
            scheduler: Some(scheduler.collect()),
            ..Areas::default()
        },
        Areas {
            network: Some((0..100).map(|number| network(&format!("eth{number}"))).collect()),
            ..Areas::default()
        },
        Areas {
            file_systems: Some(
                (0..200)
                    .map(|number| file_system("/dev/sda1", &format!("/mnt/{number}"), "ext4"))
                    .collect(),
            ),
            ..Areas::default()
        },
    ];
    for (turn, areas) in turns.iter().cycle().take(20).enumerate() {
        guest.take(areas, 10 * turn as u64);
        let series = guest.series().len();
        assert!(series < 1050, "{series} after turn {turn}");
    }
}
