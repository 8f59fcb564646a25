//! The PVE REST API: transport, errors, and the wire types of each endpoint. Knows nothing of metrics.

pub mod api;
pub mod client;
pub mod endpoints;
pub mod error;
pub mod offline;
pub mod perl;
pub mod trust;
