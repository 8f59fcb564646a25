//! The things reported on, one file each: its struct, the labels that identify a row, and its table of metrics.
//!
//! A field that is `None` is not known and gives no sample. Subjects do no I/O and know nothing of JSON.

pub mod api;
pub mod backup;
pub mod backup_coverage;
pub mod backup_job;
pub mod backup_log;
pub mod backup_volume;
pub mod certificate;
pub mod cluster;
pub mod container;
pub mod expected_up;
pub mod exporter;
pub mod guest;
pub mod guest_balloon;
pub mod guest_config;
pub mod guest_drive;
pub mod guest_drive_config;
pub mod guest_interface;
pub mod guest_machine;
pub mod guest_pressure;
pub mod ha;
pub mod ha_guest;
pub mod ha_node;
pub mod network;
pub mod node;
pub mod node_clock;
pub mod node_interface;
pub mod node_rrd;
pub mod node_sampling;
pub mod packages;
pub mod permission;
pub mod pool;
pub mod process;
pub mod recovery_point;
pub mod replication;
pub mod service;
pub mod snapshot;
pub mod snapshots;
pub mod source;
pub mod storage;
pub mod subscription;
pub mod task;
