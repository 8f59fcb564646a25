//! What a guest agent on the exporter's own node tells over its socket: CPU, disks and load as the guest counts them.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The time that the CPUs of a guest spent in one mode.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestAgentCpu {
    /// `pve_cluster`, `id` and `mode`, one of [`MODES`].
    pub identity: Identity,
    /// Seconds of all CPUs together.
    pub seconds: f64,
}

/// The modes of a CPU, which exclude each other.
pub const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

impl Subject for GuestAgentCpu {
    const NAME: &'static str = "guest agent CPU";
    const ROWS: &'static str = "one per mode of a running virtual machine with Linux on the exporter's own node; only with the source `guest_agent_socket`, which is off by default";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "mode"];
    const TABLE: &'static [Metric<Self>] = &[Metric::counter(
        "pve_guest_agent_cpu_seconds_total",
        Unit::Seconds,
        "Time that all CPUs of the guest together spent in the mode since the guest booted, as the guest counts it; the socket /var/run/qemu-server/{vmid}.qga guest-get-cpustats.",
        |cpu| Some(cpu.seconds.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// A block device of a guest.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestAgentDisk {
    /// `pve_cluster`, `id` and `device`.
    pub identity: Identity,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub written_bytes: Option<u64>,
    /// Reads.
    pub reads: Option<u64>,
    /// Writes.
    pub writes: Option<u64>,
}

impl Subject for GuestAgentDisk {
    const NAME: &'static str = "guest agent disk";
    const ROWS: &'static str = "one per block device, without partitions and loops, 16 at most, of a running virtual machine with Linux on the exporter's own node; only with the source `guest_agent_socket`, which is off by default";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "device"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "pve_guest_agent_disk_read_bytes_total",
            Unit::Bytes,
            "Bytes read from the device since the guest booted, as the guest counts them; the socket /var/run/qemu-server/{vmid}.qga guest-get-diskstats read-sectors.",
            |disk| disk.read_bytes.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_disk_written_bytes_total",
            Unit::Bytes,
            "Bytes written to the device since the guest booted, as the guest counts them; the socket /var/run/qemu-server/{vmid}.qga guest-get-diskstats write-sectors.",
            |disk| disk.written_bytes.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_disk_reads_total",
            Unit::None,
            "Reads from the device since the guest booted, as the guest counts them; the socket /var/run/qemu-server/{vmid}.qga guest-get-diskstats read-ios.",
            |disk| disk.reads.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_disk_writes_total",
            Unit::None,
            "Writes to the device since the guest booted, as the guest counts them; the socket /var/run/qemu-server/{vmid}.qga guest-get-diskstats write-ios.",
            |disk| disk.writes.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The load of a guest.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestAgentLoad {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// Over a minute.
    pub one: Option<f64>,
    /// Over five.
    pub five: Option<f64>,
    /// Over fifteen.
    pub fifteen: Option<f64>,
}

impl Subject for GuestAgentLoad {
    const NAME: &'static str = "guest agent load";
    const ROWS: &'static str = "one per running virtual machine on the exporter's own node whose guest agent is of version 10.0 or newer; only with the source `guest_agent_socket`, which is off by default";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_guest_agent_load1",
            Unit::None,
            "Load average of the guest over a minute; the socket /var/run/qemu-server/{vmid}.qga guest-get-load load1m.",
            |load| load.one.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_agent_load5",
            Unit::None,
            "Load average of the guest over five minutes; the socket /var/run/qemu-server/{vmid}.qga guest-get-load load5m.",
            |load| load.five.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_agent_load15",
            Unit::None,
            "Load average of the guest over fifteen minutes; the socket /var/run/qemu-server/{vmid}.qga guest-get-load load15m.",
            |load| load.fifteen.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
