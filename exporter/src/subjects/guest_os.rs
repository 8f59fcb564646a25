//! The system inside a guest in few figures, as the collector in the guest counts them: what rules and lists of all guests need.
//! The rest has node_exporter's names, guest by guest.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One guest whose collector has published lately.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestOs {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// The name and version of the operating system, as it calls itself.
    pub name: Box<str>,
    /// The release of its kernel.
    pub kernel: Box<str>,
    /// When it booted, in Unix seconds of the guest's clock.
    pub boot_time: Option<f64>,
    /// Seconds that all CPUs together have worked.
    pub cpu_seconds: Option<f64>,
    /// Seconds that all CPUs together would have worked, had the host let them.
    pub cpu_steal_seconds: Option<f64>,
    /// The load of one minute.
    pub load1: Option<f64>,
    /// Bytes of memory.
    pub memory_size: Option<u64>,
    /// Bytes of memory that programs could have without swapping.
    pub memory_available: Option<u64>,
    /// Bytes of swap.
    pub swap_size: Option<u64>,
    /// Bytes of swap in use.
    pub swap_usage: Option<u64>,
    /// Processes killed for want of memory.
    pub oom_kills: Option<u64>,
    /// Seconds in which all tasks waited for memory.
    pub memory_stalled_seconds: Option<f64>,
    /// Seconds in which all tasks waited for I/O.
    pub io_stalled_seconds: Option<f64>,
    /// The share of the fullest writable file system on a disk that is in use.
    pub file_system_usage: Option<f64>,
    /// The share of inodes in use of the file system that has used most of its own.
    pub file_system_inode_usage: Option<f64>,
    /// Whether something keeps the guest's clock right.
    pub clock_synchronized: Option<bool>,
}

impl GuestOs {
    /// A system of which nothing is known.
    #[must_use]
    pub fn unknown(identity: Identity) -> Self {
        Self {
            identity,
            name: Box::default(),
            kernel: Box::default(),
            boot_time: None,
            cpu_seconds: None,
            cpu_steal_seconds: None,
            load1: None,
            memory_size: None,
            memory_available: None,
            swap_size: None,
            swap_usage: None,
            oom_kills: None,
            memory_stalled_seconds: None,
            io_stalled_seconds: None,
            file_system_usage: None,
            file_system_inode_usage: None,
            clock_synchronized: None,
        }
    }
}

impl Subject for GuestOs {
    const NAME: &'static str = "guest OS";
    const ROWS: &'static str =
        "one per virtual machine on the exporter's own node whose collector publishes; only with `[guest_telemetry]`";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_guest_os_info",
            &["name", "kernel"],
            "The operating system and its kernel, as the guest itself calls them; the collector in the guest, system.",
            |os, labels| {
                labels.label("name", &os.name);
                labels.label("kernel", &os.kernel);
                !os.name.is_empty() || !os.kernel.is_empty()
            },
        ),
        Metric::gauge(
            "pve_guest_os_boot_timestamp_seconds",
            Unit::Seconds,
            "When the guest booted, by its own clock; the collector in the guest, cpu.",
            |os| os.boot_time.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_os_cpu_seconds_total",
            Unit::Seconds,
            "Time that all CPUs of the guest together have worked since it booted: neither idle nor waiting nor stolen; the collector in the guest, cpu.",
            |os| os.cpu_seconds.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_os_cpu_steal_seconds_total",
            Unit::Seconds,
            "Time that all CPUs of the guest together had work and the host did not run them; the collector in the guest, cpu.",
            |os| os.cpu_steal_seconds.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_os_load1",
            Unit::None,
            "Load of one minute inside the guest; the collector in the guest, load.",
            |os| os.load1.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_os_memory_size_bytes",
            Unit::Bytes,
            "Memory that the guest's kernel has; the collector in the guest, memory MemTotal.",
            |os| os.memory_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_os_memory_available_bytes",
            Unit::Bytes,
            "Memory that programs in the guest could have without swapping; the collector in the guest, memory MemAvailable, absent with kernels that do not tell.",
            |os| os.memory_available.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_os_swap_size_bytes",
            Unit::Bytes,
            "Swap of the guest; the collector in the guest, memory SwapTotal.",
            |os| os.swap_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_os_swap_usage_bytes",
            Unit::Bytes,
            "Swap of the guest in use; the collector in the guest, memory SwapTotal less SwapFree.",
            |os| os.swap_usage.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_os_oom_kills_total",
            Unit::None,
            "Processes that the guest's kernel killed for want of memory since it booted; the collector in the guest, paging oom_kill.",
            |os| os.oom_kills.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_os_memory_stalled_seconds_total",
            Unit::Seconds,
            "Time in which all tasks of the guest at once waited for memory; the collector in the guest, pressure.",
            |os| os.memory_stalled_seconds.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_os_io_stalled_seconds_total",
            Unit::Seconds,
            "Time in which all tasks of the guest at once waited for I/O; the collector in the guest, pressure.",
            |os| os.io_stalled_seconds.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_os_filesystem_usage_ratio",
            Unit::Ratio,
            "Share in use of the fullest writable file system on a disk of the guest, of what is not kept for root; the collector in the guest, file_systems.",
            |os| os.file_system_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_os_filesystem_inode_usage_ratio",
            Unit::Ratio,
            "Share of inodes in use on that writable file system on a disk of the guest where it is highest; the collector in the guest, file_systems.",
            |os| os.file_system_inode_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_os_clock_synchronized",
            Unit::None,
            "Whether the guest's kernel takes its clock to be kept right; the collector in the guest, time.",
            |os| os.clock_synchronized.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_15_series_at_most() {
        assert!(GuestOs::TABLE.len() <= 15);
    }
}
