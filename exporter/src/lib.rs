//! Prometheus exporter for Proxmox VE.

pub mod config;
pub mod sources;
