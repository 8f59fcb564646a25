//! The sources, one file each: which endpoint is read, and how its rows become subjects.
//!
//! [`held`] is the one primitive that keeps a value, its age and its outcome, and [`survey`] keeps one for each guest where PVE
//! has to be asked guest by guest; [`cluster`] brings the sources of one cluster together and puts the rows of a scrape in order.

pub mod cluster;
pub mod cluster_status;
pub mod counters;
pub mod guest_config;
pub mod held;
pub mod metrics_export;
pub mod name;
pub mod node_status;
pub mod pace;
pub mod permissions;
pub mod resources;
pub mod snapshots;
pub mod survey;
pub mod version;
