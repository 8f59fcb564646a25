//! All metrics: the list that the documentation, the lint and the checks of dashboards and alerts are made from.

use crate::metrics::own::OWN_METRICS;
use crate::metrics::table::{Kind, Metric, Subject, Unit};
use crate::sources::name::SourceName;
use crate::subjects::access::Access;
use crate::subjects::api::Api;
use crate::subjects::backup::Backup;
use crate::subjects::backup_coverage::{BackupCoverage, UncoveredGuest};
use crate::subjects::backup_failure::BackupFailure;
use crate::subjects::backup_job::BackupJob;
use crate::subjects::backup_log::BackupLogs;
use crate::subjects::backup_volume::{BackupVolumes, OrphanedBackups};
use crate::subjects::ceph::{Ceph, CephCheck, CephFlag, CephPlacementGroups};
use crate::subjects::ceph_osd::CephOsd;
use crate::subjects::ceph_pool::CephPool;
use crate::subjects::certificate::Certificate;
use crate::subjects::cluster::Cluster;
use crate::subjects::cluster_inventory::ClusterInventory;
use crate::subjects::cluster_votes::ClusterVotes;
use crate::subjects::container::Container;
use crate::subjects::disk::Disk;
use crate::subjects::disk_smart::DiskSmart;
use crate::subjects::expected_up::ExpectedUp;
use crate::subjects::exporter::Exporter;
use crate::subjects::guest::Guest;
use crate::subjects::guest_agent::GuestAgent;
use crate::subjects::guest_agent_interface::{GuestAgentAddress, GuestAgentInterface};
use crate::subjects::guest_balloon::GuestBalloon;
use crate::subjects::guest_collector::{GuestCollector, GuestCollectorDropped};
use crate::subjects::guest_config::GuestConfig;
use crate::subjects::guest_direct::{GuestAgentCpu, GuestAgentDisk, GuestAgentLoad};
use crate::subjects::guest_drive::GuestDrive;
use crate::subjects::guest_drive_config::GuestDriveConfig;
use crate::subjects::guest_filesystem::GuestFilesystem;
use crate::subjects::guest_interface::GuestInterface;
use crate::subjects::guest_machine::GuestMachine;
use crate::subjects::guest_os::GuestOs;
use crate::subjects::guest_pressure::GuestPressure;
use crate::subjects::guest_system::GuestSystem;
use crate::subjects::ha::{HaFencing, HaManager, HaRules};
use crate::subjects::ha_guest::{HaGuest, HaGuestRequest};
use crate::subjects::ha_node::HaNode;
use crate::subjects::lvm::{ThinPool, VolumeGroup};
use crate::subjects::network::Network;
use crate::subjects::node::Node;
use crate::subjects::node_clock::NodeClock;
use crate::subjects::node_firewall::NodeFirewall;
use crate::subjects::node_interface::NodeInterface;
use crate::subjects::node_loss::NodeLoss;
use crate::subjects::node_rrd::NodeRrd;
use crate::subjects::node_sampling::NodeSampling;
use crate::subjects::packages::{NodeUpdates, Package};
use crate::subjects::pci_devices::PciDevices;
use crate::subjects::permission::Permission;
use crate::subjects::pool::Pool;
use crate::subjects::process::Process;
use crate::subjects::recovery_point::RecoveryPoint;
use crate::subjects::replication::{ReplicationJob, ReplicationState};
use crate::subjects::service::Service;
use crate::subjects::snapshot::Snapshot;
use crate::subjects::snapshots::Snapshots;
use crate::subjects::source::{Source, SourceFailure};
use crate::subjects::storage::Storage;
use crate::subjects::storage_config::StorageConfig;
use crate::subjects::subscription::Subscription;
use crate::subjects::task::{FailedTask, FinishedTasks, TaskHistory, TaskType};
use crate::subjects::zfs_pool::{ZfsPool, ZfsPoolDetail};

/// One metric, without the row type of its table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The exposed name.
    pub name: &'static str,
    /// The Prometheus type's name.
    pub kind: &'static str,
    /// The unit.
    pub unit: Unit,
    /// All labels.
    pub labels: Vec<&'static str>,
    /// The help text.
    pub help: &'static str,
}

/// The metrics of one subject.
#[derive(Clone, Debug)]
pub struct Group {
    /// The subject's name.
    pub subject: &'static str,
    /// What one row stands for.
    pub rows: &'static str,
    /// Its metrics.
    pub entries: Vec<Entry>,
}

/// The metrics of a subject.
#[must_use]
pub fn group<S: Subject>() -> Group {
    let entry = |metric: &Metric<S>| Entry {
        name: metric.name,
        kind: metric.kind.as_str(),
        unit: metric.unit,
        labels: S::LABELS.iter().chain(metric.labels).copied().collect(),
        help: metric.help,
    };
    Group {
        subject: S::NAME,
        rows: S::ROWS,
        entries: S::TABLE.iter().map(entry).collect(),
    }
}

/// Every metric of every subject, in the order of the exposition.
#[must_use]
pub fn catalog() -> Vec<Group> {
    let own = OWN_METRICS.iter().map(|metric| Entry {
        name: metric.name,
        kind: metric.kind,
        unit: if metric.name.ends_with("_seconds") {
            Unit::Seconds
        } else {
            Unit::None
        },
        labels: metric.labels.to_vec(),
        help: metric.help,
    });
    vec![
        group::<Exporter>(),
        group::<Process>(),
        group::<Cluster>(),
        group::<Api>(),
        group::<Source>(),
        group::<SourceFailure>(),
        group::<Permission>(),
        group::<ClusterVotes>(),
        group::<ClusterInventory>(),
        group::<Access>(),
        group::<HaManager>(),
        group::<HaFencing>(),
        group::<HaRules>(),
        group::<FinishedTasks>(),
        group::<TaskType>(),
        group::<TaskHistory>(),
        group::<FailedTask>(),
        group::<BackupJob>(),
        group::<BackupCoverage>(),
        group::<BackupLogs>(),
        group::<BackupFailure>(),
        group::<OrphanedBackups>(),
        group::<Node>(),
        group::<NodeLoss>(),
        group::<NodeSampling>(),
        group::<NodeRrd>(),
        group::<NodeClock>(),
        group::<NodeUpdates>(),
        group::<Package>(),
        group::<Service>(),
        group::<Subscription>(),
        group::<Certificate>(),
        group::<NodeInterface>(),
        group::<PciDevices>(),
        group::<NodeFirewall>(),
        group::<HaNode>(),
        group::<Disk>(),
        group::<DiskSmart>(),
        group::<Storage>(),
        group::<StorageConfig>(),
        group::<ZfsPool>(),
        group::<ZfsPoolDetail>(),
        group::<ThinPool>(),
        group::<VolumeGroup>(),
        group::<Ceph>(),
        group::<CephCheck>(),
        group::<CephPlacementGroups>(),
        group::<CephFlag>(),
        group::<CephOsd>(),
        group::<CephPool>(),
        group::<Pool>(),
        group::<Network>(),
        group::<Guest>(),
        group::<ExpectedUp>(),
        group::<HaGuest>(),
        group::<HaGuestRequest>(),
        group::<RecoveryPoint>(),
        group::<Backup>(),
        group::<UncoveredGuest>(),
        group::<BackupVolumes>(),
        group::<ReplicationJob>(),
        group::<ReplicationState>(),
        group::<GuestMachine>(),
        group::<GuestBalloon>(),
        group::<Container>(),
        group::<GuestPressure>(),
        group::<GuestDrive>(),
        group::<GuestInterface>(),
        group::<GuestAgent>(),
        group::<GuestSystem>(),
        group::<GuestFilesystem>(),
        group::<GuestAgentInterface>(),
        group::<GuestAgentAddress>(),
        group::<GuestConfig>(),
        group::<GuestDriveConfig>(),
        group::<Snapshots>(),
        group::<Snapshot>(),
        group::<GuestAgentCpu>(),
        group::<GuestAgentDisk>(),
        group::<GuestAgentLoad>(),
        group::<GuestCollector>(),
        group::<GuestCollectorDropped>(),
        group::<GuestOs>(),
        Group {
            subject: "exporter's own work",
            rows: "one per combination of labels that has occurred",
            entries: own.collect(),
        },
    ]
}

/// What the figures of memory mean, which differs between kinds of guests and versions of PVE.
const MEMORY: &str = "
## What memory means

| metric | PVE 7 and 8 | from 8.4 | from 9.0 |
|---|---|---|---|
| `pve_node_memory_usage_bytes` | total less free, buffers and cache | total less MemAvailable | as 8.4 |
| `pve_node_memory_available_bytes` | absent | absent | MemAvailable |
| `pve_guest_memory_usage_bytes`, virtual machine with balloon statistics | inside the guest: total less MemFree, so its page cache counts as used | the same | the same |
| `pve_guest_memory_usage_bytes`, virtual machine without them | QEMU's resident memory, scaled | the same | memory of its control group on the host |
| `pve_guest_memory_host_usage_bytes` | absent | absent | what the machine takes from its host |
| `pve_guest_memory_usage_bytes`, container | its control group less file cache | the same | the same |
";

/// What differs between versions of PVE, and what metrics need beside the role.
const AVAILABILITY: &str = "
## What is absent where

Everything else is there from PVE 7.4 on, for a token with the role PVEAuditor on `/`.

| metrics | PVE 7.4 | 8 | 9.0 | 9.2 | needs as well |
|---|---|---|---|---|---|
| `pve_node_sample_timestamp_seconds`, `pve_node_cpu_iowait_ratio`, `pve_node_network_*` | absent | from 8.3 | yes | yes | |
| `pve_node_system_info`: machine, boot_mode, secure_boot | absent | from 8.1 | yes | yes | |
| `pve_node_memory_available_bytes`, `pve_guest_memory_host_usage_bytes` | absent | absent | yes | yes | |
| `pve_node_pressure_*` | absent | absent | yes | yes | |
| `pve_node_zfs_arc_size_bytes` | absent | absent | yes | yes | ZFS on the node |
| `pve_guest_pressure_*` | absent | absent | yes | yes | |
| `pve_network_*` of fabrics | absent | absent | from 9.1 | yes | |
| `pve_ha_groups` | yes | yes | absent | absent | |
| `pve_ha_rules` | absent | absent | yes | yes | |
| `pve_ha_fencing_state` | absent | absent | absent | yes | |
| `pve_access_users_locked` | always 0: PVE locks nobody | yes | yes | yes | |
| `pve_disk_info`: all OSDs of a disk in osd | one of them | from 8.1 | yes | yes | |
| `pve_cluster_votes_*`, `pve_cluster_qdevice_configured` | yes | yes | yes | yes | a cluster; a node that stands alone has no votes |
| `pve_cluster_qdevice_connected`, `pve_cluster_qdevice_info` | yes | yes | yes | yes | a QDevice |
| `pve_access_own_token_expiry_timestamp_seconds` | yes | yes | yes | yes | a token, or its user, that expires |
| `pve_node_loss_*` | yes | yes | yes | yes | several nodes, and VM.Audit on all guests without a filter |
| `pve_node_reboot_needed`, `pve_node_kernel_info` | yes | yes | yes | yes | a kernel of Proxmox |
| `pve_subscription_info`, `pve_subscription_next_due_timestamp_seconds`, `pve_subscription_sockets` | yes | yes | yes | yes | a subscription |
| `pve_node_interface_*` of bridges | yes | yes | yes | yes | SDN.Audit, which PVEAuditor has |
| `pve_disk_health`, `pve_disk_smart_failing_attributes`, `pve_disk_power_*`, `pve_disk_temperature_celsius`, `pve_disk_life_used_ratio` | yes | yes | yes | yes | the source `disk_smart`, which is off by default, and a disk that has it |
| `pve_disk_reallocated_sectors`, `pve_disk_pending_sectors`, `pve_disk_uncorrectable_sectors`, `pve_disk_reported_uncorrectable_errors`, `pve_disk_command_timeouts`, `pve_disk_crc_errors` | yes | yes | yes | yes | the source `disk_smart`, and a disk at ATA that has the attribute |
| `pve_disk_media_errors`, `pve_disk_unsafe_shutdowns`, `pve_disk_critical_warning`, `pve_disk_available_spare_ratio` | yes | yes | yes | yes | the source `disk_smart`, and an NVMe disk |
| `pve_disk_grown_defects` | yes | yes | yes | yes | the source `disk_smart`, and a disk at SAS |
| `pve_disk_smart_*_bytes_total` | yes | yes | yes | yes | the source `disk_smart`, and a disk at NVMe, or at ATA with the attribute and a unit that its name tells |
| `pve_zfs_*` | yes | yes | yes | yes | a ZFS pool on the node |
| `pve_zfs_pool_scrub_timestamp_seconds` | yes | yes | yes | yes | the source `node_time`: PVE tells it in the local time of the node |
| `pve_lvm_vg_*`, `pve_lvmthin_pool_*` | yes | yes | yes | yes | LVM, with thin pools |
| `pve_ceph_*` | yes | yes | yes | yes | Ceph that PVE manages, on a node that is online |
| `pve_guest_drive_*_total`, `pve_guest_qemu_info` | yes | yes | yes | yes | an answer of QEMU's monitor |
| `pve_guest_balloon_*` | yes | yes | yes | yes | an answer of QEMU's monitor; all but the size `guest_balloon = true` and a balloon driver in the guest |
| `pve_guest_agent_*`, `pve_guest_filesystem_*`, `pve_guest_system_info`, `pve_guest_clock_offset_seconds`, `pve_guest_users`, `pve_guest_vcpus_online` | yes | yes | yes | yes | an agent in the guest; before 9.0 VM.Monitor, with which one is root in the guest |
| `pve_backup_volumes*`, `pve_backup_orphaned_*` | yes | yes | yes | yes | Datastore.Allocate on the storage, or Datastore.AllocateSpace on it and VM.Backup on `/vms` |
| `pve_guest_agent_cpu_seconds_total`, `pve_guest_agent_disk_*_total` | yes | yes | yes | yes | `[guest_agent_socket] enabled = true`, an exporter with root's rights on the node of the guest, and a guest with Linux and qemu-guest-agent 7.1 or newer |
| `pve_guest_agent_load*` | yes | yes | yes | yes | the same, with qemu-guest-agent 10.0 or newer |
| `pve_guest_collector_*`, `pve_guest_os_*` | yes | yes | yes | yes | `[guest_telemetry] enabled = true` on the node of the guest, a port and the collector in the guest |
| `pve_snapshot_timestamp_seconds` | yes | yes | yes | yes | `snapshot_names = true` |
| `pve_task_failed_info` | yes | yes | yes | yes | `failed_tasks` above 0 |
";

/// The text of `docs/metrics.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\nGenerated from the tables in `exporter/src/subjects/`; a test checks that it is current. A value that is not known\nis no sample: never 0, never NaN. `_info` metrics have the value 1 and carry text; join them by the labels that identify a row:\n\n```promql\npve_guest_memory_usage_bytes * on (pve_cluster, id) group_left (name, node) pve_guest_info\npve_storage_usage_bytes * on (pve_cluster, storage) group_left (plugintype) max by (pve_cluster, storage, plugintype) (pve_storage_info)\n```\n",
    );
    text += &tables(&catalog());
    text += MEMORY;
    text += AVAILABILITY;
    text + &privileges()
}

/// A table for each group.
#[must_use]
pub fn tables(groups: &[Group]) -> String {
    let mut text = String::new();
    for group in groups {
        text += &format!(
            "\n## {}\n\nRows: {}.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n",
            group.subject, group.rows
        );
        for entry in &group.entries {
            let labels = entry.labels.join(", ");
            text += &format!(
                "| `{}` | {} | {labels} | {} |\n",
                entry.name,
                entry.kind,
                entry.help.replace('|', "\\|")
            );
        }
    }
    text
}

/// The privileges that each source needs.
fn privileges() -> String {
    let mut text = String::from(
        "\n## Which privilege what needs\n\nThe meaning of a metric ends in the endpoint that it comes from. Where a privilege is missing PVE refuses the answer, or leaves\nrows and figures out of it; `pve_permission_granted` tells which ones are missing.\n\n| endpoint | source | privileges |\n|---|---|---|\n",
    );
    for source in SourceName::ALL {
        let needed = source.privileges().iter();
        let needed: Vec<_> = needed
            .map(|(privilege, path)| format!("{privilege} on `{path}`"))
            .collect();
        let needed = match source {
            SourceName::BackupVolumes => "as above".to_owned(),
            SourceName::GuestAgentSocket => "those of `tasks` and `backup_jobs`, and root on the node".to_owned(),
            _ if needed.is_empty() => "any token".to_owned(),
            _ => needed.join(", "),
        };
        text += &format!("| `{}` | `{}` | {needed} |\n", source.endpoint(), source.as_str());
    }
    text
}

/// What is wrong with a metric's name, help or labels, by Prometheus' naming rules.
#[must_use]
pub fn lint(entry: &Entry) -> Vec<String> {
    let mut faults = Vec::new();
    let mut demand = |holds: bool, fault: &str| {
        if !holds {
            faults.push(format!("{}: {fault}", entry.name));
        }
    };
    let name = entry.name;
    let stem = name.strip_suffix("_total").unwrap_or(name);
    demand(
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
        "not in snake case",
    );
    demand(
        (entry.kind == Kind::Counter.as_str()) == name.ends_with("_total"),
        "_total goes with a counter and nothing else",
    );
    demand(
        (entry.kind == Kind::Info.as_str()) == name.ends_with("_info"),
        "_info goes with an info and nothing else",
    );
    demand(
        !["_count", "_sum", "_bucket", "_created"]
            .iter()
            .any(|suffix| name.ends_with(suffix)),
        "a suffix of histograms",
    );
    demand(
        stem.ends_with(entry.unit.as_str()),
        "the unit is not the name's last word",
    );
    let units = ["_bytes", "_celsius", "_seconds", "_ratio", "_hertz"];
    demand(
        entry.unit != Unit::None || !units.iter().any(|unit| stem.ends_with(unit)),
        "a unit in the name but not in the table",
    );
    demand(entry.help.ends_with('.'), "the help text does not end in a full stop");
    demand(
        !entry.help.contains(['\n', '\\', '"']),
        "the help text has a character to escape",
    );
    let mut labels = entry.labels.clone();
    labels.sort_unstable();
    labels.dedup();
    demand(labels.len() == entry.labels.len(), "a label stands twice");
    demand(
        !labels.iter().any(|label| ["job", "instance"].contains(label)),
        "a label that Prometheus gives to targets, and renames to exported_ here",
    );
    faults
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_follows_the_naming_rules() {
        let faults: Vec<_> = catalog()
            .iter()
            .flat_map(|group| &group.entries)
            .flat_map(lint)
            .collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    #[test]
    fn no_name_stands_twice_nor_clashes_after_its_suffix() {
        let mut families = BTreeSet::new();
        for entry in catalog().iter().flat_map(|group| &group.entries) {
            assert!(families.insert(entry.name), "{} stands twice", entry.name);
            if let Some(family) = entry
                .name
                .strip_suffix("_info")
                .or_else(|| entry.name.strip_suffix("_total"))
            {
                assert!(families.insert(family), "{} clashes", entry.name);
            }
        }
    }

    /// The names in [`AVAILABILITY`], each with where `*` stands.
    fn patterns() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
        let names = AVAILABILITY.split('`').filter(|text| text.starts_with("pve_"));
        names.map(|name| {
            name.split_once('*')
                .map_or((name, None), |(start, end)| (start, Some(end)))
        })
    }

    fn fits(name: &str, (start, end): (&str, Option<&str>)) -> bool {
        end.map_or(name == start, |end| name.starts_with(start) && name.ends_with(end))
    }

    #[test]
    fn what_is_said_to_be_absent_is_catalogued() {
        let groups = catalog();
        let names = || groups.iter().flat_map(|group| &group.entries).map(|entry| entry.name);
        for pattern in patterns() {
            assert!(names().any(|name| fits(name, pattern)), "{pattern:?}");
        }
    }

    #[test]
    fn what_only_some_versions_or_settings_give_is_in_the_table() {
        let of_some = |group: &Group, entry: &Entry| {
            let of_version = ["and later", "before PVE"]
                .iter()
                .any(|words| entry.help.contains(words));
            // Another table says what this means in each version.
            of_version && entry.name != "pve_node_memory_usage_bytes" || group.rows.contains("only with the source")
        };
        for group in catalog() {
            for entry in group.entries.iter().filter(|entry| of_some(&group, entry)) {
                assert!(patterns().any(|pattern| fits(entry.name, pattern)), "{}", entry.name);
            }
        }
    }

    #[test]
    fn the_lint_finds_faults() {
        let entry = Entry {
            name: "pve_guest_cpuPercent",
            kind: "counter",
            unit: Unit::Ratio,
            labels: vec!["a", "a", "job"],
            help: "x",
        };
        assert_eq!(lint(&entry).len(), 6);
    }
}
