//! The wire types, one file for each endpoint. They hold what PVE sends, as tolerant as [`crate::pve::perl`] makes them.

pub mod access_permissions;
pub mod cluster_metrics_export;
pub mod cluster_resources;
pub mod cluster_status;
pub mod node_status;
pub mod nodes;
pub mod tasks;
pub mod version;
