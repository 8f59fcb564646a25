//! The sources, one file each: which endpoint is read, and how its rows become subjects.
//!
//! [`held`] is the one primitive that keeps a value, its age and its outcome, and [`survey`] keeps one for each guest where PVE
//! has to be asked guest by guest; [`cluster`] brings the sources of one cluster together and puts the rows of a scrape in order.

pub mod backup_coverage;
pub mod backup_jobs;
pub mod backup_log;
pub mod backup_volumes;
pub mod backups;
pub mod cached;
pub mod certificates;
pub mod cluster;
pub mod cluster_status;
pub mod counters;
pub mod devices;
pub mod guest_config;
pub mod guest_memory;
pub mod ha_manager;
pub mod ha_rules;
pub mod ha_status;
pub mod held;
pub mod interfaces;
pub mod kernel_release;
pub mod lxc;
pub mod merged;
pub mod metrics_export;
pub mod name;
pub mod netstat;
pub mod node_rrd;
pub mod node_status;
pub mod node_time;
pub mod pace;
pub mod packages;
pub mod permissions;
pub mod qemu;
pub mod replication;
pub mod replication_jobs;
pub mod resources;
pub mod services;
pub mod snapshots;
pub mod source;
pub mod stalled;
pub mod subscriptions;
pub mod survey;
pub mod tasks;
pub mod version;
