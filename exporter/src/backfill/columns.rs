//! Which column of PVE's history becomes which metric.
//!
//! A column gets the name of the live metric where it means the same. Columns of network and disks are rates, which no counter
//! can be made of: they are gauges under names of their own.

use serde::{Deserialize, Serialize};

use crate::metrics::catalog::catalog;
use crate::pve::api::rrddata::Row;

/// What has a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A node.
    Node,
    /// A virtual machine.
    Qemu,
    /// A container.
    Lxc,
    /// A storage.
    Storage,
}

/// One column of a kind, and its metric.
pub struct Column {
    /// The column.
    pub rrd: &'static str,
    /// The metric.
    pub metric: &'static str,
    read: fn(f64) -> Option<f64>,
}

/// What stands above the samples of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The metric.
    pub name: &'static str,
    /// Its unit, empty for none.
    pub unit: &'static str,
    /// Its help.
    pub help: &'static str,
}

const BYTES_PER_SECOND: &str = "bytes_per_second";

/// The metrics that only history has.
const OWN: &[Family] = &[
    own(
        "pve_node_network_receive_bytes_per_second",
        BYTES_PER_SECOND,
        "Bytes received on the physical interfaces of the node per second, on average; /nodes/{node}/rrddata netin.",
    ),
    own(
        "pve_node_network_transmit_bytes_per_second",
        BYTES_PER_SECOND,
        "Bytes sent on the physical interfaces of the node per second, on average; /nodes/{node}/rrddata netout.",
    ),
    own(
        "pve_guest_network_receive_bytes_per_second",
        BYTES_PER_SECOND,
        "Bytes received by the guest per second, on average; /nodes/{node}/qemu/{vmid}/rrddata and /nodes/{node}/lxc/{vmid}/rrddata netin.",
    ),
    own(
        "pve_guest_network_transmit_bytes_per_second",
        BYTES_PER_SECOND,
        "Bytes sent by the guest per second, on average; /nodes/{node}/qemu/{vmid}/rrddata and /nodes/{node}/lxc/{vmid}/rrddata netout.",
    ),
    own(
        "pve_guest_disk_read_bytes_per_second",
        BYTES_PER_SECOND,
        "Bytes read from all disks per second, on average; /nodes/{node}/qemu/{vmid}/rrddata and /nodes/{node}/lxc/{vmid}/rrddata diskread.",
    ),
    own(
        "pve_guest_disk_written_bytes_per_second",
        BYTES_PER_SECOND,
        "Bytes written to all disks per second, on average; /nodes/{node}/qemu/{vmid}/rrddata and /nodes/{node}/lxc/{vmid}/rrddata diskwrite.",
    ),
];

// A node without ZFS has a cache of 0 bytes, says PVE.
const NODE: &[Column] = &[
    plain("cpu", "pve_node_cpu_usage_ratio"),
    plain("maxcpu", "pve_node_cpus"),
    plain("iowait", "pve_node_cpu_iowait_ratio"),
    plain("loadavg", "pve_node_load1"),
    bytes("memtotal", "pve_node_memory_size_bytes"),
    bytes("memused", "pve_node_memory_usage_bytes"),
    bytes("memavailable", "pve_node_memory_available_bytes"),
    bytes_but_zero("arcsize", "pve_node_zfs_arc_size_bytes"),
    bytes("swaptotal", "pve_node_swap_size_bytes"),
    bytes("swapused", "pve_node_swap_usage_bytes"),
    bytes("roottotal", "pve_node_root_size_bytes"),
    bytes("rootused", "pve_node_root_usage_bytes"),
    plain("netin", "pve_node_network_receive_bytes_per_second"),
    plain("netout", "pve_node_network_transmit_bytes_per_second"),
    percent("pressurecpusome", "pve_node_pressure_cpu_some_ratio"),
    percent("pressureiosome", "pve_node_pressure_io_some_ratio"),
    percent("pressureiofull", "pve_node_pressure_io_full_ratio"),
    percent("pressurememorysome", "pve_node_pressure_memory_some_ratio"),
    percent("pressurememoryfull", "pve_node_pressure_memory_full_ratio"),
];

// PVE does not know what a virtual machine uses of its disks, and gives 0.
const QEMU: &[Column] = &[
    plain("cpu", "pve_guest_cpu_usage_ratio"),
    plain("maxcpu", "pve_guest_cpus"),
    bytes("maxmem", "pve_guest_memory_size_bytes"),
    bytes("mem", "pve_guest_memory_usage_bytes"),
    bytes("memhost", "pve_guest_memory_host_usage_bytes"),
    bytes_but_zero("maxdisk", "pve_guest_disk_size_bytes"),
    plain("netin", "pve_guest_network_receive_bytes_per_second"),
    plain("netout", "pve_guest_network_transmit_bytes_per_second"),
    plain("diskread", "pve_guest_disk_read_bytes_per_second"),
    plain("diskwrite", "pve_guest_disk_written_bytes_per_second"),
    percent("pressurecpusome", "pve_guest_pressure_cpu_some_ratio"),
    percent("pressurecpufull", "pve_guest_pressure_cpu_full_ratio"),
    percent("pressureiosome", "pve_guest_pressure_io_some_ratio"),
    percent("pressureiofull", "pve_guest_pressure_io_full_ratio"),
    percent("pressurememorysome", "pve_guest_pressure_memory_some_ratio"),
    percent("pressurememoryfull", "pve_guest_pressure_memory_full_ratio"),
];

// A container that does not run uses 0 bytes of its root file system, says PVE.
const LXC: &[Column] = &[
    plain("cpu", "pve_guest_cpu_usage_ratio"),
    plain("maxcpu", "pve_guest_cpus"),
    bytes("maxmem", "pve_guest_memory_size_bytes"),
    bytes("mem", "pve_guest_memory_usage_bytes"),
    bytes_but_zero("maxdisk", "pve_guest_disk_size_bytes"),
    bytes_but_zero("disk", "pve_guest_disk_usage_bytes"),
    plain("netin", "pve_guest_network_receive_bytes_per_second"),
    plain("netout", "pve_guest_network_transmit_bytes_per_second"),
    plain("diskread", "pve_guest_disk_read_bytes_per_second"),
    plain("diskwrite", "pve_guest_disk_written_bytes_per_second"),
    percent("pressurecpusome", "pve_guest_pressure_cpu_some_ratio"),
    percent("pressurecpufull", "pve_guest_pressure_cpu_full_ratio"),
    percent("pressureiosome", "pve_guest_pressure_io_some_ratio"),
    percent("pressureiofull", "pve_guest_pressure_io_full_ratio"),
    percent("pressurememorysome", "pve_guest_pressure_memory_some_ratio"),
    percent("pressurememoryfull", "pve_guest_pressure_memory_full_ratio"),
];

const STORAGE: &[Column] = &[
    bytes("total", "pve_storage_size_bytes"),
    bytes("used", "pve_storage_usage_bytes"),
];

const fn own(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family { name, unit, help }
}

const fn plain(rrd: &'static str, metric: &'static str) -> Column {
    Column {
        rrd,
        metric,
        read: Some,
    }
}

/// The average of whole bytes, of which no fraction means anything.
const fn bytes(rrd: &'static str, metric: &'static str) -> Column {
    Column {
        rrd,
        metric,
        read: |value| Some(value.round()),
    }
}

/// The same where 0 says that PVE does not know.
const fn bytes_but_zero(rrd: &'static str, metric: &'static str) -> Column {
    Column {
        rrd,
        metric,
        read: |value| Some(value.round()).filter(|value| *value > 0.0),
    }
}

const fn percent(rrd: &'static str, metric: &'static str) -> Column {
    Column {
        rrd,
        metric,
        read: |value| Some(value / 100.0),
    }
}

impl Kind {
    /// Every kind, in the order of the files.
    pub const ALL: [Self; 4] = [Self::Node, Self::Qemu, Self::Lxc, Self::Storage];

    /// Its columns.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Node => NODE,
            Self::Qemu => QEMU,
            Self::Lxc => LXC,
            Self::Storage => STORAGE,
        }
    }
}

impl Column {
    /// The value of the metric, NaN where the row does not tell it. Nothing that PVE keeps can be negative.
    #[must_use]
    pub fn value(&self, row: &Row<'_>) -> f64 {
        let value = row.value(self.rrd).filter(|value| *value >= 0.0);
        value.and_then(self.read).unwrap_or(f64::NAN)
    }
}

/// Every metric of a backfill, in the order of the files.
#[must_use]
pub fn families() -> Vec<Family> {
    let groups = catalog();
    let live: Vec<_> = groups.iter().flat_map(|group| &group.entries).collect();
    let mut families: Vec<Family> = Vec::new();
    for column in Kind::ALL.into_iter().flat_map(Kind::columns) {
        if families.iter().all(|family| family.name != column.metric) {
            let entry = live.iter().find(|entry| entry.name == column.metric);
            let family = entry.map(|entry| own(entry.name, entry.unit.as_str(), entry.help));
            let own = || OWN.iter().find(|family| family.name == column.metric).copied();
            families.extend(family.or_else(own));
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_family_of_a_gauge() {
        let families = families();
        for column in Kind::ALL.into_iter().flat_map(Kind::columns) {
            assert!(
                families.iter().any(|family| family.name == column.metric),
                "{}",
                column.metric
            );
        }
        for group in catalog() {
            for entry in group.entries {
                let backfilled = families.iter().any(|family| family.name == entry.name);
                assert!(!backfilled || entry.kind == "gauge", "{}", entry.name);
            }
        }
    }

    #[test]
    fn names_and_help_keep_the_rules() {
        for family in families() {
            assert!(family.name.ends_with(family.unit), "{family:?}");
            assert!(family.help.ends_with('.') && !family.help.contains(['"', '\\']));
        }
    }

    #[test]
    fn the_documentation_names_every_metric_and_column() {
        let page = include_str!("../../docs/backfill.md");
        for column in Kind::ALL.into_iter().flat_map(Kind::columns) {
            let line = page.lines().find(|line| line.contains(&format!("`{}`", column.metric)));
            let named = line.is_some_and(|line| line.contains(&format!("`{}`", column.rrd)));
            assert!(named, "{} {}", column.rrd, column.metric);
        }
    }

    #[test]
    fn values_are_in_base_units() {
        let mut row = Row::default();
        for (name, value) in [
            ("pressurecpusome", 50.0),
            ("mem", 10.6),
            ("maxdisk", 0.0),
            ("netin", -1.0),
        ] {
            row.values.push((name.into(), value));
        }
        let value = |name| {
            let column = QEMU.iter().find(|column| column.rrd == name).unwrap();
            Some(column.value(&row)).filter(|value| !value.is_nan())
        };
        assert_eq!(
            ["pressurecpusome", "mem", "maxdisk", "netin", "cpu"].map(value),
            [Some(0.5), Some(11.0), None, None, None]
        );
    }
}
