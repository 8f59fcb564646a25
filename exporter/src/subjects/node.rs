//! A node of a cluster.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One node, put together from `/cluster/resources`, `/cluster/status`, `/cluster/metrics/export` and `/nodes/{node}/status`.
#[derive(Clone, Debug)]
pub struct Node {
    /// `pve_cluster`, `id` and `node`.
    pub identity: Identity,
    /// The name.
    pub name: Arc<str>,
    /// Whether a source that tells its names was asked; else they are another scrape's to expose.
    pub described: bool,
    /// Whether it is online; absent when PVE does not know.
    pub up: Option<bool>,
    /// Subscription level; empty without one.
    pub level: Arc<str>,
    /// Its state in HA, where HA is used.
    pub ha_state: Option<Arc<str>>,
    /// Its number in corosync's configuration.
    pub nodeid: Option<u64>,
    /// Its address in the cluster network.
    pub ip: Arc<str>,
    /// Version of the control groups.
    pub cgroup_mode: Option<u64>,
    /// Its size and use, as the cluster tells them while it is online.
    pub figures: Figures,
    /// Load, waiting, swap and network, from the newest sample or from the node itself.
    pub activity: Activity,
    /// What only the node itself tells.
    pub system: Option<Arc<System>>,
}

/// Size and use of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Seconds since it booted.
    pub uptime: Option<u64>,
    /// Share of its CPUs in use.
    pub cpu_usage: Option<f64>,
    /// CPUs (threads).
    pub cpus: Option<f64>,
    /// Bytes of memory.
    pub memory_size: Option<u64>,
    /// Bytes of memory in use.
    pub memory_usage: Option<u64>,
    /// Bytes of the root file system.
    pub root_size: Option<u64>,
    /// Bytes in use on the root file system.
    pub root_usage: Option<u64>,
}

/// What the node does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Time of pvestatd's sample in Unix seconds.
    pub sample_time: Option<u64>,
    /// Load average over 1 minute.
    pub load1: Option<f64>,
    /// Load average over 5 minutes.
    pub load5: Option<f64>,
    /// Load average over 15 minutes.
    pub load15: Option<f64>,
    /// Share of CPU time spent waiting for I/O.
    pub iowait: Option<f64>,
    /// Bytes of swap.
    pub swap_size: Option<u64>,
    /// Bytes of swap in use.
    pub swap_usage: Option<u64>,
    /// Bytes received on physical interfaces.
    pub network_receive: Option<u64>,
    /// Bytes sent on physical interfaces.
    pub network_transmit: Option<u64>,
}

/// Kernel, processor and memory in detail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct System {
    /// Release of the running kernel.
    pub kernel: String,
    /// Version of pve-manager.
    pub pve_version: String,
    /// Processor model.
    pub cpu_model: String,
    /// Architecture.
    pub machine: String,
    /// `efi` or `legacy-bios`.
    pub boot_mode: String,
    /// Whether secure boot is on; absent without EFI.
    pub secure_boot: Option<bool>,
    /// Processor sockets.
    pub cpu_sockets: Option<u64>,
    /// Processor cores in all.
    pub cpu_cores: Option<u64>,
    /// Frequency of the first CPU in Hz.
    pub cpu_frequency: Option<f64>,
    /// Bytes of memory that programs can still get.
    pub memory_available: Option<u64>,
    /// Bytes of memory that nothing uses.
    pub memory_free: Option<u64>,
    /// Bytes that kernel same-page merging shares.
    pub ksm_shared: Option<u64>,
    /// Bytes that users without privileges can still write to the root file system.
    pub root_available: Option<u64>,
}

/// The labels of `node`.
#[must_use]
pub fn identity(cluster: &str, node: &str) -> Identity {
    Identity::new(&[
        ("pve_cluster", cluster),
        ("id", &format!("node/{node}")),
        ("node", node),
    ])
}

impl Node {
    fn system<T>(&self, read: impl FnOnce(&System) -> Option<T>) -> Option<T> {
        self.system.as_deref().and_then(read)
    }
}

impl Subject for Node {
    const NAME: &'static str = "node";
    const ROWS: &'static str = "one per node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_node_info",
            &["name", "level", "nodeid", "ip", "cgroup_mode"],
            "What the node is called: subscription level (c, b, s or p; none without a subscription), version of control groups, number and address in the cluster; /cluster/resources level, cgroup-mode and /cluster/status nodeid, ip.",
            |node, labels| {
                if !node.described {
                    return false;
                }
                labels.label("name", &node.name);
                labels.label("level", &node.level);
                if let Some(nodeid) = node.nodeid {
                    labels.label("nodeid", itoa::Buffer::new().format(nodeid));
                }
                labels.label("ip", &node.ip);
                if let Some(mode) = node.cgroup_mode {
                    labels.label("cgroup_mode", itoa::Buffer::new().format(mode));
                }
                true
            },
        ),
        Metric::gauge(
            "pve_node_up",
            Unit::None,
            "Whether the node is online, as the cluster sees it; absent when it does not know; /cluster/resources status.",
            |node| node.up.map(Into::into),
        ),
        Metric::info(
            "pve_node_system_info",
            &[
                "kernel",
                "pve_version",
                "cpu_model",
                "machine",
                "boot_mode",
                "secure_boot",
            ],
            "Software and hardware of the node; /nodes/{node}/status current-kernel, pveversion, cpuinfo, boot-info.",
            |node, labels| {
                let Some(system) = &node.system else { return false };
                labels.label("kernel", &system.kernel);
                labels.label("pve_version", &system.pve_version);
                labels.label("cpu_model", &system.cpu_model);
                labels.label("machine", &system.machine);
                labels.label("boot_mode", &system.boot_mode);
                if let Some(secure_boot) = system.secure_boot {
                    labels.label("secure_boot", if secure_boot { "1" } else { "0" });
                }
                true
            },
        ),
        Metric::gauge(
            "pve_node_sample_timestamp_seconds",
            Unit::Seconds,
            "When pvestatd took the node's newest sample; one that stands still is a hung pvestatd; /cluster/metrics/export timestamp.",
            |node| node.activity.sample_time.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_uptime_seconds",
            Unit::Seconds,
            "Time since the node booted; /cluster/resources uptime.",
            |node| node.figures.uptime.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_cpu_usage_ratio",
            Unit::Ratio,
            "Share of the node's CPUs in use by itself and its guests, without the time spent waiting for I/O; /cluster/resources cpu.",
            |node| node.figures.cpu_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_cpus",
            Unit::None,
            "CPUs (threads) of the node; /cluster/resources maxcpu.",
            |node| node.figures.cpus.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_cpu_sockets",
            Unit::None,
            "Processor sockets of the node; /nodes/{node}/status cpuinfo.sockets.",
            |node| node.system(|system| system.cpu_sockets).map(Into::into),
        ),
        Metric::gauge(
            "pve_node_cpu_cores",
            Unit::None,
            "Processor cores of the node, in all sockets; /nodes/{node}/status cpuinfo.cores.",
            |node| node.system(|system| system.cpu_cores).map(Into::into),
        ),
        Metric::gauge(
            "pve_node_cpu_frequency_hertz",
            Unit::Hertz,
            "Momentary frequency of the node's first CPU; /nodes/{node}/status cpuinfo.mhz.",
            |node| node.system(|system| system.cpu_frequency).map(Into::into),
        ),
        Metric::gauge(
            "pve_node_cpu_iowait_ratio",
            Unit::Ratio,
            "Share of CPU time spent waiting for I/O; /cluster/metrics/export cpu_iowait.",
            |node| node.activity.iowait.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_load1",
            Unit::None,
            "Load average over 1 minute; /cluster/metrics/export cpu_avg1, else /nodes/{node}/status loadavg.",
            |node| node.activity.load1.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_load5",
            Unit::None,
            "Load average over 5 minutes; /cluster/metrics/export cpu_avg5, else /nodes/{node}/status loadavg.",
            |node| node.activity.load5.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_load15",
            Unit::None,
            "Load average over 15 minutes; /cluster/metrics/export cpu_avg15, else /nodes/{node}/status loadavg.",
            |node| node.activity.load15.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_memory_size_bytes",
            Unit::Bytes,
            "Memory of the node; /cluster/resources maxmem.",
            |node| node.figures.memory_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_memory_usage_bytes",
            Unit::Bytes,
            "Memory in use: all less what is available (before PVE 8.4, all less free, buffers and caches); /cluster/resources mem.",
            |node| node.figures.memory_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_memory_available_bytes",
            Unit::Bytes,
            "Memory that programs can still get; PVE 9 and later; /nodes/{node}/status memory.available.",
            |node| node.system(|system| system.memory_available).map(Into::into),
        ),
        Metric::gauge(
            "pve_node_memory_free_bytes",
            Unit::Bytes,
            "Memory that nothing uses, not even as a cache; /nodes/{node}/status memory.free.",
            |node| node.system(|system| system.memory_free).map(Into::into),
        ),
        Metric::gauge(
            "pve_node_memory_ksm_shared_bytes",
            Unit::Bytes,
            "Memory that kernel same-page merging shares; /nodes/{node}/status ksm.shared.",
            |node| node.system(|system| system.ksm_shared).map(Into::into),
        ),
        Metric::gauge(
            "pve_node_swap_size_bytes",
            Unit::Bytes,
            "Swap space of the node; /cluster/metrics/export swap_total, else /nodes/{node}/status swap.total.",
            |node| node.activity.swap_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_swap_usage_bytes",
            Unit::Bytes,
            "Swap space in use; /cluster/metrics/export swap_used, else /nodes/{node}/status swap.used.",
            |node| node.activity.swap_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_root_size_bytes",
            Unit::Bytes,
            "Size of the node's root file system; /cluster/resources maxdisk.",
            |node| node.figures.root_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_root_usage_bytes",
            Unit::Bytes,
            "Bytes in use on the node's root file system, blocks kept for root included; /cluster/resources disk.",
            |node| node.figures.root_usage.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_root_available_bytes",
            Unit::Bytes,
            "Bytes that users without privileges can still write to the node's root file system; /nodes/{node}/status rootfs.avail.",
            |node| node.system(|system| system.root_available).map(Into::into),
        ),
        Metric::counter(
            "pve_node_network_receive_bytes_total",
            Unit::Bytes,
            "Bytes received on the node's physical interfaces; /cluster/metrics/export net_in.",
            |node| node.activity.network_receive.map(Into::into),
        ),
        Metric::counter(
            "pve_node_network_transmit_bytes_total",
            Unit::Bytes,
            "Bytes sent on the node's physical interfaces; /cluster/metrics/export net_out.",
            |node| node.activity.network_transmit.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
