//! The pressure on a guest: how long its tasks wait for what its node has too little of.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit, Value};
use crate::subjects::guest::GuestKey;

/// Percent of the last 10 s in which some or all tasks of a control group waited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percent {
    /// Some waited for a CPU.
    pub cpu_some: Option<f64>,
    /// All waited for a CPU.
    pub cpu_full: Option<f64>,
    /// Some waited for I/O.
    pub io_some: Option<f64>,
    /// All waited for I/O.
    pub io_full: Option<f64>,
    /// Some waited for memory.
    pub memory_some: Option<f64>,
    /// All waited for memory.
    pub memory_full: Option<f64>,
}

/// The pressure on one guest.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestPressure {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// The guest.
    pub guest: GuestKey,
    /// What its control group tells.
    pub percent: Percent,
}

impl Subject for GuestPressure {
    const NAME: &'static str = "guest pressure";
    const ROWS: &'static str = "one per running guest; none before PVE 9";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_guest_pressure_cpu_some_ratio",
            Unit::Ratio,
            "Share of the last 10 s in which at least one task of the guest on its node waited for a CPU; PVE 9 and later; /nodes/{node}/qemu?full=1 and /nodes/{node}/lxc pressurecpusome.",
            |pressure| share(pressure.percent.cpu_some),
        ),
        Metric::gauge(
            "pve_guest_pressure_cpu_full_ratio",
            Unit::Ratio,
            "Share of the last 10 s in which every task of the guest on its node that could run waited for a CPU; PVE 9 and later; /nodes/{node}/qemu?full=1 and /nodes/{node}/lxc pressurecpufull.",
            |pressure| share(pressure.percent.cpu_full),
        ),
        Metric::gauge(
            "pve_guest_pressure_io_some_ratio",
            Unit::Ratio,
            "Share of the last 10 s in which at least one task of the guest on its node waited for I/O; PVE 9 and later; /nodes/{node}/qemu?full=1 and /nodes/{node}/lxc pressureiosome.",
            |pressure| share(pressure.percent.io_some),
        ),
        Metric::gauge(
            "pve_guest_pressure_io_full_ratio",
            Unit::Ratio,
            "Share of the last 10 s in which every task of the guest on its node that could run waited for I/O; PVE 9 and later; /nodes/{node}/qemu?full=1 and /nodes/{node}/lxc pressureiofull.",
            |pressure| share(pressure.percent.io_full),
        ),
        Metric::gauge(
            "pve_guest_pressure_memory_some_ratio",
            Unit::Ratio,
            "Share of the last 10 s in which at least one task of the guest on its node waited for memory; PVE 9 and later; /nodes/{node}/qemu?full=1 and /nodes/{node}/lxc pressurememorysome.",
            |pressure| share(pressure.percent.memory_some),
        ),
        Metric::gauge(
            "pve_guest_pressure_memory_full_ratio",
            Unit::Ratio,
            "Share of the last 10 s in which every task of the guest on its node that could run waited for memory; PVE 9 and later; /nodes/{node}/qemu?full=1 and /nodes/{node}/lxc pressurememoryfull.",
            |pressure| share(pressure.percent.memory_full),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// A share in the place of `percent`.
pub(super) fn share(percent: Option<f64>) -> Option<Value> {
    // PVE gives two decimals; a plain division would show more than it knows.
    percent.map(|percent| ((percent * 100.0).round() / 10_000.0).into())
}
