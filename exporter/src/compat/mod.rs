//! `/pve`: what prometheus-pve-exporter serves, with its parameters, names, labels and values.
//!
//! [`parameters`] say what is asked for, [`targets`] whether it may be, [`held`] keeps what PVE answered, [`families`] show it.

pub mod collector;
pub mod config;
pub mod drop_in;
pub mod families;
pub mod held;
mod onboot;
pub mod parameters;
mod part;
pub mod rows;
pub mod targets;
pub mod text;
mod yaml;
