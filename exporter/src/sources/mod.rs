//! The sources, one file each: which endpoint is read, and how its rows become subjects.
//!
//! [`held`] is the one primitive that keeps a value, its age and its outcome; [`cluster`] brings the sources of one cluster
//! together and puts the rows of a scrape in order.

pub mod cluster;
pub mod cluster_status;
pub mod counters;
pub mod held;
pub mod metrics_export;
pub mod name;
pub mod node_status;
pub mod pace;
pub mod permissions;
pub mod resources;
pub mod tasks;
pub mod version;
