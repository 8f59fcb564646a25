//! One virtual machine or container, and its numbers at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Agent, GuestSnapshot};
use crate::{
    clock::Milliseconds,
    random::{counted, hash, unit, walk, whole},
};

/// What runs a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GuestKind {
    /// A virtual machine.
    Qemu,
    /// A container.
    Lxc,
}

impl GuestKind {
    /// PVE's name for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }
}

/// What an operator (or a test) can set about a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestSettings {
    /// Its name.
    pub name: String,
    /// Its tags, separated by `;`.
    pub tags: Option<String>,
    /// The pool it is in.
    pub pool: Option<String>,
    /// What holds its configuration, for example `backup`.
    pub lock: Option<String>,
    /// Its state in HA, if HA manages it: what the manager made of it, for example `started` or `error`.
    pub hastate: Option<String>,
    /// The state that HA was asked for; without it `stopped` for a service in that state and `started` for others.
    pub ha_requested: Option<String>,
    /// A run state in place of `running`, for example `paused`, `io-error` or `prelaunch`. A guest that is not plainly
    /// running uses no CPU and its counters do not move on from then.
    pub run_state: Option<String>,
    /// Whether it is a template.
    pub template: bool,
    /// How many virtual CPUs it has.
    pub cpus: u32,
    /// How much memory it has, in bytes.
    pub memory: u64,
    /// How large its boot disk is, in bytes.
    pub disk: u64,
    /// Whether it starts with its node.
    pub onboot: bool,
    /// In which order it starts, as in `order=2,up=30`.
    pub startup: Option<String>,
    /// The guest agent of a virtual machine as it is configured, for example `1`.
    pub agent: Option<String>,
    /// The arguments that a virtual machine's QEMU gets beside PVE's own.
    pub args: Option<String>,
    /// Whether it is protected from removal.
    pub protection: bool,
    /// The drives, or mount points, that backups leave out, for example `scsi1` or `mp0`.
    pub drives_without_backup: BTreeSet<String>,
    /// Changes that wait for a restart: a new value, or nothing for what will be gone.
    pub pending: BTreeMap<String, Option<String>>,
    /// Its snapshots; each is the parent of the next one.
    pub snapshots: Vec<GuestSnapshot>,
}

/// A guest of the simulated cluster.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) vmid: u32,
    pub(crate) kind: GuestKind,
    pub(crate) node: usize,
    pub(crate) settings: GuestSettings,
    /// What answers when the configuration of a virtual machine has its agent on.
    pub(crate) agent: Agent,
    pub(crate) running_since: Option<Milliseconds>,
    /// Since when a run state other than `running` holds its counters.
    pub(crate) held_since: Option<Milliseconds>,
    pub(crate) stream: u64,
}

/// The numbers of a guest at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct GuestSample {
    pub(crate) uptime: u64,
    pub(crate) cpu: f64,
    pub(crate) memory: u64,
    pub(crate) host_memory: u64,
    pub(crate) disk: u64,
    pub(crate) disk_read: u64,
    pub(crate) disk_write: u64,
    pub(crate) net_in: u64,
    pub(crate) net_out: u64,
}

impl Guest {
    pub(crate) fn new(seed: u64, vmid: u32, kind: GuestKind, node: usize, settings: GuestSettings) -> Self {
        let stream = hash(&[seed, u64::from(vmid)]);
        Self {
            vmid,
            kind,
            node,
            settings,
            agent: Agent::Healthy,
            running_since: None,
            held_since: None,
            stream,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running_since.is_some()
    }

    /// The status that PVE lists.
    pub(crate) fn status(&self) -> &str {
        match (&self.settings.run_state, self.running_since) {
            (_, None) => "stopped",
            (Some(state), Some(_)) => state,
            (None, Some(_)) => "running",
        }
    }

    pub(crate) fn start(&mut self, now: Milliseconds) {
        if self.running_since.is_none() && !self.settings.template {
            self.running_since = Some(now);
            self.held_since = None;
            self.settings.run_state = None;
        }
    }

    pub(crate) fn stop(&mut self) {
        self.running_since = None;
        self.held_since = None;
        self.settings.run_state = None;
    }

    pub(crate) fn restart(&mut self, now: Milliseconds) {
        self.stop();
        self.start(now);
    }

    /// Moves the guest; a running one gets a new process, whose age and counters start at 0.
    pub(crate) fn migrate(&mut self, node: usize, now: Milliseconds) {
        self.node = node;
        if let Some(since) = &mut self.running_since {
            *since = now;
            self.held_since = self.held_since.map(|_| now);
        }
    }

    pub(crate) fn sample(&self, at: Milliseconds) -> GuestSample {
        let Some(since) = self.running_since else {
            return GuestSample::default();
        };
        let seconds = |milliseconds: u64| milliseconds as f64 / 1_000.0;
        let uptime = at.saturating_sub(since) / 1_000;
        let moving = self.held_since.map_or(at, |held| held.min(at));
        let (time, running) = (seconds(moving), seconds(moving.saturating_sub(since)));
        let share = |number: u64| unit(&[self.stream, number]);

        let busyness = share(1).powi(3);
        let cpu = if self.held_since.is_some_and(|held| held <= at) {
            0.0
        } else {
            let slow = walk(hash(&[self.stream, 2]), time, 3_600.0);
            let quick = walk(hash(&[self.stream, 3]), time, 90.0);
            (0.005 + 0.85 * busyness) * (0.2 + 0.5 * slow + 0.3 * quick)
        };
        let memory_share = 0.15 + 0.55 * share(4) + 0.2 * walk(hash(&[self.stream, 5]), time, 7_200.0);
        let memory = whole(self.settings.memory as f64 * memory_share) & !0xFFF;
        // The boot is part of the stream: after a restart the same guest does not count the same numbers again.
        let counters = hash(&[self.stream, since]);
        let count = |number: u64, lowest: f64| {
            let rate = lowest * (1.0 + 200.0 * share(10 + number).powi(4)) * (0.2 + busyness);
            counted(hash(&[counters, number]), rate, running)
        };
        GuestSample {
            uptime,
            cpu,
            memory,
            host_memory: if self.kind == GuestKind::Qemu {
                memory + (memory >> 5) + 80 * 1024 * 1024
            } else {
                0
            },
            disk: self.disk_usage(time),
            disk_read: count(1, 20_000.0) & !0x1FF,
            disk_write: count(2, 60_000.0) & !0x1FF,
            net_in: count(3, 9_000.0),
            net_out: count(4, 7_000.0),
        }
    }

    /// The process that runs it, if it runs.
    pub(crate) fn process(&self) -> Option<u64> {
        Some(1_000 + hash(&[self.stream, self.running_since?]) % 4_000_000)
    }

    /// What a container uses of its root file system; PVE knows nothing about the disks of a virtual machine.
    fn disk_usage(&self, time: f64) -> u64 {
        match self.kind {
            GuestKind::Qemu => 0,
            GuestKind::Lxc => {
                let share = 0.1 + 0.6 * unit(&[self.stream, 20]) + 0.1 * walk(hash(&[self.stream, 21]), time, 86_400.0);
                whole(self.settings.disk as f64 * share) & !0xFFF
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::population;

    const SECOND: Milliseconds = 1_000;

    fn running(kind: GuestKind) -> Guest {
        let mut guest = Guest::new(1, 100, kind, 0, population::settings("web-01"));
        guest.start(1_000_000 * SECOND);
        guest
    }

    fn counters(sample: GuestSample) -> [u64; 4] {
        [sample.disk_read, sample.disk_write, sample.net_in, sample.net_out]
    }

    #[test]
    fn counters_grow_with_the_uptime() {
        let guest = running(GuestKind::Qemu);
        let mut before = guest.sample(1_000_000 * SECOND);
        assert_eq!((before.uptime, counters(before)), (0, [0; 4]));
        for step in 1..500 {
            let sample = guest.sample((1_000_000 + step * 10) * SECOND);
            assert_eq!(sample.uptime, step * 10);
            assert!(
                counters(sample)
                    .iter()
                    .zip(counters(before))
                    .all(|(now, before)| *now > before)
            );
            assert!((0.0..=1.0).contains(&sample.cpu) && sample.memory < guest.settings.memory);
            before = sample;
        }
    }

    #[test]
    fn a_migration_resets_and_keeps_what_a_guest_is() {
        let mut guest = running(GuestKind::Lxc);
        guest.migrate(2, 1_000_600 * SECOND);
        let sample = guest.sample(1_000_600 * SECOND);
        assert_eq!(
            (guest.vmid, guest.node, sample.uptime, counters(sample)),
            (100, 2, 0, [0; 4])
        );
        assert!(sample.disk > 0, "a container has a root file system");
    }

    #[test]
    fn a_held_guest_ages_without_counting() {
        let mut guest = running(GuestKind::Qemu);
        guest.settings.run_state = Some("paused".to_owned());
        guest.held_since = Some(1_000_100 * SECOND);
        let (first, later) = (guest.sample(1_000_200 * SECOND), guest.sample(1_000_300 * SECOND));
        assert_eq!(guest.status(), "paused");
        assert_eq!(counters(first), counters(later));
        assert_eq!((first.cpu, first.uptime, later.uptime), (0.0, 200, 300));
    }

    #[test]
    fn a_stopped_guest_has_only_zeros() {
        let mut guest = running(GuestKind::Qemu);
        guest.stop();
        assert_eq!(
            (guest.status(), guest.sample(2_000_000 * SECOND)),
            ("stopped", GuestSample::default())
        );
    }
}
