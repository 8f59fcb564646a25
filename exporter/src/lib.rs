//! Prometheus exporter for Proxmox VE: the library behind the program `pve-exporter`.
//!
//! Data flows one way: [`config`] → [`pve`] (client and wire types) → [`sources`] → [`subjects`] (plain structs) →
//! [`metrics`] (tables and text formats) → [`server`].

pub mod backfill;
pub mod clock;
pub mod compat;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod estimate;
pub mod metrics;
pub mod process;
pub mod pve;
pub mod qga;
pub mod scrape;
pub mod server;
pub mod sources;
pub mod subjects;
pub mod telemetry;
