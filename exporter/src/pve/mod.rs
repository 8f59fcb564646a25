//! The PVE REST API: transport, errors, and the wire types of each endpoint. Knows nothing of metrics.
//!
//! [`client`] decides which endpoint a request goes to; [`budget`] how many are in flight; [`authorization`] with which token, or
//! with which ticket of a [`login`];
//! [`nodes`] spares those that do not answer; [`transport`] sends it over a connection that [`trust`] accepts. [`perl`] and
//! [`property_string`] read what PVE writes.

pub mod api;
pub mod authorization;
pub mod budget;
pub mod client;
pub mod endpoints;
pub mod error;
pub mod hung;
pub mod login;
pub mod nodes;
pub mod offline;
pub mod perl;
pub mod property_string;
pub mod request;
pub mod task_status;
pub mod traffic;
pub mod transport;
pub mod trust;
pub mod upid;
