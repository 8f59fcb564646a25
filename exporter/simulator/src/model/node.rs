//! One node, and its numbers at a time.

use super::{Disk, Guest, disks::disks, machine::Machine};
use crate::{
    Options, Version,
    calendar::{Seconds, seconds},
    clock::Milliseconds,
    random::{counted, hash, unit, walk, whole},
};

const GIB: u64 = 1 << 30;

/// A node of the simulated cluster.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) number: u64,
    pub(crate) version: Version,
    /// The letter of its subscription, or nothing.
    pub(crate) level: &'static str,
    pub(crate) cpus: u64,
    pub(crate) memory: u64,
    pub(crate) swap: u64,
    pub(crate) disk: u64,
    pub(crate) disks: Vec<Disk>,
    pub(crate) machine: Machine,
    booted: Milliseconds,
    stream: u64,
}

/// What the running guests of a node need together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) busy_cpus: f64,
    pub(crate) memory: u64,
}

impl Load {
    pub(crate) fn add(&mut self, guest: &Guest, sample: &super::GuestSample) {
        self.busy_cpus += sample.cpu * f64::from(guest.settings.cpus);
        self.memory += if sample.host_memory > 0 {
            sample.host_memory
        } else {
            sample.memory
        };
    }
}

/// The numbers of a node at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeSample {
    pub(crate) uptime: u64,
    pub(crate) cpu: f64,
    pub(crate) waiting: f64,
    pub(crate) load: [f64; 3],
    pub(crate) memory: u64,
    pub(crate) swap: u64,
    pub(crate) disk: u64,
    pub(crate) net_in: u64,
    pub(crate) net_out: u64,
}

impl Node {
    pub(super) fn new(options: &Options, index: usize, start: Milliseconds, guests: &[Guest]) -> Self {
        let number = index as u64 + 1;
        let stream = hash(&[options.seed, 0x6E6F_6465, number]);
        let own = || guests.iter().filter(|guest| guest.node == index);
        let cpus: u64 = own().map(|guest| u64::from(guest.settings.cpus)).sum();
        let memory: u64 = own().map(|guest| guest.settings.memory).sum();
        let fallback = Version::new(9, 2, 11);
        let level = if index % 3 == 1 { "c" } else { "" };
        Self {
            name: format!("pve{number}"),
            address: format!("192.0.2.{}", 10 + number % 240),
            number,
            version: options
                .versions
                .get(index % options.versions.len().max(1))
                .copied()
                .unwrap_or(fallback),
            level,
            machine: Machine::new(options, index, level, seconds(start)),
            cpus: (cpus / 2).next_power_of_two().max(16),
            // Room for what the guests of one more node bring along.
            memory: (memory * 3 / 2).next_power_of_two().max(64 * GIB) - 640 * 1024 * 1024,
            swap: 8 * GIB - 4096,
            disk: 94 * GIB,
            disks: disks(options, number, start),
            booted: start.saturating_sub(40 * 86_400_000 + hash(&[stream]) % (100 * 86_400_000)),
            stream,
        }
    }

    pub(super) fn booted(&self) -> Milliseconds {
        self.booted
    }

    pub(crate) fn seconds_since_boot(&self, at: Seconds) -> Seconds {
        at.saturating_sub(seconds(self.booted))
    }

    pub(crate) fn sample(&self, at: Milliseconds, load: Load) -> NodeSample {
        let time = at as f64 / 1_000.0;
        let running = at.saturating_sub(self.booted) as f64 / 1_000.0;
        let stream = |number: u64| hash(&[self.stream, number]);
        let own = 0.01 + 0.03 * walk(stream(1), time, 300.0);
        let cpu = (load.busy_cpus / self.cpus as f64 + own).min(0.99);
        let waiting = 0.03 * walk(stream(2), time, 600.0).powi(3);
        let busy = (cpu + waiting) * self.cpus as f64;
        let drift = |number: u64, period: f64| busy * (0.7 + 0.6 * walk(stream(number), time, period));
        NodeSample {
            uptime: whole(running),
            cpu,
            waiting,
            load: [drift(3, 60.0), drift(4, 300.0), drift(5, 900.0)],
            memory: (load.memory + 3 * GIB).min(self.memory * 98 / 100) & !0xFFF,
            swap: whole(self.swap as f64 * 0.05 * walk(stream(6), time, 86_400.0)) & !0xFFF,
            disk: whole(self.disk as f64 * (0.1 + 0.3 * unit(&[stream(7)]) + 0.05 * walk(stream(8), time, 86_400.0)))
                & !0xFFF,
            net_in: counted(stream(9), 4e6 * (0.2 + unit(&[stream(10)])), running),
            net_out: counted(stream(11), 3e6 * (0.2 + unit(&[stream(12)])), running),
        }
    }

    /// Sixteen digits that stand for the build of its version.
    pub(crate) fn build(&self) -> String {
        let Version { major, minor, patch } = self.version;
        format!("{:016x}", hash(&[u64::from(major), u64::from(minor), u64::from(patch)]))
    }
}
