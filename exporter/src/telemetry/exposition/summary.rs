//! Guests in the few figures that stand beside what PVE tells of them.

use std::sync::Arc;

use pve_guest_protocol::areas::{Cpu, FileSystem};
use pve_guest_protocol::{Areas, VERSION};

use super::{Filter, clock};
use crate::metrics::labels::Identity;
use crate::sources::agent::choice::may_fill_up;
use crate::subjects::guest_collector::{GuestCollector, GuestCollectorDropped};
use crate::subjects::guest_os::GuestOs;
use crate::telemetry::{GuestSnapshot, Reason};

/// The rows of guests whose ports are read.
#[derive(Clone, Debug, Default)]
pub struct GuestRows {
    /// How it stands with their collectors.
    pub collectors: Arc<[GuestCollector]>,
    /// What was dropped.
    pub dropped: Arc<[GuestCollectorDropped]>,
    /// What is inside.
    pub systems: Arc<[GuestOs]>,
}

/// The rows of `guests`, which are of the cluster `cluster`.
#[must_use]
pub fn rows(cluster: &str, guests: &[GuestSnapshot], filter: Filter) -> GuestRows {
    let id = |guest: &GuestSnapshot| format!("qemu/{}", guest.vmid);
    let identity = |guest: &GuestSnapshot| Identity::new(&[("pve_cluster", cluster), ("id", &id(guest))]);
    let collector = |guest: &GuestSnapshot| GuestCollector {
        identity: identity(guest),
        state: guest.state.as_str(),
        protocol: guest.sample.as_ref().map(|sample| sample.header.version.min(VERSION)),
        last_sample: guest.last_sample,
        received_bytes: guest.counts.bytes,
        received_lines: guest.counts.lines,
        clock_offset: guest.clock_offset,
    };
    let dropped = |guest: &GuestSnapshot| {
        let id = id(guest);
        let row = |(reason, dropped): (Reason, u64)| GuestCollectorDropped {
            identity: Identity::new(&[("pve_cluster", cluster), ("id", &id), ("reason", reason.as_str())]),
            dropped,
        };
        guest.counts.dropped.iter().map(row).collect::<Vec<_>>()
    };
    let system = |guest: &GuestSnapshot| Some(summary(identity(guest), &guest.sample.as_ref()?.areas, filter));
    GuestRows {
        collectors: guests.iter().map(collector).collect(),
        dropped: guests.iter().flat_map(dropped).collect(),
        systems: guests.iter().filter_map(system).collect(),
    }
}

const MICROSECONDS: f64 = 1e6;

/// The row of a guest, whose labels are `identity`.
#[must_use]
pub fn summary(identity: Identity, areas: &Areas, filter: Filter) -> GuestOs {
    let kernel = areas.kernel.as_ref();
    let ticks = kernel.map(|kernel| kernel.ticks_per_second).filter(|ticks| *ticks > 0);
    let seconds = |ticks_of: fn(&Cpu) -> u64| {
        let cpus = areas.cpus.as_deref().filter(|cpus| !cpus.is_empty())?;
        let all = cpus.iter().map(ticks_of).fold(0, u64::saturating_add);
        Some(float(all) / float(ticks?))
    };
    let memory = areas.memory.as_ref();
    let bytes = |kilobytes: Option<u64>| kilobytes.map(|kilobytes| kilobytes.saturating_mul(1024));
    let pressure = areas.pressure.as_ref();
    let stalled = |microseconds: Option<u64>| microseconds.map(|all| float(all) / MICROSECONDS);
    let text = |text: Option<&String>| text.map(|text| text.as_str().into()).unwrap_or_default();
    let system = areas.system.as_ref();
    let writable = || {
        let all = areas.file_systems.iter().flatten();
        all.filter(|one| !one.read_only && one.error.is_none() && may_fill_up(&one.kind) && filter.file_system(one))
    };
    GuestOs {
        identity,
        name: text(system.and_then(|system| system.pretty_name.as_ref().or(system.name.as_ref()))),
        kernel: text(system.and_then(|system| system.kernel_release.as_ref())),
        boot_time: kernel.and_then(|kernel| kernel.boot_time_seconds).map(float),
        cpu_seconds: seconds(worked),
        cpu_steal_seconds: seconds(|cpu| cpu.steal),
        load1: areas.load.as_ref().map(|load| load.load1),
        memory_size: bytes(memory.and_then(|memory| memory.total)),
        memory_available: bytes(memory.and_then(|memory| memory.available)),
        swap_size: bytes(memory.and_then(|memory| memory.swap_total)),
        swap_usage: bytes(memory.and_then(|memory| Some(memory.swap_total?.saturating_sub(memory.swap_free?)))),
        oom_kills: areas.paging.as_ref().and_then(|paging| paging.oom_kills),
        memory_stalled_seconds: stalled(pressure.and_then(|pressure| pressure.memory_full)),
        io_stalled_seconds: stalled(pressure.and_then(|pressure| pressure.io_full)),
        file_system_usage: most(writable().filter_map(usage)),
        file_system_inode_usage: most(writable().filter_map(inode_usage)),
        clock_synchronized: areas.time.as_ref().and_then(clock::synchronized),
    }
}

#[expect(clippy::cast_precision_loss, reason = "so precise are samples")]
fn float(value: u64) -> f64 {
    value as f64
}

/// Guests of the guest are in user and nice already.
fn worked(cpu: &Cpu) -> u64 {
    [cpu.user, cpu.nice, cpu.system, cpu.irq, cpu.softirq]
        .into_iter()
        .fold(0, u64::saturating_add)
}

/// As `df` has it: of what root does not keep for itself.
fn usage(system: &FileSystem) -> Option<f64> {
    let used = system.size_bytes?.checked_sub(system.free_bytes?)?;
    share(used, used.checked_add(system.available_bytes?)?)
}

/// Some file systems make inodes as they need them, and tell 0.
fn inode_usage(system: &FileSystem) -> Option<f64> {
    let all = system.inodes?;
    share(all.checked_sub(system.inodes_free?)?, all)
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| float(part) / float(all))
}

fn most(shares: impl Iterator<Item = f64>) -> Option<f64> {
    shares.reduce(f64::max)
}
