//! The wire types, one file for each endpoint. They hold what PVE sends, as tolerant as [`crate::pve::perl`] makes them.

pub mod access_permissions;
pub mod cluster_backup;
pub mod cluster_metrics_export;
pub mod cluster_resources;
pub mod cluster_status;
pub mod disk_smart;
pub mod disks_list;
pub mod guest_pending;
pub mod guest_snapshots;
pub mod ha_groups;
pub mod ha_manager_status;
pub mod ha_rules;
pub mod ha_status;
pub mod node_lxc;
pub mod node_netstat;
pub mod node_qemu;
pub mod node_status;
pub mod nodes;
pub mod not_backed_up;
pub mod replication;
pub mod storage_content;
pub mod task_log;
pub mod tasks;
pub mod version;
