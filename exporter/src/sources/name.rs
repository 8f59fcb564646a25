//! The closed list of sources: what each is called, how old its data may get, what it costs PVE and which privilege it needs.

use std::time::Duration;

use serde::Deserialize;

use crate::pve::budget::Cost;

/// A source: one kind of data, read from one PVE endpoint (and its fall-backs).
///
/// The name is the value of the label `source`, of `collect[]` and of the table `[sources.<name>]` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceName {
    /// `GET /cluster/resources`.
    Resources,
    /// `GET /cluster/metrics/export`, or per node where that is slow or incomplete.
    MetricsExport,
    /// `GET /cluster/status`.
    ClusterStatus,
    /// `GET /nodes/{node}/status`.
    NodeStatus,
    /// `GET /version`.
    Version,
    /// `GET /access/permissions`.
    Permissions,
    /// `GET /cluster/tasks`.
    Tasks,
    /// `GET /nodes/{node}/tasks`, which holds what is listed there no more.
    TaskArchive,
    /// `GET /nodes/{node}/tasks/{upid}/log`, of tasks that make backups.
    BackupLogs,
    /// `GET /cluster/backup`.
    BackupJobs,
    /// `GET /cluster/backup-info/not-backed-up`.
    BackupCoverage,
    /// `GET /nodes/{node}/storage/{storage}/content`.
    BackupVolumes,
    /// `GET /cluster/ha/status/manager_status`.
    HaManager,
    /// `GET /cluster/ha/status/current`.
    HaStatus,
    /// `GET /cluster/ha/rules`, or `/cluster/ha/groups` before PVE 9.
    HaRules,
    /// `GET /cluster/replication`.
    ReplicationJobs,
    /// `GET /nodes/{node}/replication`.
    Replication,
    /// `GET /nodes/{node}/qemu?full=1`.
    Qemu,
    /// `GET /nodes/{node}/lxc`.
    Lxc,
    /// `GET /nodes/{node}/netstat`.
    Netstat,
    /// `GET /nodes/{node}/{qemu,lxc}/{vmid}/pending`.
    GuestConfig,
    /// `GET /nodes/{node}/{qemu,lxc}/{vmid}/snapshot`.
    Snapshots,
    /// `GET` and, where PVE takes nothing else, `POST /nodes/{node}/qemu/{vmid}/agent/{command}`.
    GuestAgents,
    /// `GET /nodes/{node}/disks/zfs`.
    Zfs,
    /// `GET /nodes/{node}/disks/zfs/{pool}`.
    ZfsDetail,
    /// `GET /nodes/{node}/disks/lvm`.
    Lvm,
    /// `GET /nodes/{node}/disks/lvmthin`.
    Lvmthin,
    /// `GET /storage`.
    StorageConfig,
    /// `GET /nodes/{node}/ceph/status`, which is `/cluster/ceph/status` at a node of choice.
    CephStatus,
    /// `GET /nodes/{node}/ceph/osd`.
    CephOsds,
    /// `GET /nodes/{node}/ceph/pool`.
    CephPools,
    /// `GET /nodes/{node}/disks/list`.
    Disks,
    /// `GET /nodes/{node}/disks/smart`, of each disk.
    DiskSmart,
    /// `GET /nodes/{node}/rrddata`.
    NodeRrd,
    /// `GET /nodes/{node}/time`.
    NodeTime,
    /// `GET /nodes/{node}/services`.
    Services,
    /// `GET /nodes/{node}/apt/versions`.
    Packages,
    /// `GET /nodes/{node}/subscription`.
    Subscriptions,
    /// `GET /nodes/{node}/certificates/info`.
    Certificates,
    /// `GET /nodes/{node}/network`.
    Interfaces,
    /// `GET /nodes/{node}/hardware/pci`.
    PciDevices,
    /// `GET /cluster/config/nodes` and `GET /cluster/config/qdevice`.
    Corosync,
    /// `GET /access/users`.
    AccessUsers,
    /// `GET /cluster/firewall/options`.
    Firewall,
    /// `GET /nodes/{node}/firewall/options`.
    NodeFirewall,
    /// `GET /cluster/metrics/server`.
    MetricServers,
    /// The sockets of guest agents, on the node that the exporter runs on.
    GuestAgentSocket,
}

impl SourceName {
    /// Every source, in the order of documentation and exposition.
    pub const ALL: [Self; 47] = [
        Self::Resources,
        Self::MetricsExport,
        Self::ClusterStatus,
        Self::NodeStatus,
        Self::Version,
        Self::Permissions,
        Self::Tasks,
        Self::TaskArchive,
        Self::BackupLogs,
        Self::BackupJobs,
        Self::BackupCoverage,
        Self::BackupVolumes,
        Self::HaManager,
        Self::HaStatus,
        Self::HaRules,
        Self::ReplicationJobs,
        Self::Replication,
        Self::Qemu,
        Self::Lxc,
        Self::Netstat,
        Self::GuestConfig,
        Self::Snapshots,
        Self::GuestAgents,
        Self::Zfs,
        Self::ZfsDetail,
        Self::Lvm,
        Self::Lvmthin,
        Self::StorageConfig,
        Self::CephStatus,
        Self::CephOsds,
        Self::CephPools,
        Self::Disks,
        Self::DiskSmart,
        Self::NodeRrd,
        Self::NodeTime,
        Self::Services,
        Self::Packages,
        Self::Subscriptions,
        Self::Certificates,
        Self::Interfaces,
        Self::PciDevices,
        Self::Corosync,
        Self::AccessUsers,
        Self::Firewall,
        Self::NodeFirewall,
        Self::MetricServers,
        Self::GuestAgentSocket,
    ];

    /// The name as in labels, parameters and configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::MetricsExport => "metrics_export",
            Self::ClusterStatus => "cluster_status",
            Self::NodeStatus => "node_status",
            Self::Version => "version",
            Self::Permissions => "permissions",
            Self::Tasks => "tasks",
            Self::TaskArchive => "task_archive",
            Self::BackupLogs => "backup_logs",
            Self::BackupJobs => "backup_jobs",
            Self::BackupCoverage => "backup_coverage",
            Self::BackupVolumes => "backup_volumes",
            Self::HaManager => "ha_manager",
            Self::HaStatus => "ha_status",
            Self::HaRules => "ha_rules",
            Self::ReplicationJobs => "replication_jobs",
            Self::Replication => "replication",
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
            Self::Netstat => "netstat",
            Self::GuestConfig => "guest_config",
            Self::Snapshots => "snapshots",
            Self::GuestAgents => "guest_agents",
            Self::Zfs => "zfs",
            Self::ZfsDetail => "zfs_detail",
            Self::Lvm => "lvm",
            Self::Lvmthin => "lvmthin",
            Self::StorageConfig => "storage_config",
            Self::CephStatus => "ceph_status",
            Self::CephOsds => "ceph_osds",
            Self::CephPools => "ceph_pools",
            Self::Disks => "disks",
            Self::DiskSmart => "disk_smart",
            Self::NodeRrd => "node_rrd",
            Self::NodeTime => "node_time",
            Self::Services => "services",
            Self::Packages => "packages",
            Self::Subscriptions => "subscriptions",
            Self::Certificates => "certificates",
            Self::Interfaces => "interfaces",
            Self::PciDevices => "pci_devices",
            Self::Corosync => "corosync",
            Self::AccessUsers => "access_users",
            Self::Firewall => "firewall",
            Self::NodeFirewall => "node_firewall",
            Self::MetricServers => "metric_servers",
            Self::GuestAgentSocket => "guest_agent_socket",
        }
    }

    /// The endpoint that the source reads.
    #[must_use]
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Resources => "/cluster/resources",
            Self::MetricsExport => "/cluster/metrics/export",
            Self::ClusterStatus => "/cluster/status",
            Self::NodeStatus => "/nodes/{node}/status",
            Self::Version => "/version",
            Self::Permissions => "/access/permissions",
            Self::Tasks => "/cluster/tasks",
            Self::TaskArchive => "/nodes/{node}/tasks",
            Self::BackupLogs => "/nodes/{node}/tasks/{upid}/log",
            Self::BackupJobs => "/cluster/backup",
            Self::BackupCoverage => "/cluster/backup-info/not-backed-up",
            Self::BackupVolumes => "/nodes/{node}/storage/{storage}/content",
            Self::HaManager => "/cluster/ha/status/manager_status",
            Self::HaStatus => "/cluster/ha/status/current",
            Self::HaRules => "/cluster/ha/rules",
            Self::ReplicationJobs => "/cluster/replication",
            Self::Replication => "/nodes/{node}/replication",
            Self::Qemu => "/nodes/{node}/qemu?full=1",
            Self::Lxc => "/nodes/{node}/lxc",
            Self::Netstat => "/nodes/{node}/netstat",
            Self::GuestConfig => "/nodes/{node}/{qemu,lxc}/{vmid}/pending",
            Self::Snapshots => "/nodes/{node}/{qemu,lxc}/{vmid}/snapshot",
            Self::GuestAgents => "/nodes/{node}/qemu/{vmid}/agent/{command}",
            Self::Zfs => "/nodes/{node}/disks/zfs",
            Self::ZfsDetail => "/nodes/{node}/disks/zfs/{pool}",
            Self::Lvm => "/nodes/{node}/disks/lvm",
            Self::Lvmthin => "/nodes/{node}/disks/lvmthin",
            Self::StorageConfig => "/storage",
            Self::CephStatus => "/nodes/{node}/ceph/status",
            Self::CephOsds => "/nodes/{node}/ceph/osd",
            Self::CephPools => "/nodes/{node}/ceph/pool",
            Self::Disks => "/nodes/{node}/disks/list",
            Self::DiskSmart => "/nodes/{node}/disks/smart",
            Self::NodeRrd => "/nodes/{node}/rrddata",
            Self::NodeTime => "/nodes/{node}/time",
            Self::Services => "/nodes/{node}/services",
            Self::Packages => "/nodes/{node}/apt/versions",
            Self::Subscriptions => "/nodes/{node}/subscription",
            Self::Certificates => "/nodes/{node}/certificates/info",
            Self::Interfaces => "/nodes/{node}/network",
            Self::PciDevices => "/nodes/{node}/hardware/pci",
            Self::Corosync => "/cluster/config/nodes",
            Self::AccessUsers => "/access/users?full=1",
            Self::Firewall => "/cluster/firewall/options",
            Self::NodeFirewall => "/nodes/{node}/firewall/options",
            Self::MetricServers => "/cluster/metrics/server",
            Self::GuestAgentSocket => "the socket /var/run/qemu-server/{vmid}.qga",
        }
    }

    /// The age at which its data is read again unless the configuration says otherwise.
    #[must_use]
    pub const fn default_max_age(self) -> Duration {
        match self {
            // pvestatd samples every 10 s: asking more often brings nothing new.
            Self::Resources | Self::MetricsExport => Duration::from_secs(10),
            Self::ClusterStatus | Self::HaManager | Self::Tasks => Duration::from_secs(30),
            Self::HaStatus | Self::Qemu | Self::Lxc | Self::Netstat | Self::BackupLogs | Self::GuestAgentSocket => {
                Duration::from_secs(60)
            }
            Self::NodeStatus
            | Self::BackupJobs
            | Self::BackupCoverage
            | Self::ReplicationJobs
            | Self::Replication
            | Self::GuestAgents
            | Self::TaskArchive
            | Self::NodeRrd
            | Self::Services
            | Self::Interfaces
            | Self::Corosync => Duration::from_secs(300),
            Self::BackupVolumes => Duration::from_secs(1800),
            Self::Version | Self::Permissions | Self::HaRules | Self::GuestConfig | Self::AccessUsers => {
                Duration::from_secs(3600)
            }
            Self::CephStatus => Duration::from_secs(60),
            Self::Zfs | Self::Lvmthin | Self::StorageConfig | Self::CephOsds | Self::CephPools => {
                Duration::from_secs(300)
            }
            Self::Lvm => Duration::from_secs(600),
            Self::ZfsDetail | Self::NodeTime => Duration::from_secs(900),
            Self::Snapshots
            | Self::Disks
            | Self::DiskSmart
            | Self::Packages
            | Self::Subscriptions
            | Self::Certificates
            | Self::PciDevices
            | Self::Firewall
            | Self::NodeFirewall
            | Self::MetricServers => Duration::from_secs(6 * 3600),
        }
    }

    /// Whether it is read when something has happened and not by its age.
    #[must_use]
    pub const fn follows_events(self) -> bool {
        matches!(self, Self::TaskArchive | Self::BackupLogs)
    }

    /// Whether no scrape waits for it, and it may hold the only slow place of a node for long: it comes after everything else.
    #[must_use]
    pub const fn comes_last(self) -> bool {
        matches!(
            self,
            Self::BackupVolumes
                | Self::Zfs
                | Self::ZfsDetail
                | Self::Lvm
                | Self::Lvmthin
                | Self::CephStatus
                | Self::CephOsds
                | Self::CephPools
                | Self::Disks
                | Self::DiskSmart
                | Self::NodeRrd
                | Self::NodeTime
                | Self::Services
                | Self::Packages
                | Self::Subscriptions
                | Self::Certificates
                | Self::Interfaces
                | Self::PciDevices
                | Self::Corosync
                | Self::AccessUsers
                | Self::Firewall
                | Self::NodeFirewall
                | Self::MetricServers
                | Self::GuestAgentSocket
        )
    }

    /// Whether it is read unless the configuration says otherwise: SMART wakes disks that sleep, and sockets of guest agents want
    /// an exporter with root's rights on the node.
    #[must_use]
    pub const fn enabled_by_default(self) -> bool {
        !matches!(self, Self::DiskSmart | Self::GuestAgentSocket)
    }

    /// The shortest max-age that may be configured.
    #[must_use]
    pub const fn least_max_age(self) -> Duration {
        match self {
            // Each call takes a lock that the whole cluster shares.
            Self::Replication => Duration::from_secs(120),
            // QEMU's monitor serves one client at a time, and pvestatd is one every 10 s.
            Self::Qemu => Duration::from_secs(30),
            // A guest is asked by one call at a time, and each one goes through QEMU to a process inside.
            Self::GuestAgents => Duration::from_secs(60),
            // Each call runs tools that look at every disk.
            Self::Zfs | Self::ZfsDetail | Self::Lvm | Self::Lvmthin | Self::Disks => Duration::from_secs(60),
            Self::CephStatus | Self::CephOsds | Self::CephPools => Duration::from_secs(15),
            // It wakes disks that sleep.
            Self::DiskSmart => Duration::from_secs(600),
            // PVE wants the socket as well.
            Self::GuestAgentSocket => Duration::from_secs(15),
            // One keeps a process of pveproxy from its clients for up to a second, the other starts 23 programs.
            Self::Packages | Self::Services => Duration::from_secs(60),
            _ => Duration::from_secs(1),
        }
    }

    /// The sources without which it does not know whom to ask.
    #[must_use]
    pub const fn depends_on(self) -> &'static [Self] {
        match self {
            Self::Replication => &[Self::Resources, Self::ReplicationJobs],
            Self::TaskArchive => &[Self::Resources, Self::Tasks],
            Self::BackupLogs => &[Self::Resources, Self::Tasks, Self::TaskArchive],
            Self::BackupVolumes => &[Self::Resources, Self::Permissions],
            Self::Zfs
            | Self::ZfsDetail
            | Self::Lvm
            | Self::Lvmthin
            | Self::CephStatus
            | Self::CephOsds
            | Self::CephPools => &[Self::Resources],
            Self::DiskSmart => &[Self::Resources, Self::Disks],
            Self::GuestAgents | Self::GuestAgentSocket => {
                &[Self::Resources, Self::Permissions, Self::Tasks, Self::BackupJobs]
            }
            Self::NodeStatus
            | Self::Disks
            | Self::Tasks
            | Self::BackupCoverage
            | Self::ReplicationJobs
            | Self::Qemu
            | Self::Lxc
            | Self::Netstat
            | Self::GuestConfig
            | Self::Snapshots
            | Self::NodeRrd
            | Self::NodeTime
            | Self::Services
            | Self::Packages
            | Self::Subscriptions
            | Self::Certificates
            | Self::Interfaces
            | Self::PciDevices
            | Self::NodeFirewall => &[Self::Resources],
            Self::Corosync => &[Self::ClusterStatus],
            _ => &[],
        }
    }

    /// What one request occupies.
    #[must_use]
    pub const fn cost(self) -> Cost {
        match self {
            Self::Zfs
            | Self::ZfsDetail
            | Self::Lvm
            | Self::Lvmthin
            | Self::CephStatus
            | Self::CephOsds
            | Self::CephPools
            | Self::BackupVolumes
            | Self::Disks
            | Self::DiskSmart => Cost::Storage,
            Self::GuestAgents => Cost::Agent,
            Self::Qemu | Self::Lxc | Self::Replication => Cost::Slow,
            // rrdcached, systemctl 23 times, the cache of APT, ip, sysfs, and in newer versions timedatectl.
            Self::NodeRrd | Self::Services | Self::Packages | Self::Interfaces | Self::NodeTime | Self::PciDevices => {
                Cost::Slow
            }
            _ => Cost::Cheap,
        }
    }

    /// The privileges it needs, each with the path on which PVE checks it.
    #[must_use]
    pub const fn privileges(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Resources => &[
                ("Sys.Audit", "/nodes"),
                ("VM.Audit", "/vms"),
                ("Datastore.Audit", "/storage"),
                ("Pool.Audit", "/pool"),
                ("SDN.Audit", "/sdn"),
            ],
            Self::MetricsExport
            | Self::ClusterStatus
            | Self::Tasks
            | Self::BackupJobs
            | Self::HaManager
            | Self::HaStatus
            | Self::HaRules
            | Self::DiskSmart
            | Self::PciDevices
            | Self::Corosync
            | Self::Firewall
            | Self::MetricServers => &[("Sys.Audit", "/")],
            Self::BackupCoverage => &[("Sys.Audit", "/"), ("VM.Audit", "/vms")],
            Self::NodeStatus
            | Self::TaskArchive
            | Self::BackupLogs
            | Self::Netstat
            | Self::Disks
            | Self::NodeRrd
            | Self::NodeTime
            | Self::Services
            | Self::Packages
            | Self::Subscriptions
            | Self::NodeFirewall => &[("Sys.Audit", "/nodes")],
            Self::AccessUsers => &[("Sys.Audit", "/access/groups")],
            // Without it bridges are left out.
            Self::Interfaces => &[("SDN.Audit", "/sdn")],
            Self::ReplicationJobs
            | Self::Replication
            | Self::Qemu
            | Self::Lxc
            | Self::GuestConfig
            | Self::Snapshots => &[("VM.Audit", "/vms")],
            Self::GuestAgents => &[("VM.GuestAgent.Audit", "/vms")],
            Self::Zfs
            | Self::ZfsDetail
            | Self::Lvm
            | Self::Lvmthin
            | Self::CephStatus
            | Self::CephOsds
            | Self::CephPools => &[("Sys.Audit", "/")],
            Self::StorageConfig => &[("Datastore.Audit", "/storage")],
            // Without Datastore.Allocate, or Datastore.AllocateSpace and VM.Backup, PVE hides the volumes; then nobody asks.
            Self::BackupVolumes | Self::Version | Self::Permissions | Self::Certificates | Self::GuestAgentSocket => {
                &[]
            }
        }
    }
}
