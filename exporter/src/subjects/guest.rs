//! A guest: a QEMU virtual machine or an LXC container.

use std::sync::Arc;

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// A guest in its cluster: its kind and its number.
pub type GuestKey = (GuestKind, u32);

/// Text about a guest that changes seldom. It is remembered for a day when PVE stops telling it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestText {
    /// Its name; it need not be unique, and may be empty.
    pub name: Arc<str>,
    /// Its tags, separated by `;`.
    pub tags: Arc<str>,
    /// The pool that it belongs to, or empty.
    pub pool: Arc<str>,
    /// Whether it is a template; absent when PVE has not told.
    pub template: Option<bool>,
}

/// One guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// The kind.
    pub kind: GuestKind,
    /// The number, unique in the cluster.
    pub vmid: u32,
    /// The node that holds it.
    pub node: Arc<str>,
    /// Name, tags, pool; empty for a guest that PVE has not named within a day.
    pub text: GuestText,
    /// The run state, folded by [`fold_state`]; `unknown` when its node is offline.
    pub state: &'static str,
    /// The lock that an operation holds on it.
    pub lock: Option<Arc<str>>,
    /// Its state in HA, where HA manages it.
    pub ha_state: Option<Arc<str>>,
    /// Its figures; all absent for a guest of unknown state.
    pub figures: Figures,
}

/// The figures of a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Seconds since the QEMU process or container started.
    pub uptime: Option<u64>,
    /// Share of its CPUs in use.
    pub cpu_usage: Option<f64>,
    /// CPUs.
    pub cpus: Option<f64>,
    /// Bytes of memory it may use.
    pub memory_size: Option<u64>,
    /// Bytes of memory it uses.
    pub memory_usage: Option<u64>,
    /// Bytes of its host's memory that a virtual machine takes.
    pub memory_host_usage: Option<u64>,
    /// Bytes of the boot disk or root file system.
    pub disk_size: Option<u64>,
    /// Bytes in use on a container's root file system.
    pub disk_usage: Option<u64>,
    /// Bytes received since it started.
    pub network_receive: Option<u64>,
    /// Bytes sent since it started.
    pub network_transmit: Option<u64>,
    /// Bytes read from its disks since it started.
    pub disk_read: Option<u64>,
    /// Bytes written to its disks since it started.
    pub disk_written: Option<u64>,
    /// Whether QEMU's monitor answered pvestatd.
    pub monitor_responding: Option<bool>,
}

impl Guest {
    /// The same guest without anything that may have changed: what is left when PVE cannot be asked.
    #[must_use]
    pub fn without_figures(&self) -> Self {
        Self {
            state: "unknown",
            lock: None,
            ha_state: None,
            figures: Figures::default(),
            ..self.clone()
        }
    }

    fn up(&self) -> Option<bool> {
        match self.state {
            _ if self.text.template == Some(true) => None,
            "running" => Some(true),
            "unknown" => None,
            _ => Some(false),
        }
    }
}

/// Folds PVE's run states, which are QEMU's for a virtual machine, into a closed list.
#[must_use]
pub fn fold_state(status: &str) -> &'static str {
    match status {
        "running" | "colo" => "running",
        "stopped" | "shutdown" => "stopped",
        "paused" | "debug" => "paused",
        "suspended" => "suspended",
        "prelaunch" | "preconfig" => "prelaunch",
        "inmigrate" | "postmigrate" | "finish-migrate" => "migrating",
        "save-vm" | "restore-vm" => "saving",
        "io-error" => "io-error",
        "internal-error" => "internal-error",
        "guest-panicked" | "watchdog" => "panicked",
        "" | "unknown" => "unknown",
        _ => "other",
    }
}

impl Subject for Guest {
    const NAME: &'static str = "guest";
    const ROWS: &'static str = "one per guest that the token may see, templates among them";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_guest_info",
            &["node", "name", "type", "template", "tags", "pool", "vmid"],
            "Names of the guest; /cluster/resources name, tags, pool, template. Remembered for a day when PVE stops telling them.",
            |guest, labels| {
                labels.label("node", &guest.node);
                labels.label("name", &guest.text.name);
                labels.label("type", guest.kind.as_str());
                if let Some(template) = guest.text.template {
                    labels.label("template", if template { "1" } else { "0" });
                }
                labels.label("tags", &guest.text.tags);
                labels.label("pool", &guest.text.pool);
                labels.label("vmid", itoa::Buffer::new().format(guest.vmid));
                true
            },
        ),
        Metric::gauge(
            "pve_guest_up",
            Unit::None,
            "Whether the guest runs: 0 also when it is paused, suspended or in an error. Absent for templates, when the state is unknown, and when the node is offline; /cluster/resources status.",
            |guest| guest.up().map(Into::into),
        ),
        Metric::state(
            "pve_guest_state",
            &["state"],
            "The guest's run state: running, stopped, paused, suspended, prelaunch, migrating, saving, io-error, internal-error, panicked, other or unknown; /cluster/resources status, which is QEMU's own state for a virtual machine.",
            |guest| Some(guest.state),
        ),
        Metric::state(
            "pve_guest_lock",
            &["lock"],
            "The operation that holds a lock on the guest, such as backup or migrate; absent while there is none; /cluster/resources lock.",
            |guest| guest.lock.as_deref(),
        ),
        Metric::gauge(
            "pve_guest_uptime_seconds",
            Unit::Seconds,
            "Age of the QEMU process or container: a migration resets it, a reboot inside the guest does not; /cluster/resources uptime.",
            |guest| guest.figures.uptime.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_cpu_usage_ratio",
            Unit::Ratio,
            "Share of the guest's own CPUs in use, may exceed 1 a little; /cluster/resources cpu.",
            |guest| guest.figures.cpu_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_cpus",
            Unit::None,
            "CPUs of the guest; /cluster/resources maxcpu.",
            |guest| guest.figures.cpus.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_memory_size_bytes",
            Unit::Bytes,
            "Memory that the guest may use; /cluster/resources maxmem.",
            |guest| guest.figures.memory_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_memory_usage_bytes",
            Unit::Bytes,
            "Memory in use: inside a virtual machine with balloon statistics (page cache counts as used), else as its host sees it; of a container without file cache; /cluster/resources mem.",
            |guest| guest.figures.memory_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_memory_host_usage_bytes",
            Unit::Bytes,
            "Memory of the host that a virtual machine takes, QEMU itself included; PVE 9 and later; /cluster/resources memhost.",
            |guest| guest.figures.memory_host_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_disk_size_bytes",
            Unit::Bytes,
            "Size of the boot disk or root file system; /cluster/resources maxdisk.",
            |guest| guest.figures.disk_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_disk_usage_bytes",
            Unit::Bytes,
            "Bytes in use on a container's root file system; PVE does not know it of a virtual machine; /cluster/resources disk.",
            |guest| guest.figures.disk_usage.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_network_receive_bytes_total",
            Unit::Bytes,
            "Bytes received by the guest since it started; /cluster/resources netin.",
            |guest| guest.figures.network_receive.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_network_transmit_bytes_total",
            Unit::Bytes,
            "Bytes sent by the guest since it started; /cluster/resources netout.",
            |guest| guest.figures.network_transmit.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_disk_read_bytes_total",
            Unit::Bytes,
            "Bytes read from all disks since the guest started; absent while QEMU's monitor is silent; /cluster/resources diskread.",
            |guest| guest.figures.disk_read.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_disk_written_bytes_total",
            Unit::Bytes,
            "Bytes written to all disks since the guest started; absent while QEMU's monitor is silent; /cluster/resources diskwrite.",
            |guest| guest.figures.disk_written.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_monitor_responding",
            Unit::None,
            "Whether QEMU's monitor answered pvestatd: 0 when a machine up for over a minute shows no disk counters at all; absent where that cannot be told.",
            |guest| guest.figures.monitor_responding.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
