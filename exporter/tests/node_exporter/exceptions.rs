//! Where our page of a guest is meant to differ from node_exporter's, each with its reason.

use crate::page::Labels;

/// Something listed, with the reason for it. A `*` in a name stands for anything.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) names: &'static [&'static str],
    pub(crate) reason: &'static str,
}

pub(crate) const fn listed(names: &'static [&'static str], reason: &'static str) -> Listed {
    Listed { names, reason }
}

/// What node_exporter shows by default, of this machine or of another, and our page of a guest does not.
pub(crate) const LACKING: &[Listed] = &[
    listed(
        &[
            "go_*",
            "node_exporter_build_info",
            "node_scrape_collector_duration_seconds",
            "process_max_fds",
            "process_network_*",
            "process_open_fds",
            "process_start_time_seconds",
            "process_virtual_memory_*",
            "promhttp_*",
        ],
        "They tell of a program that does not run in the guest; what matters of the collector is shown.",
    ),
    listed(
        &["node_textfile_mtime_seconds", "node_textfile_scrape_error"],
        "No metrics are taken from files: what a guest can send is a closed set.",
    ),
    listed(
        &["node_systemd_*"],
        "They need D-Bus and a series per unit (only Debian's package has them by default).",
    ),
    listed(
        &["node_selinux_*"],
        "A setting, not a measurement: tools that know the whole policy tell more.",
    ),
    listed(
        &["node_kernel_hung_tasks_total"],
        "Kernels since 6.13 tell it, if built with hung task detection.",
    ),
    listed(
        &["node_filesystem_purgeable_bytes"],
        "Only macOS has it; on Linux it is always 0.",
    ),
    listed(
        &[
            "node_disk_ata_*",
            "node_disk_device_mapper_info",
            "node_disk_filesystem_info",
        ],
        "They come from udev's files, and ATA's features from real disks.",
    ),
    listed(
        &[
            "node_cpu_core_throttles_total",
            "node_cpu_package_throttles_total",
            "node_cpu_frequency_*",
            "node_cpu_scaling_*",
        ],
        "A virtual CPU has neither a frequency of its own nor a temperature.",
    ),
    listed(
        &["node_cpu_isolated", "node_cpu_online"],
        "node_cpu_seconds_total has the CPUs that are online, and those are rarely isolated in guests.",
    ),
    listed(
        &[
            "node_cooling_device_*",
            "node_hwmon_*",
            "node_power_supply_*",
            "node_rapl_*",
            "node_thermal_zone_temp",
        ],
        "Sensors are the host's.",
    ),
    listed(
        &[
            "node_edac_*",
            "node_fibrechannel_*",
            "node_infiniband_*",
            "node_nvme_*",
            "node_tape_*",
            "node_watchdog_*",
        ],
        "Hardware is the host's, but for what is passed through.",
    ),
    listed(
        &["node_bonding_*", "node_dmmultipath_*", "node_md_*"],
        "Links, paths and disks are made redundant by the host.",
    ),
    listed(
        &[
            "node_bcache_*",
            "node_bcachefs_*",
            "node_btrfs_*",
            "node_xfs_*",
            "node_zfs_*",
        ],
        "Inside of single file systems, with up to hundreds of series; sizes are in node_filesystem_*.",
    ),
    listed(
        &["node_nfs_*", "node_nfsd_*", "node_ipvs_*"],
        "Services that few guests run, with up to hundreds of series.",
    ),
];

/// What our page shows under names of node_exporter's that it does not show by default, or not in every version from 1.5 on.
pub(crate) const MORE: &[Listed] = &[
    listed(
        &["node_processes_*", "node_softirqs_total"],
        "Behind switches of node_exporter's; the dashboard asks for the first.",
    ),
    listed(
        &["node_netstat_Tcp_MaxConn"],
        "The dashboard asks for it; node_exporter has it only when told so.",
    ),
    listed(
        &[
            "node_filesystem_mount_info",
            "node_memory_Zswap*",
            "node_netstat_TcpExt_TCPOFOQueue",
            "node_netstat_TcpExt_TCPRcvQDrop",
            "node_pressure_irq_stalled_seconds_total",
            "node_softnet_*",
        ],
        "Versions of node_exporter before 1.11 do not have all of them.",
    ),
    listed(
        &[
            "node_memory_Balloon_bytes",
            "node_memory_CmaFree_bytes",
            "node_memory_CmaTotal_bytes",
            "node_memory_FileHugePages_bytes",
            "node_memory_FilePmdMapped_bytes",
            "node_memory_Hugetlb_bytes",
            "node_memory_KReclaimable_bytes",
            "node_memory_SecPageTables_bytes",
            "node_memory_ShadowCallStack_bytes",
            "node_memory_Unaccepted_bytes",
        ],
        "Versions of node_exporter since 1.9 do not have all of them.",
    ),
];

/// What is not of the machine: both tell of themselves.
const OF_THE_PROGRAM: &[&str] = &["node_scrape_collector_*", "process_*"];

/// What node_exporter shows where the kernel tells nothing. Ours is absent then.
const UNKNOWN: &[(&str, f64)] = &[
    ("node_network_speed_bytes", -125_000.0),
    // Linux before 5.10 and 3.11.
    ("node_softnet_backlog_len", 0.0),
    ("node_softnet_flow_limit_count_total", 0.0),
];

/// Of which side a row is that the other lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Theirs,
}

/// Rows that only one side has.
#[derive(Debug)]
struct Rows {
    side: Side,
    families: &'static str,
    label: &'static str,
    values: &'static [&'static str],
}

/// Which interfaces, disks and mounts are shown differs from version to version; the collector leaves out what is of containers.
const ROWS: &[Rows] = &[
    // What Debian's package leaves out by default.
    Rows {
        side: Side::Ours,
        families: "node_network_*",
        label: "device",
        values: &["lo"],
    },
    Rows {
        side: Side::Ours,
        families: "node_filesystem_*",
        label: "mountpoint",
        values: &["/media*", "/mnt*", "/run*"],
    },
    // What the collector leaves out.
    Rows {
        side: Side::Theirs,
        families: "node_disk_*",
        label: "device",
        values: &["zram*"],
    },
    Rows {
        side: Side::Theirs,
        families: "node_*",
        label: "device",
        values: &["br-*", "cali*", "cni*", "docker0", "lxc*", "veth*", "virbr*"],
    },
    Rows {
        side: Side::Theirs,
        families: "node_filesystem_*",
        label: "fstype",
        values: &["efivarfs", "erofs", "fuse.lxcfs", "iso9660", "overlay", "squashfs"],
    },
];

/// Labels that not every version has.
const OF_SOME_VERSIONS: &[(&str, &str)] = &[
    ("node_network_info", "adminstate"), // since 1.11
    ("node_disk_info", "rotational"),    // since 1.10
];

/// How far a value may lie outside of what ours was before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Slack {
    pub(crate) absolute: f64,
    pub(crate) relative: f64,
}

const fn absolute(absolute: f64) -> Slack {
    Slack {
        absolute,
        relative: 0.0,
    }
}

const fn relative(relative: f64) -> Slack {
    Slack {
        absolute: 0.0,
        relative,
    }
}

/// What can go up and down again between two readings. All else has no slack, and the first pattern counts.
const SLACK: &[(&str, Slack)] = &[
    ("node_arp_entries", absolute(1.0)),
    // A machine that went idle while it waits for I/O counts back.
    ("node_cpu_seconds_total", absolute(0.02)),
    ("node_disk_io_now", absolute(16.0)),
    ("node_entropy_available_bits", absolute(64.0)),
    ("node_filefd_allocated", absolute(256.0)),
    ("node_filesystem_avail_bytes", relative(0.001)),
    ("node_filesystem_files_free", relative(0.001)),
    ("node_filesystem_free_bytes", relative(0.001)),
    // The kernel renews it every five seconds.
    ("node_load1", absolute(0.2)),
    ("node_load5", absolute(0.05)),
    ("node_load15", absolute(0.02)),
    // Those that move by themselves, not totals and limits.
    ("node_memory_A*", relative(0.01)),
    ("node_memory_Buffers_bytes", relative(0.01)),
    ("node_memory_Cached_bytes", relative(0.01)),
    ("node_memory_Committed_AS_bytes", relative(0.01)),
    ("node_memory_Dirty_bytes", absolute(64e6)),
    ("node_memory_Inactive*", relative(0.01)),
    ("node_memory_KernelStack_bytes", relative(0.05)),
    ("node_memory_Mapped_bytes", relative(0.05)),
    ("node_memory_MemAvailable_bytes", relative(0.01)),
    ("node_memory_MemFree_bytes", relative(0.01)),
    ("node_memory_PageTables_bytes", relative(0.1)),
    ("node_memory_S*", relative(0.01)),
    ("node_memory_Writeback_bytes", absolute(64e6)),
    ("node_netstat_Tcp_CurrEstab", absolute(16.0)),
    ("node_procs_*", absolute(16.0)),
    ("node_sockstat_*_bytes", absolute(64.0 * 4096.0)),
    ("node_sockstat_*", absolute(64.0)),
    ("node_timex_*", relative(0.1)),
    ("node_udp_queues", absolute(65_536.0)),
];

/// Whether a name is the pattern. A `*` in it stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((beginning, end)) => name.strip_prefix(beginning).is_some_and(|rest| rest.ends_with(end)),
        None => name == pattern,
    }
}

fn find(list: &'static [Listed], name: &str) -> Option<&'static Listed> {
    list.iter()
        .find(|listed| listed.names.iter().any(|pattern| matches(pattern, name)))
}

pub(crate) fn lacking(family: &str) -> Option<&'static Listed> {
    find(LACKING, family)
}

pub(crate) fn more(family: &str) -> Option<&'static Listed> {
    find(MORE, family)
}

/// Whether the values of both are of different things.
pub(crate) fn of_the_program(family: &str) -> bool {
    OF_THE_PROGRAM.iter().any(|pattern| matches(pattern, family))
}

/// The value by which node_exporter tells that nothing is known.
pub(crate) fn unknown(family: &str) -> Option<f64> {
    UNKNOWN
        .iter()
        .find(|(name, _)| *name == family)
        .map(|(_, value)| *value)
}

pub(crate) fn of_some_versions(family: &str, label: &str) -> bool {
    OF_SOME_VERSIONS.contains(&(family, label))
}

/// Whether the other side may lack this row.
pub(crate) fn row(side: Side, family: &str, labels: &Labels) -> bool {
    let covers = |rows: &Rows| {
        let value = labels.get(rows.label).map_or("", String::as_str);
        rows.side == side && matches(rows.families, family) && rows.values.iter().any(|pattern| matches(pattern, value))
    };
    ROWS.iter().any(covers)
}

pub(crate) fn slack(family: &str) -> Slack {
    let found = SLACK.iter().find(|(pattern, _)| matches(pattern, family));
    found.map(|(_, slack)| *slack).unwrap_or_default()
}
