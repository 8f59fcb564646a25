//! Prometheus exporter for Proxmox VE.

pub mod sources;
