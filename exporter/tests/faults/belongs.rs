//! Which sources a sample comes from, by the start of its name.

use crate::support::strict::{Exposition, Sample};

/// Without one of these sources the samples whose names start so are not there, or say less.
const BELONG: &[(&str, &[&str])] = &[
    (
        "resources",
        &[
            "pve_guest_agent_",
            "pve_guest_info",
            "pve_guest_up",
            "pve_guest_state",
            "pve_guest_lock",
            "pve_guest_cpu",
            "pve_guest_memory_",
            "pve_guest_disk_",
            "pve_guest_network_",
            "pve_guest_monitor_",
            "pve_guest_expected_up",
            "pve_storage_info",
            "pve_storage_up",
            "pve_storage_shared",
            "pve_storage_size",
            "pve_storage_usage",
            "pve_pool_",
            "pve_network_",
            "pve_node_info",
            "pve_node_up",
            "pve_node_cpu_usage",
            "pve_node_cpus",
            "pve_node_memory_size",
            "pve_node_memory_usage",
            "pve_node_root_size",
            "pve_node_root_usage",
            "pve_backup_volumes",
            "pve_backup_orphaned",
            "pve_node_loss_",
        ],
    ),
    // The nodes' own status stands in for it here and there.
    (
        "metrics_export",
        &[
            "pve_node_load",
            "pve_node_swap_",
            "pve_node_network_",
            "pve_node_cpu_iowait",
            "pve_node_sample_",
        ],
    ),
    (
        "cluster_status",
        &[
            "pve_cluster_info",
            "pve_cluster_quorate",
            "pve_cluster_nodes",
            "pve_cluster_votes_online",
            // The number and the address of a node.
            "pve_node_info",
        ],
    ),
    (
        "node_status",
        &[
            "pve_node_system_info",
            "pve_node_cpu_sockets",
            "pve_node_cpu_cores",
            "pve_node_cpu_frequency",
            "pve_node_memory_available",
            "pve_node_memory_free",
            "pve_node_memory_ksm",
            "pve_node_root_available",
            "pve_cluster_versions",
        ],
    ),
    ("version", &["pve_version_info"]),
    ("permissions", &["pve_permission_granted"]),
    ("tasks", &["pve_task_"]),
    (
        "backup_logs",
        &[
            "pve_backup_info",
            "pve_backup_last_",
            "pve_backup_logs_",
            "pve_guest_recovery_point",
        ],
    ),
    ("backup_jobs", &["pve_backup_job_"]),
    ("backup_coverage", &["pve_backup_uncovered"]),
    ("backup_volumes", &["pve_backup_volumes", "pve_backup_orphaned"]),
    (
        "ha_manager",
        &[
            "pve_ha_manager_",
            "pve_ha_quorate",
            "pve_ha_guest_state",
            "pve_ha_guest_moves",
            "pve_ha_node_",
            "pve_ha_lrm_",
        ],
    ),
    (
        "ha_status",
        &[
            "pve_ha_fencing_",
            "pve_ha_guest_requested_state",
            "pve_guest_expected_up",
        ],
    ),
    ("ha_rules", &["pve_ha_rules", "pve_ha_groups", "pve_node_loss_"]),
    (
        "replication_jobs",
        &[
            "pve_replication_job_info",
            "pve_replication_job_enabled",
            "pve_node_loss_",
        ],
    ),
    (
        "replication",
        &[
            "pve_replication_job_last_",
            "pve_replication_job_next_",
            "pve_replication_job_consecutive_failures",
            "pve_replication_job_error",
            "pve_replication_job_running",
            "pve_guest_recovery_point",
        ],
    ),
    (
        "qemu",
        &[
            "pve_guest_qemu_",
            "pve_guest_balloon_",
            "pve_guest_pressure_",
            "pve_guest_drive_",
        ],
    ),
    ("lxc", &["pve_guest_swap_", "pve_guest_pressure_"]),
    ("netstat", &["pve_guest_interface_"]),
    (
        "guest_config",
        &[
            "pve_guest_agent_",
            "pve_guest_config_",
            "pve_guest_pending_",
            "pve_guest_created_",
            "pve_guest_drive_",
            "pve_guest_expected_up",
            "pve_node_loss_",
        ],
    ),
    (
        "guest_agents",
        &[
            "pve_guest_agent_",
            "pve_guest_filesystem_",
            "pve_guest_system_",
            "pve_guest_clock_",
            "pve_guest_users",
            "pve_guest_vcpus_",
        ],
    ),
    ("snapshots", &["pve_guest_snapshot", "pve_snapshot_"]),
    (
        "zfs",
        &[
            "pve_zfs_pool_health",
            "pve_zfs_pool_size",
            "pve_zfs_pool_allocated",
            "pve_zfs_pool_free",
            "pve_zfs_pool_fragmentation",
            "pve_zfs_pool_deduplication",
        ],
    ),
    (
        "zfs_detail",
        &[
            "pve_zfs_pool_read_",
            "pve_zfs_pool_write_",
            "pve_zfs_pool_checksum_",
            "pve_zfs_pool_data_",
            "pve_zfs_pool_vdevs_",
            "pve_zfs_pool_scrub_",
            "pve_zfs_pool_resilver_",
        ],
    ),
    ("lvm", &["pve_lvm_vg_"]),
    ("lvmthin", &["pve_lvmthin_pool_"]),
    ("storage_config", &["pve_storage_enabled"]),
    (
        "ceph_status",
        &[
            "pve_ceph_health",
            "pve_ceph_monitors",
            "pve_ceph_objects",
            "pve_ceph_osds",
            "pve_ceph_pgs",
            "pve_ceph_size",
            "pve_ceph_usage",
            "pve_ceph_available",
        ],
    ),
    ("ceph_osds", &["pve_ceph_osd_", "pve_ceph_flag"]),
    ("ceph_pools", &["pve_ceph_pool_"]),
    // Only disks that are listed have readings of their own.
    ("disks", &["pve_disk_"]),
    ("disk_smart", &["pve_disk_"]),
    ("node_rrd", &["pve_node_pressure_", "pve_node_zfs_arc_"]),
    (
        "node_time",
        &[
            "pve_node_clock_",
            "pve_node_timezone_",
            "pve_node_utc_",
            // The node's tools tell it in local time.
            "pve_zfs_pool_scrub_timestamp",
        ],
    ),
    ("services", &["pve_service_"]),
    (
        "packages",
        &[
            "pve_update_",
            "pve_node_package_",
            "pve_node_kernel_",
            "pve_node_reboot_",
        ],
    ),
    ("subscriptions", &["pve_subscription_"]),
    ("certificates", &["pve_certificate_"]),
    ("interfaces", &["pve_node_interface_"]),
    ("pci_devices", &["pve_node_pci_"]),
    ("corosync", &["pve_cluster_votes_", "pve_cluster_qdevice_"]),
    ("access_users", &["pve_access_"]),
    ("firewall", &["pve_firewall_"]),
    ("node_firewall", &["pve_node_firewall_"]),
    ("metric_servers", &["pve_cluster_metric_servers"]),
];

/// The drives as they are configured. What they do is counted.
const CONFIGURED: [&str; 3] = [
    "pve_guest_drive_info",
    "pve_guest_drive_size_bytes",
    "pve_guest_drive_backup_excluded",
];

/// What the list of disks tells.
const LISTED: [&str; 3] = [
    "pve_disk_info",
    "pve_disk_capacity_bytes",
    "pve_disk_rotations_per_minute",
];

/// Whether `sample` comes from `source`, if not from it alone.
pub(crate) fn of(source: &str, sample: &Sample) -> bool {
    let starts = |start: &&str| sample.name.starts_with(start);
    let named = BELONG
        .iter()
        .any(|(owner, names)| *owner == source && names.iter().any(starts));
    match (source, sample.name.as_str()) {
        ("resources", "pve_guest_uptime_seconds" | "pve_node_uptime_seconds") => true,
        ("backup_logs", "pve_guest_recovery_point_timestamp_seconds") => sample.label("source") == Some("backup"),
        ("replication", "pve_guest_recovery_point_timestamp_seconds") => sample.label("source") == Some("replication"),
        ("disk_smart", name) if LISTED.contains(&name) => false,
        ("qemu", name) if CONFIGURED.contains(&name) => false,
        ("guest_config", name) if name.starts_with("pve_guest_drive_") => CONFIGURED.contains(&name),
        ("qemu" | "lxc", name) if name.starts_with("pve_guest_pressure_") => {
            sample.label("id").is_some_and(|id| id.starts_with(source))
        }
        _ => named,
    }
}

/// Whether `sample` comes from one of `sources`, if not from them alone.
pub(crate) fn of_any(sources: &[&str], sample: &Sample) -> bool {
    sources.iter().any(|source| of(source, sample))
}

/// Whether `sample` would not be there without `source`.
pub(crate) fn of_alone(source: &str, sample: &Sample) -> bool {
    let other = |(owner, _): &(&str, _)| *owner != source && of(owner, sample);
    of(source, sample) && (source == "disk_smart" || !BELONG.iter().any(other))
}

/// Whether the sample has the label `node` with this value.
pub(crate) fn on(sample: &Sample, node: &str) -> bool {
    sample.label("node") == Some(node)
}

/// The guest that it is about, or a thing of which it is about.
fn guest(sample: &Sample) -> Option<&str> {
    let id = sample.label("id");
    id.filter(|id| id.starts_with("qemu/") || id.starts_with("lxc/"))
}

/// Whether it is about a guest.
pub(crate) fn of_guest(sample: &Sample) -> bool {
    guest(sample).is_some()
}

/// Whether it is about a guest that was on `node`.
pub(crate) fn of_guest_on(before: &Exposition, sample: &Sample, node: &str) -> bool {
    guest(sample).is_some_and(|id| before.value("pve_guest_info", &[("id", id), ("node", node)]).is_some())
}
